"""The measuring: who is asked for what, and in which order."""
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from npnet import kernels, models
from npnet.errors import UserError

PEERS = {"torch": {"nchw": "PyTorch, NCHW", "channels_last": "PyTorch, channels last"}}
TURN, PAUSE = 0.25, 0.05  # seconds
TABLES = 7  # steps in which every layer is timed
FORCED = ("OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS", "MKL_NUM_THREADS")
"""May name a core type that is not this machine's, or other threads than those that are measured."""


class Worker:
    """A process of `npnet.bench.worker`."""

    def __init__(self, side: str, model: str, batch: int, threads: int, device: str) -> None:
        self.side, self.errors = side, tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed in close)
        environment = {key: value for key, value in os.environ.items() if key not in FORCED}
        environment["OMP_NUM_THREADS"] = str(threads)
        if side != "npnet":  # there the net is only made, to be copied; and torch is left with its own settings
            environment["NPNET_BACKEND"] = "numpy"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "npnet.bench.worker", side, model, str(batch), str(threads), device],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True, env=environment)

    def ask(self, command: str) -> dict[str, Any]:
        assert self.process.stdin
        assert self.process.stdout
        try:
            print(command, file=self.process.stdin, flush=True)
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise UserError(f"{self.side}: {self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _last_words(self) -> str:
        code = self.process.wait()
        self.errors.seek(0)
        lines = [line for line in self.errors.read().splitlines() if line.strip()]
        if code < 0 and not lines:
            return f"the process was killed (signal {-code}; too little memory?): try a smaller --batch"
        return lines[-1].removeprefix("npnet.errors.UserError: ") if lines else f"the process ended (exit code {code})"

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            if stream:
                with suppress(BrokenPipeError):  # a question that a process no longer read is sent once more
                    stream.close()


@contextmanager
def at_work(sides: list[str], model: str, batch: int, threads: int, device: str) -> Iterator[list[Worker]]:
    with ExitStack() as stack:
        workers = []
        for side in sides:
            workers.append(Worker(side, model, batch, threads, device))
            stack.callback(workers[-1].close)
        yield workers


def _turn(worker: Worker, command: str) -> float:
    """Seconds. Of the second half of as many as TURN holds: the first find the caches full of the others' data.

    The pause before lets the threads of those who came before go to sleep: they spin for a moment when they have
    nothing to do. An inference that is not counted lets one's own wake up.
    """
    time.sleep(PAUSE)
    worker.ask("infer 1")
    first = worker.ask(f"{command} 1")["seconds"][0]
    if first > TURN:
        return float(first)
    again = worker.ask(f"{command} {max(2, int(TURN / first))}")["seconds"]
    return float(statistics.median(again[len(again) // 2 :]))


def run(model: str, batch: int, against: str | None = None, steps: int = 9, threads: int = 0) -> dict[str, Any]:
    """Train `model` for some steps on random images, in turns with a peer. The backend is that of the environment
    (``NPNET_BACKEND``), for each side is a process of its own.

    Parameters
    ----------
    model : one of `npnet.models.MODELS`
    batch : images in a step
    against : "torch" or None
        Measured in both of its layouts; the ratio is taken to the better one.
    steps : int
        Counted ones, after two that are not.
    threads : int
        0: as many as there are cores.

    Returns
    -------
    dict
        "machine", "limits" (GFLOP/s of a matrix product, GB/s of a copy, measured in turns with the layers), "sides"
        (by name: seconds of every step and inference, and the memory of its process: "before" there was a net, "now",
        and its "peak"), "layers" (the median of some steps; "shares" of the limit, forward, backward and together, as
        it was measured right after the step), "kinds" (the sums of layers of a kind), "gflop" of a step; "ratio" and
        "inference_ratio", the better peer's median over npnet's, if there is one.
    """
    if model not in models.MODELS:
        raise UserError(f"model {model!r} is not one of {', '.join(models.MODELS)}")
    if against is not None and importlib.util.find_spec(against) is None:
        raise UserError(f"--against {against}: it is not installed: pip install {against}")
    from tqdm import tqdm

    threads = threads or int(os.environ.get("NUMBA_NUM_THREADS", 0)) or os.cpu_count() or 1
    sides = ["npnet", *(PEERS[against] if against else ())]
    device = "cuda" if kernels.asked() == "cuda" else "cpu"
    if device == "cuda":
        from npnet.kernels.cuda.launch import SIMULATED

        if SIMULATED:
            raise UserError("--backend cuda: in Numba's simulator (NUMBA_ENABLE_CUDASIM=1) there is nothing to measure")
    total = len(sides) * (2 * steps + 3) + TABLES
    result: dict[str, Any] = {"model": model, "batch": batch, "threads": threads, "steps": steps}
    with at_work(sides, model, batch, threads, device) as workers, tqdm(
        total=total, unit=" steps", leave=False, dynamic_ncols=True, desc=f"{model}, the first step") as bar:
        measured: dict[str, dict[str, Any]] = {side: {"step": [], "infer": []} for side in sides}
        for worker in workers:  # compiling, taking memory
            measured[worker.side]["first_step"] = worker.ask("step 1")["seconds"][0]
            measured[worker.side]["loss"] = worker.ask("step 1")["loss"]
            worker.ask("infer 1")
            bar.update(3)
        bar.set_description(model)
        for command in ("step", "infer"):
            for _ in range(steps):
                for worker in workers:
                    measured[worker.side][command].append(_turn(worker, command))
                    bar.update()
        for worker in workers:
            measured[worker.side] |= {"memory": worker.ask("memory"), **worker.ask("facts")}
        tables, limits = [], []
        for _ in range(TABLES):  # in turns: the machine may be slower for a while
            time.sleep(PAUSE)  # as in `_turn`
            workers[0].ask("step 2")
            tables.append(workers[0].ask("layers")["rows"])
            limits.append(workers[0].ask("limits"))
            bar.update()
        result["machine"] = limits[0]["machine"]
        result["limits"] = {name: statistics.median(found[name] for found in limits) for name in ("gflops", "gbs")}
    for side in measured.values():
        side["step_median"], side["infer_median"] = (statistics.median(side[c]) for c in ("step", "infer"))
    result |= {"sides": measured, "layers": _median_rows(tables)}
    result["kinds"] = _of_a_kind(result["layers"])
    _add_shares(result["layers"], tables, limits)
    _add_shares(result["kinds"], [_of_a_kind(table) for table in tables], limits)
    result["gflop"] = 2e-9 * sum(sum(row.get("macs", (0, 0))) for row in result["layers"])
    if against:
        own, peers = measured["npnet"], [measured[side] for side in PEERS[against]]
        for name, key in (("ratio", "step_median"), ("inference_ratio", "infer_median")):
            result[name] = min(peer[key] for peer in peers) / own[key]
    return result


def _median_rows(tables: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    rows = []
    for same in zip(*tables, strict=True):
        medians = {way: statistics.median(row[way] for row in same) for way in ("forward", "backward")}
        rows.append({**same[0], **medians})
    return rows


def _add_shares(rows: list[dict[str, Any]], tables: list[list[dict[str, Any]]], limits: list[dict[str, Any]]) -> None:
    """The median of what each step's share was: the machine copies nearly twice as fast for some seconds or minutes,
    and then not, and what was measured in one of these is not to be compared with a copy in the other."""
    for row, *same in zip(rows, *tables, strict=True):
        row["shares"] = []
        for ways in ((0,), (1,), (0, 1)):
            found = [_share(one, ways, limit) for one, limit in zip(same, limits, strict=True)]
            known = [share for share in found if share is not None]
            row["shares"].append(statistics.median(known) if known else None)


def _share(row: dict[str, Any], ways: tuple[int, ...], limits: dict[str, Any]) -> float | None:
    """Of the limit; None where nothing is to be done."""
    seconds = sum((row["forward"], row["backward"])[i] for i in ways)
    for unit, size, limit in (("macs", 2e-9, "gflops"), ("bytes", 1e-9, "gbs")):
        done = sum(row.get(unit, (0, 0))[i] for i in ways)
        if seconds and done:
            return float(size * done / seconds / limits[limit])
    return None


def _of_a_kind(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sums of those that have something to do: a ReLU that a convolution does has not, neither in time nor in bytes."""
    sums: dict[str, dict[str, Any]] = {}
    for row in rows:
        unit = next((unit for unit in ("macs", "bytes") if unit in row), None)
        if unit is None:
            continue
        total = sums.setdefault(row["kind"], {"kind": row["kind"], "forward": 0.0, "backward": 0.0, unit: [0, 0]})
        for i, way in enumerate(("forward", "backward")):
            if row[unit][i]:
                total[way] += row[way]
                total[unit][i] += row[unit][i]
    return list(sums.values())
