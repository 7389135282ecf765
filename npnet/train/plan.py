"""How much memory training takes: found from the net's shapes, before anything is computed."""
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from npnet import kernels, models
from npnet.errors import UserError
from npnet.kernels import Shape
from npnet.kernels.planning import Planning, in_pages
from npnet.layers import Constant

GIB = 2.0**30
DOUBLE = 2  # a batch comes while the one before is used


@dataclass(frozen=True)
class Plan:
    """Bytes that a training step takes: `fixed` for weights, gradients, velocities and averages, `image` for each image
    of the batch."""

    fixed: int
    image: int

    def bytes(self, batch: int) -> int:
        return self.fixed + batch * self.image

    def largest(self, room: int) -> int:
        """Batch that fits into so many bytes; 0 if none does."""
        return max(0, (room - self.fixed) // self.image)


def plan(build: Callable[[], models.Net], shape: Shape, averaged: bool = False) -> Plan:
    """Of the net that `build` makes, for images of `shape` (C, H, W); averaged : with `Average`."""
    one, two = (_taken(build, shape, batch, averaged) for batch in (1, 2))
    return Plan(2 * one - two, two - one)


def _taken(build: Callable[[], models.Net], shape: Shape, batch: int, averaged: bool, pages: bool = False) -> int:
    """pages : as a GPU gives memory."""
    planning = Planning()
    with kernels.using(planning):
        net = build()
        loss = models.loss(net)
        for p in net.parameters():
            p.initialiser = Constant(0.0)  # nothing is drawn for nothing
        x = net.upload("trainer.x", np.broadcast_to(np.float32(0), (batch, *shape)))  # which takes no memory itself
        labels = net.upload("trainer.labels", np.broadcast_to(np.int64(0), batch))
        loss.forward(net.forward(x), labels)
        net.backward_parameters(loss.backward())
        for p in net.parameters():
            for _ in range(3 if averaged else 1):  # a velocity, an average, and what rounding added to that
                planning.empty(p.shape, p.dtype)
    on_their_way = (in_pages(size) if pages else size for size in planning.uploaded.values())
    return (planning.in_pages if pages else planning.taken) + DOUBLE * sum(on_their_way)


def check_room(build: Callable[[], models.Net], shape: Shape, batch: int, averaged: bool = False) -> None:
    """Raise UserError if training does not fit into the memory that the active backend has left, where it says how much
    that is (`kernels.contract.Backend.room`)."""
    room = kernels.active().room()
    if room is None:
        return
    needs = _taken(build, shape, batch, averaged, pages=True)
    if needs > room:
        fitting = min(batch - 1, plan(build, shape, averaged).largest(room))
        while fitting and _taken(build, shape, fitting, averaged, pages=True) > room:
            fitting -= 1
        fits = f"the largest batch that fits is {fitting}" if fitting else "not even one image fits"
        raise UserError(f"batch (={batch}) takes {needs / GIB:.2f} GiB of memory, and {room / GIB:.2f} GiB are "
                        f"free: {fits}")
