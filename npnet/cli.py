"""The command line."""
import argparse
import io
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from npnet import __version__
from npnet.errors import UserError

Command = Callable[[argparse.Namespace], int]


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the arguments."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} ({self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """What the command ``npnet`` runs. Returns the exit code: 0, 1 if a check failed, 2 if something is wrong."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # where the terminal has no ×, it shows a ?
    options = parser().parse_args(arguments)
    if options.threads:
        os.environ["NUMBA_NUM_THREADS"] = str(options.threads)
        _blas_threads(options.threads)
    if options.backend:
        os.environ["NPNET_BACKEND"] = options.backend
    command: Command = options.command
    try:
        from npnet.train import Interrupted

        try:
            return command(options)
        except Interrupted as stop:
            return _say(options, str(stop), 130)
    except (UserError, ValueError, ImportError) as error:
        return _say(options, " ".join(str(error).split()), 2)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _say(options, f"{where}{error.strerror or error}", 2)
    except KeyboardInterrupt:
        return _say(options, "interrupted", 130)
    except Exception as error:
        if os.environ.get("NPNET_DEBUG"):
            traceback.print_exc()
        return _say(options, f"{type(error).__name__}: {' '.join(str(error).split())} (unexpected; NPNET_DEBUG=1 shows "
                             f"where)", 2)


def _blas_threads(number: int) -> None:
    import numpy  # noqa: F401 (loads the library)
    from threadpoolctl import threadpool_limits

    threadpool_limits(number, user_api="blas")


def _say(options: argparse.Namespace, message: str, code: int) -> int:
    print(f"npnet {options.name}: {message}", file=sys.stderr)
    return code


