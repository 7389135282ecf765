"""Local response normalisation: neighbours compete, a bright one dims the others. AlexNet §3.3."""
import numpy as np

from npnet.kernels import Array, Shape

from .layer import Layer, check_input, check_whole

TINY = float(np.finfo(np.float32).tiny)  # smaller numbers are zeros to some instructions


class _Normalisation(Layer):
    def __init__(self, size: int, alpha: float, beta: float, k: float, terms: int) -> None:
        super().__init__()
        check_whole("size", size, 1)
        if not k >= TINY:
            raise ValueError(f"k (={k}) must be positive, {TINY:.3g} or more: a window of zeros would divide by zero")
        if not alpha >= 0:
            raise ValueError(f"alpha (={alpha}) must not be negative: the denominator could reach zero")
        self.size, self.beta, self.k = size, beta, k
        self.alpha = alpha / terms
        self.a: Array

    def _output(self, a: Array) -> Array:
        check_input(self, a, (-1, -1, -1), type(self).__name__)
        self.a, self.b = a, self.output(a.shape, a.dtype)
        return self.b

    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.size}, alpha={self.alpha:g}, beta={self.beta:g}, k={self.k:g})"


class LRN(_Normalisation):
    r"""Local response normalisation across channels.

    .. math:: b^i_{x,y} = a^i_{x,y} \Big/
              \Big(k + \alpha \sum_{j=\max(0,\,i-n/2)}^{\min(N-1,\,i+n/2)} (a^j_{x,y})^2\Big)^\beta

    AlexNet §3.3, with its constants as defaults. Every pixel on its own; n channels around i, cut off at the first and
    last. No channel can grow without bound after a ReLU.

    Implementations differ: the formula as printed adds α a²; the program that made the paper's results, Caffe and
    PyTorch add (α/n) a², five times less at n = 5 (``per_channel=True``); cuda-convnet's CIFAR-10 nets, Caffe and
    PyTorch start from k = 1. In the paper's net of two GPUs each normalises its own channels (``groups=2``); Caffe's
    single layer looks across that border.

    Parameters
    ----------
    size : int
        n, the channels in a window. For an even n the window reaches one further back than ahead.
    alpha, beta, k : float
        The paper's α, β and k.
    per_channel : bool
        Divide α by n. The attribute `alpha` holds the α that is used.
    groups : int
        The channels fall into so many groups, one after another; no window reaches beyond its own.

    Raises
    ------
    ValueError
        If `size` or `groups` is less than 1, `alpha` negative, or `k` not positive (the denominator could reach zero);
        in `forward`, if the channels cannot be divided into the groups.
    """

    def __init__(
        self, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0, *, per_channel: bool = False,
        groups: int = 1,
    ) -> None:
        super().__init__(size, alpha, beta, k, max(size, 1) if per_channel else 1)
        if groups < 1:
            raise ValueError(f"groups (={groups}) must be at least 1")
        self.groups = groups

    def _grouped(self, name: str, x: Array) -> Array:
        """(N, C, H, W) as (N · groups, C / groups, H, W): a group is then an image of its own."""
        n, c, h, w = x.shape
        return self.shaped(name, x, (n * self.groups, c // self.groups, h, w))

    def forward(self, a: Array, train: bool = True, rectified: bool = False) -> Array:
        """(N, C, H, W) → (N, C, H, W). Keeps a reference to `a`, the result, and in training the denominators.

        `rectified` : a ReLU has made a, and `backward` is to go back `through_relu`.
        """
        b, self.through_relu = self._output(a), rectified
        if a.shape[1] % self.groups:
            raise ValueError(f"LRN: channels (={a.shape[1]}) must be divisible by groups (={self.groups})")
        self.d = self.like("d", a) if train else None
        self._normalise()
        return b

    def _normalise(self) -> None:
        a, b = self._grouped("a", self.a), self._grouped("b", self.b)
        d = None if self.d is None else self._grouped("d", self.d)
        self._call(self.kernels.lrn_forward, a, self.size, self.alpha, self.beta, self.k, d, b)

    def backward(self, db: Array) -> Array:
        r"""∂L/∂b → ∂L/∂a.

        Channel j appears in its own numerator and in the denominator of every i whose window W(i) holds it, so

        .. math:: \frac{\partial L}{\partial a^j} = \frac{\partial L}{\partial b^j}\, d_j^{-\beta}
                  - 2\alpha\beta\, a^j \sum_{i \,:\, j \in W(i)} \frac{\partial L}{\partial b^i} \frac{b^i}{d_i}
        """
        self.check_gradient(db)
        if self.d is None:  # not in training, where nobody was expected to ask
            self.d = self.like("d", self.a)
            self._normalise()
        da = self.like("da", self.a)
        whole = {"db": db, "a": self.a, "b": self.b, "d": self.d, "da": da}
        db, a, b, d, grouped = (self._grouped(name, x) for name, x in whole.items())
        self._call(
            self.kernels.lrn_backward, db, a, b, d, self.size, self.alpha, self.beta, self.through_relu, grouped)
        return da

    def __repr__(self) -> str:
        return super().__repr__()[:-1] + (f", groups={self.groups})" if self.groups > 1 else ")")


class LRNWithin(_Normalisation):
    r"""Local response normalisation within a map: a pixel competes with its neighbours in the same channel.

    .. math:: b_{x,y} = a_{x,y} \Big/ \Big(k + \alpha \sum_{x',y'} a_{x',y'}^2\Big)^\beta

    over the n × n pixels around (x, y) that lie in the image. cuda-convnet's ``rnorm``, Caffe's WITHIN_CHANNEL; in the
    CIFAR-10 net `cifar_18pct`, and in the program of the 2012 net after its second LRN. Both programs start from k = 1
    and divide α by n² (``per_pixel=True``).

    Parameters
    ----------
    size : int
        n, height and width of a window in pixels. For an even n it reaches one further back than ahead.
    alpha, beta, k : float
    per_pixel : bool
        Divide α by n². The attribute `alpha` holds the α that is used.

    Raises
    ------
    ValueError
        If `size` is less than 1, `alpha` negative, or `k` not positive (the denominator could reach zero).
    """

    def __init__(
        self, size: int = 3, alpha: float = 5e-5, beta: float = 0.75, k: float = 1.0, *, per_pixel: bool = True
    ) -> None:
        super().__init__(size, alpha, beta, k, max(size, 1) ** 2 if per_pixel else 1)

    def forward(self, a: Array, train: bool = True, rectified: bool = False) -> Array:
        """(N, C, H, W) → (N, C, H, W). Keeps a reference to `a`, the result and the denominators.

        `rectified` : as for `LRN`.
        """
        b, self.d, self.through_relu = self._output(a), self.like("d", a), rectified
        self._call(self.kernels.lrn_within_forward, a, self.size, self.alpha, self.beta, self.k, self.d, b)
        return b

    def backward(self, db: Array) -> Array:
        """∂L/∂b → ∂L/∂a: the equation of `LRN.backward`, i and j now being pixels of one map."""
        self.check_gradient(db)
        da = self.like("da", self.a)
        self._call(
            self.kernels.lrn_within_backward, db, self.a, self.b, self.d, self.size, self.alpha, self.beta,
            self.through_relu, da)
        return da

    def __repr__(self) -> str:
        return super().__repr__()[:-1] + ", per_pixel=False)"  # `alpha` has been divided
