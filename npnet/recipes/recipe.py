"""A published experiment as data, and what runs it."""
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npnet import data, models
from npnet.data import Images, Loader, augment
from npnet.errors import UserError
from npnet.evaluate import error_rate
from npnet.files import load_arrays, read_json, save_arrays, write_json
from npnet.kernels import Shape, active_name
from npnet.train import SGD, Average, Every, Plateau, Polynomial, Steps, Trainer
from npnet.train.checkpoint import NAME as CHECKPOINT
from npnet.train.plan import check_room
from npnet.weights import begin_from

FILE, INPUT = "recipe.json", "input.safetensors"
FREE = ("epochs", "reported", "reported_error", "where", "classes")
"""What may differ when a run goes on: it changes no bit of what has been trained, or follows from the data."""
OPTIONAL = ("draws", "start", "anew")
"""Written down of a run that was begun with them alone; without them it is another run."""


@dataclass(frozen=True)
class Recipe:
    """All that an experiment is made of, but for the seed and the data themselves.

    The images are the training set's minus its mean image, pixels 0 … 255. With `whole`, every batch has `batch`
    images, if there are as many. `crop` is the side of random crops in training (the middle is taken in testing), 0 for
    none; `whole`, `together`, `gain`, `sampling` and `colour_epochs` as in `Loader`. `colour` is "" for none, "printed"
    or "roots": see `augment.colour_axes`. Without `augmentation`, training sees the middle too, and nothing else is
    drawn. `rate` falls by `factor` at each of `drops` (epochs), or, with `patience`, when the test error has not fallen
    for so many epochs (`Plateau`), or `every` so many epochs, or with `power` to 0 at the end (`Polynomial`); `slow` as
    in `Steps`. Of the last epochs, such a share of them all, the weights are `averaged` (`train.Average`). `reported`
    says in words what its author states, `reported_error` the test error as a fraction.
    """

    name: str
    model: str
    epochs: float
    rate: float
    drops: tuple[float, ...] = ()
    factor: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1.0
    batch: int = 128
    whole: bool = False
    crop: int = 0
    mirror: bool = False
    together: int = 1
    colour: str = ""
    colour_epochs: int | None = None
    gain: float = 1.0
    sampling: bool = False
    augmentation: bool = True
    patience: int = 0
    every: float = 0.0
    power: float = 0.0
    averaged: float = 0.0
    slow: tuple[tuple[float, str, float], ...] = ()
    arguments: dict[str, Any] = field(default_factory=dict)
    reported: str = ""
    reported_error: float | None = None

    def build(self, seed: int, classes: int = 10) -> models.Net:
        """The net, with the initial values of `seed`."""
        return models.build(self.model, classes=classes, seed=seed, **self.arguments)

    def switched(self, **changed: object) -> "Recipe":
        """The same with some of its net's switches set otherwise, and crops of the size that the net then takes.

        Raises ValueError for a switch that there is not, and for a net that has none.
        """
        arguments = {**self.arguments, **changed}
        models.switches(self.model, **arguments)
        return replace(self, arguments=arguments, crop=models.input_shape(self.model, **arguments)[1])

    def save(self, folder: Path, **facts: Any) -> None:
        """Into the folder of a run, with facts about it."""
        write_json(folder / FILE, {"recipe": asdict(self), **facts})


def load(folder: Path) -> tuple[Recipe, dict[str, Any]]:
    """The recipe of the run in `folder`, and the facts about it."""
    path = folder / FILE
    if not path.exists():
        raise UserError(f"{folder}: holds no run (no {FILE}): name a folder that npnet train wrote")
    facts = read_json(path, "a run's recipe")
    try:
        there = facts.pop("recipe")
        slow = tuple((start, layer, times) for start, layer, times in there.get("slow", ()))
        recipe = Recipe(**{**there, "drops": tuple(there["drops"]), "slow": slow})
        if not (recipe.epochs > 0 and isinstance(facts["images"], int) and isinstance(facts["data"], str)):
            raise ValueError(f"epochs (={recipe.epochs}), images (={facts['images']}), data (={facts['data']!r})")
        recipe.build(0)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not a recipe of this version ({error!r}): put the right file there") from None
    return recipe, facts


def save_input(folder: Path, mean: NDArray[np.float32], classes: Sequence[str], words: dict[str, str]) -> None:
    """Into the folder of a run, what its net needs to know of its training images, so that it can do without them."""
    save_arrays(folder / INPUT, {"mean": mean}, {"classes": list(classes), "words": words})


