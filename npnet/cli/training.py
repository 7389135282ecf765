"""Commands that train: train, finetune, figure1."""
import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npnet.errors import UserError

from .options import Add, Parser, data_option, found, layer_rate, positive, rate, reported, switch, training_images

if TYPE_CHECKING:
    from npnet.data import Images
    from npnet.recipes import Recipe
    from npnet.train import Trainer


def add_to(add: Add) -> None:
    """The commands, and their options."""
    sub = add("train", train, "Train a net by its published recipe.",
              "cifar_80sec", "cifar_18pct --data shapes --epochs 5", "cifar_80sec --out runs/a --resume",
              "alexnet --data prepared/ --no-augmentation --switch dropout=0",
              "alexnet --data prepared/ --from alexnet.safetensors --layer-rate conv1=0.1 --out runs/tuned")
    sub.add_argument("recipe")
    data_option(sub)
    sub.add_argument("--out", type=Path, metavar="DIR", help="folder of the run; default: runs/RECIPE-seedN")
    sub.add_argument("--epochs", type=positive, metavar="N", help="default: the recipe's")
    sub.add_argument("--rate", type=rate, metavar="R", help="learning rate at the beginning; default: the recipe's")
    sub.add_argument("--no-augmentation", dest="augmentation", action="store_false", help="the centre of each picture")
    sub.add_argument("--switch", type=switch, action="append", default=[], metavar="NAME=VALUE",
                     help="of alexnet, as dropout=0 (npnet ledger names them)")
    sub.add_argument("--from", dest="start", type=Path, metavar="FILE",
                     help="fine-tune: begin with these weights (.safetensors), or with a run's")
    sub.add_argument("--new", action="append", default=[], metavar="LAYER",
                     help="that begins anew; default: the last, if there are other classes")
    sub.add_argument("--layer-rate", type=layer_rate, action="append", default=[], metavar="LAYER=TIMES",
                     help="its learning rate is so many times the others': conv1=0 learns no more")
    _run_options(sub)

    sub = add("finetune", finetune, "A trained net learns other classes: its last layer anew, the others slowly.",
              "runs/bvlc_googlenet --data prepared/ --epochs 5", "runs/bvlc_googlenet --data prepared/ --scratch")
    sub.add_argument("run", type=Path, metavar="RUN", help="folder that npnet train, convert or download wrote")
    data_option(sub)
    sub.add_argument("--epochs", type=positive, default=5, metavar="N", help="default: 5")
    sub.add_argument("--rate", type=rate, metavar="R", help="learning rate; default: a tenth of the run's")
    sub.add_argument("--scratch", action="store_true", help="the same net, trained on the same from the beginning")
    sub.add_argument("--out", type=Path, metavar="DIR", help="default: RUN-tuned, or RUN-scratch")
    _run_options(sub)

    sub = add("figure1", figure1, "AlexNet's Figure 1: training error with ReLU and with tanh.",
              "", "--quick", "--data cifar10 --tune --seeds 3 --jobs 2", "--redraw --out results/figure1")
    data_option(sub)
    sub.add_argument("--tune", action="store_true", help="choose both learning rates first, and show how")
    sub.add_argument("--seeds", type=positive, default=1, metavar="N", help="runs of each activation; default: 1")
    sub.add_argument("--out", type=Path, metavar="DIR", help="default: runs/figure1-DATA")
    sub.add_argument("--epochs", type=positive, metavar="N", help="at most; default: 60")
    sub.add_argument("--images", type=positive, metavar="N", help="train on so many only; default: all")
    sub.add_argument("--jobs", type=positive, default=1, metavar="N", help="trainings at the same time; default: 1")
    sub.add_argument("--resume", action="store_true", help="go on with what is in --out")
    sub.add_argument("--quick", action="store_true", help="a small one, in under three minutes on two cores")
    sub.add_argument("--redraw", action="store_true", help="draw from the metrics in --out, without training")