def parser() -> Parser:
    """All commands and their options."""
    top = Parser(prog="npnet", description="AlexNet and GoogLeNet, built from scratch in NumPy and Numba.",
                 epilog="npnet COMMAND --help shows examples.")
    top.add_argument("--version", action="version", version=f"npnet {__version__}")
    commands = top.add_subparsers(dest="name", required=True, metavar="COMMAND", parser_class=Parser)

    def add(name: str, command: Command, text: str, *examples: str) -> Parser:
        sub = commands.add_parser(
            name, help=text, description=text, formatter_class=argparse.RawDescriptionHelpFormatter,
            epilog="examples:\n" + "\n".join(f"  npnet {name} {e}" for e in examples))
        sub.set_defaults(command=command)
        sub.add_argument("--backend", choices=("numpy", "numba"), help="default: NPNET_BACKEND, else numba")
        sub.add_argument("--threads", type=_positive, metavar="N", help="default: as many as there are cores")
        return sub

    sub = add("download", download, "Fetch a data set; goes on with a broken download.",
              "cifar10", "cifar10 --to /data")
    sub.add_argument("dataset", choices=("cifar10",))
    sub.add_argument("--to", type=Path, metavar="DIR", help="default: NPNET_DATA, else data/")

    sub = add("data", data, "Make photos ready for training: folders of classes become shards.",
              "prepare photos/ prepared/", "prepare imagenet/ prepared/ --words synset_words.txt --jobs 8")
    sub.add_argument("action", choices=("prepare",))
    sub.add_argument("source", type=Path, help="a folder for each class, or train and val with those in them")
    sub.add_argument("target", type=Path, help="a new folder; the same command goes on with what was stopped")
    sub.add_argument("--side", type=_positive, default=256, metavar="N", help="pixels; default: 256")
    sub.add_argument("--squash", action="store_true", help="the whole picture, whatever its shape, as Caffe's tutorial")
    sub.add_argument("--words", type=Path, metavar="FILE", help="lines of a folder's name and what it means")
    sub.add_argument("--jobs", type=_positive, default=0, metavar="N", help="processes; default: one for each core")

    sub = add("augment", augment, "What training makes of a photo, on a sheet: crops, mirrors, colours (AlexNet §4.1).",
              "photo.jpg", "photo.jpg --data prepared/ --out sheet.png --seed 3")
    sub.add_argument("image", type=Path)
    sub.add_argument("--data", type=Path, metavar="DIR", help="photos whose colours it takes; default: ImageNet's")
    sub.add_argument("--crop", type=_positive, default=224, metavar="N", help="of 256 pixels; default: 224")
    sub.add_argument("--seed", type=int, default=0, metavar="N")
    sub.add_argument("--out", type=Path, metavar="FILE", help="png or svg; default: NAME-augmented.png")

    sub = add("train", train, "Train a net by its published recipe.",
              "cifar_80sec", "cifar_18pct --data shapes --epochs 5", "cifar_80sec --out runs/a --resume")
    sub.add_argument("recipe")
    _data_option(sub)
    sub.add_argument("--out", type=Path, metavar="DIR", help="folder of the run; default: runs/RECIPE-seedN")
    sub.add_argument("--epochs", type=_positive, metavar="N", help="default: the recipe's")
    sub.add_argument("--rate", type=_rate, metavar="R", help="learning rate at the beginning; default: the recipe's")
    sub.add_argument("--images", type=_positive, default=0, metavar="N", help="train on so many only; default: all")
    sub.add_argument("--seed", type=int, default=0, metavar="N")
    sub.add_argument("--resume", action="store_true", help="go on with the run in --out")
    sub.add_argument("--checkpoint-minutes", type=_rate, default=2.0, metavar="M", help="default: 2")

    sub = add("evaluate", evaluate, "Test error of a trained net.", "runs/cifar_80sec-seed0",
              "runs/alexnet-seed0 --views 10")
    sub.add_argument("run", type=Path, help="folder that npnet train wrote")
    sub.add_argument("--views", type=int, choices=(1, 10), default=1, help="the centre, or ten views, averaged")
    _data_option(sub)

    sub = add("figure1", figure1, "AlexNet's Figure 1: training error with ReLU and with tanh.",
              "", "--quick", "--data cifar10 --tune --seeds 3 --jobs 2", "--redraw --out results/figure1")
    _data_option(sub)
    sub.add_argument("--tune", action="store_true", help="choose both learning rates first, and show how")
    sub.add_argument("--seeds", type=_positive, default=1, metavar="N", help="runs of each activation; default: 1")
    sub.add_argument("--out", type=Path, metavar="DIR", help="default: runs/figure1-DATA")
    sub.add_argument("--epochs", type=_positive, metavar="N", help="at most; default: 60")
    sub.add_argument("--images", type=_positive, metavar="N", help="train on so many only; default: all")
    sub.add_argument("--jobs", type=_positive, default=1, metavar="N", help="trainings at the same time; default: 1")
    sub.add_argument("--resume", action="store_true", help="go on with what is in --out")
    sub.add_argument("--quick", action="store_true", help="a small one, in under three minutes on two cores")
    sub.add_argument("--redraw", action="store_true", help="draw from the metrics in --out, without training")

    sub = add("summary", summary, "Layers, shapes, parameters and multiply-adds of a net.", "cifar_18pct", "alexnet",
              "alexnet --preset original")
    sub.add_argument("model")
    sub.add_argument("--preset", metavar="NAME", help="of alexnet: paper, original, caffe, ... (npnet ledger)")

    sub = add("ledger", ledger, "Every point on which AlexNet's paper, its program, Caffe and torchvision differ.", "",
              "--markdown > docs/ledger.md")
    sub.add_argument("--markdown", action="store_true", help="as a page")

    sub = add("convert", convert, "Caffe's weights (.caffemodel) as npnet's (.safetensors); says what fitted.",
              "bvlc_alexnet.caffemodel --model alexnet --preset caffe --out alexnet.safetensors")
    sub.add_argument("source", type=Path)
    sub.add_argument("--model", required=True)
    sub.add_argument("--preset", metavar="NAME", help="of alexnet; default: caffe")
    sub.add_argument("--classes", type=_positive, default=1000, metavar="N", help="default: 1000")
    sub.add_argument("--out", type=Path, required=True, metavar="FILE")
    sub.add_argument("--partial", action="store_true", help="take what fits; the rest begins anew")

    sub = add("bench", bench, "How fast a net trains on this machine, layer by layer, and against PyTorch.",
              "cifar_18pct", "alexnet --batch 64 --against torch", "googlenet --batch 32 --json")
    sub.add_argument("model", nargs="?", default="cifar_18pct", help="default: cifar_18pct")
    sub.add_argument("--batch", type=_positive, default=128, metavar="N", help="images in a step; default: 128")
    sub.add_argument("--against", choices=("torch",), help="measure PyTorch in turns, in both of its layouts")
    sub.add_argument("--steps", type=_positive, default=9, metavar="N", help="that are counted; default: 9")
    sub.add_argument("--json", action="store_true", help="all numbers, ratio among them")

    add("gradcheck", gradcheck, "Hold every layer's gradient against finite differences.", "", "--backend numpy")
    add("doctor", doctor, "Versions, backend, threads, BLAS, data, speed: is everything in order?", "")
    return top


def _data_option(sub: Parser) -> None:
    sub.add_argument("--data", metavar="DATA", help="cifar10, shapes, or the folder that CIFAR-10 is in")


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number, at least 1")
    return int(text)


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} must be a number greater than 0")
    return value


