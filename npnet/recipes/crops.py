"""Trained nets asked about several crops of photos as they are. GoogLeNet §7, Table 3."""
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from npnet.data import augment
from npnet.data.crops import CENTRE, COUNT, TEN, crops
from npnet.data.dataset import places
from npnet.data.pictures import Pictures
from npnet.errors import UserError
from npnet.evaluate import ErrorRate, rate_of
from npnet.evaluate.crops import Combined, combined

from .recipe import Recipe
from .runs import Progress, Trained, trained


def evaluate_photos(
    folders: Sequence[Path], pictures: Pictures, views: int = 1, progress: Progress = lambda seen, of: None,
) -> tuple[list[Recipe], ErrorRate]:
    """`evaluate_runs` on photos as they are, of which there are 1, 10, or 144 views (GoogLeNet §7)."""
    way = {str(views): (list(range(views)), "mean")}
    runs = [trained(folder) for folder in folders]
    total = len(runs) * views * len(pictures)
    labels = _labels_of(runs, pictures)
    found = [answers(run, pictures, way, views, lambda seen: progress(seen, total))[str(views)] for run in runs]
    return [run.recipe for run in runs], rate_of(runs[0].net, sum(found[1:], found[0]) / len(found), labels)


def _labels_of(runs: Sequence[Trained], pictures: Pictures) -> NDArray[np.int64]:
    """As places in the runs' classes. Raises UserError if they differ, or do not hold those of the pictures."""
    for run in runs[1:]:
        if run.classes != runs[0].classes:
            raise UserError(f"{run.folder}: was trained on other classes than {runs[0].folder}")
    return places(pictures, runs[0].classes)


def answers(
    run: Trained, pictures: Pictures, ways: dict[str, tuple[list[int], str]], count: int,
    progress: Callable[[int], object] | None = None,
) -> Combined:
    """`evaluate.crops.combined` of so many crops of each picture, as the run's net is to see them."""
    side = run.recipe.crop or run.side
    mean = run.mean if run.mean.shape[1] == 1 else augment.center_crop(run.mean, side)
    seen = (crops(pictures.picture(i), count, side).astype(np.float32) - mean for i in range(len(pictures)))
    return combined(run.net, seen, ways, progress)


TABLE3 = {"1": ([CENTRE], "mean"), "10": (TEN, "mean"), "144": (list(range(COUNT)), "mean"),
          "144, the largest": (list(range(COUNT)), "max")}
"""Of 144 crops, those of each row of GoogLeNet's Table 3; and what the paper tried in place of the mean."""


PAPER = {(1, 1): 0.1007, (1, 10): 0.0915, (1, 144): 0.0789, (7, 1): 0.0809, (7, 10): 0.0762, (7, 144): 0.0667}
"""Table 3 as printed: by models and crops, top-5 error on ILSVRC 2014's validation set."""


@dataclass(frozen=True)
class Table3Row:
    """nets, crops : how many.  cost : forward passes for an image.  how : "mean" or "max" of the crops."""

    nets: int
    crops: int
    how: str
    rate: ErrorRate

    @property
    def cost(self) -> int:
        return self.nets * self.crops


def table3(
    folders: Sequence[Path], pictures: Pictures, progress: Progress = lambda seen, of: None
) -> list[Table3Row]:
    """GoogLeNet's Table 3: one net and all of them, with 1, 10 and 144 crops. Every crop is computed once."""
    runs = [trained(folder) for folder in folders]
    labels = _labels_of(runs, pictures)
    total = len(runs) * COUNT * len(pictures)
    found = [answers(run, pictures, TABLE3, COUNT, lambda seen: progress(seen, total)) for run in runs]
    rows = []
    for nets in sorted({1, len(runs)}):
        for name, (which, how) in TABLE3.items():
            mean = sum((one[name] for one in found[1:nets]), found[0][name]) / nets
            rows.append(Table3Row(nets, len(which), how, rate_of(runs[0].net, mean, labels)))
    return rows