def load_input(folder: Path) -> tuple[NDArray[np.float32], tuple[str, ...], dict[str, str]]:
    """What `save_input` wrote: the mean, the classes, and what their names mean."""
    arrays, facts = load_arrays(folder / INPUT)
    try:
        mean, classes, words = arrays["mean"], tuple(facts["classes"]), dict(facts["words"])
        if mean.ndim != 3 or not classes:
            raise ValueError(f"mean (={mean.shape}), {len(classes)} classes")
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder / INPUT}: not what a net knows of its images ({error!r}): put the right file there"
                        ) from None
    return mean, classes, words


def loaders(
    recipe: Recipe, train: Images, test: Images | None, seed: int, mean: NDArray[np.float32] | None = None
) -> tuple[Loader, Loader | None]:
    """Of the training set and of the test set, both with the training set's mean image taken off, or another `mean`."""
    check_crop(recipe, train)
    if recipe.colour not in ("", "printed", "roots"):
        raise UserError(f"{recipe.name}: colour (={recipe.colour!r}) must be '', 'printed' or 'roots'")
    colour = augment.colour_axes(train.covariance(), recipe.colour == "roots") if recipe.colour else None
    mean = train.mean_image() if mean is None else mean
    return (
        Loader(train, recipe.batch, whole=recipe.whole and len(train) >= recipe.batch, mean=mean,
               crop=recipe.crop or None, mirror=recipe.mirror, together=recipe.together, draw=recipe.augmentation,
               colour=colour, colour_epochs=recipe.colour_epochs, gain=recipe.gain,
               sampling=recipe.sampling, seed=seed),
        still_loader(recipe, mean, test) if test else None,
    )


def check_crop(recipe: Recipe, train: Images) -> Shape:
    """The shape (C, H, W) of what the net gets of these images. Raises UserError if it takes no such."""
    channels, height, width = train.shape
    if recipe.crop:
        if recipe.crop > min(height, width):
            raise UserError(f"{recipe.name} takes crops of {recipe.crop} × {recipe.crop} pixels, and {train.name} has "
                            f"{height} × {width}: npnet data prepare makes photos ready, --data DIR takes them")
        return channels, recipe.crop, recipe.crop
    _, *side = models.input_shape(recipe.model, **recipe.arguments)
    if [height, width] != side:
        raise UserError(f"{recipe.name} takes images of {side[0]} × {side[1]} pixels, and {train.name} has "
                        f"{height} × {width}: npnet data prepare --side {side[0]} makes photos ready")
    return train.shape


def still_loader(recipe: Recipe, mean: NDArray[np.float32], images: Images, view: int | None = None) -> Loader:
    """Images as they are tested: in order, their centres or another view. Of large ones so many at a time as a step has
    memory for."""
    few = recipe.batch if images.shape[1] > 64 else 500
    return Loader(images, few, mean=mean, crop=recipe.crop or None, train=False, view=view)


def schedule(recipe: Recipe) -> Steps:
    """How the rate falls."""
    ways = {name: getattr(recipe, name) for name in ("drops", "patience", "every", "power") if getattr(recipe, name)}
    if len(ways) > 1:
        raise UserError(f"{recipe.name}: its rate falls in one way, not in {len(ways)}: "
                        f"{', '.join(f'{name} (={value})' for name, value in ways.items())}")
    if recipe.patience:
        return Plateau(recipe.rate, recipe.patience, factor=recipe.factor, slow=recipe.slow)
    if recipe.every:
        return Every(recipe.rate, recipe.every, recipe.factor, recipe.slow)
    if recipe.power:
        return Polynomial(recipe.rate, recipe.epochs, recipe.power, recipe.slow)
    return Steps(recipe.rate, recipe.drops, recipe.factor, recipe.slow)


