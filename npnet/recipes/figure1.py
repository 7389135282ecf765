"""AlexNet's Figure 1: how many epochs a net needs to 25 % training error with ReLU, and with tanh.

The paper (§3.1): a four-layer convolutional net on CIFAR-10, no regularisation of any kind, the learning rate of each
activation chosen on its own so that training is as fast as possible. Which net it was is nowhere published; this is
cuda-convnet's 19pct without its weight decay (`npnet.models.cifar_figure1`).

Training error is measured as the program of 2011 did, on the images as they are learnt from, before the update; here as
the mean over an epoch's worth of them, every fifth of an epoch (`curve`).
"""
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from npnet import data, plot
from npnet.errors import UserError
from npnet.files import read_json, write_json
from npnet.train import Diverged, metrics

from . import parallel
from .recipe import Recipe, load, trainer

LEVEL = 0.25
"""The training error at which the paper's figure draws its line."""

PAPER_RATIO = 6.0
"""The paper: the net with ReLUs reaches it six times faster than the one with tanh."""

ACTIVATIONS = ("relu", "tanh")

RATES = {"cifar10": {"relu": 0.004, "tanh": 0.008}, "shapes": {"relu": 0.002, "tanh": 0.016}}
"""Learning rates: for CIFAR-10 chosen by `tune` (results/figure1/tuning.json), for shapes tried by hand."""

QUICK: dict[str, dict[str, Any]] = {
    "cifar10": {"epochs": 4, "level": 0.5},
    "shapes": {"epochs": 15, "level": LEVEL},
}
"""What `npnet figure1 --quick` trains: in under three minutes on two cores. On CIFAR-10 only as far as 50 %."""

GRID = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064)
"""Learning rates that `tune` tries."""

HEATS = ((2, 4), (8, 2))
"""In `tune`: of each activation's rates the best 4 go on after 2 epochs, the best 2 after 8, these to 25 %."""

TUNING_SEED = 1000
"""Rates are chosen on another seed than those that are reported."""


@dataclass(frozen=True)
class Job:
    """One training: what a worker process is told."""

    activation: str
    rate: float
    seed: int
    epochs: int
    level: float
    data: str
    images: int
    folder: Path
    resume: bool
    progress: bool

    @property
    def label(self) -> str:
        return f"{self.activation}, rate {self.rate:g}, seed {self.seed}"


def known_as(name: str) -> str:
    """The set that `name` stands for, "shapes" or "cifar10", or a folder of photos."""
    if data.is_prepared(name):
        return f"photos in {Path(name).name}"
    return name if name in data.NAMES else "cifar10"


def quick(name: str) -> dict[str, Any]:
    """Settings of `run` for a look at it; for photos, CIFAR-10's."""
    return QUICK.get(known_as(name), QUICK["cifar10"])


def recipe(activation: str, rate: float, epochs: int) -> Recipe:
    """The experiment with one of the two activations."""
    return Recipe(
        "figure1", "cifar_figure1", epochs=epochs, rate=rate, weight_decay=0.0, arguments={"activation": activation},
        reported="25 % training error six times faster with ReLU than with tanh",
    )


def crossing(lines: Sequence[dict[str, Any]], level: float = LEVEL) -> float | None:
    """The epoch at which the training error first reaches `level`, linear between two measurements. None: never.

    A measurement stands for the middle of the images it was made on. There is none before the first.
    """
    points = curve(lines)
    for (e0, y0), (e1, y1) in zip(points[:1] + points, points, strict=False):
        if y1 <= level:
            return e0 + (e1 - e0) * (y0 - level) / (y0 - y1) if y0 > level else e1
    return None


def curve(lines: Sequence[dict[str, Any]]) -> list[tuple[float, float]]:
    """(epoch, training error): the mean over the epoch that ends at each line, at the middle of its images.

    In the first epoch, over as much of it as there has been. A whole epoch, because each has an order of its own: what
    comes early in it was, on average, last learnt from half an epoch ago, and what comes late a whole one. At tanh's
    large learning rates the error is 3 or 4 % less in an epoch's first fifth than in its last.
    """
    points, parts, before = [], [], 0.0
    for line in lines:
        if "error" in line:
            parts.append((before, line["epoch"], line["error"]))
            before = line["epoch"]
            parts = [part for part in parts if part[0] > before - 1.001] or parts[-1:]
            span = sum(end - start for start, end, _ in parts)
            mean = sum((end - start) * error for start, end, error in parts) / span
            points.append(((parts[0][0] + before) / 2, mean))
    return points


