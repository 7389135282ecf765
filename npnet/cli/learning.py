"""Commands that show how a net learns: curves, signals, heads."""
import argparse
from collections.abc import Callable
from pathlib import Path

from npnet.errors import UserError

from .options import Add, bar, data_option, must_be_new, picture, positive, training_images, variant


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


def curves(options: argparse.Namespace) -> int:
    """``npnet curves``."""
    from npnet import plot
    from npnet.recipes import load
    from npnet.train import metrics

    must_be_new(options.out)
    _check_few(len(options.runs), "runs")
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
    _check_few(len(variants), "variants")
    with bar("variants", len(variants), "") as shown:
        found = {}
        for text, changed in variants.items():
            found[text] = [asdict(one) for one in first_signals(changed, images, options.images, options.seed)]
            shown.update()
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
    with bar("steps", 2 * options.steps, " steps") as shown:
        progress: Callable[[], object] = shown.update
        result = experiment(recipe, images, options.steps, options.seed, progress)
    write_json(options.out.with_suffix(".json"), result)
    plot.heads(result, f"GoogLeNet's first {options.steps} steps on {images.name.removesuffix(' train')}: "
                       f"{result['module']}", [options.out])
    middle = {name: statistics.median(result[name]["gradient"]) for name in ("with", "without")}
    print(f"gradient at {result['module']}, median of {options.steps} steps: {middle['with']:.3g} with auxiliary "
          f"classifiers, {middle['without']:.3g} without ({middle['with'] / middle['without']:.1f} times). "
          f"{options.out}")
    return 0


def _check_few(count: int, what: str) -> None:
    from npnet.plot import COLOURS

    if count > len(COLOURS):
        raise UserError(f"{count} {what} are more than one picture can show ({len(COLOURS)}): name fewer")


def _called(folder: Path, among: list[Path]) -> str:
    """A run's folder; with the one around it, where another of them has the same name."""
    twins = [other for other in among if other.resolve().name == folder.resolve().name]
    return folder.resolve().name if len(twins) == 1 else str(folder)
