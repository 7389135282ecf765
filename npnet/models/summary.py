"""What a net is made of: a row for each layer."""
from dataclasses import dataclass

from npnet.kernels import Shape
from npnet.layers import Cost, Sequential, WithHeads


@dataclass(frozen=True)
class Row:
    """A layer: its name, what it is, the shape of one image after it, and its cost."""

    name: str
    layer: str
    shape: Shape
    cost: Cost


def rows(net: Sequential | WithHeads, input_shape: Shape) -> list[Row]:
    """One row for each layer of `net`, for images of `input_shape` (C, H, W); one for an auxiliary classifier."""
    table = []
    heads = net.heads if isinstance(net, WithHeads) else {}
    for name, layer in zip(net.names, net.layers[: len(net) - len(heads)], strict=False):
        cost, input_shape = layer.cost(input_shape), layer.output_shape(input_shape)
        table.append(Row(name, " ".join(repr(layer).split()), input_shape, cost))
        if name in heads:
            head = heads[name]
            text = " ".join(repr(head).split())
            table.append(Row(f"head_{name}", text, head.output_shape(input_shape), head.cost(input_shape)))
    return table


def text(net: Sequential | WithHeads, input_shape: Shape) -> str:
    """The rows as a table, with the totals below."""
    table = [("layer", "", "output C × H × W", "parameters", "multiply-adds")]
    table.append(("input", "", " × ".join(map(str, input_shape)), "", ""))
    for row in rows(net, input_shape):
        parameters, macs = (f"{count:,}" if count else "" for count in (row.cost.parameters, row.cost.macs))
        table.append((row.name, row.layer, " × ".join(map(str, row.shape)), parameters, macs))
    total = net.cost(input_shape)
    table.append(("total", "", "", f"{total.parameters:,}", f"{total.macs:,}"))
    widths = [max(len(line[i]) for line in table) for i in range(5)]
    lines = [
        "  ".join((line[0].ljust(widths[0]), line[1].ljust(widths[1]), *(c.rjust(w) for c, w in
                  zip(line[2:], widths[2:], strict=True)))).rstrip()
        for line in table
    ]
    rule = "─" * max(map(len, lines))
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])
