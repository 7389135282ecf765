"""Commands that show what a net has learnt: classify, kernels, neighbours, codes. AlexNet §6.1, Figures 3 and 4."""
import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from npnet.errors import UserError

from .options import Add, bar, data_option, must_be_new, natural, picture, positive

NEAREST = 6


def add_to(add: Add) -> None:
    """The commands, and their options."""
    sub = add("classify", classify, "What is on these photos? The five best answers, and a picture of them (Figure 4).",
              "photo.jpg --run runs/alexnet-seed0", "*.jpg --run runs/alexnet-seed0 --views 10 --out answers.svg")
    sub.add_argument("images", type=Path, nargs="+", metavar="IMAGE")
    sub.add_argument("--run", type=Path, required=True, metavar="RUN", help="folder that npnet train wrote")
    sub.add_argument("--views", type=int, choices=(1, 10), default=1, help="the centre, or ten views, averaged")
    data_option(sub)
    sub.add_argument("--out", type=picture, default=Path("classified.png"), help="png or svg; default: classified.png")

    sub = add("kernels", kernels, "The first layer's kernels, column by column (Figure 3), and how grey they see.",
              "runs/alexnet-seed0", "runs/alexnet-seed0 --out kernels.svg")
    sub.add_argument("run", type=Path, metavar="RUN", help="folder that npnet train wrote")
    sub.add_argument("--out", type=picture, metavar="FILE", help="png or svg; default: RUN/kernels.png")

    sub = add("neighbours", neighbours, "The training images that a net finds most like test images (Figure 4, right).",
              "runs/alexnet-seed0", "runs/alexnet-seed0 --count 8 --seed 3", "runs/alexnet-seed0 my.jpg another.jpg")
    sub.add_argument("run", type=Path, metavar="RUN", help="folder that npnet train wrote")
    sub.add_argument("images", type=Path, nargs="*", metavar="IMAGE", help="default: some of the test images")
    sub.add_argument("--count", type=positive, default=5, metavar="N", help="of test images; default: 5")
    sub.add_argument("--seed", type=natural, default=0, metavar="N", help="which of them")
    data_option(sub)
    sub.add_argument("--out", type=picture, metavar="FILE", help="png or svg; default: RUN/neighbours.png")

    sub = add("codes", codes, "Short binary codes by an auto-encoder (§6.1): how many neighbours do they find again?",
              "runs/alexnet-seed0", "runs/alexnet-seed0 --bits 128")
    sub.add_argument("run", type=Path, metavar="RUN", help="folder that npnet train wrote")
    sub.add_argument("--bits", type=positive, default=64, metavar="N", help="of a code; default: 64")
    sub.add_argument("--seed", type=int, default=0, metavar="N")
    data_option(sub)
    sub.add_argument("--out", type=picture, metavar="FILE", help="png or svg; default: RUN/codes.png")


def _place(options: argparse.Namespace, name: str, numbers: bool = False) -> Path:
    """Where the picture goes, and with `numbers` a .json beside it: to the run, where the one before it was drawn too,
    or where nothing is yet."""
    if options.out:
        must_be_new(options.out)
        if numbers:
            must_be_new(options.out.with_suffix(".json"))
    out: Path | None = options.out
    return out or Path(options.run) / name


def _read(paths: list[Path], side: int) -> list[Any]:
    """Each photo's middle, `side` pixels wide and high."""
    from npnet.data import photo

    for path in paths:
        if not path.is_file():
            raise UserError(f"{path}: there is no such file")
    return [photo.square(photo.read(path, str(path)), side) for path in paths]


def classify(options: argparse.Namespace) -> int:
    """``npnet classify``."""
    from npnet import plot
    from npnet.recipes.runs import classify as ask
    from npnet.recipes.runs import trained

    must_be_new(options.out)
    run = trained(options.run, options.data)
    pictures = _read(options.images, run.side)
    answers, called = ask(run, pictures, options.views), run.names
    best = [[(called[k], float(row[k])) for k in row.argsort()[::-1][:5]] for row in answers]
    width = max(len(name) for some in best for name, _ in some)
    for path, some in zip(options.images, best, strict=True):
        print(path)
        for name, p in some:
            print(f"  {name:{width}s} {p:6.1%} {'█' * round(40 * p)}")
    plot.answers(pictures, best, [path.name for path in options.images], [options.out])
    print(options.out)
    return 0


