"""Layers made of layers: one after another, and side by side."""
import weakref
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeGuard

from npnet.kernels import Array, Shape, name_of
from npnet.kernels.calls import may_wait, one_pass

from .activation import ReLU
from .conv import Conv1x1s, Conv2D
from .dense import Dense
from .dropout import Dropout
from .layer import Cost, Layer
from .norm import LRN, LRNWithin
from .pool import AvgPool2D, MaxPool2D


class Container(Layer):
    """What has layers in it: their names, their parameters, and the place of each. It computes with their backend.

    Raises
    ------
    ValueError
        If there is no layer, two have one name, one stands in two places or in another net, or their backends differ.
    """

    def __init__(self, *layers: Layer, **named: Layer) -> None:
        super().__init__()
        self.names = [*(str(i) for i in range(len(layers))), *named]
        self.layers = [*layers, *named.values()]
        if not self.layers:
            raise ValueError(f"{type(self).__name__} needs at least one layer")
        for name in self.names:
            if self.names.count(name) > 1:
                raise ValueError(f"{type(self).__name__}: two layers are called {name!r}")
        below = [id(layer) for layer in self.walk()]
        if len(set(below)) < len(below):
            raise ValueError(f"{type(self).__name__}: the same layer stands in two places: make a layer for each")
        for layer in self.layers:  # to another net it gave other names and places, and other memory to write over
            if layer.within is not None and layer.within() is not None:
                raise ValueError(f"{type(self).__name__}: {type(layer).__name__} is in a net already: make a layer for "
                                 f"each, or call the layers of that net one after another")
        backends = list({id(layer.kernels): layer.kernels for layer in self.layers}.values())
        if len(backends) > 1:  # calls of one may wait, while the other's are made
            raise ValueError(f"{type(self).__name__}: the layers are of {len(backends)} backends "
                             f"({', '.join(map(name_of, backends))}): make all of them with one")
        self.kernels = backends[0]
        for layer in self.layers:
            layer.within = weakref.ref(self)
        for i, layer in enumerate(self.walk()):
            layer.place = i
        for name, layer in zip(self.names, self.layers, strict=True):
            for p in layer.parameters():
                p.name, p.place = f"{name}.{p.name}", len(self._parameters)
                self._parameters.append(p)

    def __getitem__(self, name: str | int) -> Layer:
        """The layer of that name, or at that place."""
        if isinstance(name, int):
            return self.layers[name]
        if name not in self.names:
            raise KeyError(f"{name!r}: the layers are {', '.join(self.names)}")
        return self.layers[self.names.index(name)]

    def __len__(self) -> int:
        return len(self.layers)

    def children(self) -> list[Layer]:
        return self.layers

    def __repr__(self) -> str:
        inside = ",\n".join(f"{n}={layer!r}" for n, layer in zip(self.names, self.layers, strict=True))
        return f"{type(self).__name__}(\n    " + inside.replace("\n", "\n    ") + ",\n)"


def share_memory(layers: Sequence[Layer]) -> None:
    """Of layers one after another: a ReLU or dropout may write over the output of a layer that does not need it for
    `backward`, and over the gradient that the layer behind it has made. Half the memory, and a third less to move.

    Dropout also over that of a ReLU, which asks no more than y > 0, and where dropout made y 0, it makes dy 0 too.
    """
    for before, layer in pairwise(layers):
        free = not before.keeps_output or (isinstance(layer, Dropout) and isinstance(before, ReLU))
        layer.over_input = before if isinstance(layer, ReLU | Dropout) and free else None
    layers[0].over_input = None  # a net that is gone may have allowed it
    for layer in layers:
        layer.over_gradient = isinstance(layer, ReLU | Dropout) and layer is not layers[-1]


def forward_through(
    layers: Sequence[Layer], x: Array, train: bool, rectified: bool = False, last: Layer | None = None,
    place: Array | None = None
) -> Array:
    """One after another, for which `share_memory` has been called. A convolution or a fully connected layer with a ReLU
    behind it does the ReLU's work while it writes its result; `rectified` : so it was with the x of the first layer.
    On the way back it is done by the layer behind it, if that has in hand what the ReLU asks for. What dropout before a
    fully connected layer has to do is begun together with that layer's product.

    last : a convolution that writes its result to `place`.
    """
    for before, layer, behind in zip([None, *layers], layers, [*layers[1:], None], strict=False):
        may_wait(layer.forward)
        if rectified and isinstance(layer, ReLU):
            x, rectified = layer.forward(x, train, rectified), False
        elif (
            type(layer) is MaxPool2D or type(layer) is LRN or type(layer) is LRNWithin or type(layer) is Concat
        ):  # they can go back `through_relu`
            x = layer.forward(x, train, before is not None and rectifies(before))
        elif type(layer) is Conv2D:
            rectified = type(behind) is ReLU
            where = (place,) if layer is last else ()
            x = layer.forward(x, train, rectified, *where)
        elif type(layer) is Dropout and type(behind) is Dense:
            layer.left = None  # of the step before, if somebody has replaced `forward`
            x = layer.forward(x, train, True)
        elif type(layer) is Dense:
            rectified = type(behind) is ReLU
            left = (before.left,) if type(before) is Dropout and before.left else ()
            x = layer.forward(x, train, rectified, *left)
        else:
            x = layer.forward(x, train)
    return x


