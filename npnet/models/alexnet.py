"""AlexNet: Krizhevsky, Sutskever and Hinton 2012, §3.5 and Figure 2; and the nets that go by that name.

The paper, the program that made its numbers, and the programs after it differ at a dozen points. Each is a switch, a
field of `AlexNet` whose default is what the paper says; a preset is a set of switches. `npnet ledger` shows them side
by side.
"""
import math
from dataclasses import dataclass, replace

from npnet.kernels import Shape
from npnet.layers import (
    LRN,
    Constant,
    Conv2D,
    Dense,
    Dropout,
    Gaussian,
    Initialiser,
    Layer,
    LRNWithin,
    MaxPool2D,
    ReLU,
    Sequential,
    Uniform,
)

from .presets import check_numbers, chosen, is_number

BEHIND = ("relu", "norm", "within", "pool")


@dataclass(frozen=True)
class AlexNet:
    """The switches, with the paper's text as default. Tuples go by layer: conv1, …, conv5, then fc6, fc7, fc8."""

    input: int = 224
    """Height and width of an image in pixels, §3.5. Caffe takes 227, so that 11 × 11 every 4 comes out even."""

    conv1_pad: int = 0
    conv1_rounding: str = "ceil"
    """The paper's 55 positions are (224 − 11) / 4 + 1 rounded up: its program read zeros past the right and the bottom
    edge. Rounded down they are 54."""

    widths: tuple[int, ...] = (96, 256, 384, 384, 256)
    groups: tuple[int, ...] = (1, 2, 1, 2, 2)
    """§3.2: the halves of conv2, conv4 and conv5 lie on two GPUs and see only their own."""

    sixth: int = 0
    """Filters of a sixth convolution, 3 × 3, behind the last pooling (§6, for the nets that were pre-trained); 0: none.
    Its bias begins with 1, as the program's did; the paper does not say."""

    stage1: str = "relu norm pool"
    """What follows conv1, §3.5."""
    stage2: str = "relu norm pool"
    stage5: str = "relu pool"

    norm_alpha: float = 1e-4
    """§3.3, as are β = 0.75 and n = 5, in which all agree."""
    norm_per_channel: bool = False
    """Is α divided by n? The formula has no n; the programs divide."""
    norm_k: float = 2.0
    norm_groups: int = 2
    """Within the channels of each GPU, or across that border (1)."""

    hidden: int = 4096
    """Units of fc6 and of fc7."""
    dropout: float = 0.5
    """§4.2."""
    dropout_convention: str = "paper"
    """Halved when it is tested, or doubled when it is trained ("inverted")."""
    dropout_before: bool = False
    """Of what goes into fc6 and fc7, in place of what comes out."""

    std: tuple[float, ...] | None = (0.01,) * 8
    """Of the first weights, §5: Gaussian. None: uniform in ±1 / √fan-in, PyTorch's default, biases too."""
    bias: tuple[float, ...] = (0, 1, 0, 1, 1, 1, 1, 0)
    """What biases begin with, §5."""
    bias_rate: float = 1.0
    """Times the learning rate: "equal for all layers", §5. The programs: twice."""
    bias_decay: float = 1.0
    """Times the weight decay. The paper is silent; the programs do not let biases decay."""


_PROGRAM = AlexNet(
    stage1="norm pool relu", stage2="relu norm within pool", stage5="pool relu", norm_per_channel=True,
    std=(0.01, 0.01, 0.03, 0.03, 0.03, 0.01, 0.01, 0.01), bias_rate=2.0, bias_decay=0.0,
)
_CAFFE = AlexNet(
    input=227, conv1_rounding="floor", norm_per_channel=True, norm_k=1.0, norm_groups=1, dropout_convention="inverted",
    std=(0.01, 0.01, 0.01, 0.01, 0.01, 0.005, 0.005, 0.01), bias=(0, 0.1, 0, 0.1, 0.1, 0.1, 0.1, 0), bias_rate=2.0,
    bias_decay=0.0,
)
_ONE_TOWER = replace(AlexNet(), widths=(64, 192, 384, 256, 256), groups=(1,) * 5, norm_groups=1)

PRESETS: dict[str, AlexNet] = {
    "paper": AlexNet(),
    "original": _PROGRAM,
    "caffe": _CAFFE,
    "caffenet": replace(_CAFFE, stage1="relu pool norm", stage2="relu pool norm", bias=(0, 1, 0, 1, 1, 1, 1, 0)),
    "one_gpu": replace(AlexNet(), widths=(48, 128, 192, 192, 256), groups=(1,) * 5, norm_groups=1),
    "one_weird_trick": replace(
        _ONE_TOWER, norm_per_channel=True, std=_PROGRAM.std, bias=(0, 1, 0, 1, 1, 1, 1, -7), bias_rate=2.0,
        bias_decay=0.0),
    "six": replace(AlexNet(), sixth=256),
    "torchvision": replace(
        _ONE_TOWER, conv1_pad=2, conv1_rounding="floor", stage1="relu pool", stage2="relu pool",
        dropout_convention="inverted", dropout_before=True, std=None),
}
"""paper: as printed. original: the program that made Table 1's 37.5 %, by its logs. caffe: bvlc_alexnet, and caffenet:
bvlc_reference_caffenet. one_gpu: the net of the footnote to §3.2, with half the filters in conv1 to conv4.
one_weird_trick: Krizhevsky 2014, the net of cuda-convnet2 for one GPU; in which order its stages go is taken from the
paper. six: that of §6 with a sixth convolution. torchvision: its `alexnet`, the net of 2014 without normalisation."""


