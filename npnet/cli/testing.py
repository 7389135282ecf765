"""Commands that test trained nets: evaluate, table3."""
import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npnet.errors import UserError

from .options import Add, Parser, data_option, must_be_new, positive, reported

if TYPE_CHECKING:
    from npnet.data.pictures import Pictures
    from npnet.evaluate import ErrorRate


def add_to(add: Add) -> None:
    """The commands, and their options."""
    sub = add("evaluate", evaluate, "Test error of a trained net.", "runs/cifar_80sec-seed0",
              "runs/alexnet-seed0 --views 10", "runs/alexnet-seed0 runs/alexnet-seed1",
              "runs/googlenet-seed0 --photos imagenette/val --views 144")
    sub.add_argument("runs", type=Path, nargs="+", metavar="RUN",
                     help="folder that npnet train wrote; several: the mean of their probabilities")
    sub.add_argument("--views", type=int, choices=(1, 10, 144), default=1,
                     help="the centre, or ten views, averaged; 144 (GoogLeNet §7) of --photos only")
    data_option(sub)
    _photos_option(sub, required=False)

    sub = add("table3", table3, "GoogLeNet's Table 3: one net or several, with 1, 10 and 144 crops of each photo.",
              "runs/googlenet-seed0 runs/googlenet-seed1 --photos imagenette/val")
    sub.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder that npnet train wrote")
    _photos_option(sub, required=True)
    sub.add_argument("--out", type=Path, default=Path("table3.json"), metavar="FILE", help="default: table3.json")


def _photos_option(sub: Parser, required: bool) -> None:
    sub.add_argument("--photos", type=Path, required=required, metavar="DIR",
                     help="photos as they are, in a folder for each class, to be tested on")
    sub.add_argument("--images", type=positive, default=0, metavar="N", help="of them so many only; default: all")


def evaluate(options: argparse.Namespace) -> int:
    """``npnet evaluate``."""
    from npnet.files import write_json
    from npnet.recipes import evaluate_runs
    from npnet.recipes.crops import evaluate_photos

    if options.views == 144 and not options.photos:
        raise UserError("--views 144 are of photos as they are: --photos DIR names their folder")
    if options.images and not options.photos:
        raise UserError(f"--images {options.images} are of photos as they are: --photos DIR names their folder")
    if options.data and options.photos:
        raise UserError(f"--data {options.data} and --photos {options.photos}: a net is tested on one of them")
    with _late_bar(" images" if options.views == 1 else " views") as show:
        if options.photos:
            recipes, rate = evaluate_photos(options.runs, _pictures(options), options.views, show)
        else:
            recipes, rate = evaluate_runs(options.runs, options.data, options.views, show)
    (low, high), (low5, high5) = rate.interval, rate.interval5
    parts = ["evaluation", *(["ensemble"] if len(recipes) > 1 else []), *(["photos"] if options.photos else []),
             *([f"{options.views}-views"] if options.views > 1 else [])]
    what = [f"{len(recipes)} nets" if len(recipes) > 1 else "", f"{options.views} views" if options.views > 1 else ""]
    mean = f" of {' in '.join(filter(None, what))}, averaged" if any(what) else ""
    names = ", ".join(dict.fromkeys(recipe.name for recipe in recipes))
    print(f"{names}: test error{mean} {rate.top1:.2%} (95 % interval {low:.1%} to {high:.1%}), not in the first "
          f"five {rate.top5:.2%} ({low5:.1%} to {high5:.1%}), {rate.images:,} images"
          f"{reported(recipes[0])}")
    facts = {"runs": [str(run) for run in options.runs]} if len(recipes) > 1 else {}
    write_json(options.runs[0] / f"{'-'.join(parts)}.json", {**facts, **_with_intervals(rate)})
    return 0


def _with_intervals(rate: "ErrorRate") -> dict[str, Any]:
    """As it is stored."""
    from dataclasses import asdict

    return {**asdict(rate), "interval95": list(rate.interval), "top5_interval95": list(rate.interval5)}


def _pictures(options: argparse.Namespace) -> "Pictures":
    """The photos to test on."""
    from npnet.data.pictures import Pictures

    pictures = Pictures(options.photos)
    return pictures.take(options.images) if options.images else pictures


@contextmanager
def _late_bar(unit: str) -> Iterator[Callable[[int, int], None]]:
    """A bar that appears with the first progress: none, if it fails before it has begun."""
    from tqdm.auto import tqdm

    bars: list[Any] = []

    def show(seen: int, of: int) -> None:
        if not bars:
            bars.append(tqdm(total=of, unit=unit, dynamic_ncols=True, leave=False))
        bars[0].update(seen)

    try:
        yield show
    finally:
        for bar in bars:
            bar.close()


def table3(options: argparse.Namespace) -> int:
    """``npnet table3``."""
    from npnet.files import write_json
    from npnet.models.summary import aligned
    from npnet.recipes.crops import PAPER
    from npnet.recipes.crops import table3 as measure

    must_be_new(options.out)
    with _late_bar(" crops") as show:
        rows = measure(options.runs, _pictures(options), show)
    table = [("models", "crops", "cost", "top-5 error", "against the first", "top-1 error",
              "paper's top-5, of 1 or 7")]
    for row in rows:
        paper = PAPER.get((7 if row.nets > 1 else 1, row.crops)) if row.how == "mean" else None
        crops = f"{row.crops}{', the largest' if row.how == 'max' else ''}"
        table.append((str(row.nets), crops, f"{row.cost:,}", f"{row.rate.top5:.2%}",
                      f"{100 * (row.rate.top5 - rows[0].rate.top5):+.2f}", f"{row.rate.top1:.2%}",
                      f"{paper:.2%}" if paper else ""))
    print("\n".join(aligned(table, "><>>>>>")))
    write_json(options.out, {"runs": [str(run) for run in options.runs], "images": rows[0].rate.images,
                             "rows": [{"nets": row.nets, "crops": row.crops, "how": row.how, "cost": row.cost,
                                       **_with_intervals(row.rate)} for row in rows]})
    print(f"{rows[0].rate.images:,} photos; cost: forward passes for each. {options.out}")
    return 0
