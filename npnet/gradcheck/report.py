"""What a gradient check found, and how it is printed."""
from dataclasses import dataclass, field


class GradientError(AssertionError):
    """Raised by `Report.raise_if_failed`; the message is the report."""


@dataclass(frozen=True)
class Point:
    """One comparison: of the slope by one element (`index`), or along a random direction (`index` is None).

    tensor : "x", or the parameter's name.  analytic, numeric : the slope by `backward` and by differences.
    error : relative.  noise : how far rounding may have put `numeric` off.
    """

    tensor: str
    index: tuple[int, ...] | None
    analytic: float
    numeric: float
    error: float
    noise: float

    @property
    def place(self) -> str:
        """``weight[1, 0, 2, 2]``, or ``weight, a direction``."""
        return self.tensor + (", a direction" if self.index is None else f"[{', '.join(map(str, self.index))}]")


@dataclass
class Report:
    """What `check` found. ``print(report)`` is a table; `ok` tells whether all is well.

    points : every comparison that was made, the worst first.
    shapes : of the tensors.  kinks : how many comparisons in each were skipped because there is no derivative.
    problems : what is wrong beyond numbers, a sentence each.  notes : what to know that is not wrong.
    """

    layer: str
    tolerance: float
    points: list[Point] = field(default_factory=list)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    kinks: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def failures(self) -> list[Point]:
        """The comparisons whose relative error is above the tolerance, the worst first."""
        return [p for p in self.points if p.error > self.tolerance]

    @property
    def ok(self) -> bool:
        return not self.failures and not self.problems

    @property
    def worst(self) -> Point | None:
        """The comparison with the largest relative error; None if none was made."""
        return self.points[0] if self.points else None

    def raise_if_failed(self) -> None:
        """Raise GradientError, with the report as its message, unless `ok`."""
        if not self.ok:
            raise GradientError(str(self))

    def __str__(self) -> str:
        error = f"worst relative error {self.worst.error:.1e}" if self.worst else "nothing compared"
        lines = [f"{self.layer}: {'ok' if self.ok else 'FAILED'}, {error} (tolerance {self.tolerance:g})"]
        lines += [f"  problem: {problem}" for problem in self.problems] + [f"  note: {note}" for note in self.notes]
        rows: list[tuple[str, ...]] = [("tensor", "shape", "points", "kinks", "worst error", "at")]
        worst = {name: next((p for p in self.points if p.tensor == name), None) for name in self.shapes}
        for name, p in sorted(worst.items(), key=lambda item: -item[1].error if item[1] else 0.0):
            count = sum(point.tensor == name for point in self.points)
            end = (f"{p.error:.1e}", p.place) if p else ("", "")
            rows.append((name, str(self.shapes[name]), str(count), str(self.kinks[name]), *end))
        if self.failures:
            lines.append(f"  {len(self.failures)} of {len(self.points)} points fail, the worst first:")
            failed: list[tuple[str, ...]] = [("at", "by backward", "by differences", "error")]
            for p in self.failures[:10]:
                failed.append((p.place, f"{p.analytic:+.6e}", f"{p.numeric:+.6e}", f"{p.error:.1e}"))
            lines += _table(failed, left=(0,))
        return "\n".join(lines + (_table(rows, left=(0, 1, 5)) if self.shapes else []))


def _table(rows: list[tuple[str, ...]], left: tuple[int, ...]) -> list[str]:
    """Rows as lines of aligned columns, those of `left` to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["    " + "  ".join(c.ljust(w) if i in left else c.rjust(w)
                               for i, (c, w) in enumerate(zip(row, widths, strict=True))).rstrip() for row in rows]


def title(layer: object, width: int) -> str:
    """What the layer calls itself, on one line."""
    text = " ".join(repr(layer).split()) if " object at 0x" not in repr(layer) else type(layer).__name__
    return text if len(text) <= width else text[: width - 3] + "..."
