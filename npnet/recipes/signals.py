"""What the nets of recipes say, and what gradients they get, before they have learnt anything."""
from dataclasses import replace

from npnet.data import Images
from npnet.errors import UserError
from npnet.evaluate.signals import Signal, signals
from npnet.layers import Sequential

from .recipe import Recipe, loaders


def first_signals(recipe: Recipe, train: Images, images: int = 128, seed: int = 0) -> list[Signal]:
    """`evaluate.signals` of the net that `recipe` begins with, for so many of the images it would see first.

    Raises UserError for a net that is not layers one after another, and fewer than two images.
    """
    images = min(images, len(train))
    if images < 2:
        raise UserError(f"images (={images}) must be at least 2, to differ from each other")
    net = recipe.build(seed, len(train.classes))
    if not isinstance(net, Sequential):
        raise UserError(f"{recipe.name} trains {recipe.model}, and signals are of nets of layers one after another")
    loader, _ = loaders(replace(recipe, batch=images), train, None, seed)
    batches = loader.epoch(0)
    try:
        return signals(net, *next(batches))
    finally:
        batches.close()