def trainer(
    recipe: Recipe,
    train: Images,
    test: Images | None = None,
    folder: Path | None = None,
    *,
    seed: int = 0,
    draws: int | None = None,
    where: str | Path | None = None,
    start: Path | None = None,
    new: Sequence[str] = (),
    mean: NDArray[np.float32] | None = None,
    resume: bool = False,
    until: Callable[[list[dict[str, Any]]], bool] | None = None,
    checkpoint_minutes: float = 2.0,
    checkpoint_steps: int = 0,
    progress: bool = True,
    label: str = "",
) -> Trainer:
    """Everything that `recipe` says, put together and ready to `run`.

    draws : seed of what is drawn of the images (order, crops, mirrors, colours), in place of `seed`. GoogLeNet §7: nets
        that begin with the same weights and differ in this alone.
    where : what the data were loaded by; remembered, so that `trained` finds them again.
    start, new : weights to begin with, and which layers begin anew all the same: `npnet.weights.begin_from`.
    mean : what those weights' images were less, in place of the training set's own.

    Raises UserError if `folder` holds a run and `resume` is not asked for, or the run there is another one: nothing of
    it is overwritten.
    """
    facts = {"data": train.name, "images": len(train), "classes": len(train.classes), "seed": seed,
             "backend": active_name()}
    if where and where not in data.NAMES:
        facts["where"] = str(Path(where).resolve())
    if draws is not None:
        facts["draws"] = draws
    if start:
        facts |= {"start": str(start.resolve()), "anew": list(new)}
    writes = folder is None or _is_new(recipe, folder, facts, resume)
    shape, batch = check_crop(recipe, train), min(recipe.batch, len(train))
    check_room(lambda: recipe.build(seed, len(train.classes)), shape, batch, bool(recipe.averaged))
    net = recipe.build(seed, len(train.classes))
    if start:
        begin_from(net, start, new)
    mean = train.mean_image() if mean is None else mean
    if folder and resume:
        _check_images(folder, mean, train.classes)
    train_loader, test_loader = loaders(recipe, train, test, seed if draws is None else draws, mean)

    def begin(folder: Path) -> None:
        save_input(folder, mean, train.classes, getattr(train, "words", {}))
        recipe.save(folder, **facts)  # last: where it is, all is

    def evaluate() -> dict[str, Any]:
        assert test_loader is not None
        rate = error_rate(net, test_loader)
        return {"test_error": rate.top1, "test_top5": rate.top5}

    run = Trainer(
        net, train_loader, SGD(net.parameters(), recipe.rate, recipe.momentum, recipe.weight_decay),
        schedule(recipe), recipe.epochs, folder,
        begin=(lambda: begin(folder)) if folder and writes else None,
        evaluate=evaluate if test_loader else None, until=until, checkpoint_minutes=checkpoint_minutes,
        loss=models.loss(net), average=Average(net.parameters()) if recipe.averaged else None,
        average_from=round(recipe.epochs * (1 - recipe.averaged), 9), checkpoint_steps=checkpoint_steps,
        progress=progress, label=label or recipe.name,
    )
    if folder and resume:
        run.resume()
    return run


def _is_new(recipe: Recipe, folder: Path, facts: dict[str, Any], resume: bool) -> bool:
    """Must the recipe be written into `folder`? Raises UserError if another run is there."""
    if (folder / FILE).exists():
        there, were = load(folder)
        if not resume:
            raise UserError(f"{folder}: holds a run of {there.name} already: --resume goes on with it, --out DIR "
                            f"takes another folder")
        fixed = ("epochs",) if recipe.power or recipe.averaged else ()  # so many change what has been done
        free = [name for name in FREE if name not in fixed]
        ours, theirs = (json.loads(json.dumps(both)) for both in (  # as it is stored: lists, for tuples
            {**asdict(recipe), **facts}, {**asdict(there), **were}))
        compared = [name for name in dict.fromkeys((*ours, *OPTIONAL)) if name not in free]
        differs = ", ".join(f"{k} {theirs.get(k)!r} there, {ours.get(k)!r} here"
                            for k in compared if ours.get(k) != theirs.get(k))
        if differs:
            raise UserError(f"{folder}: holds another run ({differs}): choose another folder with --out DIR")
        return recipe.epochs > there.epochs
    if resume and (folder / CHECKPOINT).exists():
        raise UserError(f"{folder}: holds a checkpoint and no {FILE}, which says of what run: put it back, or choose "
                        f"another folder with --out DIR")
    return True


def _check_images(folder: Path, mean: NDArray[np.float32], classes: Sequence[str]) -> None:
    """Raises UserError if the run in `folder` was trained on other images, as far as their mean and classes tell."""
    if not (folder / INPUT).exists():
        return
    was, named, _ = load_input(folder)
    if named != tuple(classes):
        differs = f"classes {', '.join(named[:5])} … there, {', '.join(classes[:5])} … here"
    elif was.shape != mean.shape or not np.allclose(was, mean, rtol=0, atol=1e-3):  # rounding may differ
        differs = "their mean is another one"
    else:
        return
    raise UserError(f"{folder}: was trained on other images ({differs}): --data DIR names those it was trained on, "
                    f"--out DIR another folder")
