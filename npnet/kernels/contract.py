"""The contract between layers and backends: every kernel, what it reads and what it writes.

A backend is a package with exactly these functions. Kernels allocate nothing that outlives the call: the caller passes
every array that is written, by convention last. To everybody but a kernel an `Array` is opaque: it has a shape and a
dtype and can be reshaped, and that is all, so that it may live on a device.

A kernel may have an attribute `prepare`, a function with its arguments that returns one without: the same call, worked
out as far as it can be before the arrays' numbers are known. `Calls` keeps it, and what memory it has taken, for the
next step. What it returns must have a method `then`: ``one.then(other)``, both of the same backend, is both as one; and
its class a method `make`, which is given several, to be called one after another. (Those of a pass through a net: so
whatever else reads or writes numbers must first have done what waits, `calls.make_waiting`.)

Notation: N images; C channels (of the input), O channels of the output; H, W and OH, OW their heights and widths;
KH, KW the kernel's; ``dz`` is ∂L/∂z, the same shape as ``z``. Layout is N, C, H, W, and all arrays of a call have one
dtype, float32 or float64, unless a line below says otherwise.
"""
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from npnet.counter import Key

A = TypeVar("A")
Shape = tuple[int, ...]


class Array(Protocol):
    """All that is known of an array outside a kernel."""

    @property
    def shape(self) -> Shape: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def reshape(self, shape: Shape, /) -> "Array":
        """The same elements in row-major order under another shape; never a copy."""
        ...