def backward_through(layers: Sequence[Layer], dy: Array, done: bool = False) -> Array:
    """The way back of `forward_through`, of the same layers or the last of them.

    done : dy has gone back through the ReLU that is last.
    """
    for layer, before in zip(reversed(layers), [*reversed(layers[:-1]), None], strict=False):
        may_wait(layer.backward)
        if type(layer) is Dense and type(before) is Dropout and before.left_back:
            dy, done = layer.backward(dy, before.left_back), True
        else:
            dy = (layer.backward(dy, True) if done and (rectifies(layer) or type(layer) is Dropout)
                  else layer.backward(dy))
            done = before is not None and rectifies(before) and layer.through_relu
    return dy


def backward_parameters_through(layers: Sequence[Layer], dy: Array) -> None:
    """The same without ∂L by the input of the first of them."""
    dy = backward_through(layers[1:], dy)
    may_wait(layers[0].backward_parameters)
    layers[0].backward_parameters(dy)


def rectifies(layer: Layer) -> "TypeGuard[ReLU | Concat]":
    """Does it end with a ReLU, in every branch with a convolution and a ReLU?"""
    return type(layer) is ReLU or (type(layer) is Concat and layer.rectifies)


class Sequential(Container):
    """One layer after another. ``Sequential(conv1=Conv2D(...), relu1=ReLU(), ...)`` gives them names.

    A layer is at ``net["conv1"]`` or ``net[0]``; its weights are called ``conv1.weight``. A ReLU in it writes its
    result over that of the convolution before it, and its gradient over the one it is given; so does dropout, in
    training.
    """

    def __init__(self, *layers: Layer, **named: Layer) -> None:
        super().__init__(*layers, **named)
        share_memory(self.layers)

    @one_pass
    def forward(self, x: Array, train: bool = True) -> Array:
        return forward_through(self.layers, x, train)

    @one_pass
    def backward(self, dy: Array) -> Array:
        return backward_through(self.layers, dy)

    @one_pass
    def backward_parameters(self, dy: Array) -> None:
        """Goes down to the first layer that has parameters, and no further."""
        for i, layer in enumerate(self.layers):
            if layer.parameters():
                backward_parameters_through(self.layers[i:], dy)
                return

    def output_shape(self, input_shape: Shape) -> Shape:
        for layer in self.layers:
            input_shape = layer.output_shape(input_shape)
        return input_shape

    def cost(self, input_shape: Shape) -> Cost:
        total = Cost()
        for layer in self.layers:
            total += layer.cost(input_shape)
            input_shape = layer.output_shape(input_shape)
        return total