def train_one(job: Job) -> str | None:
    """Train, or go on training, into the job's folder. Returns what went wrong, if it diverged."""
    train = data.load(job.data, "train", job.images or None)
    run = trainer(
        recipe(job.activation, job.rate, job.epochs), train, folder=job.folder, seed=job.seed, where=job.data,
        resume=job.resume, until=lambda lines: crossing(lines, job.level) is not None, progress=job.progress,
        label=job.label,
    )
    try:
        run.run()
    except Diverged as error:
        return str(error)
    return None


def train_all(jobs: Sequence[Job], number: int, progress: bool) -> dict[Job, str | None]:
    """All of them, `number` at a time. Returns what went wrong with each."""
    from tqdm.auto import tqdm

    results = {}
    several = progress and number > 1  # a single one shows its own progress
    with closing(parallel.each(train_one, jobs, number)) as ends, tqdm(
        total=len(jobs), unit=" runs", disable=not several
    ) as bar:
        for job, failure in ends:
            results[job] = failure
            bar.update()
            if several:
                epochs = crossing(metrics.read(job.folder), job.level)
                reached = f"after {epochs:.1f}" if epochs else f"not after {job.epochs}"
                bar.write(f"{job.label}: {failure or f'{job.level:.0%} {reached} epochs'}")
    return results


def tune(
    name: str, folder: Path, epochs: int, images: int, workers: int, resume: bool, progress: bool
) -> dict[str, float]:
    """For each activation the rate of `GRID` that learns fastest. Written to ``tuning.json``.

    In heats (`HEATS`): all rates train for some epochs, the best go on, and the last two race to 25 %. A rate is better
    than another if it has reached 25 % in fewer epochs, or, where neither has, if its training error is less. (With
    tanh the largest rates lead at first, and are overtaken: a short race would choose a rate that is too large.)
    """
    standing = {a: list(GRID) for a in ACTIVATIONS}
    failed: dict[tuple[str, float], str] = {}
    for i, (length, keep) in enumerate([*HEATS, (epochs, 1)]):
        jobs = [
            Job(a, rate, TUNING_SEED, min(length, epochs), LEVEL, name, images, _heat(folder, a, rate), resume or i > 0,
                progress and workers <= 1)
            for a in ACTIVATIONS for rate in standing[a]
        ]
        results = train_all(jobs, workers, progress)
        failed.update({(job.activation, job.rate): why.split(" (")[0] for job, why in results.items() if why})
        for a in ACTIVATIONS:
            places = {rate: _rank(metrics.read(_heat(folder, a, rate)), length)
                      for rate in standing[a] if (a, rate) not in failed}
            standing[a] = sorted(places, key=places.__getitem__)[:keep]
            if not standing[a]:
                raise UserError(f"tuning: with {a} the loss is not finite at any learning rate of {GRID}")
    chosen = {a: rates[0] for a, rates in standing.items()}
    table = []
    for a in ACTIVATIONS:
        for rate in GRID:
            lines = metrics.read(_heat(folder, a, rate))
            table.append({"activation": a, "rate": rate, "epochs_trained": lines[-1]["epoch"] if lines else 0,
                          "last_error": lines[-1]["error"] if lines else None,
                          "epochs_to_25_percent": crossing(lines), "diverged": failed.get((a, rate))})
    write_json(folder / "tuning.json", {
        "data": name, "images": images, "seed": TUNING_SEED, "epochs": epochs, "chosen": chosen, "runs": table})
    return chosen


def _heat(folder: Path, activation: str, rate: float) -> Path:
    return folder / "tuning" / f"{activation}-{rate:g}"


def _rank(lines: Sequence[dict[str, Any]], epochs: int) -> tuple[float, float]:
    """After so many epochs: who has reached 25 % leads, by when; then who has the least error."""
    lines = [line for line in lines if line["epoch"] <= epochs]
    return crossing(lines) or float("inf"), lines[-1]["error"] if lines else float("inf")


