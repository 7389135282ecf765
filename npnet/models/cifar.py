"""cuda-convnet's CIFAR-10 nets: the ones that AlexNet's §3.1 and §3.3 report on, layer for layer.

Each is named after the test error its author states. The standard deviations, learning-rate and decay factors are
those of the published layer files (A. Krizhevsky, cuda-convnet, 2011): biases learn twice as fast as weights and do not
decay, and a weight's factor on the decay is the file's own L2 coefficient (``wc``), for ``SGD(weight_decay=1)``.
All convolutions are 5 × 5 with padding 2, all poolings 3 × 3 with stride 2, rounded up: 32 → 16 → 8 → 4.
"""
from npnet.layers import (
    LRN,
    AvgPool2D,
    Constant,
    Conv2D,
    Dense,
    Gaussian,
    Layer,
    Local2D,
    LRNWithin,
    MaxPool2D,
    ReLU,
    Sequential,
    Tanh,
)

BIAS = Constant(0.0, rate=2.0, decay=0.0)


def cifar_80sec(classes: int = 10, seed: int = 0) -> Sequential:
    """Three convolutions and a hidden layer of 64: 26 % test error after 80 seconds on a GPU of 2011."""
    net = Sequential(
        conv1=Conv2D(3, 32, 5, pad=2, weight=Gaussian(0.0001, decay=0.004), bias=BIAS),
        pool1=MaxPool2D(3, 2),
        relu1=ReLU(),
        conv2=Conv2D(32, 32, 5, pad=2, weight=Gaussian(0.01, decay=0.004), bias=BIAS),
        relu2=ReLU(),
        pool2=AvgPool2D(3, 2),
        conv3=Conv2D(32, 64, 5, pad=2, weight=Gaussian(0.01, decay=0.004), bias=BIAS),
        relu3=ReLU(),
        pool3=AvgPool2D(3, 2),
        fc64=Dense(64 * 4 * 4, 64, weight=Gaussian(0.1, decay=0.03), bias=BIAS),
        relu4=ReLU(),
        fc10=Dense(64, classes, weight=Gaussian(0.1, decay=0.03), bias=BIAS),
    )
    net.initialise(seed)
    return net


def cifar_19pct(classes: int = 10, seed: int = 0) -> Sequential:
    """Three convolutions and the classifier, strongly decayed: 19 %."""
    return _four_layers(classes, seed, wc=0.004, classifier_wc=3.0)


def cifar_18pct(classes: int = 10, seed: int = 0) -> Sequential:
    """As 19pct, with response normalisation within the maps after the first two poolings: 18 %."""
    return _four_layers(classes, seed, wc=0.004, classifier_wc=1.0, normalise=True)


def cifar_13pct(classes: int = 10, seed: int = 0) -> Sequential:
    """Two convolutions and two unshared ones on crops of 24 × 24: 13 %, without normalisation (AlexNet §3.3)."""
    net = Sequential(
        conv1=Conv2D(3, 64, 5, pad=2, weight=Gaussian(0.0001, decay=0.0), bias=BIAS),
        relu1=ReLU(),
        pool1=MaxPool2D(3, 2),
        conv2=Conv2D(64, 64, 5, pad=2, weight=Gaussian(0.01, decay=0.0), bias=BIAS),
        relu2=ReLU(),
        pool2=MaxPool2D(3, 2),
        local3=Local2D(64, 32, 3, input_size=6, pad=1, weight=Gaussian(0.04, decay=0.004), bias=BIAS),
        relu3=ReLU(),
        local4=Local2D(32, 32, 3, input_size=6, pad=1, weight=Gaussian(0.04, decay=0.004), bias=BIAS),
        relu4=ReLU(),
        fc10=Dense(32 * 6 * 6, classes, weight=Gaussian(0.01, decay=0.004), bias=BIAS),
    )
    net.initialise(seed)
    return net


def cifar_11pct(classes: int = 10, seed: int = 0) -> Sequential:
    """As 13pct with normalisation across channels, a wider third layer and more decay: 11 % (AlexNet §3.3)."""
    net = Sequential(
        conv1=Conv2D(3, 64, 5, pad=2, weight=Gaussian(0.0001, decay=0.0), bias=BIAS),
        relu1=ReLU(),
        pool1=MaxPool2D(3, 2),
        norm1=LRN(9, alpha=0.001, beta=0.75, k=1.0, per_channel=True),
        conv2=Conv2D(64, 64, 5, pad=2, weight=Gaussian(0.01, decay=0.0), bias=BIAS),
        relu2=ReLU(),
        norm2=LRN(9, alpha=0.001, beta=0.75, k=1.0, per_channel=True),
        pool2=MaxPool2D(3, 2),
        local3=Local2D(64, 64, 3, input_size=6, pad=1, weight=Gaussian(0.04, decay=0.004), bias=BIAS),
        relu3=ReLU(),
        local4=Local2D(64, 32, 3, input_size=6, pad=1, weight=Gaussian(0.04, decay=0.004), bias=BIAS),
        relu4=ReLU(),
        fc10=Dense(32 * 6 * 6, classes, weight=Gaussian(0.01, decay=0.01), bias=BIAS),
    )
    net.initialise(seed)
    return net


def cifar_figure1(classes: int = 10, seed: int = 0, activation: str = "relu") -> Sequential:
    """The four-layer net of AlexNet's Figure 1, as well as it can be known: 19pct without weight decay.

    The paper says "a four-layer convolutional network" without "regularization of any kind", and no more; which one is
    nowhere published. ``activation="tanh"`` puts tanh in the place of each ReLU.
    """
    return _four_layers(classes, seed, wc=0.0, classifier_wc=0.0, activation=activation)


def _four_layers(
    classes: int, seed: int, wc: float, classifier_wc: float, normalise: bool = False, activation: str = "relu"
) -> Sequential:
    if activation not in ("relu", "tanh"):
        raise ValueError(f"activation (={activation!r}) must be 'relu' or 'tanh'")
    f = ReLU if activation == "relu" else Tanh
    layers: dict[str, Layer] = {
        "conv1": Conv2D(3, 32, 5, pad=2, weight=Gaussian(0.0001, decay=wc), bias=BIAS),
        "pool1": MaxPool2D(3, 2),
        f"{activation}1": f(),
        "norm1": LRNWithin(3, alpha=5e-5, beta=0.75, k=1.0, per_pixel=True),
        "conv2": Conv2D(32, 32, 5, pad=2, weight=Gaussian(0.01, decay=wc), bias=BIAS),
        f"{activation}2": f(),
        "pool2": AvgPool2D(3, 2),
        "norm2": LRNWithin(3, alpha=5e-5, beta=0.75, k=1.0, per_pixel=True),
        "conv3": Conv2D(32, 64, 5, pad=2, weight=Gaussian(0.01, decay=wc), bias=BIAS),
        f"{activation}3": f(),
        "pool3": AvgPool2D(3, 2),
        "fc10": Dense(64 * 4 * 4, classes, weight=Gaussian(0.01, decay=classifier_wc), bias=BIAS),
    }
    net = Sequential(**{name: layer for name, layer in layers.items() if normalise or not name.startswith("norm")})
    net.initialise(seed)
    return net
