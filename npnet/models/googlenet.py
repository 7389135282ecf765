"""GoogLeNet: Szegedy et al. 2014, Table 1 and Figure 3.

The paper says little of how its layers begin and learn, and its Table 1 counts another first layer than the one it
prints. Each such point is a switch, a field of `GoogLeNet`; a preset is a set of them.
"""
from dataclasses import dataclass

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

from .presets import check_numbers, chosen


@dataclass(frozen=True)
class GoogLeNet:
    """The switches, with the paper's text as default."""

    stem: str = "full"
    """The first layer, 7 × 7 every 2 with 64 filters. "separable": 8 filters of each colour, then a 1 × 1 to 64. That
    one has 2,712 weights and 34.0 M multiply-adds, as Table 1 counts (2.7 K, 34 M); nobody says that it was used."""

    norm: bool = True
    """Figure 3 draws local response normalisation twice; Table 1 and the text leave it out."""

    heads: bool = True
    """The auxiliary classifiers, in training."""

    dropout: float = 0.4
    head_dropout: float = 0.7
    """Of what the auxiliary classifiers' first layer computes, so much is dropped."""

    bias: float = 0.0
    """What biases begin with, but for those of classifiers, which begin with 0. The paper is silent; Caffe: 0.2."""
    bias_rate: float = 1.0
    """Times the learning rate. Caffe: twice."""
    bias_decay: float = 1.0
    """Times the weight decay. Caffe: none."""


PRESETS = {"paper": GoogLeNet(), "caffe": GoogLeNet(bias=0.2, bias_rate=2.0, bias_decay=0.0)}
"""paper: as printed. caffe: BVLC's bvlc_googlenet, whose weights are public."""

STEMS = ("full", "separable")


def switches(preset: str = "paper", **changed: object) -> GoogLeNet:
    """A preset, some of its switches set otherwise.

    Raises ValueError for a preset or a switch that there is not, and for values that make no net.
    """
    made = chosen(PRESETS, preset, changed)
    for name in ("norm", "heads"):
        if not isinstance(getattr(made, name), bool):
            raise ValueError(f"{name} (={getattr(made, name)!r}) must be True or False")
    if made.stem not in STEMS:
        raise ValueError(f"stem (={made.stem!r}) must be one of {', '.join(STEMS)}")
    check_numbers(made, {"bias": float("-inf"), "bias_rate": 0, "bias_decay": 0, "dropout": 0, "head_dropout": 0})
    return made


def _bias(s: GoogLeNet, last: bool = False) -> Constant:
    return Constant(0.0 if last else float(s.bias), rate=s.bias_rate, decay=s.bias_decay)


