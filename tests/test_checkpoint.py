import errno
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from small_run import EPOCHS, small_net, small_trainer

import npnet
from npnet.errors import UserError
from npnet.files import load_arrays, save_arrays
from npnet.train import Steps, checkpoint, metrics
from npnet.weights import save_weights

STEPS = 11 * EPOCHS


def result(folder):
    """All that must be the same, bit for bit."""
    arrays, facts = load_arrays(folder / checkpoint.NAME)
    lines = [{k: v for k, v in line.items() if k not in ("seconds", "waited")} for line in metrics.read(folder)]
    del facts["seconds"], facts["tally"]["waited"]
    return {name: (a.dtype, a.shape, a.tobytes()) for name, a in arrays.items()}, facts, lines


def scrambled():
    """The net of a new process, but no weight can be right that is not loaded. (Its dropout follows from the seed.)"""
    net = small_net()
    for p in net.parameters():
        p.assign(np.full(p.shape, 7.0))
    return net


def start(folder, backend, checkpoint_steps, seconds):
    root = Path(npnet.__file__).parents[1]
    program = Path(__file__).with_name("small_run.py")
    return subprocess.Popen(
        [sys.executable, program, folder, backend, str(checkpoint_steps), str(seconds)],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(root)},
    )


@pytest.mark.parametrize(("name", "kills"), [("numpy", 20), ("numba", 3)])
def test_a_run_killed_at_random_moments_ends_with_the_bits_of_one_never_stopped(tmp_path, name, kills):
    pytest.importorskip(name)
    whole, torn, rng = tmp_path / "whole", tmp_path / "torn", random.Random(name)
    never_stopped = start(whole, name, 0, 0)
    begun = []
    for _ in range(kills):
        run = start(torn, name, rng.choice([1, 2, 5]), 0.002)
        begun.append(int(run.stdout.readline()))
        for _ in range(rng.randrange(14)):
            run.stdout.readline()
        time.sleep(rng.uniform(0, 0.01))  # anywhere in a step, in writing a checkpoint or a line
        assert run.poll() is None, "it was not in mid-training"
        run.kill()
        run.communicate()
    last = start(torn, name, 0, 0)
    begun.append(int(last.communicate()[0].split()[0]))
    assert never_stopped.communicate()[0].split() == [str(step) for step in range(STEPS)]
    assert len(set(begun)) > kills / 2, "resumed from different steps"
    assert begun == sorted(begun)
    assert 0 < begun[-1] < STEPS
    arrays, facts, lines = result(whole)
    again = result(torn)
    assert again[2] == lines
    assert again[1] == facts
    assert again[0] == arrays
    assert facts["step"] == STEPS
    assert facts["schedule"]["dropped"] > 0
    assert len(lines) == (3 + 1) * EPOCHS
    assert [path.name for path in torn.iterdir() if path.suffix == ".part"] == []


def test_a_run_resumed_in_the_middle_of_an_epoch_takes_everything_up(tmp_path, backend):
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    small_trainer(whole, epochs=2, tested=True).run()
    for stop in (1, 4, 10, 11, 12, 15, 21):  # around the lines of metrics and the evaluation, before and at a drop
        run = small_trainer(torn, epochs=2, tested=True, checkpoint_steps=1, until=lambda lines: False)
        run.resume()
        after = run._after_step

        def stopping(run=run, stop=stop, after=after):
            after()
            run._stop = run.step == stop

        run._after_step = stopping
        with pytest.raises(UserError, match=f"stopped after step {stop}, checkpoint in .*: go on with --resume"):
            run.run()
    last = small_trainer(torn, net=scrambled(), epochs=2, tested=True)
    last.resume()
    last.run()
    assert result(torn) == result(whole)