def download(options: argparse.Namespace) -> int:
    """``npnet download``."""
    from npnet.data import cifar10

    folder = cifar10.download(options.to or os.environ.get("NPNET_DATA") or "data")
    print(f"CIFAR-10 is in {folder}")
    return 0


def data(options: argparse.Namespace) -> int:
    """``npnet data prepare``."""
    from npnet.data.photos import INDEX
    from npnet.data.prepare import Settings, prepare

    settings = Settings(side=options.side, squash=options.squash)
    made = prepare(options.source, options.target, settings, jobs=options.jobs, words=options.words)
    for split, index in made.items():
        folder, skipped = options.target / split, index["skipped"]
        for name, reason in skipped[:5]:
            print(f"skipped: {name}: {reason}", file=sys.stderr)
        more = f", {len(skipped)} skipped ({folder / INDEX} lists them)" if skipped else ""
        print(f"{folder}: {index['images']:,} photos of {len(index['classes'])} classes, {options.side} × "
              f"{options.side}, in {len(index['shards'])} shards{more}")
    return 0


def _is_new(path: Path) -> None:
    if path.exists():
        raise UserError(f"{path}: is there already: --out FILE takes another name, or move it away")


def augment(options: argparse.Namespace) -> int:
    """``npnet augment``."""
    from npnet import plot
    from npnet.data import Photos, photo
    from npnet.data import augment as change

    out = options.out or Path(f"{options.image.stem}-augmented.png")
    if out.suffix not in (".png", ".svg"):
        raise UserError(f"{out}: must end in .png or .svg")
    _is_new(out)
    if not 1 <= options.crop <= photo.SIDE:
        raise UserError(f"--crop (={options.crop}) must be at most {photo.SIDE}")
    if not options.image.is_file():
        raise UserError(f"{options.image}: there is no such file")
    image = photo.square(photo.read(options.image, str(options.image)))
    covariance = Photos(options.data).covariance() if options.data else change.IMAGENET
    rows, boxes = change.shown(image, covariance, options.crop, options.seed)
    plot.sheet(rows, f"{options.image.name}: AlexNet §4.1", [out], boxes)
    count = 2 * (photo.SIDE - options.crop + 1) ** 2
    print(f"{out}: {count:,} crops and mirrors of {options.crop} × {options.crop} are possible"
          + (" (the paper counts 2,048)" if options.crop == 224 else ""))
    return 0


def train(options: argparse.Namespace) -> int:
    """``npnet train``."""
    from dataclasses import replace

    from npnet import data, plot
    from npnet.recipes import RECIPES, trainer

    if options.recipe not in RECIPES:
        raise UserError(f"recipe {options.recipe!r} is not one of {', '.join(RECIPES)} (Figure 1 is npnet figure1)")
    recipe = RECIPES[options.recipe]
    recipe = replace(recipe, epochs=options.epochs or recipe.epochs, rate=options.rate or recipe.rate)
    folder = options.out or Path("runs") / f"{recipe.name}-seed{options.seed}"
    if recipe.crop > 32 and not options.data:
        raise UserError(f"{recipe.name} trains on photos: --data DIR, which npnet data prepare has made")
    name = options.data or _found()
    images = data.load(name, "train")
    if options.images:
        images = images.take(min(options.images, len(images)))
    run = trainer(
        recipe, images, data.load(name, "test"), folder, seed=options.seed, where=name, resume=options.resume,
        checkpoint_minutes=options.checkpoint_minutes,
    )
    history = run.run()
    plot.training(history, f"{recipe.name} on {name}", [folder / "training.svg", folder / "training.png"])
    tested = [line for line in history if "test_error" in line]
    if not tested:
        raise UserError(f"{folder}: its metrics hold no test error: npnet evaluate {folder} measures it")
    speed = tested[-1]["epoch"] * len(images) / max(run.seconds, 1e-9)
    print(f"{recipe.name} on {name}: test error {tested[-1]['test_error']:.1%} after {tested[-1]['epoch']:g} epochs, "
          f"{run.seconds / 60:.1f} minutes, {speed:,.0f} images/s; its author reports {recipe.reported}. "
          f"{folder}")
    return 0


