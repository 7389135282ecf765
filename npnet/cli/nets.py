"""Commands about nets and their weights: summary, draw, ledger, convert."""
import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npnet.errors import UserError

from .options import Add, must_be_new, picture, positive

if TYPE_CHECKING:
    from npnet.kernels import Shape
    from npnet.layers import Layer

MIB = 2.0**20

PRESET = "of alexnet: paper, original, caffe, ... (npnet ledger); of googlenet: paper, caffe"


def add_to(add: Add) -> None:
    """The commands, and their options."""
    sub = add("summary", summary, "Layers, shapes, parameters and multiply-adds of a net.", "cifar_18pct", "alexnet",
              "alexnet --preset original", "alexnet --columns")
    sub.add_argument("model")
    sub.add_argument("--preset", metavar="NAME", help=PRESET)
    sub.add_argument("--columns", action="store_true", help="what alexnet's two columns exchange (§3.2)")

    sub = add("draw", draw, "A net, or a part of it, as a picture made of its layers (GoogLeNet, Figures 2 and 3).",
              "googlenet", "alexnet --preset original --out alexnet.png", "googlenet --part inception3a",
              "googlenet --part inception3a --naive")
    sub.add_argument("model")
    sub.add_argument("--preset", metavar="NAME", help=PRESET)
    sub.add_argument("--part", metavar="LAYER", help="that alone, as inception3a")
    sub.add_argument("--naive", action="store_true", help="an Inception module without its reductions (Figure 2a)")
    sub.add_argument("--out", type=picture, metavar="FILE", help="png or svg; default: MODEL.svg, or MODEL-LAYER.svg")

    sub = add("ledger", ledger, "Every point on which AlexNet's paper, its program, Caffe and torchvision differ.", "",
              "--markdown > docs/ledger.md")
    sub.add_argument("--markdown", action="store_true", help="as a page")

    sub = add("convert", convert, "Caffe's weights (.caffemodel) as npnet's (.safetensors); says what fitted.",
              "bvlc_alexnet.caffemodel --model alexnet --preset caffe --out alexnet.safetensors",
              "bvlc_googlenet.caffemodel --model googlenet --words synset_words.txt --run runs/bvlc_googlenet")
    sub.add_argument("source", type=Path)
    sub.add_argument("--model", required=True)
    sub.add_argument("--preset", metavar="NAME", help="default: caffe, where there is one")
    sub.add_argument("--classes", type=positive, metavar="N", help="default: 1000")
    into = sub.add_mutually_exclusive_group(required=True)
    into.add_argument("--out", type=Path, metavar="FILE", help="the weights alone")
    into.add_argument("--run", type=Path, metavar="DIR", help="a run, for npnet classify, evaluate, kernels, ...")
    sub.add_argument("--words", type=Path, metavar="FILE", help="of a run: its classes, and what they mean")
    sub.add_argument("--mean", type=Path, metavar="FILE", help="of a run: .binaryproto; default: a colour")
    sub.add_argument("--partial", action="store_true", help="take what fits; the rest begins anew")


def summary(options: argparse.Namespace) -> int:
    """``npnet summary``."""
    from npnet import models
    from npnet.layers import WithHeads
    from npnet.models import columns, summary, table1
    from npnet.train.plan import plan

    arguments = {"preset": options.preset} if options.preset else {}
    net, shape = models.build(options.model, **arguments), models.input_shape(options.model, **arguments)
    if options.columns:
        print(columns.text(net, shape))
    else:
        print(table1.text(net, shape) if isinstance(net, WithHeads) else summary.text(net, shape))
        needs = plan(lambda: models.build(options.model, **arguments), shape)
        print(f"memory of a training step: {needs.fixed / MIB:,.0f} MiB, and {needs.image / MIB:,.1f} for each image "
              f"of the batch ({needs.bytes(128) / MIB:,.0f} for 128)")
    return 0


def draw(options: argparse.Namespace) -> int:
    """``npnet draw``."""
    from npnet import models, plot
    from npnet.layers import Concat, Layer
    from npnet.models.diagram import diagram

    if options.naive and not options.part:
        raise UserError("--naive is for an Inception module: --part LAYER names it, as inception3a")
    name = "-".join(filter(None, (options.model, options.part, "naive" if options.naive else "")))
    out = options.out or Path(f"{name}.svg")
    must_be_new(out)
    arguments = {"preset": options.preset} if options.preset else {}
    net: Layer = models.build(options.model, **arguments)
    shape = models.input_shape(options.model, **arguments)
    if options.part:
        net, shape = _part(net, shape, options.part)
    cost = net.cost(shape)
    said = f"{cost.parameters:,} parameters, {cost.macs:,} multiply-adds"
    if options.naive:
        if not isinstance(net, Concat):
            raise UserError(f"--naive is for an Inception module, and {options.part} is none")
        net = models.without_reductions(net)
        bare, channels = net.cost(shape), net.output_shape(shape)[0]
        said = (f"{bare.parameters:,} parameters, {bare.macs:,} multiply-adds, {channels} channels; with reductions "
                f"{said}")
    plot.diagram(diagram(net, shape), name, [out])
    print(f"{name}: {said}. {out}")
    return 0


def _part(net: Any, shape: "Shape", wanted: str) -> "tuple[Layer, Shape]":
    """A layer of a net, and the shape of the images that come to it."""
    trunk = dict(zip(net.names, net.layers, strict=True)) if not hasattr(net, "trunk") else net.trunk
    if wanted not in trunk:
        raise UserError(f"--part (={wanted!r}) must be one of {', '.join(trunk)}")
    for name, layer in trunk.items():
        if name == wanted:
            break
        shape = layer.output_shape(shape)
    return layer, shape


def ledger(options: argparse.Namespace) -> int:
    """``npnet ledger``."""
    from npnet.models import ledger as book

    print(book.page() if options.markdown else book.text(), end="" if options.markdown else "\n")
    return 0


def convert(options: argparse.Namespace) -> int:
    """``npnet convert``."""
    from npnet import models
    from npnet.recipes.published import adopt
    from npnet.weights import caffe, save_weights

    if options.run:
        if not options.words:
            raise UserError("--run needs --words FILE, which names the net's classes in their order: synset_words.txt")
        if options.partial or options.classes:
            raise UserError("--run takes the whole net, and its classes from --words: --partial and --classes go with "
                            "--out")
        report = adopt(options.source, options.run, options.model, options.words, options.mean, options.preset)
        print(f"{len(report.matched)} parameters are in {options.run}: npnet classify PHOTO --run {options.run}")
        return 0
    must_be_new(options.out)
    preset = options.preset or ("caffe" if options.model in models.SWITCHES else None)
    net = models.build(options.model, classes=options.classes or 1000, **({"preset": preset} if preset else {}))
    report = caffe.load(net, options.source, models.CAFFE_NAMES.get(options.model), partial=options.partial)
    save_weights(net, options.out)
    print(report)
    print(f"{len(report.matched)} of {len(net.parameters())} parameters are in {options.out}")
    return 0
