"""GoogLeNet's Table 1, as printed and as computed from the layers."""
from dataclasses import dataclass

from npnet.kernels import Shape
from npnet.layers import Concat, Conv2D, Dense, Layer, Local2D, Sequential, WithHeads

from .summary import aligned

PRINTED: dict[str, tuple[float, float]] = {
    "conv1": (2.7, 34), "conv2": (112, 360), "inception3a": (159, 128), "inception3b": (380, 304),
    "inception4a": (364, 73), "inception4b": (437, 88), "inception4c": (463, 100), "inception4d": (580, 119),
    "inception4e": (840, 170), "inception5a": (1072, 54), "inception5b": (1388, 71), "fc": (1000, 1),
}
"""Of each row the parameters, in K, and the operations, in M."""
SUMS = tuple(map(sum, zip(*PRINTED.values(), strict=True)))
"""Of the printed numbers: 6,797.7 K and 1,502 M, the "1.5 billion multiply-adds" of the paper's §1."""

K = 1024
"""Of the printed parameters: 64 · 64 + 64 · 192 · 9 weights are 112.0 times 1024, and the classifier's 1000."""
AGREE = 0.01
"""Printed and computed agree, if they differ by less, or by what rounding to the printed digits does."""

WHY = {
    "conv1": "8 filters of 7 × 7 for each colour and a 1 × 1 behind them have 2,712 and 34.0 M: stem=\"separable\"",
    "inception4c": "the operations fit the printed widths",
    "inception4d": "the operations fit the printed widths",
    "inception5a": "parameters and operations fit each other, but not the printed widths",
    "inception5b": "the operations fit the printed widths",
}
"""What is known about the rows that disagree."""


@dataclass(frozen=True)
class Row:
    """A row of Table 1: its layers' weights (without biases), which the paper counts, and their multiply-adds."""

    name: str
    shape: Shape
    depth: int
    weights: int
    macs: int

    @property
    def computed(self) -> tuple[float, float]:
        """In the units of the table: K and M."""
        return self.weights / K, self.macs / 1e6

    @property
    def printed(self) -> tuple[float, float] | None:
        return PRINTED.get(self.name)

    @property
    def agrees(self) -> tuple[bool, bool]:
        """Parameters, operations: does the paper print what is computed?"""
        if self.printed is None:
            return True, True
        first, second = (agree(p, c) for p, c in zip(self.printed, self.computed, strict=True))
        return first, second


def agree(printed: float, computed: float) -> bool:
    half = 0.05 if printed != round(printed) else 0.5
    return abs(printed - computed) <= max(AGREE * computed, half)


def rows(net: WithHeads, input_shape: Shape = (3, 224, 224)) -> list[Row]:
    """The rows of Table 1 for `net`, and the pooling layers between them. Without the auxiliary classifiers, and with
    conv2's reduction in its row, as in the table."""
    table: list[Row] = []
    depth = weights = macs = 0
    for name, layer in net.trunk.items():
        cost, input_shape = layer.cost(input_shape), layer.output_shape(input_shape)
        depth += _depth(layer)
        weights += sum(p.size for p in layer.parameters() if p.name.endswith("weight"))
        macs += cost.macs
        if name in PRINTED or name.startswith("pool"):
            table.append(Row(name, input_shape, depth, weights, macs))
            depth = weights = macs = 0
    return table


def _depth(layer: Layer) -> int:
    """Layers with weights on the longest way through it."""
    if isinstance(layer, Concat):
        return max(map(_depth, layer.layers))
    if isinstance(layer, Sequential):
        return sum(map(_depth, layer.layers))
    return int(isinstance(layer, Conv2D | Local2D | Dense))


def text(net: WithHeads, input_shape: Shape = (3, 224, 224)) -> str:
    """The table, with the paper's number beside each computed one, and a mark where they disagree."""
    made = rows(net, input_shape)
    table = [("", "output", "depth", "parameters: paper", "computed", "", "multiply-adds: paper", "computed", "")]
    for row in made:
        shape = " × ".join(map(str, (*row.shape[1:], row.shape[0])))
        if row.printed is None:
            table.append((row.name, shape, "0", "", "", "", "", "", ""))
            continue
        marks = ["" if well else "≠" for well in row.agrees]
        (k, m), (weights, macs) = row.printed, row.computed
        table.append((row.name, shape, str(row.depth), f"{k:,g} K", f"{weights:,.1f} K", marks[0], f"{m:,g} M",
                      f"{macs:,.1f} M", marks[1]))
    depth, weights, macs = (sum(getattr(row, key) for row in made) for key in ("depth", "weights", "macs"))
    sums = Row("sum", (), depth, weights, macs)
    marks = ["" if agree(p, c) else "≠" for p, c in zip(SUMS, sums.computed, strict=True)]
    table.append(("sum", "", str(depth), f"{SUMS[0]:,g} K", f"{sums.computed[0]:,.1f} K", marks[0],
                  f"{SUMS[1]:,g} M", f"{sums.computed[1]:,.1f} M", marks[1]))
    lines = aligned(table, "<>>>><>><")
    rule = "─" * max(map(len, lines))
    why = WHY | ({"conv1": "its 2,712 weights are 2.7 thousand: here K is 1000"} if made[0].weights == 2712 else {})
    slips = [f"≠ {row.name}: {why[row.name]}" for row in made if not all(row.agrees) and row.name in why]
    whole = net.cost(input_shape).parameters
    heads = {name: sum(p.size for p in head.parameters()) for name, head in net.heads.items()}
    own = whole - sum(heads.values())
    beside = ", ".join(f"{count:,} behind {name.removeprefix('inception')}" for name, count in heads.items())
    return "\n".join([
        lines[0], rule, *lines[1:-1], rule, lines[-1], "",
        f"K is {K}, M a million; parameters are weights, as the paper counts. With biases {own:,}"
        + (f";\nin training, with the auxiliary classifiers ({beside}), {whole:,}." if heads else "."),
        *slips,
    ])