def run(
    name: str, folder: Path, *, rates: dict[str, float] | None = None, tuned: bool = False, seeds: int = 1,
    epochs: int = 60, images: int = 0, level: float = LEVEL, workers: int = 1, resume: bool = False,
    progress: bool = True,
) -> dict[str, Any]:
    """Train with both activations and `seeds` seeds each, into folders below `folder`, and `draw`.

    name : "cifar10", "shapes" or a folder.  tuned : choose the rates first (`tune`).  images : train on so many only
    (0: all).  level : the training error that is waited for. Training ends there, or after `epochs`.
    """
    if not 0 < level < 1:
        raise ValueError(f"level (={level}) must be more than 0 and less than 1")
    rates = rates or RATES.get(known_as(name), RATES["cifar10"])
    chosen = tune(name, folder, epochs, images, workers, resume, progress) if tuned else rates
    jobs = [
        Job(a, chosen[a], seed, epochs, level, name, images, folder / f"{a}-seed{seed}", resume,
            progress and workers <= 1)
        for a in reversed(ACTIVATIONS) for seed in range(seeds)  # the slow one first: no worker is idle at the end
    ]
    for job, failure in train_all(jobs, workers, progress).items():
        if failure:
            raise UserError(f"{job.label}: {failure}")
    told = ("activation", "rate", "seed", "epochs")
    runs = [{**{key: asdict(job)[key] for key in told}, "folder": job.folder.name} for job in jobs]
    facts = {
        "data": known_as(name), "images": images and load(jobs[0].folder)[1]["images"], "seeds": seeds, "level": level,
        "rates": chosen, "runs": runs,
    }
    write_json(folder / "figure1.json", facts)
    return draw(folder)


def draw(folder: Path) -> dict[str, Any]:
    """``figure1.svg`` and ``.png`` and ``summary.json`` from the metrics in `folder`, without training.

    Raises UserError if there are none.
    """
    path = folder / "figure1.json"
    if not path.exists():
        raise UserError(f"{folder}: holds no Figure 1 (no figure1.json): npnet figure1 --out {folder} makes one")
    facts = read_json(path, "a Figure 1's record")
    if missing := {"data", "images", "level", "rates", "runs"} - facts.keys():
        raise UserError(f"{path}: has no {', '.join(sorted(missing))}: put the right file there")
    try:
        return _drawn(folder, facts)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not a Figure 1's record ({error!r}): put the right file there") from None


def _drawn(folder: Path, facts: dict[str, Any]) -> dict[str, Any]:
    level = facts["level"]
    curves: dict[str, list[list[tuple[float, float]]]] = {a: [] for a in ACTIVATIONS}
    epochs: dict[str, list[float | None]] = {a: [] for a in ACTIVATIONS}
    for row in facts["runs"]:
        lines = metrics.read(folder / row["folder"])
        if not lines:
            raise UserError(f"{folder / row['folder'] / metrics.NAME}: is missing or empty: put it back")
        curves[row["activation"]].append(curve(lines))
        epochs[row["activation"]].append(crossing(lines, level))
    means = {a: _mean(epochs[a]) for a in ACTIVATIONS}
    relu, tanh = means["relu"], means["tanh"]
    ratio = tanh / relu if relu and tanh else None
    paired = [t / r for r, t in zip(epochs["relu"], epochs["tanh"], strict=True) if r and t]
    summary = {
        "data": facts["data"], "images": facts["images"], "rates": facts["rates"], "level": level, "epochs": epochs,
        "mean_epochs": means, "ratio": ratio, "ratio_by_seed": paired, "paper_ratio": PAPER_RATIO,
    }
    write_json(folder / "summary.json", summary)
    names = {"cifar10": "CIFAR-10", "shapes": "shapes, the built-in set (not CIFAR-10)"}
    title = names.get(facts["data"], str(facts["data"]))
    if facts["images"]:
        title += f", {facts['images']:,} images"
    plot.figure1(curves, means, facts["rates"], level, title, [folder / "figure1.svg", folder / "figure1.png"])
    return summary


def _mean(values: Sequence[float | None]) -> float | None:
    """None if any run did not get there."""
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None
