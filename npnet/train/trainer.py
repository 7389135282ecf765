"""The training loop."""
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from npnet.data import Loader
from npnet.errors import UserError
from npnet.files import only_writer
from npnet.layers import Layer, SoftmaxCrossEntropy, WeightedSoftmaxCrossEntropy

from . import checkpoint, metrics
from .average import Average
from .schedules import Plateau, Steps
from .sgd import SGD

NOTHING = {"images": 0, "loss": 0.0, "wrong": 0, "waited": 0.0}
"""Of the steps since the last line of metrics: images, sums of the loss and of errors, seconds of waiting for data."""


class Interrupted(UserError):
    """Training was stopped from outside (Ctrl-C, SIGTERM), after a whole step, and can go on from its checkpoint."""


class Diverged(UserError):
    """The loss or a weight is no longer finite."""


class Trainer:
    """Trains a net: batch, forward, loss, backward, update, and keeps a record that can be taken up anywhere.

    A run is a function of its arguments and seeds alone. Stopped anywhere, by Ctrl-C or by kill -9, and resumed, it
    ends with the same bits as one that never stopped, on the same backend and number of threads.

    Parameters
    ----------
    net : Layer
    loader : Loader
        Of the training set.
    sgd : SGD
    schedule : Steps or Plateau
    epochs : float
        Rounded up to whole steps.
    folder : Path or None
        Where ``metrics.jsonl`` and ``checkpoint.safetensors`` are written. None: nothing is.
    begin : () -> None, optional
        Called once the folder is this run's to write into, before anything else is written.
    evaluate : () -> {"test_error": ..., ...}, optional
        Called after every epoch; what it returns is recorded, and "test_error" given to the schedule.
    until : lines of metrics -> bool, optional
        Called with all lines so far after every line of training metrics; True ends the run.
    loss
        What is minimised; None: `SoftmaxCrossEntropy`.
    average : Average, optional
        The mean of the weights, over the steps from epoch `average_from` on. It is evaluated too: "averaged_error".
    lines : int
        Lines of metrics in an epoch.
    checkpoint_minutes, checkpoint_steps : float, int
        How often a checkpoint is written: after so many minutes, and (0: no) after so many steps; at the beginning and
        at the end always.
    progress : bool
        Show a bar: images per second, loss, error, time left.
    label : str
        What the bar begins with.
    """

    def __init__(
        self,
        net: Layer,
        loader: Loader,
        sgd: SGD,
        schedule: Steps,
        epochs: float,
        folder: Path | None = None,
        *,
        begin: Callable[[], None] | None = None,
        evaluate: Callable[[], dict[str, Any]] | None = None,
        until: Callable[[list[dict[str, Any]]], bool] | None = None,
        loss: SoftmaxCrossEntropy | WeightedSoftmaxCrossEntropy | None = None,
        average: Average | None = None,
        average_from: float = 0.0,
        lines: int = 5,
        checkpoint_minutes: float = 2.0,
        checkpoint_steps: int = 0,
        progress: bool = True,
        label: str = "",
    ) -> None:
        if isinstance(schedule, Plateau) and not evaluate:
            raise ValueError("a Plateau schedule needs evaluate, whose test_error it waits for")
        for _, layer, _ in schedule.slow:
            if not any(p.name.startswith(f"{layer}.") for p in net.parameters()):
                raise ValueError(f"slow (={layer!r}) must be a layer with parameters: the net has none of that name")
        self.net, self.loader, self.sgd, self.schedule, self.epochs = net, loader, sgd, schedule, epochs
        self.folder, self.begin, self.evaluate, self.until, self.lines = folder, begin, evaluate, until, lines
        self.checkpoint_minutes, self.checkpoint_steps = checkpoint_minutes, checkpoint_steps
        self.progress, self.label = progress, label
        self.loss = loss or SoftmaxCrossEntropy()
        self.average, self.average_from = average, average_from
        self.history: list[dict[str, Any]] = []
        self.step, self.seconds = 0, 0.0
        self._tally = dict(NOTHING)
        self._saved: int | None = None
        self._reached = self._stop = self._cut_short = self._resumed = False

    def resume(self) -> None:
        """Go on from the folder's checkpoint; from the beginning, if nothing is there yet.

        Raises UserError if the folder holds metrics without a checkpoint: they are another run's record.
        """
        if self.folder is None:
            raise ValueError("folder (=None) must name one: without it there is nothing to resume")
        path, lines = self.folder / checkpoint.NAME, metrics.read(self.folder)
        if path.exists():
            facts = checkpoint.load(path, self.net, self.sgd, self.average)
            self.step, self.seconds, self._tally = facts["step"], facts["seconds"], {**NOTHING, **facts["tally"]}
            self._saved = self.step
            self.schedule.restore(facts["schedule"])
        elif self.step or self._cut_short:
            raise UserError(f"{self.folder}: holds no checkpoint to go back to: make a new net and trainer")
        elif lines:
            raise UserError(f"{self.folder}: holds metrics and no checkpoint, so there is nothing to go on from: "
                            f"choose another folder")
        self.history = [line for line in lines if line["step"] <= self.step]
        self._reached = bool(self.history and self.until and self.until(self.history))
        self._resumed, self._cut_short = True, False

    @property
    def finished(self) -> bool:
        """All epochs are done, or `until` or the schedule has said that it is enough."""
        return self._reached or self.schedule.over or self.step >= self.steps

    @property
    def steps(self) -> int:
        """Steps in all the epochs."""
        return math.ceil(round(self.epochs * len(self.loader), 6))

    def run(self) -> list[dict[str, Any]]:
        """Train to the end. Returns the lines of metrics.

        Raises
        ------
        Diverged
            If the loss is no longer finite, with the step, the rate, and the last checkpoint.
        UserError
            If the folder holds a run that was not resumed, another process is writing into it, or the disk is full.
        Interrupted
            After Ctrl-C or SIGTERM; a checkpoint has been written.
        """
        self._stop = False  # before the signals are heeded: one that comes from then on counts
        with self._signals(), self._room(), self._bar() as bar:
            began, saved = time.perf_counter() - self.seconds, time.perf_counter()
            bar.set_postfix_str("first step: compiling kernels, or loading them")
            while not self.finished:
                epoch, done = divmod(self.step, len(self.loader))
                for images, labels in self._batches(epoch, done):
                    self._cut_short = True
                    self._train(images, labels)
                    bar.update(len(labels))
                    bar.set_postfix_str(self._summary(), refresh=False)
                    self.seconds = time.perf_counter() - began
                    self._after_step()
                    self._cut_short = False
                    if self.finished:
                        break
                    due = time.perf_counter() - saved > 60 * self.checkpoint_minutes
                    if due or self._stop or (self.checkpoint_steps and self.step % self.checkpoint_steps == 0):
                        self._save()
                        saved = time.perf_counter()
                    if self._stop:
                        raise self._interrupted()
            if self._saved != self.step:
                self._save()
            if self._stop:  # asked for during the last step: what would come after this run is not wanted either
                raise self._interrupted()
        return self.history

    def _batches(self, epoch: int, done: int) -> Iterator[Any]:
        """The rest of an epoch; and how long the loader had it wait for each batch is counted. (AlexNet §4.1: while the
        net computes, the next batch is made.)"""
        with closing(self.loader.epoch(epoch, skip=done)) as batches:
            while True:
                asked = time.perf_counter()
                batch = next(batches, None)
                self._tally["waited"] += time.perf_counter() - asked
                if batch is None:
                    return
                yield batch

    def _train(self, images: Any, labels: Any) -> None:
        """One step."""
        net = self.net
        x, t = net.upload("trainer.x", images), net.upload("trainer.labels", labels)
        net.set_step(self.step)
        loss = self.loss.forward(net.forward(x, train=True), t)
        epoch = self.step / len(self.loader)
        self.sgd.rate, self.sgd.factors = self.schedule.rate(epoch), self.schedule.factors(epoch)
        if not math.isfinite(loss):
            raise self._diverged(f"the loss is {loss} at step {self.step}")
        net.backward_parameters(self.loss.backward())
        self.sgd.step()
        if self.average and epoch >= self.average_from:
            self.average.update()
        self.step += 1
        self._tally["images"] += len(labels)
        self._tally["loss"] += loss * len(labels)
        self._tally["wrong"] += self.loss.errors

    def _after_step(self) -> None:
        """The record: a line of metrics where one is due, the evaluation after an epoch, and whether that was all."""
        steps = len(self.loader)
        epoch, done = divmod(self.step, steps)
        if (self.step * self.lines) // steps > ((self.step - 1) * self.lines) // steps:
            count = self._tally["images"]
            line = {
                "step": self.step, "epoch": self.step / len(self.loader), "loss": self._tally["loss"] / count,
                "error": self._tally["wrong"] / count, "rate": self.sgd.rate, "seconds": round(self.seconds, 2),
                "waited": round(self._tally["waited"], 3),
            }
            self._record(line)
            self._tally = dict(NOTHING)
            self._reached |= bool(self.until and self.until(self.history))
        if done == 0 and self.evaluate:
            result, averaged = self.evaluate(), {}
            if self.average and self.average.count:
                with self.average.in_place():
                    averaged = {key.replace("test", "averaged"): value for key, value in self.evaluate().items()}
            self._record({"step": self.step, "epoch": float(epoch), **result, **averaged,
                          "seconds": round(self.seconds, 2)})
            self.schedule.observe(result["test_error"])

    def _record(self, line: dict[str, Any]) -> None:
        self.history.append(line)
        if self.folder:
            metrics.append(self.folder, line)

    def _save(self) -> None:
        if self.folder:
            if not all(np.isfinite(p.numpy()).all() for p in self.net.parameters()):
                raise self._diverged(f"a weight is no longer finite after step {self.step}")
            facts = {
                "step": self.step, "seconds": self.seconds, "tally": self._tally, "schedule": self.schedule.state(),
            }
            checkpoint.save(self.folder / checkpoint.NAME, self.net, self.sgd, facts, self.average)
            self._saved = self.step

    def _summary(self) -> str:
        count = self._tally["images"]
        return f"loss {self._tally['loss'] / count:.3f}, error {self._tally['wrong'] / count:.1%}" if count else ""

    def _interrupted(self) -> Interrupted:
        where = f", checkpoint in {self.folder}: go on with --resume" if self.folder else ""
        return Interrupted(f"stopped after step {self.step}{where}")

    def _diverged(self, what: str) -> Diverged:
        last = "there is no checkpoint"
        if self.folder and self._saved is not None:
            last = f"the last good checkpoint is of step {self._saved}, {self.folder / checkpoint.NAME}"
        return Diverged(f"{what} (learning rate {self.sgd.rate:g}); {last}: try a smaller learning rate")

    @contextmanager
    def _room(self) -> Iterator[None]:
        """The folder is this run's, and its metrics are those of the steps that were made."""
        if self._cut_short:
            raise UserError("the last step was cut short: resume() goes back to the last checkpoint")
        if self.folder is None:
            yield
            return
        with only_writer(self.folder, (checkpoint.NAME, metrics.NAME)):
            files = (self.folder / checkpoint.NAME, self.folder / metrics.NAME)
            if not self.step and not self._resumed and any(file.exists() for file in files):
                raise UserError(f"{self.folder}: holds a run already: resume() goes on with it")
            if (there := checkpoint.step(files[0])) not in (None, self._saved):
                raise UserError(f"{self.folder}: has gone on to step {there} since this trainer looked: resume() again")
            if self.begin:
                self.begin()
            metrics.write(self.folder, self.history)
            if self._saved is None:
                self._save()  # from now on there is something to go on from
            yield

    @contextmanager
    def _bar(self) -> Iterator[Any]:
        if self.progress:
            from tqdm.auto import tqdm  # in a notebook it warns, if there are no widgets to draw with
        else:
            from tqdm import tqdm

        with tqdm(
            total=self._images(self.steps), initial=self._images(self.step), desc=self.label, unit=" images",
            unit_scale=True, disable=not self.progress, dynamic_ncols=True, smoothing=0.05,
        ) as bar:
            yield bar

    def _images(self, step: int) -> int:
        """Seen in so many steps."""
        epoch, done = divmod(step, len(self.loader))
        return epoch * self.loader.images + min(done * self.loader.batch, self.loader.images)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM ask to stop after the step; a second Ctrl-C stops at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def ask(number: int, frame: Any) -> None:
            self._stop = True
            signal.signal(signal.SIGINT, signal.default_int_handler)

        before = {s: signal.signal(s, ask) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for s, handler in before.items():
                signal.signal(s, handler if handler is not None else signal.SIG_DFL)
