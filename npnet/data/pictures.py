"""Photos as they are, in folders of their classes: for a net that is to be tested with more than their middle."""
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npnet.data import photo
from npnet.data.dataset import DataError
from npnet.data.prepare import listing


class Pictures:
    """Labelled photos in `folder`, a folder for each class; in test or val in it, if there is one.

    Attributes
    ----------
    name : of the folder.
    classes : names of the class folders.
    labels : (N,) int64, of each photo its place in `classes`.

    Raises
    ------
    DataError
        If there is no such folder, or no photos in it.
    """

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        if not folder.is_dir():
            raise DataError(f"{folder}: there is no such folder")
        self.folder = next((folder / split for split in ("test", "val") if (folder / split).is_dir()), folder)
        self.name = folder.resolve().name
        found, entries = listing(self.folder)
        self.classes = tuple(found)
        self.paths = [path for path, _ in entries]
        self.labels: NDArray[np.int64] = np.array([label for _, label in entries], np.int64)

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, count: int) -> "Pictures":
        """So many of them at most, of all classes alike: every so-manieth in the order of their names."""
        chosen = np.linspace(0, len(self) - 1, min(count, len(self))).round().astype(int)
        some = copy(self)
        some.paths, some.labels = [self.paths[i] for i in chosen], self.labels[chosen]
        return some

    def picture(self, i: int) -> Any:
        """Photo i, as `photo.read` gives it."""
        path = self.folder / self.paths[i]
        return photo.read(path, str(path))
