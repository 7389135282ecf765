"""What the options of several commands have in common."""
import argparse
import ast
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from npnet.errors import UserError

if TYPE_CHECKING:
    from npnet.data import Images
    from npnet.recipes import Recipe

Command = Callable[[argparse.Namespace], int]


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the arguments."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} ({self.prog} --help)\n")


Add = Callable[..., Parser]
"""add(name, command, text, *examples) → the command's parser, for its own options."""


def data_option(sub: Parser) -> None:
    sub.add_argument("--data", metavar="DATA",
                     help="cifar10, shapes, or a folder: with CIFAR-10, or made by npnet data prepare")


def positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number, at least 1")
    return int(text)


def natural(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number, not negative")
    return int(text)


def threads(text: str) -> int:
    """Not so many that the machine does nothing but begin them."""
    number, most = positive(text), max(256, os.cpu_count() or 1)
    if number > most:
        raise argparse.ArgumentTypeError(f"{text!r} must be at most {most}: the cores here are {os.cpu_count()}")
    return number


def rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} must be a number greater than 0")
    return value


def switch(text: str) -> tuple[str, object]:
    """``bias=0,0,0`` → ("bias", (0, 0, 0)); what is no Python number or tuple of them is a word."""
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise argparse.ArgumentTypeError(f"{text!r} must be NAME=VALUE")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def variant(text: str) -> tuple[str, dict[str, object]]:
    """``original`` → its name, and {"preset": "original"}; ``std=0.03;bias=0`` → that, and {"std": 0.03, "bias": 0}."""
    if "=" not in text:
        return text, {"preset": text}
    return text, dict(switch(part.strip()) for part in text.split(";"))


def layer_rate(text: str) -> tuple[str, float]:
    layer, equals, times = text.partition("=")
    try:
        value = float(times)
    except ValueError:
        value = -1.0
    if not (layer and equals and 0 <= value < float("inf")):
        raise argparse.ArgumentTypeError(f"{text!r} must be LAYER=TIMES, a number that is not negative")
    return layer, value


def picture(text: str) -> Path:
    if Path(text).suffix not in (".png", ".svg"):
        raise argparse.ArgumentTypeError(f"{text!r} must end in .png or .svg")
    return Path(text)


def must_be_new(path: Path) -> None:
    if path.exists():
        raise UserError(f"{path}: is there already: --out FILE takes another name, or move it away")


def reported(recipe: "Recipe") -> str:
    """The end of a line about a net: what its author states, if there is one."""
    return f"; its author reports {recipe.reported}" if recipe.reported else ""


def training_images(recipe: "Recipe", given: str | None, most: int | None = None) -> tuple[str, "Images"]:
    """What `recipe` is to be trained on, so many images at most (None: all), and by which name they were loaded."""
    from npnet import data

    if recipe.crop > 32 and not given:
        raise UserError(f"{recipe.name} trains on photos: --data DIR, which npnet data prepare has made")
    name = given or found()
    return name, data.load(name, "train", most)


def bar(what: str, total: int, unit: str = " images") -> Any:
    from tqdm.auto import tqdm

    return tqdm(total=total, desc=what, unit=unit, dynamic_ncols=True, leave=False)


def found() -> str:
    """CIFAR-10 where it is found, else the built-in set, which is said."""
    from npnet.data import cifar10

    folder = cifar10.find()
    if folder:
        return "cifar10"
    print("CIFAR-10 is neither in NPNET_DATA nor in data/ (npnet download cifar10 fetches it): "
          "using shapes, the built-in set", file=sys.stderr)
    return "shapes"