class Concat(Container):
    """Branches that all see the same input; their channels one after another are the output. GoogLeNet §4.

    The gradient of the input is the sum over the branches. Where several branches begin with a convolution by 1 × 1,
    these are computed together (`Conv1x1s`). A convolution at the end of a branch writes its result where it belongs in
    the output, and a ReLU there reads its gradient where it is. If all branches end with a convolution and a ReLU, the
    layer behind may have gone back through the ReLUs, and the convolutions read their gradients there. This layer may
    do the same for a ReLU before it.
    """

    def __init__(self, *layers: Layer, **named: Layer) -> None:
        super().__init__(*layers, **named)
        self._branches = [layer.layers if type(layer) is Sequential else [layer] for layer in self.layers]
        first = {i: branch[0] for i, branch in enumerate(self._branches) if Conv1x1s.suit(branch[0])}
        self.together = Conv1x1s(list(first.values()))
        self._begun = list(first)  # which branches begin with them
        self._left = [branch[1:] if i in first else branch for i, branch in enumerate(self._branches)]
        beside = [type(branch[0]) for i, branch in enumerate(self._branches) if i not in first]
        # Its dx is made anew each time, and nobody else reads it: not so, perhaps, what a user's own layer returns
        self._beside_pooling = beside in ([MaxPool2D], [AvgPool2D])
        self._rectify = all(self._left[i] and type(self._left[i][0]) is ReLU for i in first)
        self._last = [self._last_convolution(branch) for branch in self._branches]
        pairs = zip(self._last, self._branches, strict=True)
        ends = [last is not None and type(branch[-1]) is ReLU for last, branch in pairs]
        self.keeps_output, self.rectifies = any(ends), all(ends)  # the output is that ReLU's
        self._whole: Array | None = None  # and `_parts` of it, the same of the gradient
        self._parts: list[Array] = []
        self._whole_gradient: Array | None = None
        self._gradients: list[Array] = []

    def _last_convolution(self, branch: Sequence[Layer]) -> Layer | None:
        """The one that computes what the branch returns, the work of a ReLU behind it included; or None."""
        if type(branch[-1]) is ReLU and len(branch) > 1 and (self._rectify or branch[-2] not in self.together.layers):
            branch = branch[:-1]
        return branch[-1] if type(branch[-1]) is Conv2D else None

    def _places(self, x: Array) -> tuple[Array, list[Array]]:
        """The output, and of each branch its channels of it."""
        y = self.output_of(x)
        if y is not self._whole:
            counts = [shape[0] for shape in self._shapes(x.shape[1:])]
            self._whole, self._parts = y, self._channels(y, counts)
            self._whole_gradient, self._gradients = None, []
        return y, self._parts

    def _channels(self, y: Array, counts: Sequence[int]) -> list[Array]:
        return [self.kernels.channels(y, sum(counts[:i]), count) for i, count in enumerate(counts)]

    def forward(self, x: Array, train: bool = True, rectified: bool = False) -> Array:
        """(N, C, H, W) → (N, ΣO, OH, OW). All branches must agree in OH and OW.

        `rectified` : a ReLU has made x, and `backward` is to go back `through_relu`.
        """
        self.x, self.through_relu = x, rectified
        parts, (y, places) = [x] * len(self.layers), self._places(x)
        if self._begun:
            own = [places[i] if self._last[i] is self._branches[i][0] else None for i in self._begun]
            for i, part in zip(self._begun, self.together.forward(x, self._rectify, own), strict=True):
                parts[i] = part
        for i, (left, last, place) in enumerate(zip(self._left, self._last, places, strict=True)):
            part = forward_through(left, parts[i], train, self._rectify and i in self._begun, last, place)
            if part is not place:
                self.kernels.copy(part, place)
        return y

    def _split(self, dy: Array) -> list[Array]:
        """Of each branch its gradient: some channels of `dy` where a ReLU ends it, else an array of its own."""
        self.check_gradient(dy)
        if dy is not self._whole_gradient:
            self._whole_gradient = dy
            self._gradients = self._channels(dy, [part.shape[1] for part in self._parts])
        parts = list(self._gradients)
        for i, (branch, part) in enumerate(zip(self._branches, parts, strict=True)):
            if type(branch[-1]) is not ReLU:
                parts[i] = self.like(f"dy{i}", part)
                self.kernels.copy(part, parts[i])
        return parts

    def backward(self, dy: Array, done: bool = False) -> Array:
        """The branches' sum. Those that begin together add theirs to what the others pass on.

        `done` : dy has gone back through the ReLUs at the ends of all branches.
        """
        parts = [backward_through(left, part, done) for left, part in zip(self._left, self._split(dy), strict=True)]
        rectified = self.x if self.through_relu else None
        others = [part for i, part in enumerate(parts) if i not in self._begun]
        if not self._begun:
            return self._sum(others, rectified)
        dx = others[0] if self._beside_pooling else self._sum(others, None) if others else None
        return self.together.backward([parts[i] for i in self._begun], dx, rectified)

    def _sum(self, parts: Sequence[Array], rectified: Array | None) -> Array:
        dx = self.like("dx", parts[0])
        self._call(self.kernels.add_up, tuple(parts), rectified, dx)
        return dx

    def backward_parameters(self, dy: Array) -> None:
        begun = []
        for i, part in enumerate(self._split(dy)):
            if i in self._begun:
                begun.append(backward_through(self._left[i], part))
            else:
                backward_parameters_through(self.layers[i : i + 1], part)
        if begun:
            self.together.backward_parameters(begun)

    def output_shape(self, input_shape: Shape) -> Shape:
        shapes = self._shapes(input_shape)
        return (sum(shape[0] for shape in shapes), *shapes[0][1:])

    def _shapes(self, input_shape: Shape) -> list[Shape]:
        """Of one image after each branch."""
        shapes = [layer.output_shape(input_shape) for layer in self.layers]
        if any(shape[1:] != shapes[0][1:] for shape in shapes):
            raise ValueError(f"branches make outputs of shapes (={shapes}) that must agree in all but the channels")
        return shapes

    def cost(self, input_shape: Shape) -> Cost:
        return sum((layer.cost(input_shape) for layer in self.layers), Cost())