def kernels(options: argparse.Namespace) -> int:
    """``npnet kernels``."""
    from npnet import plot
    from npnet.evaluate.first_layer import grey_share, pictures
    from npnet.recipes.runs import first_kernels

    out = _place(options, "kernels.png")
    w, columns = first_kernels(options.run)
    share = grey_share(w)
    each = len(w) // columns
    parts = [slice(i * each, (i + 1) * each) for i in range(columns)]
    called = [f"column {i + 1}: " for i in range(columns)] if columns > 1 else [""]
    said = [f"{name}{share[part].mean():.0%} grey on average, {(share[part] > 2 / 3).sum()} of {each} kernels more "
            f"than two thirds" for name, part in zip(called, parts, strict=True)]
    plot.kernels([pictures(w[part]) for part in parts], said, f"{options.run.name}: the first layer", [out])
    print("\n".join(said))
    print(f"{share.mean():.0%} of the energy of all {len(w)} kernels sees grey alone (33% before training). {out}")
    return 0


def neighbours(options: argparse.Namespace) -> int:
    """``npnet neighbours``."""
    import numpy as np

    from npnet import plot
    from npnet.evaluate.neighbours import nearest
    from npnet.files import write_json
    from npnet.recipes.runs import hidden, hidden_of, trained

    out = _place(options, "neighbours.png", numbers=not options.images)  # of one's own photos there are none
    run = trained(options.run, options.data)
    pictures = _read(options.images, run.side)
    with bar("training images", len(run.train)) as shown:
        gallery = hidden(run, "train", shown.update)
    k, called = min(NEAREST, len(gallery)), run.names
    if pictures:
        queries, labels = hidden_of(run, pictures), None
        what = [path.name for path in options.images]
    else:
        with bar("test images", len(run.test)) as shown:
            queries = hidden(run, "test", shown.update)
        labels = run.test.labels
    found, _ = nearest(gallery, queries, k)
    if labels is not None:
        alike = float((run.train.labels[found] == labels[:, None]).mean())
        chance = float((np.bincount(run.train.labels)[labels] / len(run.train)).mean())
        print(f"of the {k} nearest training images {alike:.1%} are of the test image's class (chance: {chance:.1%})")
        write_json(out.with_suffix(".json"), {"gallery": len(gallery), "queries": len(queries), "k": k,
                                              "of_the_class": alike, "chance": chance})
        chosen = np.random.default_rng(options.seed).permutation(len(run.test))[: options.count]
        pictures, found = [run.test.image(int(i)) for i in chosen], found[chosen]
        what = [called[labels[i]] for i in chosen]
    rows = [(f"{name}: {', '.join(called[run.train.labels[j]] for j in near)}",
             [image, *(run.train.image(int(j)) for j in near)])
            for name, image, near in zip(what, pictures, found, strict=True)]
    plot.sheet(rows, f"{options.run.name}: each image, and the {k} training images nearest in the last hidden layer",
               [out])
    print(out)
    return 0


def codes(options: argparse.Namespace) -> int:
    """``npnet codes``."""
    from npnet import plot
    from npnet.files import write_json
    from npnet.recipes.codes import Settings, experiment
    from npnet.recipes.runs import hidden, trained

    out = _place(options, "codes.png", numbers=True)
    run = trained(options.run, options.data)
    layers = []
    for split, images in (("train", run.train), ("test", run.test)):
        with bar(f"{split} images", len(images)) as shown:
            layers.append(hidden(run, split, shown.update))
    settings = Settings(bits=options.bits, seed=options.seed)
    with bar("auto-encoder, epochs", settings.epochs) as shown:
        progress: Callable[[], object] = shown.update
        result = experiment(layers[0], layers[1], settings, min(NEAREST, len(layers[0])), progress)
    write_json(out.with_suffix(".json"), result)
    plot.recall(result, f"{options.run.name}: codes of {options.bits} bits", [out])
    for n, learnt, planes, chance in zip(*(result[key] for key in ("looked_at", "learnt", "random_planes", "chance")),
                                         strict=True):
        print(f"among the {n:4d} nearest by code: {learnt:6.1%} of the {result['k']} nearest by Euclid "
              f"(random planes {planes:.1%}, chance {chance:.1%})")
    print(out)
    return 0
