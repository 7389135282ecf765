"""GoogLeNet: Szegedy et al. 2014, Table 1 and Figure 3."""
from npnet.layers import (
    LRN,
    AvgPool2D,
    Concat,
    Constant,
    Conv2D,
    Dense,
    Dropout,
    Layer,
    MaxPool2D,
    ReLU,
    Sequential,
    WithHeads,
    Xavier,
)

BIAS = Constant(0.2, rate=2.0, decay=0.0)


def _conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> dict[str, Layer]:
    """A convolution that keeps the size, and its ReLU."""
    name = f"conv{kernel}"
    pad = kernel // 2
    return {name: Conv2D(in_channels, out_channels, kernel, stride, pad, weight=Xavier(), bias=BIAS),
            f"relu{kernel}": ReLU()}


def inception(channels: int, one: int, reduce3: int, three: int, reduce5: int, five: int, pool: int) -> Concat:
    """Inception with dimension reductions: four branches side by side. GoogLeNet §4, Figure 2b.

    A 1 × 1 convolution to `one` channels; 3 × 3 to `three`, after a 1 × 1 that reduces to `reduce3`; 5 × 5 to `five`,
    after one to `reduce5`; and max pooling 3 × 3, projected to `pool` channels. Every convolution has a ReLU.
    """
    return Concat(
        one=Sequential(**_conv(channels, one, 1)),
        three=Sequential(**_conv(channels, reduce3, 1), **_conv(reduce3, three, 3)),
        five=Sequential(**_conv(channels, reduce5, 1), **_conv(reduce5, five, 5)),
        pool=Sequential(pool=MaxPool2D(3, 1, pad=1), **_conv(channels, pool, 1)),
    )


def naive_inception(channels: int, one: int, three: int, five: int) -> Concat:
    """Inception without reductions: `one`, `three` and `five` convolutions of each size, and max pooling, all of whose
    channels go on. GoogLeNet §4, Figure 2a.

    Its output has `channels` more than its convolutions make, so that module after module grows, and each 5 × 5
    convolution sees them all: what the reductions are for.
    """
    return Concat(
        one=Sequential(**_conv(channels, one, 1)),
        three=Sequential(**_conv(channels, three, 3)),
        five=Sequential(**_conv(channels, five, 5)),
        pool=MaxPool2D(3, 1, pad=1),
    )


def without_reductions(module: Concat) -> Concat:
    """The naive module of an `inception`'s widths.

    Raises ValueError if it is none.
    """
    try:
        three, five = (module[name].layers[-2] for name in ("three", "five"))  # type: ignore[attr-defined]
        one, reduce = (module[name].layers[0] for name in ("one", "three"))  # type: ignore[attr-defined]
        return naive_inception(reduce.in_channels, one.out_channels, three.out_channels, five.out_channels)
    except (KeyError, AttributeError, IndexError):
        raise ValueError("module must be made by inception: with branches one, three and five") from None


def _head(channels: int, classes: int) -> Sequential:
    """An auxiliary classifier on maps of 14 × 14. GoogLeNet §5."""
    return Sequential(
        pool=AvgPool2D(5, 3),
        **_conv(channels, 128, 1),
        fc1=Dense(128 * 4 * 4, 1024, weight=Xavier(), bias=BIAS),
        relu=ReLU(),
        drop=Dropout(0.7, convention="inverted"),
        fc2=Dense(1024, classes, weight=Xavier(), bias=Constant(0.0, rate=2.0, decay=0.0)),
    )


def googlenet(classes: int = 1000, seed: int = 0) -> WithHeads:
    """22 layers with weights, for images of 224 × 224, and two auxiliary classifiers for training. GoogLeNet §5.

    The widths are Table 1's. What the paper leaves open is as in its authors' later program and in Caffe's
    bvlc_googlenet: padding that keeps the size, normalisation after the first pooling and before the second, weights
    after Xavier, biases of 0.2. Loss: `WeightedSoftmaxCrossEntropy()`.
    """
    net = WithHeads(
        {"inception4a": _head(512, classes), "inception4d": _head(528, classes)},
        conv1=Conv2D(3, 64, 7, 2, 3, weight=Xavier(), bias=BIAS),
        relu1=ReLU(),
        pool1=MaxPool2D(3, 2),
        norm1=LRN(5, alpha=1e-4, beta=0.75, k=1.0, per_channel=True),
        reduce2=Conv2D(64, 64, 1, weight=Xavier(), bias=BIAS),
        relu2=ReLU(),
        conv2=Conv2D(64, 192, 3, pad=1, weight=Xavier(), bias=BIAS),
        relu3=ReLU(),
        norm2=LRN(5, alpha=1e-4, beta=0.75, k=1.0, per_channel=True),
        pool2=MaxPool2D(3, 2),
        inception3a=inception(192, 64, 96, 128, 16, 32, 32),
        inception3b=inception(256, 128, 128, 192, 32, 96, 64),
        pool3=MaxPool2D(3, 2),
        inception4a=inception(480, 192, 96, 208, 16, 48, 64),
        inception4b=inception(512, 160, 112, 224, 24, 64, 64),
        inception4c=inception(512, 128, 128, 256, 24, 64, 64),
        inception4d=inception(512, 112, 144, 288, 32, 64, 64),
        inception4e=inception(528, 256, 160, 320, 32, 128, 128),
        pool4=MaxPool2D(3, 2),
        inception5a=inception(832, 256, 160, 320, 32, 128, 128),
        inception5b=inception(832, 384, 192, 384, 48, 128, 128),
        pool5=AvgPool2D(7, 1),
        drop=Dropout(0.4, convention="inverted"),
        fc=Dense(1024, classes, weight=Xavier(), bias=Constant(0.0, rate=2.0, decay=0.0)),
    )
    net.initialise(seed)
    return net


CAFFE_NAMES = {
    "conv1/7x7_s2": "conv1", "conv2/3x3_reduce": "reduce2", "conv2/3x3": "conv2", "loss3/classifier": "fc",
    **{f"inception_{module}/{theirs}": f"inception{module}.{ours}"
       for module in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")
       for theirs, ours in (("1x1", "one.conv1"), ("3x3_reduce", "three.conv1"), ("3x3", "three.conv3"),
                            ("5x5_reduce", "five.conv1"), ("5x5", "five.conv5"), ("pool_proj", "pool.conv1"))},
}
"""Names of layers in BVLC's bvlc_googlenet, and here."""
