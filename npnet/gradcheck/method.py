"""The check itself; the package tells the method."""
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .function import Floats, Function, away_from_zero, in_float64
from .report import Point, Report, title

EPS = float(np.finfo(np.float64).eps)


def check(
    layer: Any, x: ArrayLike, *, labels: ArrayLike | None = None, loss: Any = None, train: bool = True,
    exhaustive: bool | None = None, samples: int = 100, directions: int = 2, seed: int = 0, step: float = 1e-5,
    tolerance: float = 1e-7,
) -> Report:
    """Compare the gradients of a layer, a net, or a loss with finite differences; the module tells how.

    With `loss` and `labels`, L is the mean loss of the whole net. With `labels` alone, `layer` is itself the loss:
    ``check(SoftmaxCrossEntropy(), logits, labels=labels)``. Beyond numbers it reports a gradient that is not written,
    added to instead of written, zero everywhere, of a wrong shape, or not the one `backward_parameters` gives; an `x`
    or `dy` that is overwritten; NaN; a forward pass that gives two answers; an `output_shape` that is not true.

    Parameters and their gradients have the dtype and the bits afterwards that they had before, however the check ends.

    Parameters
    ----------
    x : array (N, ...)
        Keep it small, and typical: of size about 1, and not rounded to a few values, which ties max pooling.
    labels : (N,) integers
    train : bool
        Passed to `forward`.
    exhaustive : bool, optional
        True nudges every element, False none; by default all of a tensor up to `samples`, else as many at random.
    samples, directions : int
        Elements and random directions to try in each tensor. Each costs two forward passes.
    step : float
        h. Directions move every element by 0.5 to 1.5 h.
    tolerance : float
        The relative error up to which a gradient counts as right.

    Raises
    ------
    ValueError
        If there is a loss and there are no labels.
    """
    report = Report(title(layer, 80), tolerance)
    with in_float64(layer):
        f = Function(layer, x, labels, loss, train, seed)
        for name, gradient in _inspect(f, report).items():
            chosen: list[tuple[int, ...] | None] = [None] * directions
            if exhaustive is not False:
                count = min(gradient.size, samples) if exhaustive is None else gradient.size
                elements = np.sort(f.rng.choice(gradient.size, count, replace=False))
                chosen += [tuple(int(i) for i in np.unravel_index(e, gradient.shape)) for e in elements]
            _judge(report, name, gradient, [_compare(f, name, i, gradient, step, tolerance) for i in chosen])
    report.points.sort(key=lambda p: -p.error)
    return report


def sweep(
    layer: Any, x: ArrayLike, steps: Sequence[float], *, tensor: str = "x", labels: ArrayLike | None = None,
    loss: Any = None, train: bool = True, seed: int = 0,
) -> list[tuple[float, float]]:
    """(h, relative error) of one random direction of `tensor` for each h of `steps`: the data of the well-known V.

    On its right, at large h, the error is the difference's own and falls with h²; on its left it is rounding, and grows
    with 1/h. In float64 the bottom is near h = 1e-5. Kinks are not looked for.
    """
    with in_float64(layer):
        f = Function(layer, x, labels, loss, train, seed)
        gradient = f.gradients(0.0)[tensor]
        u = away_from_zero(f.rng, gradient.shape)
        slopes = [f.slope(f.moved(tensor, u, h), f.moved(tensor, u, -h), h) for h in steps]
    a = float(np.sum(gradient * u))
    sizes = [max(abs(a), abs(n)) for n in slopes]
    return [(h, abs(a - n) / size if size else 0.0) for h, n, size in zip(steps, slopes, sizes, strict=True)]


