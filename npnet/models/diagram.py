"""A net as a picture: where its boxes lie, and what flows between them. AlexNet's Figure 2, GoogLeNet's 2 and 3.

Made of the layers themselves: what is drawn is what is computed. From the top to the bottom; branches side by side,
auxiliary classifiers beside the net, to the right. Inches.
"""
from collections.abc import Sequence
from dataclasses import dataclass, field

from npnet.kernels import Shape
from npnet.layers import (
    LRN,
    AbsTanh,
    AvgPool2D,
    Concat,
    Conv2D,
    Dense,
    Dropout,
    Layer,
    Local2D,
    LRNWithin,
    MaxPool2D,
    ReLU,
    Sequential,
    Sigmoid,
    Tanh,
    WithHeads,
)

WIDTH, HEIGHT, BESIDE, BELOW = 1.75, 0.3, 0.15, 0.24
"""Of a box; and the gaps."""

ACTIVATIONS: dict[type[Layer], str] = {ReLU: "ReLU", Tanh: "tanh", Sigmoid: "sigmoid", AbsTanh: "|tanh|"}
Point = tuple[float, float]
Path = tuple[Point, ...]


@dataclass
class Box:
    """`kind`: "input", "weights", "pool", "norm", "concat" or "other"; (x, y) is its upper left corner."""

    kind: str
    text: str
    x: float
    y: float

    @property
    def top(self) -> Point:
        return self.x + WIDTH / 2, self.y

    @property
    def bottom(self) -> Point:
        return self.x + WIDTH / 2, self.y + HEIGHT


@dataclass
class Diagram:
    """Boxes; arrows, along points; and notes (text, x, y) beside them. `height` grows downwards."""

    boxes: list[Box] = field(default_factory=list)
    arrows: list[Path] = field(default_factory=list)
    notes: list[tuple[str, float, float]] = field(default_factory=list)
    width: float = 0.0
    height: float = 0.0
    box_size: Point = (WIDTH, HEIGHT)


def diagram(net: Layer, input_shape: Shape) -> Diagram:
    """`net` for images of `input_shape` (C, H, W), with the shapes at the left: height × width × channels, as the
    papers write them. A ReLU is written into the box of the layer it stands behind."""
    drawn = _Drawing()
    margin = 1.3  # of the shapes
    heads = list(net.heads.values()) if isinstance(net, WithHeads) else []
    trunk = _width(net)
    first = drawn.box("input", "input", margin + trunk / 2, 0.0, [])
    drawn.note(input_shape, first.y)
    names, layers = (list(net.trunk), list(net.trunk.values())) if isinstance(net, WithHeads) else _parts(net)
    exits: list[Path] = [(first.bottom,)]
    y, shape, free, joined = first.y + HEIGHT + BELOW, input_shape, 0.0, False
    for name, layer in zip(names, layers, strict=True):
        exits, y = drawn.place([layer], margin + trunk / 2, y, exits, joined)
        joined = not (isinstance(net, WithHeads) and name in net.heads)  # a head reads it before an activation does
        shape = layer.output_shape(shape)
        if not isinstance(layer, (Dropout, LRN, LRNWithin, *ACTIVATIONS)):
            drawn.note(shape, y - BELOW - HEIGHT)
        if isinstance(net, WithHeads) and name in net.heads:
            beside = margin + trunk + 2 * BESIDE + max(map(_width, heads)) / 2
            _, free = drawn.place([net.heads[name]], beside, max(y, free), exits)
            free += BELOW
    drawn.made.width = margin + trunk + (2 * BESIDE + max(map(_width, heads)) if heads else 0)
    drawn.made.height = max(y, free) - BELOW
    return drawn.made


class _Drawing:
    def __init__(self) -> None:
        self.made = Diagram()

    def box(self, kind: str, text: str, centre: float, y: float, come: Sequence[Path]) -> Box:
        box = Box(kind, text, centre - WIDTH / 2, y)
        self.made.boxes.append(box)
        self.made.arrows += [(*path, box.top) for path in come]
        return box

    def note(self, shape: Shape, y: float) -> None:
        self.made.notes.append((" × ".join(map(str, (*shape[1:], shape[0]))), 0.0, y + HEIGHT / 2))

    def place(
        self, layers: Sequence[Layer], centre: float, y: float, come: list[Path], joined: bool = False
    ) -> tuple[list[Path], float]:
        """One below the other, around `centre`. Returns where the arrows from them begin, and where the next box may.

        joined : does nobody but these layers read the last box?
        """
        for layer in layers:
            if type(layer) in ACTIVATIONS and joined:
                self.made.boxes[-1].text += f", {ACTIVATIONS[type(layer)]}"
            elif isinstance(layer, Sequential):
                come, y = self.place(layer.layers, centre, y, come, joined)
            elif isinstance(layer, Concat):
                left = centre - _width(layer) / 2
                ends: list[Path] = []
                bottom = y
                for branch in layer.layers:
                    exits, below = self.place(_parts(branch)[1], left + _width(branch) / 2, y, come)
                    ends += exits
                    bottom, left = max(bottom, below), left + _width(branch) + BESIDE
                ends = [(*path, (path[-1][0], bottom - BELOW)) for path in ends]  # past the other branches' boxes
                box = self.box("concat", "concatenate", centre, bottom, ends)
                come, y = [(box.bottom,)], box.y + HEIGHT + BELOW
            else:
                box = self.box(*_said(layer), centre, y, come)
                come, y = [(box.bottom,)], box.y + HEIGHT + BELOW
            joined = True
        return come, y


def _parts(layer: Layer) -> tuple[list[str], list[Layer]]:
    return (layer.names, layer.layers) if isinstance(layer, Sequential) else ([""], [layer])


def _width(layer: Layer) -> float:
    if isinstance(layer, WithHeads):
        return max(map(_width, layer.trunk.values()))
    if isinstance(layer, Concat):
        return sum(map(_width, layer.layers)) + BESIDE * (len(layer.layers) - 1)
    return max(map(_width, layer.layers)) if isinstance(layer, Sequential) else WIDTH


def _said(layer: Layer) -> tuple[str, str]:
    """Kind and text of a layer's box."""
    if isinstance(layer, Conv2D | Local2D):
        what = "conv" if isinstance(layer, Conv2D) else "local"
        groups = f", {layer.groups} groups" if isinstance(layer, Conv2D) and layer.groups > 1 else ""
        return "weights", f"{what} {_window(layer.kernel, layer.stride)}, {layer.out_channels}{groups}"
    if isinstance(layer, Dense):
        return "weights", f"fully connected, {layer.out_features}"
    if isinstance(layer, MaxPool2D | AvgPool2D):
        what = "max pool" if isinstance(layer, MaxPool2D) else "average pool"
        return "pool", f"{what} {_window(layer.size, layer.stride)}"
    if isinstance(layer, LRN | LRNWithin):
        return "norm", "LRN" if isinstance(layer, LRN) else "LRN within maps"
    if isinstance(layer, Dropout):
        return "other", f"dropout {layer.p:.0%}"
    return "other", ACTIVATIONS.get(type(layer), type(layer).__name__)


def _window(size: int, stride: int) -> str:
    return f"{size} × {size}" + (f" / {stride}" if stride > 1 else "")
