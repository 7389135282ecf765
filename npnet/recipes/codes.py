"""Short binary codes of pictures, by an auto-encoder on a net's last hidden layer. AlexNet §6.1.

"Computing similarity by using Euclidean distance between two 4096-dimensional, real-valued vectors is inefficient, but
it could be made efficient by training an auto-encoder to compress these vectors to short binary codes." The paper gives
no more than this sentence; what is here follows the one that it cites (Krizhevsky and Hinton 2011) in spirit: units of
the code are logistic, and noise in front of them in training (Salakhutdinov and Hinton 2009) drives them to 0 or 1, for
between these the noise would say more than they do.
"""
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npnet import counter
from npnet.evaluate.neighbours import bits, nearest, nearest_by_hamming, recall
from npnet.layers import Dense, ReLU, Sequential, Sigmoid, Xavier
from npnet.layers.containers import backward_through, forward_through
from npnet.train import SGD

Floats = NDArray[np.float32]

NOISE = int.from_bytes(b"noise")
SHUFFLE = int.from_bytes(b"codes")


@dataclass(frozen=True)
class Settings:
    """How it is trained. `noise`: the standard deviation of what is added in front of the code, in its last epochs."""

    bits: int = 64
    between: int = 256
    epochs: int = 40
    batch: int = 128
    rate: float = 1.0
    momentum: float = 0.9
    noise: float = 2.0
    seed: int = 0


def autoencoder(features: int, settings: Settings) -> Sequential:
    """From features to a code and back, each way by a hidden layer."""
    s = settings
    net = Sequential(
        encode=Dense(features, s.between, weight=Xavier()), relu1=ReLU(),
        code=Dense(s.between, s.bits, weight=Xavier()), squash=Sigmoid(),
        decode=Dense(s.bits, s.between, weight=Xavier()), relu2=ReLU(),
        out=Dense(s.between, features, weight=Xavier()))
    net.initialise(s.seed)
    return net


CODE = 3  # layers up to here make the numbers that the code is squashed from


class Codes:
    """Learns codes from features (N, D), and makes them.

    Attributes
    ----------
    history : {"epoch", "loss"}: the squared error, as a fraction of that of answering with the mean of all.
    """

    def __init__(self, features: Floats, settings: Settings | None = None,
                 progress: Callable[[], object] | None = None) -> None:
        self.settings = settings or Settings()
        self.mean = features.mean(axis=0)
        self.scale = float(np.sqrt(np.square(features - self.mean).mean())) or 1.0
        self.net = autoencoder(features.shape[1], self.settings)
        self.history: list[dict[str, float]] = []
        self._train(self._centred(features), progress)
        self.threshold = np.median(self._codes(features), axis=0)  # so that each bit parts the pictures in two halves

    def _centred(self, features: Floats) -> Floats:
        centred: Floats = ((features - self.mean) / self.scale).astype(np.float32)
        return centred

    def _train(self, x: Floats, progress: Callable[[], object] | None) -> None:
        s, net = self.settings, self.net
        sgd = SGD(net.parameters(), s.rate, s.momentum, 0.0)
        worst = float(np.square(x).sum()) / 2 or 1.0
        for epoch in range(s.epochs):
            order = counter.generator(s.seed, epoch, SHUFFLE).permutation(len(x))
            sgd.rate = s.rate * (0.1 if epoch >= 0.8 * s.epochs else 1.0)
            noise = s.noise * min(1.0, 2 * epoch / s.epochs)
            loss = 0.0
            for step, start in enumerate(range(0, len(x), s.batch)):
                batch = x[order[start : start + s.batch]]
                drawn = counter.generator(s.seed, epoch, NOISE + step).standard_normal((len(batch), s.bits))
                loss += self._step(batch, np.asarray(noise * drawn, np.float32))
                sgd.step()
            self.history.append({"epoch": epoch + 1, "loss": loss / worst})
            if progress:
                progress()

    def _step(self, batch: Floats, noise: Floats) -> float:
        """Forward and back, of half the mean squared error of a number. Returns half its sum."""
        net = self.net
        before = forward_through(net.layers[:CODE], net.upload("codes.x", batch), True)
        noisy = net.like("codes.noisy", before)
        net.kernels.add_up([before, net.upload("codes.noise", noise)], None, noisy)
        y = net.kernels.to_host(forward_through(net.layers[CODE:], noisy, True))
        error = y - batch
        dy = backward_through(net.layers[CODE:], net.upload("codes.dy", error / np.float32(error.size)))
        dy = backward_through(net.layers[1:CODE], dy)
        net.layers[0].backward_parameters(dy)
        return float(np.square(error).sum()) / 2

    def _codes(self, features: Floats) -> Floats:
        net, parts = self.net, []
        for start in range(0, len(features), 1024):
            x = net.upload("codes.x", self._centred(features[start : start + 1024]))
            parts.append(net.kernels.to_host(forward_through(net.layers[: CODE + 1], x, False)))
        return np.concatenate(parts)

    def of(self, features: Floats) -> NDArray[np.uint8]:
        """(N, D) → (N, ⌈bits / 8⌉): eight bits in a byte."""
        return bits(self._codes(features), self.threshold)


def random_bits(features: Floats, mean: Floats, count: int, seed: int) -> NDArray[np.uint8]:
    """On which side of `count` random planes through the mean the features lie: codes that nobody has learnt."""
    planes = counter.generator(seed, 0, SHUFFLE).standard_normal((features.shape[1], count)).astype(np.float32)
    return bits((features - mean) @ planes, 0.0)


LOOKED_AT = (6, 10, 20, 50, 100, 200, 500, 1000)


def experiment(
    gallery: Floats, queries: Floats, settings: Settings | None = None, k: int = 6,
    progress: Callable[[], object] | None = None
) -> dict[str, Any]:
    """Which share of the `k` nearest of the gallery by Euclid is among the so many nearest by code (`looked_at`): of
    codes that were learnt from the gallery, of random planes, and of chance."""
    codes = Codes(gallery, settings, progress)
    s = codes.settings
    exact, _ = nearest(gallery, queries, k)
    looked_at = [n for n in LOOKED_AT if k <= n < len(gallery)] or [k]
    planes = [random_bits(x, codes.mean, s.bits, s.seed) for x in (gallery, queries)]
    learnt = nearest_by_hamming(codes.of(gallery), codes.of(queries), looked_at[-1])
    drawn = nearest_by_hamming(planes[0], planes[1], looked_at[-1])
    return {
        "bits": s.bits, "gallery": len(gallery), "queries": len(queries), "k": k, "looked_at": looked_at,
        "learnt": [recall(learnt[:, :n], exact) for n in looked_at],
        "random_planes": [recall(drawn[:, :n], exact) for n in looked_at],
        "chance": [n / len(gallery) for n in looked_at], "history": codes.history,
    }