def _inspect(f: Function, report: Report) -> dict[str, Floats]:
    """The gradients, and all that can be said of them without differences. None are returned if y is of no use."""
    problems, shape = report.problems, f.shape[1:]
    if hasattr(f.layer, "output_shape") and (told := tuple(f.layer.output_shape(f.x.shape[1:]))) != shape:
        problems.append(f"output_shape says {told}, but forward makes {shape}")
    if f.y.dtype != np.float64:
        problems.append(f"forward makes {f.y.dtype} of float64: too coarse for differences")
    if not np.isfinite(f.y).all() or not np.isfinite(f.value):
        problems.append(f"forward makes NaN or inf: {np.sum(~np.isfinite(f.y))} of {f.y.size} elements of y")
    elif not _close(f.forward()[0], f.y):
        problems.append("forward gives two answers for one x: whatever is drawn must follow from set_step")
    if problems:
        return {}
    gradients, second = f.gradients(0.0), f.gradients(np.nan)
    for name, g in list(gradients.items()):
        title = "dx" if name == "x" else f"{name}.grad"
        if g.shape != f.host[name].shape:
            problems.append(f"{title} of shape (={g.shape}) must be {f.host[name].shape}")
            del gradients[name]
            continue
        kept = np.isnan(second[name]) & ~np.isnan(g)
        if np.isnan(g).any():
            problems.append(f"{title} has NaN: {np.sum(np.isnan(g))} of {g.size} elements")
        elif g[kept].any():
            problems.append(f"{title} is added to, not written: what it held before is still in it")
        elif kept.any():
            problems.append(f"{title} is not written by backward: {np.sum(kept)} of {g.size} elements")
        elif not _close(g, second[name]):
            problems.append(f"{title} is another one when forward and backward are called again")
        elif not g.any():
            (report.notes if name == "x" else problems).append(f"{title} is zero everywhere")
    if hasattr(f.layer, "backward_parameters"):
        for name, g in f.gradients(0.0, "backward_parameters").items():
            if name in gradients and not _close(g, gradients[name]):
                problems.append(f"{name}.grad by backward_parameters is not the one by backward")
    problems += sorted(f.overwritten)
    return gradients


def _compare(
    f: Function, name: str, index: tuple[int, ...] | None, gradient: Floats, step: float, tolerance: float
) -> Point | None:
    """One comparison; None at a kink that does not go away with smaller steps."""
    if index is None:
        u, floor = away_from_zero(f.rng, gradient.shape), 0.1 * float(np.linalg.norm(gradient))
    else:
        u, floor = np.zeros(gradient.shape), 1e-3 * float(np.abs(gradient).max())
        u[index] = 1.0
    a, (y, value) = float(np.sum(gradient * u)), (f.y, f.value)
    for h in (step, step / 10, step / 100):
        ahead, behind = f.moved(name, u, h), f.moved(name, u, -h)
        n = f.slope(ahead, behind, h)
        noise = 8 * EPS * (float(np.linalg.norm((f.dy * y)[ahead[0] != behind[0]])) + abs(value)) / h
        size = max(abs(a), abs(n), floor, noise / tolerance)
        error = abs(a - n) / size if size else 0.0
        point = Point(name, index, a, n, error if np.isfinite(error) else np.inf, noise)
        if error <= tolerance:
            return point
        bend = ahead[0] - 2 * y + behind[0]
        half = f.moved(name, u, h / 2)[0] - 2 * y + f.moved(name, u, -h / 2)[0]
        if np.abs(bend - 4 * half).max() <= 1e3 * EPS * np.abs(y).max():
            return point  # y is smooth here, so the slope by differences is right
    return None if abs(a - n) <= 2 * float(np.sum(np.abs(f.dy * bend))) / h else point


def _judge(report: Report, name: str, gradient: Floats, points: list[Point | None]) -> None:
    """Take the comparisons of one tensor into the report, and say so if they are worth little."""
    made = [p for p in points if p is not None]
    report.points += made
    report.shapes[name], report.kinks[name] = gradient.shape, len(points) - len(made)
    if points and not made:
        report.problems.append(f"{name}: all {len(points)} points are at kinks, nothing was compared: take another "
                               f"x, or see that all is computed in float64")
    elif len(made) < len(points) / 2:
        report.notes.append(f"{name}: {len(points) - len(made)} of {len(points)} points are at kinks and were skipped")
    clear = max((max(abs(p.analytic), abs(p.numeric)) / p.noise for p in made if p.noise), default=np.inf)
    if gradient.any() and clear < 100:
        report.problems.append(f"{name}: slopes too small to be compared, at most {clear:.1g} times what rounding adds "
                               f"to a difference: take larger weights or a larger step")


def _close(a: Floats, b: Floats) -> bool:
    """Equal but for rounding, which another order of summation may change."""
    return a.shape == b.shape and bool(np.all(np.abs(a - b) <= 1e3 * EPS * np.abs(a).max(initial=0.0)))