def evaluate(options: argparse.Namespace) -> int:
    """``npnet evaluate``."""
    from dataclasses import asdict

    from tqdm.auto import tqdm

    from npnet.files import write_json
    from npnet.recipes import evaluate_run

    bars: list[Any] = []  # none, if it fails before it has begun

    def show(seen: int, of: int) -> None:
        if not bars:
            unit = " images" if options.views == 1 else " views"
            bars.append(tqdm(total=of, unit=unit, dynamic_ncols=True, leave=False))
        bars[0].update(seen)

    recipe, rate = evaluate_run(options.run, options.data, options.views, show)
    for bar in bars:
        bar.close()
    (low, high), (low5, high5) = rate.interval, rate.interval5
    name = "evaluation.json" if options.views == 1 else f"evaluation-{options.views}-views.json"
    write_json(options.run / name, {**asdict(rate), "interval95": [low, high], "top5_interval95": [low5, high5]})
    views = "" if options.views == 1 else f" of {options.views} views, averaged"
    print(f"{recipe.name}: test error{views} {rate.top1:.2%} (95 % interval {low:.1%} to {high:.1%}), not in the first "
          f"five {rate.top5:.2%} ({low5:.1%} to {high5:.1%}), {rate.images:,} images; its author reports "
          f"{recipe.reported}")
    return 0


def figure1(options: argparse.Namespace) -> int:
    """``npnet figure1``."""
    from npnet.recipes import figure1 as experiment

    if options.redraw:
        if not options.out:
            raise UserError("--redraw needs --out DIR, the folder that holds the figure")
        result, folder = experiment.draw(options.out), options.out
    else:
        name = options.data or _found()
        folder = options.out or Path("runs") / f"figure1-{Path(name).name}{'-quick' if options.quick else ''}"
        settings: dict[str, Any] = experiment.QUICK[experiment.known_as(name)] if options.quick else {}
        asked = {"images": options.images, "epochs": options.epochs}
        settings = {**settings, **{key: value for key, value in asked.items() if value}}
        result = experiment.run(
            name, folder, tuned=options.tune, seeds=options.seeds, workers=options.jobs, resume=options.resume,
            **settings,
        )
    epochs = {a: "not reached" if e is None else f"{e:.1f} epochs" for a, e in result["mean_epochs"].items()}
    ratio = f"ratio {result['ratio']:.1f}" if result["ratio"] else "no ratio"
    print(f"Figure 1 on {result['data']}: {result['level']:.0%} training error with ReLU: {epochs['relu']}, with tanh: "
          f"{epochs['tanh']}; {ratio} (the paper, to 25%: {result['paper_ratio']:g}). {folder / 'figure1.png'}")
    return 0


def _found() -> str:
    """CIFAR-10 where it is found, else the built-in set, which is said."""
    from npnet.data import cifar10

    folder = cifar10.find()
    if folder:
        return "cifar10"
    print("CIFAR-10 is neither in NPNET_DATA nor in data/ (npnet download cifar10 fetches it): "
          "using shapes, the built-in set", file=sys.stderr)
    return "shapes"


def summary(options: argparse.Namespace) -> int:
    """``npnet summary``."""
    from npnet import models
    from npnet.models.summary import text

    arguments = {"preset": options.preset} if options.preset else {}
    print(text(models.build(options.model, **arguments), models.input_shape(options.model, **arguments)))
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

    _is_new(options.out)
    preset = options.preset or ("caffe" if options.model == "alexnet" else None)
    net = models.build(options.model, classes=options.classes, **({"preset": preset} if preset else {}))
    report = caffe.load(net, options.source, models.CAFFE_NAMES.get(options.model), partial=options.partial)
    save_weights(net, options.out)
    print(report)
    print(f"{len(report.matched)} of {len(net.parameters())} parameters are in {options.out}")
    return 0


def bench(options: argparse.Namespace) -> int:
    """``npnet bench``."""
    import json

    from npnet import bench as measure

    result = measure.run(options.model, options.batch, options.against, options.steps, options.threads or 0)
    print(json.dumps(result, indent=1) if options.json else measure.text(result))
    return 0


def gradcheck(options: argparse.Namespace) -> int:
    """``npnet gradcheck``."""
    from tqdm.auto import tqdm

    from npnet import gradcheck as check
    from npnet.kernels import active_name

    failed = 0
    cases = list(check.suite(active_name()))
    for case in tqdm(cases, unit=" layers", leave=False, dynamic_ncols=True):
        report = case.check()
        failed += not report.ok
        tqdm.write(f"{'ok  ' if report.ok else 'FAIL'}  {report.worst.error:7.1e}  {case.name}" if report.worst else
                   f"{'ok  ' if report.ok else 'FAIL'}           {case.name}")
        if not report.ok:
            tqdm.write(str(report))
    print(f"{len(cases) - failed} of {len(cases)} agree with finite differences (worst relative error in the second "
          f"column; tolerance 1e-7, float64, {active_name()})")
    return 1 if failed else 0


def doctor(options: argparse.Namespace) -> int:
    """``npnet doctor``."""
    from npnet.doctor import report

    wrong = 0
    for well, what, how in report():
        wrong += not well
        print(f"{'  ' if well else '! '}{what:15s} {how}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