class Backend(Protocol[A]):
    # -- memory -------------------------------------------------------------------------------------------------------

    def empty(self, shape: Shape, dtype: np.dtype[Any]) -> A:
        """A new row-major array, its values undefined."""
        ...

    def view(self, storage: A, shape: Shape) -> A:
        """The first elements of `storage` (one dimension) as an array of `shape`; shares its memory."""
        ...

    def to_host(self, x: A) -> NDArray[Any]:
        """A NumPy copy of `x`."""
        ...

    def from_host(self, host: NDArray[Any], x: A) -> None:
        """`x` ← `host`, of the same shape, cast to the dtype of `x`."""
        ...

    def upload(self, host: NDArray[Any], x: A) -> None:
        """`from_host` of what comes again and again, as batches do: on its way while what was asked for before runs."""
        ...

    def fill(self, x: A, value: float) -> None:
        """`x` ← value, everywhere."""
        ...

    def add_up(self, parts: Sequence[A], rectified: A | None, y: A) -> None:
        """`y` ← Σ parts. All of one shape, at least one part.

        rectified : what a ReLU made, of the same shape, if the sum is its gradient: 0 where it is not greater than 0,
        the gradient of what the ReLU was given.
        """
        ...

    def channels(self, x: A, first: int, count: int) -> A:
        """Some channels of `x` (N, C, H, W) as an array (N, count, H, W); shares its memory.

        It has gaps. Arrays that may be of this kind are named below; all others are whole.
        """
        ...

    def copy(self, x: A, y: A) -> None:
        """`y` ← `x` (N, C, H, W). Both may be `channels`."""
        ...

    def column(self, number: int) -> "Backend[A]":
        """The backend for one of a net's columns: of GPUs, if there are several, each column has its own."""
        ...

    def receive(self, theirs: A, x: A) -> None:
        """`x` ← an array of the same shape that another column has finished; done when this returns."""
        ...

    def on_one_thread(self) -> None:
        """What the calling thread asks for from now on runs on it alone: where threads of Python's are the columns of a
        net, each has its own."""
        ...

    def finish(self) -> None:
        """Returns when all that was asked for has been done. For stopwatches: `to_host` waits by itself."""
        ...

    def room(self) -> int | None:
        """Bytes that arrays can still take; None where nobody says."""
        ...

    # -- convolution: AlexNet §3.5 ------------------------------------------------------------------------------------

    def conv2d_forward(
        self, x: A, w: A, b: A, stride: int, pad: int, groups: int, rectify: bool, y: A
    ) -> None:
        """y[n,o,i,j] = b[o] + Σ_{c,k,l} w[o,c,k,l] x[n, c, i·stride − pad + k, j·stride − pad + l].

        Cross-correlation: the kernel is not flipped. Pixels outside the image are zero, on the right and at the bottom
        as far as `y` asks for them. Output channel o of group g reads the input channels of group g. With `rectify`,
        max(0, y) in place of y, as `relu_forward` would make of it.

        x : (N, C, H, W).  w : (O, C/groups, KH, KW).  b : (O,).  y : (N, O, OH, OW), written; may be `channels`.
        """
        ...

    def conv2d_backward_weight(self, dy: A, x: A, stride: int, pad: int, groups: int, dw: A, db: A) -> None:
        """dw[o,c,k,l] = Σ_{n,i,j} dy[n,o,i,j] x[n, c, i·stride − pad + k, j·stride − pad + l];  db[o] = Σ dy[n,o,i,j].

        `dw` and `db` are written, not added to. `dy` may be `channels`.
        """
        ...

    def conv2d_backward_data(self, dy: A, w: A, stride: int, pad: int, groups: int, dx: A) -> None:
        """dx[n,c,y,x] = Σ_{o,i,j,k,l} w[o,c,k,l] dy[n,o,i,j] over i·stride − pad + k = y, j·stride − pad + l = x.

        `dy` may be `channels`. A weight that is not finite may make more of dx NaN than that: what is multiplied by it
        beyond the edge and between the strides are zeros.
        """
        ...

    def conv1x1_forward(self, x: A, ws: Sequence[A], bs: Sequence[A], rectify: bool, ys: Sequence[A]) -> None:
        """Each of `ys` ← `conv2d_forward` of the same x by a w of 1 × 1, stride 1, no padding, one group.

        Each of `ys` may be `channels`.
        """
        ...

    def conv1x1_backward_weight(self, dys: Sequence[A], x: A, dws: Sequence[A], dbs: Sequence[A]) -> None:
        """Each of `dws` and `dbs`, as `conv2d_backward_weight`. Each of `dys` may be `channels`."""
        ...

    def conv1x1_backward_data(
        self, dys: Sequence[A], ws: Sequence[A], add: bool, rectified: A | None, dx: A
    ) -> None:
        """The sum of what `conv2d_backward_data` gives for each, and with `add` of what is in `dx`.

        Each of `dys` may be `channels`; `dx` and `rectified` are whole.  rectified : as for `add_up`.
        """
        ...

    # -- unshared convolution: the `local` layers of cuda-convnet ------------------------------------------------------

    def local2d_forward(self, x: A, w: A, b: A, stride: int, pad: int, y: A) -> None:
        """As `conv2d_forward`, each output position with weights of its own. Whether such as see the padding alone make
        NaN of it, if they are not finite, is open.

        w : (OH, OW, O, C, KH, KW).  b : (O, OH, OW).
        """
        ...

    def local2d_backward_weight(self, dy: A, x: A, stride: int, pad: int, dw: A, db: A) -> None:
        """dw[i,j,o,c,k,l] = Σ_n dy[n,o,i,j] x[n, c, i·stride − pad + k, j·stride − pad + l];  db = Σ_n dy[n]."""
        ...

    def local2d_backward_data(self, dy: A, w: A, stride: int, pad: int, dx: A) -> None:
        """As `conv2d_backward_data`, with w[i,j] in place of w."""
        ...

    # -- pooling: AlexNet §3.4 ----------------------------------------------------------------------------------------

    def max_pool_forward(
        self, x: A, size: int, stride: int, pad: int, rectified: bool, argmax: A | None, y: A
    ) -> None:
        """The largest of each window; pixels outside the image are −∞. A NaN in the window gives NaN.

        argmax : like `y`, of an unsigned dtype that holds size², written: which pixel of the window was largest, as
        row · size + column in it. Of equal ones, the first in row-major order that lies in the image. With `rectified`,
        where y is not greater than 0, the largest number of the dtype: no pixel. None if nobody asks.
        """
        ...

    def max_pool_backward(self, dy: A, argmax: A, size: int, stride: int, pad: int, dx: A) -> None:
        """Each dy goes to the pixel that was largest; windows that overlap add up.

        argmax : as `max_pool_forward` wrote it, for the same windows. If x was `rectified`, what a ReLU made, then dx
        is the gradient of what the ReLU was given.
        """
        ...

    def average_pool_forward(self, x: A, size: int, stride: int, pad: int, count_pad: bool, y: A) -> None:
        """The sum of each window over the number of its pixels that lie in the image.

        With `count_pad`, over the number that lie in the image and its padding of `pad` pixels on each side.
        """
        ...

    def average_pool_backward(self, dy: A, size: int, stride: int, pad: int, count_pad: bool, dx: A) -> None:
        """Each dy is shared out equally over the pixels that were counted."""
        ...

    # -- normalisation: AlexNet §3.3 ----------------------------------------------------------------------------------

    def lrn_forward(self, a: A, size: int, alpha: float, beta: float, k: float, d: A | None, b: A) -> None:
        """b_i = a_i / d_i^β with d_i = k + α Σ_j a_j², j over the `size` channels from i − ⌊size/2⌋ on.

        Channels past an end count as 0. `d` (the denominator before the power) and `b` are written; `d` may be None.
        """
        ...

    def lrn_backward(
        self, db: A, a: A, b: A, d: A, size: int, alpha: float, beta: float, rectified: bool, da: A
    ) -> None:
        """da_j = db_j d_j^−β − 2αβ a_j Σ_i db_i b_i / d_i, over the i whose window holds j.

        With `rectified`, 0 where a is not greater than 0: the gradient of what the ReLU was given that made a.
        """
        ...

    def lrn_within_forward(self, a: A, size: int, alpha: float, beta: float, k: float, d: A, b: A) -> None:
        """As `lrn_forward`, the window being size × size pixels of the same channel from (y, x) − ⌊size/2⌋ on."""
        ...

    def lrn_within_backward(
        self, db: A, a: A, b: A, d: A, size: int, alpha: float, beta: float, rectified: bool, da: A
    ) -> None:
        """As `lrn_backward`."""
        ...

    # -- fully connected ----------------------------------------------------------------------------------------------

    def dense_forward(self, x: A, w: A, b: A, rectify: bool, y: A) -> None:
        """y = x wᵀ + b; with `rectify`, max(0, y) in place of y.

        x : (N, I).  w : (O, I).  b : (O,).  y : (N, O), written.
        """
        ...

    def dense_backward_weight(self, dy: A, x: A, dw: A, db: A) -> None:
        """dw = dyᵀ x;  db = Σ_n dy[n]. Written, not added to."""
        ...

    def dense_backward_data(self, dy: A, w: A, dx: A) -> None:
        """dx = dy w."""
        ...

    # -- pointwise: AlexNet §3.1 and §4.2 -----------------------------------------------------------------------------

    def relu_forward(self, x: A, y: A) -> None:
        """y = max(0, x). NaN stays NaN. `x` and `y` may be the same array."""
        ...

    def relu_backward(self, dy: A, y: A, dx: A) -> None:
        """dx = dy where y > 0, else 0: at the kink the derivative is 0.

        `dy` and `dx` may be the same array. `dy` and `y` (N, C, H, W) may be `channels` if they are not.
        """
        ...

    def tanh_forward(self, x: A, y: A) -> None:
        """y = tanh x."""
        ...

    def tanh_backward(self, dy: A, y: A, dx: A) -> None:
        """dx = dy (1 − y²)."""
        ...

    def sigmoid_forward(self, x: A, y: A) -> None:
        """y = 1 / (1 + e^−x), without overflow for any x."""
        ...

    def sigmoid_backward(self, dy: A, y: A, dx: A) -> None:
        """dx = dy y (1 − y)."""
        ...

    def abs_tanh_forward(self, x: A, y: A) -> None:
        """y = |tanh x|."""
        ...

    def abs_tanh_backward(self, dy: A, x: A, y: A, dx: A) -> None:
        """dx = dy sign(x) (1 − y²); 0 at x = 0."""
        ...

    def dropout(self, x: A, p: float, scale: float, key: Key, y: A) -> None:
        """y = scale · x where element e (counted in row-major order) is kept, else 0. Forward and backward alike.

        `x` and `y` may be the same array.

        Element e is dropped if ``counter.quarters`` gives it less than p · 2^16: the mask is a function of the number
        in `key` alone.
        """
        ...

    def scale(self, x: A, factor: float, y: A) -> None:
        """y = factor · x."""
        ...

    # -- loss and scores ----------------------------------------------------------------------------------------------

    def softmax(self, logits: A, probabilities: A) -> None:
        """p[n,k] = e^z[n,k] / Σ_j e^z[n,j], the row's largest logit taken off first.  Both (N, K)."""
        ...

    def softmax_cross_entropy_forward(self, logits: A, labels: A, probabilities: A, summary: A) -> None:
        """The mean over the batch of −log p[n, label n], from logits (N, K) and int64 labels (N,).

        probabilities : (N, K), written.  summary : (2,) float64, written: the mean loss, and how many images have
        another class than their label in first place (the first in order, of equal ones; NaN counts as wrong).

        Raises ValueError if a label is not in 0 … K − 1. A backend that learns of it only later writes the label and
        −1 − n for that, n being the first such image.
        """
        ...

    def softmax_cross_entropy_backward(self, probabilities: A, labels: A, dlogits: A) -> None:
        """dz[n,k] = (p[n,k] − [k = label n]) / N."""
        ...

    def label_ranks(self, scores: A, labels: A, ranks: A) -> None:
        """ranks : (N,) int64, written: in which place the label's class stands, 0 being the highest score.

        Of equal scores, the class that comes first stands higher. A row with a NaN puts its label last.
        """
        ...

    # -- learning: AlexNet §5 -----------------------------------------------------------------------------------------

    def sgd_update(
        self, ws: Sequence[A], vs: Sequence[A], gs: Sequence[A], rates: Sequence[tuple[float, float]],
        momentum: float,
    ) -> None:
        """Of each parameter v ← momentum · v − decay · rate · w − rate · g;  w ← w + v. `ws` and `vs` are written.

        rates : the rate and the decay of each.
        """
        ...

    def average_update(self, w: A, a: A, rounding: A, share: float) -> None:
        """a ← a + share · (w − a). With 1, a becomes w, whatever it was.

        rounding : like a, written: what rounding has added to a, to be taken off the next time (Kahan, "Further remarks
        on reducing truncation errors", CACM 8, 1965). With 1, 0. Else a mean of a million steps would stand still.
        """
        ...
