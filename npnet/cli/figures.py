"""Commands that show how and what a net has learnt: curves, classify, kernels, neighbours, codes. AlexNet §6.1."""
import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from npnet.errors import UserError

from .options import Add, data_option, must_be_new, picture, positive, training_images, variant

NEAREST = 6


def add_to(add: Add) -> None:
    """The commands, and their options."""
    sub = add("curves", curves, "Training and test error of runs against epochs, in one picture.",
              "runs/alexnet-seed0", "runs/whole runs/no-dropout runs/no-augmentation --out curves.svg")
    sub.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder that npnet train wrote")
    sub.add_argument("--out", type=picture, default=Path("curves.png"), help="png or svg; default: curves.png")

    sub = add("signals", signals, "What a net says of photos before it learns, its first gradients: does it stall?",
              "alexnet --data prepared/", "alexnet paper original 'bias=0,0,0,0,0,0,0,0' --data prepared/")
    sub.add_argument("recipe")
    sub.add_argument("variants", type=variant, nargs="*", metavar="VARIANT",
                     help="of alexnet: a preset, or switches, NAME=VALUE;NAME=VALUE; default: the recipe's net")
    data_option(sub)
    sub.add_argument("--images", type=positive, default=128, metavar="N", help="default: 128")
    sub.add_argument("--seed", type=int, default=0, metavar="N")
    sub.add_argument("--out", type=picture, default=Path("signals.png"), help="png or svg; default: signals.png")

    sub = add("heads", heads, "What GoogLeNet's auxiliary classifiers do to the gradient at its first module (§5).",
              "--data prepared/", "--data prepared/ --steps 200 --out heads.svg")
    sub.add_argument("--recipe", default="googlenet", metavar="RECIPE", help="default: googlenet")
    data_option(sub)
    sub.add_argument("--steps", type=positive, default=100, metavar="N", help="default: 100")
    sub.add_argument("--seed", type=int, default=0, metavar="N")
    sub.add_argument("--out", type=picture, default=Path("heads.png"), help="png or svg; default: heads.png")

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
    sub.add_argument("--seed", type=int, default=0, metavar="N", help="which of them")
    data_option(sub)
    sub.add_argument("--out", type=picture, metavar="FILE", help="png or svg; default: RUN/neighbours.png")

    sub = add("codes", codes, "Short binary codes by an auto-encoder (§6.1): how many neighbours do they find again?",
              "runs/alexnet-seed0", "runs/alexnet-seed0 --bits 128")
    sub.add_argument("run", type=Path, metavar="RUN", help="folder that npnet train wrote")
    sub.add_argument("--bits", type=positive, default=64, metavar="N", help="of a code; default: 64")
    sub.add_argument("--seed", type=int, default=0, metavar="N")
    data_option(sub)
    sub.add_argument("--out", type=picture, metavar="FILE", help="png or svg; default: RUN/codes.png")


def _bar(what: str, total: int, unit: str = " images") -> Any:
    from tqdm.auto import tqdm

    return tqdm(total=total, desc=what, unit=unit, dynamic_ncols=True, leave=False)


def _place(options: argparse.Namespace, name: str) -> Path:
    """Where the picture goes: beside the run, where the one before it was drawn too, or where nothing is yet."""
    if options.out:
        must_be_new(options.out)
    out: Path | None = options.out
    return out or Path(options.run) / name


def _read(paths: list[Path], side: int) -> list[Any]:
    """Each photo's middle, `side` pixels wide and high."""
    from npnet.data import photo

    for path in paths:
        if not path.is_file():
            raise UserError(f"{path}: there is no such file")
    return [photo.square(photo.read(path, str(path)), side) for path in paths]


def curves(options: argparse.Namespace) -> int:
    """``npnet curves``."""
    from npnet import plot
    from npnet.recipes import load
    from npnet.train import metrics

    must_be_new(options.out)
    if len(options.runs) > len(plot.COLOURS):
        raise UserError(f"{len(options.runs)} runs are more than one picture can show ({len(plot.COLOURS)}): name "
                        f"fewer")
    runs, sets, classes = {}, [], set()
    for folder in options.runs:
        recipe, facts = load(folder)
        runs[_called(folder, options.runs)] = metrics.read(folder)
        sets.append(f"{recipe.name} on {facts['data'].removesuffix(' train')}")
        classes.add(facts.get("classes"))
    alike = classes.pop() if len(classes) == 1 else None
    plot.training(runs, "; ".join(dict.fromkeys(sets)), [options.out], 1 - 1 / alike if alike else None)
    for name, lines in runs.items():
        tested = [line for line in lines if "test_error" in line]
        print(f"{name}: test error {tested[-1]['test_error']:.1%} after {tested[-1]['epoch']:g} epochs" if tested
              else f"{name}: not tested yet")
    print(options.out)
    return 0


