"""Classifiers at the side of a net, which send it gradient while it learns. GoogLeNet §5."""
from itertools import pairwise
from typing import Any

from npnet import kernels
from npnet.kernels import Array, Shape
from npnet.kernels.calls import Calls, one_pass

from .containers import Container, backward_parameters_through, backward_through, forward_through, share_memory
from .layer import Cost, Layer, needs_forward
from .loss import SoftmaxCrossEntropy


class WithHeads(Container):
    """One layer after another, with auxiliary classifiers after some of them. GoogLeNet §5, Figure 3.

    ``WithHeads({"inception4a": Sequential(...)}, conv1=Conv2D(...), ..., fc=Dense(...))``: the keys of the first
    argument say after which layer a head stands. A head is called ``head_`` and that layer's name.

    Training returns a tuple: the logits of the net, then those of the heads in the order of the layers. Otherwise the
    heads are left out, as at inference, and the logits come alone.
    """

    def __init__(self, heads: dict[str, Layer], **layers: Layer) -> None:
        unknown = [after for after in heads if after not in layers]
        if unknown:
            raise ValueError(f"head after {unknown[0]!r}: the layers are {', '.join(layers)}")
        self.trunk = layers
        self.heads = {after: heads[after] for after in layers if after in heads}
        super().__init__(**layers, **{f"head_{after}": head for after, head in self.heads.items()})
        self._sums = {after: Calls() for after in self.heads}  # the kernel is the same, what it adds up is not
        self._stages: list[tuple[str, list[Layer]]] = []  # the trunk, cut behind layers with a head, and their names
        stage: list[Layer] = []
        for name, layer in layers.items():
            stage.append(layer)
            if name in self.heads or layer is self.layers[len(layers) - 1]:
                self._stages.append((name, stage))
                stage = []
        share_memory(list(layers.values()))
        for name, behind in pairwise(layers):
            if name in self.heads:  # its head reads the same array
                layers[behind].over_input = None

    @one_pass
    def forward(self, x: Array, train: bool = True) -> Any:
        """x (N, C, H, W) → (N, K), or when training a tuple of 1 + the number of heads such arrays."""
        outputs = []
        for last, layers in self._stages:
            x = forward_through(layers, x, train)
            if train and last in self.heads:
                outputs.append(forward_through([self.heads[last]], x, train))
        return (x, *outputs) if train else x

    def backward(self, dy: Any) -> Array:
        """dy : what `forward` returned, each array as ∂L by it. A trunk layer's gradient is the sum of both ways."""
        return self._backward(dy, whole=True)

    def backward_parameters(self, dy: Any) -> None:
        self._backward(dy, whole=False)

    @one_pass
    def _backward(self, dys: Any, whole: bool) -> Array:
        if not isinstance(dys, tuple) or len(dys) != 1 + len(self.heads):
            raise ValueError(f"WithHeads: dy must be a tuple of {1 + len(self.heads)} gradients, as training returned "
                             f"logits")
        dy: Array = dys[0]
        beside = dict(zip(self.heads, dys[1:], strict=True))
        for i, (name, layers) in reversed(list(enumerate(self._stages))):
            if name in beside:
                parts = dy, backward_through([self.heads[name]], beside[name])
                dy = self.like(f"dy_{name}", dy)
                self._sums[name](self.kernels.add_up, parts, None, dy)
            if i or whole:
                dy = backward_through(layers, dy)
            else:
                backward_parameters_through(layers, dy)
        return dy

    def output_shape(self, input_shape: Shape) -> Shape:
        """Of the net itself."""
        for layer in self.trunk.values():
            input_shape = layer.output_shape(input_shape)
        return input_shape

    def cost(self, input_shape: Shape) -> Cost:
        """In training: with the heads."""
        total = Cost()
        for name, layer in self.trunk.items():
            total += layer.cost(input_shape)
            input_shape = layer.output_shape(input_shape)
            if name in self.heads:
                total += self.heads[name].cost(input_shape)
        return total


class WeightedSoftmaxCrossEntropy(Layer):
    r"""The loss of a net with auxiliary classifiers: theirs count `weight` times. GoogLeNet §5: 0.3.

    .. math:: L = L_0 + w \sum_{i \ge 1} L_i

    each L_i being the `SoftmaxCrossEntropy` of one array of logits. `errors` and `probabilities` are the net's own.
    ValueError, if `weight` is negative.
    """

    def __init__(self, weight: float = 0.3) -> None:
        super().__init__()
        if not weight >= 0:
            raise ValueError(f"weight (={weight}) must not be negative")
        self.weight = weight
        self.losses: list[SoftmaxCrossEntropy] = []
        self.used = 0

    def forward(self, logits: Any, labels: Array) -> float:  # type: ignore[override]
        """A tuple of logits (N, K), labels (N,) int64 → the weighted loss in nats. One array may come alone."""
        self.alone = not isinstance(logits, tuple)
        logits = (logits,) if self.alone else logits
        while len(self.losses) < len(logits):
            with kernels.using(self.kernels):
                self.losses.append(SoftmaxCrossEntropy())
        self.used = len(logits)
        values = [loss.forward(z, labels) for loss, z in zip(self.losses, logits, strict=False)]
        return values[0] + self.weight * sum(values[1:])

    def backward(self) -> Any:  # type: ignore[override]
        """∂L by the logits: a tuple if they were one."""
        if not self.used:
            raise needs_forward(self)
        gradients = [loss.backward() for loss in self.losses[: self.used]]
        for dz in gradients[1:]:
            self.kernels.scale(dz, self.weight, dz)
        return gradients[0] if self.alone else tuple(gradients)

    @property
    def errors(self) -> int:
        """Of the net itself: how many images of the last batch have another class than their label first."""
        return self.losses[0].errors

    @property
    def probabilities(self) -> Array:
        """(N, K), of the net itself."""
        return self.losses[0].probabilities

    def __repr__(self) -> str:
        return f"WeightedSoftmaxCrossEntropy({self.weight:g})"