def test_resuming_a_finished_run_does_nothing_and_more_epochs_go_on(tmp_path, backend):
    folder, other = tmp_path / "a", tmp_path / "b"
    schedule = Steps(0.001)
    small_trainer(folder, epochs=1, schedule=schedule, tested=True).run()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    again = small_trainer(folder, net=scrambled(), epochs=1, schedule=schedule, tested=True)
    again._train = None
    again.resume()
    assert again.finished
    assert again.run() == metrics.read(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before

    more = small_trainer(folder, net=scrambled(), epochs=2, schedule=schedule, tested=True)
    more.resume()
    more.run()
    small_trainer(other, epochs=2, schedule=schedule, tested=True).run()
    assert result(folder) == result(other)


def test_a_run_without_a_checkpoint_is_resumed_from_the_beginning(tmp_path):
    tmp_path.joinpath(metrics.NAME).write_text('{"step": 4, "ep')
    run = small_trainer(tmp_path, epochs=1)
    run.resume()
    assert [line["step"] for line in run.run()] == [4, 8, 11]
    assert [line["step"] for line in metrics.read(tmp_path)] == [4, 8, 11]


@pytest.mark.parametrize("length", [0, 5, 100, -1])
def test_a_cut_off_checkpoint_is_one_line_that_says_so(tmp_path, length):
    small_trainer(tmp_path, epochs=1).run()
    path = tmp_path / checkpoint.NAME
    path.write_bytes(path.read_bytes()[:length])
    run = small_trainer(tmp_path, epochs=1)
    with pytest.raises(UserError, match="not a whole safetensors file") as error:
        run.resume()
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def change_nothing(run):
    before = [p.numpy() for p in run.net.parameters()] + [v.copy() for v in run.sgd.velocities]
    with pytest.raises(UserError) as error:
        run.resume()
    after = [p.numpy() for p in run.net.parameters()] + [v.copy() for v in run.sgd.velocities]
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)
    assert run.step == 0
    assert "\n" not in str(error.value)
    return str(error.value)


def test_another_nets_checkpoint_is_refused_with_the_difference_named(tmp_path):
    small_trainer(tmp_path, net=small_net(channels=6), epochs=1).run()
    message = change_nothing(small_trainer(tmp_path))
    assert "conv.weight has the shape (6, 3, 3, 3), this net needs (4, 3, 3, 3)" in message


def test_weights_alone_are_no_checkpoint(tmp_path):
    save_weights(small_net(), tmp_path / checkpoint.NAME)
    assert "holds weights but no velocities" in change_nothing(small_trainer(tmp_path))
    net = small_net()
    arrays = {p.name: p.numpy() for p in net.parameters()}
    save_arrays(tmp_path / checkpoint.NAME, {**arrays, "conv.weight.velocity": arrays["conv.weight"]}, {"step": 1})
    assert "holds weights but no velocities" in change_nothing(small_trainer(tmp_path))


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_keeps_the_old_checkpoint_and_says_what_to_do(tmp_path, monkeypatch, call):
    whole = tmp_path / "whole"
    small_trainer(whole, epochs=2).run()
    folder = tmp_path / "full"
    small_trainer(folder, epochs=1, schedule=small_trainer(epochs=2).schedule).run()
    old = (folder / checkpoint.NAME).read_bytes()
    run = small_trainer(folder, epochs=2, checkpoint_steps=2)
    run.resume()

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(UserError, match=r"cannot be written \(No space left on device\).*make room, and go on with "
                                            "--resume") as error:
            run.run()
    assert "\n" not in str(error.value)
    assert (folder / checkpoint.NAME).read_bytes() == old
    assert [p.name for p in folder.iterdir() if p.name.endswith(".part")] == []
    run = small_trainer(folder, epochs=2)
    run.resume()
    run.run()
    assert result(folder) == result(whole)


def test_what_a_killed_process_left_half_written_is_removed(tmp_path):
    left = tmp_path / f"{checkpoint.NAME}.123.part"
    left.write_bytes(b"half")
    small_trainer(tmp_path, epochs=1).run()
    assert not left.exists()


def test_facts_are_plain_json(tmp_path):
    small_trainer(tmp_path, epochs=1).run()
    _, facts = load_arrays(tmp_path / checkpoint.NAME)
    assert set(facts) == {"step", "seconds", "tally", "schedule"}
    assert json.loads(json.dumps(facts)) == facts


def test_a_checkpoint_of_an_earlier_version_is_still_read(tmp_path):
    small_trainer(tmp_path, epochs=1).run()
    arrays, facts = load_arrays(tmp_path / checkpoint.NAME)
    save_arrays(tmp_path / checkpoint.NAME, arrays, {**facts, "enough": True})
    run = small_trainer(tmp_path, epochs=2)
    run.resume()
    assert run.step == 11