def signals(options: argparse.Namespace) -> int:
    """``npnet signals``."""
    from dataclasses import asdict

    from npnet import plot
    from npnet.files import write_json
    from npnet.models.summary import aligned
    from npnet.recipes import known
    from npnet.recipes.signals import first_signals

    must_be_new(options.out)
    recipe = known(options.recipe)
    _, images = training_images(recipe, options.data)
    variants = {text: recipe.switched(**changed) for text, changed in options.variants} or {recipe.name: recipe}
    if len(variants) > len(plot.COLOURS):
        raise UserError(f"{len(variants)} variants are more than one picture can show ({len(plot.COLOURS)}): name "
                        f"fewer")
    with _bar("variants", len(variants), "") as bar:
        found = {}
        for text, changed in variants.items():
            found[text] = [asdict(one) for one in first_signals(changed, images, options.images, options.seed)]
            bar.update()
    for text, layers in found.items():
        print(f"{text}:")
        table = [("layer", "size", "about the image", "gradient / weight"),
                 *((one["layer"], f"{one['size']:.3g}", f"{one['share']:.1%}", f"{one['gradient']:.1e}")
                   for one in layers)]
        print("\n".join(f"  {line}" for line in aligned(table, "<>>>")))
    count = min(options.images, len(images))
    write_json(options.out.with_suffix(".json"), {"data": images.name, "images": count, "seed": options.seed,
                                                  "variants": found})
    plot.signals(found, f"{recipe.name} before it learns, {count} images of {images.name.removesuffix(' train')}",
                 [options.out])
    print(options.out)
    return 0


def heads(options: argparse.Namespace) -> int:
    """``npnet heads``."""
    import statistics

    from npnet import plot
    from npnet.files import write_json
    from npnet.recipes import known
    from npnet.recipes.heads import experiment

    must_be_new(options.out)
    recipe = known(options.recipe)
    if recipe.model != "googlenet":
        raise UserError(f"recipe {recipe.name} trains {recipe.model}, which has no auxiliary classifiers")
    _, images = training_images(recipe, options.data)
    with _bar("steps", 2 * options.steps, " steps") as bar:
        progress: Callable[[], object] = bar.update
        result = experiment(recipe, images, options.steps, options.seed, progress)
    write_json(options.out.with_suffix(".json"), result)
    plot.heads(result, f"GoogLeNet's first {options.steps} steps on {images.name.removesuffix(' train')}: "
                       f"{result['module']}", [options.out])
    middle = {name: statistics.median(result[name]["gradient"]) for name in ("with", "without")}
    print(f"gradient at {result['module']}, median of {options.steps} steps: {middle['with']:.3g} with auxiliary "
          f"classifiers, {middle['without']:.3g} without ({middle['with'] / middle['without']:.1f} times). "
          f"{options.out}")
    return 0


def _called(folder: Path, among: list[Path]) -> str:
    """A run's folder; with the one around it, where another of them has the same name."""
    twins = [other for other in among if other.resolve().name == folder.resolve().name]
    return folder.resolve().name if len(twins) == 1 else str(folder)


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
    from npnet.recipes.runs import hidden, hidden_of, trained

    out = _place(options, "neighbours.png")
    run = trained(options.run, options.data)
    pictures = _read(options.images, run.side)
    with _bar("training images", len(run.train)) as bar:
        gallery = hidden(run, "train", bar.update)
    k, called = min(NEAREST, len(gallery)), run.names
    if pictures:
        queries, labels = hidden_of(run, pictures), None
        what = [path.name for path in options.images]
    else:
        with _bar("test images", len(run.test)) as bar:
            queries = hidden(run, "test", bar.update)
        labels = run.test.labels
    found, _ = nearest(gallery, queries, k)
    if labels is not None:
        alike = (run.train.labels[found] == labels[:, None]).mean()
        chance = (np.bincount(run.train.labels)[labels] / len(run.train)).mean()
        print(f"of the {k} nearest training images {alike:.1%} are of the test image's class (chance: {chance:.1%})")
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

    out = _place(options, "codes.png")
    run = trained(options.run, options.data)
    layers = []
    for split, images in (("train", run.train), ("test", run.test)):
        with _bar(f"{split} images", len(images)) as bar:
            layers.append(hidden(run, split, bar.update))
    settings = Settings(bits=options.bits, seed=options.seed)
    with _bar("auto-encoder, epochs", settings.epochs) as bar:
        progress: Callable[[], object] = bar.update
        result = experiment(layers[0], layers[1], settings, min(NEAREST, len(layers[0])), progress)
    write_json(out.with_suffix(".json"), result)
    plot.recall(result, f"{options.run.name}: codes of {options.bits} bits", [out])
    for n, learnt, planes, chance in zip(*(result[key] for key in ("looked_at", "learnt", "random_planes", "chance")),
                                         strict=True):
        print(f"among the {n:4d} nearest by code: {learnt:6.1%} of the {result['k']} nearest by Euclid "
              f"(random planes {planes:.1%}, chance {chance:.1%})")
    print(out)
    return 0