def switches(preset: str = "paper", **changed: object) -> AlexNet:
    """A preset, some of its switches set otherwise.

    Raises ValueError for a preset or a switch that there is not, and for values that make no net.
    """
    made = chosen(PRESETS, preset, changed)  # the layers look at the values
    for name, count, least in (("widths", 5, 1), ("groups", 5, 1), ("std", 8, 0), ("bias", 8, -math.inf)):
        value = getattr(made, name)
        if value is None and name == "std":
            continue
        if not isinstance(value, tuple | list) or len(value) != count or not all(is_number(v, least) for v in value):
            raise ValueError(
                f"{name} (={value!r}) must be {count} numbers" + (f", at least {least}" if least >= 0 else ""))
    check_numbers(made, {"input": 1, "hidden": 1, "sixth": 0, "norm_groups": 1, "bias_rate": 0, "bias_decay": 0,
                         "dropout": 0, "norm_alpha": 0, "norm_k": 0, "conv1_pad": 0})
    for name in ("stage1", "stage2", "stage5"):
        order = str(getattr(made, name)).split()
        if len(set(order)) < len(order) or not {"relu", "pool"} <= set(order) <= set(BEHIND):
            raise ValueError(f"{name} (={getattr(made, name)!r}) must name relu and pool, perhaps norm and within, "
                             f"once each")
    return made


def alexnet(classes: int = 1000, preset: str = "paper", seed: int = 0, **changed: object) -> Sequential:
    """Five convolutions and three fully connected layers. AlexNet §3.5, Figure 2.

    The two GPUs are two groups in the layers that stay on their GPU (conv2, conv4, conv5), and the normalisation
    (§3.3) runs within the 48 and 128 channels of each.

    Parameters
    ----------
    classes : int
    preset : str
        One of `PRESETS`.
    seed : int
        Of the first weights and of dropout.
    changed
        Fields of `AlexNet`: ``alexnet(norm_k=1.0)`` is the paper's net with that one difference.

    Raises
    ------
    ValueError
        If there is no such preset or switch, or the switches make no net.
    """
    s = switches(preset, **changed)
    layers: dict[str, Layer] = {}
    kernels, pads, strides = (11, 5, 3, 3, 3), (s.conv1_pad, 2, 1, 1, 1), (4, 1, 1, 1, 1)
    behind = {1: s.stage1, 2: s.stage2, 3: "relu", 4: "relu", 5: s.stage5}
    channels = 3
    for i in range(5):
        fan_in = channels // s.groups[i] * kernels[i] ** 2
        weight, bias = _begin(s, i, fan_in)
        layers[f"conv{i + 1}"] = Conv2D(
            channels, s.widths[i], kernels[i], strides[i], pads[i], s.groups[i],
            s.conv1_rounding if i == 0 else "floor", weight=weight, bias=bias)
        channels = s.widths[i]
        for kind in behind[i + 1].split():
            layers[f"{kind}{i + 1}"] = _between(s, kind)
    if s.sixth:
        weight, bias = _begin(s, 4, channels * 9)
        layers["conv6"] = Conv2D(channels, s.sixth, 3, pad=1, weight=weight, bias=bias)
        layers["relu_conv6"] = ReLU()
    shape: Shape = (3, s.input, s.input)
    for layer in layers.values():
        shape = layer.output_shape(shape)
    numbers = math.prod(shape)
    for i, outputs in ((6, s.hidden), (7, s.hidden), (8, classes)):
        drop = {f"drop{i}": Dropout(s.dropout, s.dropout_convention)} if i < 8 else {}
        layers |= drop if s.dropout_before else {}
        weight, bias = _begin(s, i - 1, numbers)
        layers[f"fc{i}"] = Dense(numbers, outputs, weight=weight, bias=bias)
        if i < 8:
            layers[f"relu{i}"] = ReLU()
        layers |= {} if s.dropout_before else drop
        numbers = outputs
    net = Sequential(**layers)
    net.initialise(seed)
    return net


def _between(s: AlexNet, kind: str) -> Layer:
    """What stands behind a convolution."""
    if kind == "norm":
        return LRN(alpha=s.norm_alpha, k=s.norm_k, per_channel=s.norm_per_channel, groups=s.norm_groups)
    if kind == "within":  # of the program's log alone
        return LRNWithin(5, alpha=0.001, beta=0.75, k=1.0, per_pixel=True)
    return ReLU() if kind == "relu" else MaxPool2D(3, 2)


def _begin(s: AlexNet, i: int, fan_in: int) -> tuple[Initialiser, Initialiser]:
    """How weights and biases of the i-th of the eight layers begin."""
    if s.std is None:
        limit = 1 / math.sqrt(fan_in)
        return Uniform(limit), Uniform(limit, rate=s.bias_rate, decay=s.bias_decay)
    return Gaussian(s.std[i]), Constant(float(s.bias[i]), rate=s.bias_rate, decay=s.bias_decay)
