"""What a net is made of: a row for each layer."""
import math
from collections.abc import Sequence
from dataclasses import dataclass

from npnet.kernels import Shape
from npnet.layers import Concat, Conv2D, Cost, Dense, Layer, Local2D, Sequential, WithHeads


@dataclass(frozen=True)
class Row:
    """A layer: its name, what it is, the shape of one image after it, its neurons and its cost."""

    name: str
    layer: str
    shape: Shape
    neurons: int
    cost: Cost


def neurons(layer: Layer, input_shape: Shape) -> int:
    """Numbers that the layers with weights compute for one image of `input_shape`: AlexNet's 650,000. Without those of
    auxiliary classifiers."""
    if isinstance(layer, Concat):
        return sum(neurons(branch, input_shape) for branch in layer.layers)
    if isinstance(layer, Sequential | WithHeads):
        count = 0
        for part in layer.trunk.values() if isinstance(layer, WithHeads) else layer.layers:
            count += neurons(part, input_shape)
            input_shape = part.output_shape(input_shape)
        return count
    return math.prod(layer.output_shape(input_shape)) if isinstance(layer, Conv2D | Local2D | Dense) else 0


def rows(net: Sequential | WithHeads, input_shape: Shape) -> list[Row]:
    """One row for each layer of `net`, for images of `input_shape` (C, H, W); one for an auxiliary classifier."""
    table = []
    heads = net.heads if isinstance(net, WithHeads) else {}
    for name, layer in zip(net.names, net.layers[: len(net) - len(heads)], strict=False):
        cost, count, input_shape = layer.cost(input_shape), neurons(layer, input_shape), layer.output_shape(input_shape)
        table.append(Row(name, " ".join(repr(layer).split()), input_shape, count, cost))
        if name in heads:
            head = heads[name]
            text = " ".join(repr(head).split())
            table.append(Row(f"head_{name}", text, head.output_shape(input_shape), neurons(head, input_shape),
                             head.cost(input_shape)))
    return table


def aligned(table: Sequence[Sequence[str]], sides: str) -> list[str]:
    """Lines in which each column stands under itself, to its left (<) or right (>) side."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(line, sides, widths, strict=True)).rstrip()
            for line in table]


def text(net: Sequential | WithHeads, input_shape: Shape) -> str:
    """The rows as a table, with the totals below."""
    table = [("layer", "", "output C × H × W", "neurons", "parameters", "multiply-adds")]
    table.append(("input", "", " × ".join(map(str, input_shape)), "", "", ""))
    for row in rows(net, input_shape):
        counts = (f"{count:,}" if count else "" for count in (row.neurons, row.cost.parameters, row.cost.macs))
        table.append((row.name, row.layer, " × ".join(map(str, row.shape)), *counts))  # type: ignore[arg-type]
    total = net.cost(input_shape)
    heads = [row.neurons for row in rows(net, input_shape) if row.name.startswith("head_")]
    count = neurons(net, input_shape) + sum(heads)
    table.append(("total", "", "", f"{count:,}", f"{total.parameters:,}", f"{total.macs:,}"))
    lines = aligned(table, "<<>>>>")
    rule = "─" * max(map(len, lines))
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])
