"""A published experiment as data, and what runs it."""
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from npnet import data, models
from npnet.data import Images, Loader
from npnet.errors import UserError
from npnet.evaluate import ErrorRate, error_rate
from npnet.files import read_json, write_json
from npnet.kernels import active_name
from npnet.train import SGD, Steps, Trainer
from npnet.train.checkpoint import NAME as CHECKPOINT
from npnet.weights import load_weights

FILE = "recipe.json"
FREE = ("epochs", "reported", "reported_error", "where")
"""What may differ when a run goes on: it changes no bit of what has been trained."""


@dataclass(frozen=True)
class Recipe:
    """All that an experiment is made of, but for the seed and the data themselves.

    The images are the training set's minus its mean image, pixels 0 … 255. `crop` is the side of random crops in
    training (the middle is taken in testing), 0 for none. `rate` falls by `factor` at each of `drops` (epochs).
    `reported` says in words what its author states, `reported_error` the test error as a fraction.
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
    crop: int = 0
    mirror: bool = False
    arguments: dict[str, Any] = field(default_factory=dict)
    reported: str = ""
    reported_error: float | None = None

    def build(self, seed: int, classes: int = 10) -> models.Net:
        """The net, with the initial values of `seed`."""
        return models.build(self.model, classes=classes, seed=seed, **self.arguments)

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
        recipe = Recipe(**{**there, "drops": tuple(there["drops"])})
        if not (recipe.epochs > 0 and isinstance(facts["images"], int) and isinstance(facts["data"], str)):
            raise ValueError(f"epochs (={recipe.epochs}), images (={facts['images']}), data (={facts['data']!r})")
        recipe.build(0)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not a recipe of this version ({error!r}): put the right file there") from None
    return recipe, facts


def loaders(recipe: Recipe, train: Images, test: Images | None, seed: int) -> tuple[Loader, Loader | None]:
    """Of the training set and of the test set, both with the training set's mean image taken off."""
    mean, crop = train.mean_image(), recipe.crop or None
    return (
        Loader(train, recipe.batch, mean=mean, crop=crop, mirror=recipe.mirror, seed=seed),
        Loader(test, 500, mean=mean, crop=crop, train=False) if test else None,
    )


def trainer(
    recipe: Recipe,
    train: Images,
    test: Images | None = None,
    folder: Path | None = None,
    *,
    seed: int = 0,
    where: str | Path | None = None,
    resume: bool = False,
    until: Callable[[list[dict[str, Any]]], bool] | None = None,
    checkpoint_minutes: float = 2.0,
    checkpoint_steps: int = 0,
    progress: bool = True,
    label: str = "",
) -> Trainer:
    """Everything that `recipe` says, put together and ready to `run`.

    where : what the data were loaded by; remembered, so that `evaluate_run` finds them again.

    Raises UserError if `folder` holds a run and `resume` is not asked for, or the run there is another one: nothing of
    it is overwritten.
    """
    facts = {"data": train.name, "images": len(train), "seed": seed, "backend": active_name()}
    if where and where not in data.NAMES:
        facts["where"] = str(Path(where).resolve())
    new = folder is None or _is_new(recipe, folder, facts, resume)
    net = recipe.build(seed, len(train.classes))
    train_loader, test_loader = loaders(recipe, train, test, seed)

    def evaluate() -> dict[str, Any]:
        assert test_loader is not None
        rate = error_rate(net, test_loader)
        return {"test_error": rate.top1, "test_top5": rate.top5}

    run = Trainer(
        net, train_loader, SGD(net.parameters(), recipe.rate, recipe.momentum, recipe.weight_decay),
        Steps(recipe.rate, recipe.drops, recipe.factor), recipe.epochs, folder,
        begin=(lambda: recipe.save(folder, **facts)) if folder and new else None,
        evaluate=evaluate if test_loader else None, until=until, checkpoint_minutes=checkpoint_minutes,
        checkpoint_steps=checkpoint_steps, progress=progress, label=label or recipe.name,
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
        ours, theirs = {**asdict(recipe), **facts}, {**asdict(there), **were}
        differs = ", ".join(f"{k} {theirs.get(k)!r} there, {ours[k]!r} here"
                            for k in ours if ours[k] != theirs.get(k) and k not in FREE)
        if differs:
            raise UserError(f"{folder}: holds another run ({differs}): choose another folder with --out DIR")
        return recipe.epochs > there.epochs
    return True


def evaluate_run(folder: Path, where: str | Path | None = None) -> tuple[Recipe, ErrorRate]:
    """Test error of the run in `folder`, by its last checkpoint; `where` names other data than it was trained on.

    The mean image is that of as many training images as the run had.
    """
    recipe, facts = load(folder)
    name = where or facts.get("where") or facts["data"].split()[0]
    train, test = data.load(name, "train"), data.load(name, "test")
    train = train.take(min(facts["images"], len(train)))
    net = recipe.build(0, len(train.classes))
    load_weights(net, folder / CHECKPOINT)
    _, loader = loaders(recipe, train, test, 0)
    assert loader is not None
    return recipe, error_rate(net, loader)
