"""Commands about nets and their weights: summary, ledger, convert."""
import argparse
from pathlib import Path

from .options import Add, must_be_new, positive


def add_to(add: Add) -> None:
    """The commands, and their options."""
    sub = add("summary", summary, "Layers, shapes, parameters and multiply-adds of a net.", "cifar_18pct", "alexnet",
              "alexnet --preset original", "alexnet --columns")
    sub.add_argument("model")
    sub.add_argument("--preset", metavar="NAME", help="of alexnet: paper, original, caffe, ... (npnet ledger)")
    sub.add_argument("--columns", action="store_true", help="what alexnet's two columns exchange (§3.2)")

    sub = add("ledger", ledger, "Every point on which AlexNet's paper, its program, Caffe and torchvision differ.", "",
              "--markdown > docs/ledger.md")
    sub.add_argument("--markdown", action="store_true", help="as a page")

    sub = add("convert", convert, "Caffe's weights (.caffemodel) as npnet's (.safetensors); says what fitted.",
              "bvlc_alexnet.caffemodel --model alexnet --preset caffe --out alexnet.safetensors")
    sub.add_argument("source", type=Path)
    sub.add_argument("--model", required=True)
    sub.add_argument("--preset", metavar="NAME", help="of alexnet; default: caffe")
    sub.add_argument("--classes", type=positive, default=1000, metavar="N", help="default: 1000")
    sub.add_argument("--out", type=Path, required=True, metavar="FILE")
    sub.add_argument("--partial", action="store_true", help="take what fits; the rest begins anew")


def summary(options: argparse.Namespace) -> int:
    """``npnet summary``."""
    from npnet import models
    from npnet.models import columns
    from npnet.models.summary import text

    arguments = {"preset": options.preset} if options.preset else {}
    net, shape = models.build(options.model, **arguments), models.input_shape(options.model, **arguments)
    print(columns.text(net, shape) if options.columns else text(net, shape))
    return 0


def ledger(options: argparse.Namespace) -> int:
    """``npnet ledger``."""
    from npnet.models import ledger as book

    print(book.page() if options.markdown else book.text(), end="" if options.markdown else "\n")
    return 0


def convert(options: argparse.Namespace) -> int:
    """``npnet convert``."""
    from npnet import models
    from npnet.weights import caffe, save_weights

    must_be_new(options.out)
    preset = options.preset or ("caffe" if options.model == "alexnet" else None)
    net = models.build(options.model, classes=options.classes, **({"preset": preset} if preset else {}))
    report = caffe.load(net, options.source, models.CAFFE_NAMES.get(options.model), partial=options.partial)
    save_weights(net, options.out)
    print(report)
    print(f"{len(report.matched)} of {len(net.parameters())} parameters are in {options.out}")
    return 0