def _run_options(sub: Parser) -> None:
    """Of every training of one net."""
    sub.add_argument("--images", type=positive, metavar="N", help="train on so many only; default: all")
    sub.add_argument("--batch", type=positive, metavar="N", help="images in a step; default: the recipe's")
    sub.add_argument("--seed", type=int, default=0, metavar="N")
    sub.add_argument("--draws", type=int, metavar="N", help="another seed for the images' order and crops alone")
    sub.add_argument("--resume", action="store_true", help="go on with the run in --out")
    sub.add_argument("--checkpoint-minutes", type=rate, default=2.0, metavar="M", help="default: 2")


def train(options: argparse.Namespace) -> int:
    """``npnet train``."""
    from dataclasses import replace

    from npnet import data
    from npnet.recipes import known, trainer
    from npnet.train.checkpoint import NAME as CHECKPOINT

    recipe = known(options.recipe)
    recipe = replace(recipe, epochs=options.epochs or recipe.epochs, rate=options.rate or recipe.rate,
                     batch=options.batch or recipe.batch, augmentation=options.augmentation,
                     slow=(*recipe.slow, *((0.0, *one) for one in options.layer_rate)))
    if options.new and not options.start:
        raise UserError("--new is for fine-tuning: --from FILE names the weights that the other layers begin with")
    start = options.start / CHECKPOINT if options.start and options.start.is_dir() else options.start
    if options.switch:
        recipe = recipe.switched(**dict(options.switch))
    folder = options.out or Path("runs") / f"{recipe.name}-seed{options.seed}"
    name, images = training_images(recipe, options.data, options.images)
    run = trainer(
        recipe, images, data.load(name, "test"), folder, seed=options.seed, draws=options.draws, where=name,
        start=start, new=options.new, resume=options.resume, checkpoint_minutes=options.checkpoint_minutes,
    )
    return _train(run, recipe, images, folder)


def _train(run: "Trainer", recipe: "Recipe", images: "Images", folder: Path) -> int:
    """To the end; then its curves, and a line of what came of it."""
    from npnet import plot

    history, known_as = run.run(), images.name.removesuffix(" train")
    plot.training({folder.name: history}, f"{recipe.name} on {known_as}",
                  [folder / "training.svg", folder / "training.png"], 1 - 1 / len(images.classes))
    tested = [line for line in history if "test_error" in line]
    if not tested:
        raise UserError(f"{folder}: its metrics hold no test error: npnet evaluate {folder} measures it")
    last = tested[-1]
    speed = last["epoch"] * len(images) / max(run.seconds, 1e-9)
    waited = sum(line.get("waited", 0.0) for line in history) / max(run.seconds, 1e-9)
    mean = f" ({last['averaged_error']:.1%} with the mean of the weights)" if "averaged_error" in last else ""
    print(f"{recipe.name} on {known_as}: test error {last['test_error']:.1%}{mean} after {last['epoch']:g} epochs, "
          f"{run.seconds / 60:.1f} minutes, {speed:,.0f} images/s, {waited:.1%} of the time waiting for data"
          f"{reported(recipe)}. {folder}")
    return 0


def finetune(options: argparse.Namespace) -> int:
    """``npnet finetune``."""
    from dataclasses import replace

    from npnet import data
    from npnet.recipes.finetune import finetuner, tuning

    recipe = tuning(options.run, options.epochs, options.rate, options.scratch)
    recipe = replace(recipe, batch=options.batch or recipe.batch)
    name, images = training_images(recipe, options.data, options.images)
    run = options.run.resolve()
    folder = options.out or run.with_name(f"{run.name}-{'scratch' if options.scratch else 'tuned'}")
    made = finetuner(
        recipe, options.run, images, data.load(name, "test"), folder, scratch=options.scratch, seed=options.seed,
        draws=options.draws, where=name, resume=options.resume, checkpoint_minutes=options.checkpoint_minutes,
    )
    return _train(made, recipe, images, folder)


def figure1(options: argparse.Namespace) -> int:
    """``npnet figure1``."""
    from npnet.recipes import figure1 as experiment

    if options.redraw:
        if not options.out:
            raise UserError("--redraw needs --out DIR, the folder that holds the figure")
        result, folder = experiment.draw(options.out), options.out
    else:
        name = options.data or found()
        folder = options.out or Path("runs") / f"figure1-{Path(name).name}{'-quick' if options.quick else ''}"
        settings: dict[str, Any] = experiment.quick(name) if options.quick else {}
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
