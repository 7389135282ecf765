"""The layers of npnet at the sizes where gradients go wrong."""
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from npnet import counter, kernels
from npnet.layers import (
    LRN,
    AbsTanh,
    AvgPool2D,
    Concat,
    Conv2D,
    Dense,
    Dropout,
    Gaussian,
    Local2D,
    LRNWithin,
    MaxPool2D,
    ReLU,
    Sequential,
    Sigmoid,
    SoftmaxCrossEntropy,
    Tanh,
    WeightedSoftmaxCrossEntropy,
    WithHeads,
)

from .method import check
from .report import Report, title


@dataclass(frozen=True)
class Case:
    """One of `suite`: a layer, the shape of its input, and over how many classes there is a loss (0: there is none)."""

    backend: str
    layer: Any
    shape: tuple[int, ...]
    classes: int = 0
    train: bool = True

    @property
    def name(self) -> str:
        return title(self.layer, 60) + ("" if self.train else ", not training")

    def check(self, **options: Any) -> Report:
        """`check` with random x, and labels if there are classes. The options are those of `check`."""
        rng = counter.generator(*self.shape)
        x = rng.standard_normal(self.shape)
        if self.classes:
            options["labels"] = rng.integers(0, self.classes, self.shape[0])
            if len(self.shape) > 2:
                heads = isinstance(self.layer, WithHeads)
                options["loss"] = WeightedSoftmaxCrossEntropy() if heads else SoftmaxCrossEntropy()
        return check(self.layer, x, train=self.train, **options)


def suite(*backends: str) -> Iterator[Case]:
    """Every layer of npnet on each of the backends (the active one, if none is named), at the sizes where gradients go
    wrong: odd ones, H ≠ W, strides, padding, groups, windows that overlap or reach past the edge, alpha near 1.

    ``for case in suite("numba"): print(case.name, case.check().worst)``
    """
    for backend in backends or (kernels.active_name(),):
        with kernels.using(backend):
            cases = list(_cases(backend))
        yield from cases


def _cases(backend: str) -> Iterator[Case]:
    """Weights are of size ½, not the papers' 0.01: gradients must stand out from the rounding."""
    w: dict[str, Any] = {"weight": Gaussian(0.5), "bias": Gaussian(0.5)}

    def conv(inside: int, outside: int, kernel: int, **options: Any) -> Conv2D:
        return Conv2D(inside, outside, kernel, **options, **w)

    yield Case(backend, conv(3, 4, 3), (2, 3, 5, 7))
    yield Case(backend, conv(3, 5, 3, stride=2, pad=1), (2, 3, 7, 6))
    yield Case(backend, conv(2, 3, 5, stride=3, pad=2), (2, 2, 8, 11))
    yield Case(backend, conv(4, 6, 3, pad=1, groups=2), (2, 4, 5, 4))
    yield Case(backend, conv(6, 3, 2, stride=3, groups=3), (1, 6, 7, 8))
    yield Case(backend, conv(2, 3, 3, stride=2, rounding="ceil"), (2, 2, 6, 8))
    yield Case(backend, conv(5, 3, 1), (3, 5, 3, 4))
    yield Case(backend, Local2D(2, 3, 3, 5, **w), (3, 2, 5, 5))
    yield Case(backend, Local2D(2, 3, 3, 6, stride=2, pad=1, rounding="ceil", **w), (2, 2, 6, 6))
    yield Case(backend, Dense(12, 5, **w), (3, 3, 2, 2))
    yield Case(backend, Dense(7, 1, **w), (1, 7))
    for pool in (MaxPool2D, AvgPool2D):
        yield Case(backend, pool(3, 2), (2, 3, 8, 7))
        yield Case(backend, pool(3, 1, pad=1), (2, 2, 4, 5))
        yield Case(backend, pool(2, 2, rounding="floor"), (1, 3, 5, 7))
        yield Case(backend, pool(3, 2, pad=1), (2, 2, 6, 8))
        yield Case(backend, pool(2, 3, pad=1), (2, 2, 7, 5))
    yield Case(backend, AvgPool2D(3, 2, pad=1, count_pad=True), (2, 2, 6, 7))
    for size, channels, beta in ((5, 7, 0.75), (4, 6, 1.1), (2, 1, 0.75), (3, 4, 0.5), (9, 5, 0.75)):
        yield Case(backend, LRN(size, alpha=0.8, beta=beta, k=1.5), (2, channels, 3, 2))
    yield Case(backend, LRN(5, alpha=4.0, per_channel=True), (2, 8, 2, 3))
    yield Case(backend, LRN(5, alpha=2.0, groups=2), (2, 6, 2, 3))
    for size, beta in ((3, 0.75), (4, 1.1), (5, 0.5)):
        yield Case(backend, LRNWithin(size, alpha=7.0, beta=beta), (2, 2, 6, 5))
    for function in (ReLU, Tanh, Sigmoid, AbsTanh):
        yield Case(backend, function(), (2, 3, 4, 5))
    for convention in ("paper", "inverted"):
        yield Case(backend, Dropout(0.4, convention), (3, 2, 4, 3))
        yield Case(backend, Dropout(0.4, convention), (3, 2, 4, 3), train=False)
    yield Case(backend, Concat(conv(2, 3, 1), conv(2, 1, 3, pad=1), MaxPool2D(3, 1, pad=1)), (2, 2, 5, 4))
    yield Case(backend, Concat(
        Sequential(conv(3, 9, 1), ReLU()),
        Sequential(conv(3, 4, 1), ReLU(), conv(4, 2, 3, pad=1), ReLU()),
        Sequential(MaxPool2D(3, 1, pad=1), conv(3, 2, 1), ReLU())), (2, 3, 5, 7))
    yield Case(backend, Concat(conv(3, 2, 1), Sequential(conv(3, 1, 1), Tanh()), conv(3, 3, 1)), (2, 3, 4, 3))
    yield Case(backend, SoftmaxCrossEntropy(), (4, 6), classes=6)
    yield Case(backend, WeightedSoftmaxCrossEntropy(), (4, 3), classes=3)
    yield Case(backend, _small_net(w), (3, 2, 11, 11), classes=5)
    yield Case(backend, _net_with_heads(w), (3, 2, 5, 4), classes=3)


def _small_net(w: dict[str, Any]) -> Sequential:
    return Sequential(
        conv1=Conv2D(2, 6, 3, stride=2, pad=1, **w),
        relu1=ReLU(),
        pool1=MaxPool2D(3, 2),
        lrn1=LRN(5, alpha=0.5),
        branches=Concat(
            Conv2D(6, 2, 1, **w),
            Sequential(Conv2D(6, 4, 3, pad=1, groups=2, **w), Tanh()),
            Sequential(MaxPool2D(3, 1, pad=1), Conv2D(6, 1, 1, **w)),
        ),
        lrn2=LRNWithin(3, alpha=2.0),
        local3=Local2D(7, 3, 3, 3, pad=1, **w),
        relu3=ReLU(),
        drop3=Dropout(0.3),
        pool3=AvgPool2D(2, 1),
        fc4=Dense(12, 5, **w),
    )


def _net_with_heads(w: dict[str, Any]) -> WithHeads:
    return WithHeads(
        {"conv1": Sequential(Conv2D(4, 2, 1, **w), Dense(40, 3, **w)), "conv2": Dense(60, 3, **w)},
        conv1=Conv2D(2, 4, 3, pad=1, **w),
        relu1=ReLU(),
        conv2=Conv2D(4, 3, 3, pad=1, **w),
        drop2=Dropout(0.3),
        fc=Dense(60, 3, **w),
    )