def _conv(s: GoogLeNet, in_channels: int, out_channels: int, kernel: int) -> dict[str, Layer]:
    """A convolution that keeps the size, and its ReLU."""
    convolution = Conv2D(in_channels, out_channels, kernel, pad=kernel // 2, weight=Xavier(), bias=_bias(s))
    return {f"conv{kernel}": convolution, f"relu{kernel}": ReLU()}


def inception(
    channels: int, one: int, reduce3: int, three: int, reduce5: int, five: int, pool: int,
    s: GoogLeNet = PRESETS["paper"],
) -> Concat:
    """Inception with dimension reductions: four branches side by side. GoogLeNet §4, Figure 2b.

    A 1 × 1 convolution to `one` channels; 3 × 3 to `three`, after a 1 × 1 that reduces to `reduce3`; 5 × 5 to `five`,
    after one to `reduce5`; and max pooling 3 × 3, projected to `pool` channels. Every convolution has a ReLU.
    """
    return Concat(
        one=Sequential(**_conv(s, channels, one, 1)),
        three=Sequential(**_conv(s, channels, reduce3, 1), **_conv(s, reduce3, three, 3)),
        five=Sequential(**_conv(s, channels, reduce5, 1), **_conv(s, reduce5, five, 5)),
        pool=Sequential(pool=MaxPool2D(3, 1, pad=1), **_conv(s, channels, pool, 1)),
    )


def naive_inception(
    channels: int, one: int, three: int, five: int, s: GoogLeNet = PRESETS["paper"]
) -> Concat:
    """Inception without reductions: `one`, `three` and `five` convolutions of each size, and max pooling, all of whose
    channels go on. GoogLeNet §4, Figure 2a.

    Its output has `channels` more than its convolutions make, so that module after module grows, and each 5 × 5
    convolution sees them all: what the reductions are for.
    """
    return Concat(
        one=Sequential(**_conv(s, channels, one, 1)),
        three=Sequential(**_conv(s, channels, three, 3)),
        five=Sequential(**_conv(s, channels, five, 5)),
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


def _head(s: GoogLeNet, channels: int, classes: int) -> Sequential:
    """An auxiliary classifier on maps of 14 × 14. GoogLeNet §5."""
    return Sequential(
        pool=AvgPool2D(5, 3),
        **_conv(s, channels, 128, 1),
        fc1=Dense(128 * 4 * 4, 1024, weight=Xavier(), bias=_bias(s)),
        relu=ReLU(),
        drop=Dropout(s.head_dropout, convention="inverted"),
        fc2=Dense(1024, classes, weight=Xavier(), bias=_bias(s, last=True)),
    )


def _stem(s: GoogLeNet) -> dict[str, Layer]:
    """What comes before the first module."""
    first: dict[str, Layer] = {"conv1": Conv2D(3, 64, 7, 2, 3, weight=Xavier(), bias=_bias(s))}
    if s.stem == "separable":
        first = {"conv1_depth": Conv2D(3, 24, 7, 2, 3, groups=3, weight=Xavier(), bias=_bias(s)),
                 "conv1": Conv2D(24, 64, 1, weight=Xavier(), bias=_bias(s))}
    norm1, norm2 = ({f"norm{i}": LRN(5, alpha=1e-4, beta=0.75, k=1.0, per_channel=True)} if s.norm else {}
                    for i in (1, 2))
    return {
        **first,
        "relu1": ReLU(),
        "pool1": MaxPool2D(3, 2),
        **norm1,
        "reduce2": Conv2D(64, 64, 1, weight=Xavier(), bias=_bias(s)),
        "relu2": ReLU(),
        "conv2": Conv2D(64, 192, 3, pad=1, weight=Xavier(), bias=_bias(s)),
        "relu3": ReLU(),
        **norm2,
        "pool2": MaxPool2D(3, 2),
    }


MODULES = {
    "3a": (192, 64, 96, 128, 16, 32, 32), "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64), "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64), "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128),
    "5a": (832, 256, 160, 320, 32, 128, 128), "5b": (832, 384, 192, 384, 48, 128, 128),
}
"""Table 1: channels that come in, then the widths of `inception`."""


def googlenet(classes: int = 1000, preset: str = "paper", seed: int = 0, **changed: object) -> WithHeads:
    """22 layers with weights, for images of 224 × 224, and two auxiliary classifiers for training. GoogLeNet §5.

    The widths are Table 1's. What the paper leaves open is as in its authors' later program and in Caffe's
    bvlc_googlenet: padding that keeps the size, normalisation after the first pooling and before the second, weights
    after Xavier. Loss: `WeightedSoftmaxCrossEntropy()`.

    Parameters
    ----------
    classes : int
    preset : str
        One of `PRESETS`.
    seed : int
        Of the first weights and of dropout.
    changed
        Fields of `GoogLeNet`: ``googlenet(norm=False)`` is the paper's net with that one difference.

    Raises
    ------
    ValueError
        If there is no such preset or switch, or the switches make no net.
    """
    s = switches(preset, **changed)
    modules: dict[str, Layer] = {}
    for name, widths in MODULES.items():
        modules[f"inception{name}"] = inception(*widths, s)
        if name in ("3b", "4e"):
            modules[f"pool{int(name[0])}"] = MaxPool2D(3, 2)
    net = WithHeads(
        {"inception4a": _head(s, 512, classes), "inception4d": _head(s, 528, classes)} if s.heads else {},
        **_stem(s),
        **modules,
        pool5=AvgPool2D(7, 1),
        drop=Dropout(s.dropout, convention="inverted"),
        fc=Dense(1024, classes, weight=Xavier(), bias=_bias(s, last=True)),
    )
    net.initialise(seed)
    return net


CAFFE_NAMES = {
    "conv1/7x7_s2": "conv1", "conv2/3x3_reduce": "reduce2", "conv2/3x3": "conv2", "loss3/classifier": "fc",
    **{f"inception_{module}/{theirs}": f"inception{module}.{ours}"
       for module in MODULES
       for theirs, ours in (("1x1", "one.conv1"), ("3x3_reduce", "three.conv1"), ("3x3", "three.conv3"),
                            ("5x5_reduce", "five.conv1"), ("5x5", "five.conv5"), ("pool_proj", "pool.conv1"))},
}
"""Names of layers in BVLC's bvlc_googlenet, and here."""
