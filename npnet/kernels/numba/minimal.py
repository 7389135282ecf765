r"""Minimal filtering: the matrices of `winograd`, and sums by them.

A filter of K numbers makes y of x: y_i = Σ_k w_k x_{i+k}. Turned round it is a product of polynomials, and a product of
degree n − 1 is known from its values at n − 1 points p and at ∞ (its leading coefficient). So n = 4 + K − 1
multiplications are enough for OUT = 4 outputs, in place of 4 · K:

    y = Aᵀ[ (G w) ∘ (Bᵀ x) ]          S. Winograd, Arithmetic Complexity of Computations, 1980

    G  : w, as a polynomial, at the points:   G_pk = p^k / Π_{q≠p}(p − q);    at ∞ its leading coefficient
    Bᵀ : the coefficients of                  Π_{q≠p}(z − q);                 for ∞ of Π_q(z − q)
    Aᵀ : back to coefficients:                p^i;                            ∞ counts for the last output

Which points? Numbers that are large, or close to each other, cost digits. With 0, ±1, ±2, ∞ for filters of three and ±½
besides for filters of five, the error of float32 is 7e-6 of the largest number in both cases (±3 in place of ±½: 2e-4).
Filters of four need six points: ±½ and one of ±2.
"""
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from .compile import jitable
from .transforms import Matrix, square

OUT = 4
POINTS = {3: (0, 1, -1, 2, -2), 4: (0, 1, -1, 0.5, -0.5, 2), 5: (0, 1, -1, 2, -2, 0.5, -0.5)}  # and ∞


def a_t(kernel: int) -> Matrix:
    return tuple((*(float(p**i) for p in POINTS[kernel]), float(i == OUT - 1)) for i in range(OUT))


def g(kernel: int) -> Matrix:
    points = POINTS[kernel]
    scales = (1 / prod(p - q for q in points if q != p) for p in points)
    values = (tuple(scale * p**k for k in range(kernel)) for p, scale in zip(points, scales, strict=True))
    return (*values, tuple(float(k == kernel - 1) for k in range(kernel)))


def b_t(kernel: int) -> Matrix:
    points = POINTS[kernel]

    def coefficients(roots: list[float]) -> tuple[float, ...]:
        return tuple(np.poly1d(roots, r=True).coeffs[::-1].tolist()) + (0.0,) * (len(points) - len(roots))

    return (*(coefficients([q for q in points if q != p]) for p in points), coefficients(list(points)))


def turned(matrix: Matrix) -> Matrix:
    return tuple(zip(*matrix, strict=True))


def _squares(name: str, matrix: Callable[[int], Matrix]) -> Callable[..., None]:
    """by(kernel, …): the `square` for that size of filter."""
    of_three, of_four, of_five = (square(f"{name}_{kernel}", matrix(kernel)) for kernel in POINTS)

    def by(kernel: int, *arguments: Any) -> None:
        if kernel == 3:
            of_three(*arguments)
        elif kernel == 4:
            of_four(*arguments)
        else:
            of_five(*arguments)

    jitable(by)  # compiled where it is called
    return by


by_b_t = _squares("b_t", b_t)
by_a_t, by_a = _squares("a_t", a_t), _squares("a", lambda kernel: turned(a_t(kernel)))
by_g, by_g_t = _squares("g", g), _squares("g_t", lambda kernel: turned(g(kernel)))
