r"""Gradients held against finite differences: is `backward` the derivative of `forward`?

A backward pass written by hand is wrong in silence: the net still learns, only worse. `forward` is easier to get right,
so `check` asks it for the slope,

.. math:: \frac{\partial L}{\partial v} \cdot u \approx \frac{L(v + hu) - L(v - hu)}{2h},

and compares that with what `backward` says, for the input and for every parameter v on its own:

- along random directions u that move all elements at once: two forward passes, however large v is. It is the idea of
  autograd's and Chainer's checks; as Chainer remarks, elements of u near 0 would check nothing, so there are none.
- one element at a time, as Caffe's check does, which tells where it is wrong.

L is Σ y·dy for a random dy, or the loss. All is computed in float64. Dropout is not switched off: every pass begins at
step 0 and so draws the same mask (Caffe sets the seed anew, likewise).

At a corner of a ReLU or of max pooling there is no derivative to compare with. A corner between v − hu and v + hu shows
in the second difference y(h) − 2y(0) + y(−h): halve h, and it falls fourfold if y is smooth, and not at a corner
(Chainer fits a polynomial for this, Caffe is told where the kinks are). Where the two slopes disagree and there is a
corner, h is divided by 10, twice; what is still at a kink is skipped and counted. A kink excuses an error of at most
twice its own size, so that it hides no other. What this cannot see is an error in `forward` that `backward`
follows faithfully, such as max pooling that pads with zeros: that takes another implementation to compare with.

The relative error is \|a − n\| / max(\|a\|, \|n\|, floor), a by `backward` and n by differences. The floor keeps out
what is zero but for rounding: a thousandth of the tensor's largest gradient (along a direction, a tenth of its norm),
or, if that is more, so much that the rounding of n alone stays below the tolerance. A tensor whose slopes all drown in
rounding does not pass; it is reported. In float64 with h = 1e-5, read it so (after the notes of Stanford's CS231n):

    below 1e-7     right: all that is left is rounding, and the h² of the difference
    1e-7 … 1e-4    suspicious: a small term is missing, h does not fit, or something computes in float32
    above 1e-4     wrong; 0.5 is a factor of 2 or ½, 1 a missing gradient, 2 a wrong sign

A layer of your own can be checked if it has ``forward(x, train)``, ``backward(dy)`` and, if it learns,
``parameters()``, a list of objects with `value`, `grad` and `name`. Plain NumPy arrays are fine and no base class is
needed; the layer has to read ``value`` at every pass.

>>> import numpy as np
>>> from npnet import gradcheck
>>> class Cube:
...     def forward(self, x, train=True):
...         self.x = x
...         return x**3
...     def backward(self, dy):
...         return 3 * self.x * dy  # should be 3 x²
>>> print(gradcheck.check(Cube(), np.array([[1.0, 2.0]]), directions=1))
Cube: FAILED, worst relative error 5.0e-01 (tolerance 1e-07)
  2 of 3 points fail, the worst first:
    at                by backward  by differences    error
    x[0, 1]         +7.382912e+00   +1.476582e+01  5.0e-01
    x, a direction  -1.355350e+01   -2.354865e+01  4.2e-01
    tensor  shape   points  kinks  worst error  at
    x       (1, 2)       3      0      5.0e-01  x[0, 1]
"""
from .cases import Case, suite
from .method import check, sweep
from .report import GradientError, Point, Report

__all__ = ["Case", "GradientError", "Point", "Report", "check", "suite", "sweep"]
