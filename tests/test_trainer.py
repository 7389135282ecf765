import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from small_run import BATCH, IMAGES, small_net, small_trainer

import npnet
from npnet.data import Loader, shapes
from npnet.errors import UserError
from npnet.files import only_writer
from npnet.layers import Conv2D, Dense, MaxPool2D, ReLU, Sequential
from npnet.train import SGD, Diverged, Interrupted, Plateau, Steps, Trainer, checkpoint, metrics


def at_step(run, step, action):
    """`action()` before step number `step` (from 0) updates."""
    loss = run.loss.forward

    def forward(*arguments):
        if run.step == step:
            run.loss.forward = loss  # once
            action()
        return loss(*arguments)

    run.loss.forward = forward
    return run


def test_lines_of_metrics_are_what_is_counted_by_hand(backend):
    net = small_net()
    run = small_trainer(net=net, epochs=2)
    seen, logits = [], run.loss.forward

    def forward(z, t):
        loss = logits(z, t)
        host = run.net.kernels.to_host(z)
        shifted = np.exp(host - host.max(axis=1, keepdims=True))
        p = shifted / shifted.sum(axis=1, keepdims=True)
        labels = run.net.kernels.to_host(t)
        seen.append((len(labels), -np.log(p[np.arange(len(labels)), labels]), host.argmax(axis=1) != labels))
        return loss

    run.loss.forward = forward
    lines = run.run()
    assert [n for n, _, _ in seen] == ([BATCH] * 10 + [10]) * 2, "the last batch of an epoch is smaller"
    assert [line["step"] for line in lines] == [4, 8, 11, 15, 19, 22]  # thirds of 11 steps, rounded up
    before = 0
    for line in lines:
        part = seen[before : line["step"]]
        assert line["epoch"] == line["step"] / 11
        assert line["error"] == np.mean(np.concatenate([wrong for _, _, wrong in part])), "each image counts once"
        assert line["loss"] == pytest.approx(np.mean(np.concatenate([losses for _, losses, _ in part])), rel=1e-5)
        assert line["rate"] == (0.001 if line["step"] <= 11 else 0.0001)
        before = line["step"]
    assert sum(n for n, _, _ in seen) == 2 * IMAGES


def test_a_step_is_forward_backward_update_with_the_rate_of_its_epoch(backend):
    run = small_trainer(epochs=2, schedule=Steps(0.01, drops=(1,)))
    rates, step = [], run.sgd.step

    def note():
        rates.append(run.sgd.rate)
        step()

    run.sgd.step = note
    run.run()
    assert rates == pytest.approx([0.01] * 11 + [0.001] * 11)


def test_evaluation_is_recorded_after_every_epoch_and_leaves_the_training_alone(tmp_path, backend):
    one, two = small_trainer(epochs=2), small_trainer(tmp_path, epochs=2, tested=True)
    plain, tested = one.run(), two.run()
    lines = [line for line in tested if "test_error" in line]
    assert [(line["step"], line["epoch"]) for line in lines] == [(11, 1.0), (22, 2.0)]
    assert all(0 <= line["test_error"] <= 1 for line in lines)
    assert tested.index(lines[0]) == 3, "after the line of the epoch's last third"
    for a, b in zip(plain, [line for line in tested if "error" in line], strict=True):
        assert {**a, "seconds": 0, "waited": 0} == {**b, "seconds": 0, "waited": 0}
    for p, q in zip(one.net.parameters(), two.net.parameters(), strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy())
    assert metrics.read(tmp_path) == tested


def test_plateau_ends_the_run_after_three_drops_and_its_state_survives_resuming(tmp_path):
    def make():
        run = small_trainer(tmp_path, schedule=Plateau(0.001, patience=2), epochs=50)
        run.evaluate = lambda: {"test_error": 0.5}
        return run

    run = make()
    at_step(run, 3 * 11 + 2, lambda: setattr(run, "_stop", True))
    with pytest.raises(Interrupted):
        run.run()
    assert run.schedule.state() == {"best": 0.5, "waited": 0, "dropped": 1}
    run = make()
    run.resume()
    assert run.schedule.state() == {"best": 0.5, "waited": 0, "dropped": 1}
    lines = run.run()
    assert lines[-1]["epoch"] == 9  # the best, then 4 · 2 epochs
    rates = [line["rate"] for line in lines if "rate" in line]
    assert rates == pytest.approx([1e-3] * 9 + [1e-4] * 6 + [1e-5] * 6 + [1e-6] * 6)
    again = make()
    again.resume()
    assert again.finished


def test_plateau_without_an_evaluation_is_refused():
    loader = Loader(shapes.load("train", 20, 16))
    with pytest.raises(ValueError, match="Plateau schedule needs evaluate"):
        Trainer(small_net(), loader, SGD([]), Plateau(0.1), 1)


def test_until_ends_the_run_with_a_checkpoint_and_a_later_one_goes_on(tmp_path):
    run = small_trainer(tmp_path, epochs=2, tested=True, until=lambda lines: lines[-1]["step"] >= 8)
    assert [line["step"] for line in run.run()] == [4, 8]
    again = small_trainer(tmp_path, epochs=2, tested=True, until=lambda lines: lines[-1]["step"] >= 8)
    again.resume()
    assert (again.step, again.finished) == (8, True)
    more = small_trainer(tmp_path, epochs=2, tested=True, until=lambda lines: lines[-1]["step"] >= 15)
    more.resume()
    assert not more.finished
    assert more.run()[-1]["step"] == 15


@pytest.mark.parametrize(("epochs", "steps"), [(0, 0), (0.5, 6), (1, 11), (3 / 11, 3), (2.01, 23)])
def test_a_fraction_of_an_epoch_is_rounded_up_to_whole_steps(epochs, steps):
    run = small_trainer(epochs=epochs, schedule=Steps(0.001))
    run.run()
    assert run.step == steps


@pytest.mark.parametrize("folder", [False, True])
def test_a_loss_that_is_no_number_stops_with_step_rate_and_the_last_checkpoint(tmp_path, folder):
    run = small_trainer(tmp_path if folder else None, schedule=Steps(1e6), checkpoint_steps=1)
    with pytest.raises(Diverged) as error:
        run.run()
    message = str(error.value)
    what = r"(the loss is (nan|inf) at|a weight is no longer finite after) step \d+"
    assert re.match(what + r" \(learning rate 1e\+06\); ", message)
    assert message.endswith(": try a smaller learning rate")
    assert "\n" not in message
    path = tmp_path / checkpoint.NAME
    if not folder:
        assert "there is no checkpoint" in message
    else:
        assert f"the last good checkpoint is of step {run._saved}, {path}" in message
        good = small_net()
        assert checkpoint.load(path, good, SGD(good.parameters()))["step"] == run._saved
        assert all(np.isfinite(p.numpy()).all() for p in good.parameters())


def test_weights_that_are_no_longer_finite_never_replace_a_good_checkpoint(tmp_path):
    run = small_trainer(tmp_path, checkpoint_steps=2)
    at_step(run, 3, lambda: run.net.parameters()[-1].assign(np.full(10, np.inf)))  # seen by no loss before the update
    with pytest.raises(Diverged, match=r"a weight is no longer finite after step 4 .*; the last good .* is of step 2,"):
        run.run()
    good = small_net()
    assert checkpoint.load(tmp_path / checkpoint.NAME, good, SGD(good.parameters()))["step"] == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_after_the_step_with_a_checkpoint(tmp_path, number):
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    run = small_trainer(tmp_path)
    at_step(run, 6, lambda: os.kill(os.getpid(), number))
    with pytest.raises(Interrupted) as error:
        run.run()
    assert str(error.value) == f"stopped after step 7, checkpoint in {tmp_path}: go on with --resume"
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers
    again = small_trainer(tmp_path)
    again.resume()
    assert again.step == 7
    assert again.run()[-1]["step"] == 22


def test_after_an_interruption_the_same_trainer_goes_on(backend):
    whole, run = small_trainer(), small_trainer()
    whole.run()
    at_step(run, 6, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(Interrupted, match=r"stopped after step 7$"):
        run.run()
    run.run()
    for p, q in zip(whole.net.parameters(), run.net.parameters(), strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy())


def test_ctrl_c_in_the_last_step_is_not_swallowed(tmp_path):
    run = small_trainer(tmp_path)
    at_step(run, 21, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(Interrupted, match="stopped after step 22"):
        run.run()
    again = small_trainer(tmp_path)
    again.resume()
    assert again.finished


def test_a_second_ctrl_c_stops_at_once_and_the_torn_step_is_not_gone_on_with(tmp_path):
    run = small_trainer(tmp_path, checkpoint_steps=2)
    at_step(run, 5, lambda: [os.kill(os.getpid(), signal.SIGINT), os.kill(os.getpid(), signal.SIGINT)])
    with pytest.raises(KeyboardInterrupt):
        run.run()
    assert run.step == 5
    with pytest.raises(UserError, match=r"the last step was cut short: resume\(\) goes back to the last checkpoint"):
        run.run()
    run.resume()
    assert run.step == 4
    run.run()
    whole = small_trainer()
    whole.run()
    for p, q in zip(whole.net.parameters(), run.net.parameters(), strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy())


def test_in_a_thread_signals_are_left_alone():
    run, failure = small_trainer(), []
    before = signal.getsignal(signal.SIGINT)

    def target():
        try:
            run.run()
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    assert signal.getsignal(signal.SIGINT) is before
    thread.join()
    assert failure == []
    assert run.finished


def test_the_bar_shows_loss_and_error_and_is_silent_when_off(capfd):
    small_trainer(epochs=1).run()
    assert capfd.readouterr() == ("", "")
    small_trainer(epochs=1, progress=True, label="here").run()
    out, err = capfd.readouterr()
    assert out == ""
    assert "here" in err
    assert re.search(r"210/210 .*images/s", err)


def test_a_folder_with_a_run_is_not_written_into_unasked(tmp_path):
    small_trainer(tmp_path, epochs=1).run()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UserError, match=r"holds a run already: resume\(\) goes on with it"):
        small_trainer(tmp_path, epochs=1).run()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_is_made_if_there_is_none(tmp_path):
    small_trainer(tmp_path / "a" / "b", epochs=1).run()
    assert sorted(p.name for p in (tmp_path / "a" / "b").iterdir()) == [checkpoint.NAME, metrics.NAME]


def test_nothing_to_resume_without_a_folder():
    with pytest.raises(ValueError, match=r"folder \(=None\)"):
        small_trainer().resume()


def test_two_processes_do_not_train_in_one_folder(tmp_path):
    pytest.importorskip("fcntl")
    root = Path(npnet.__file__).parents[1]
    other = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("small_run.py"), tmp_path, "numpy", "1", "0.05"],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(root)},
    )
    try:
        for _ in range(5):
            other.stdout.readline()
        run = small_trainer(tmp_path)
        run.resume()
        with pytest.raises(UserError, match="another process is at work there: wait for it, or stop it"):
            run.run()
    finally:
        other.kill()
        other.communicate()
    with only_writer(tmp_path, ()):  # it ended, and its claim with it
        pass


def test_checkpoints_are_written_by_the_clock_and_by_the_step(tmp_path, monkeypatch):
    written, save = [], checkpoint.save

    def note(path, net, sgd, facts, average):
        written.append(facts["step"])
        save(path, net, sgd, facts, average)

    monkeypatch.setattr(checkpoint, "save", note)
    small_trainer(tmp_path / "a", epochs=1).run()
    assert written == [0, 11]
    small_trainer(tmp_path / "b", epochs=1, checkpoint_steps=4).run()
    assert written[2:] == [0, 4, 8, 11]
    written.clear()
    run = small_trainer(tmp_path / "c", epochs=1, checkpoint_minutes=0.1 / 60)
    at_step(run, 3, lambda: time.sleep(0.11))
    run.run()
    assert 4 in written
    assert written[-1] == 11


def test_a_run_is_a_function_of_its_arguments_alone(backend):
    runs = [small_trainer(), small_trainer()]
    for run in runs:
        run.run()
    for p, q in zip(*(run.net.parameters() for run in runs), strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy())
    one, other = ([{**line, "seconds": 0, "waited": 0} for line in run.history] for run in runs)
    assert one == other


def test_a_net_learns(backend):
    images = shapes.load("train", 60, 16)
    net = Sequential(conv=Conv2D(3, 8, 5, pad=2), pool=MaxPool2D(3, 2), relu=ReLU(), fc=Dense(8 * 8 * 8, 10))
    lines = Trainer(net, Loader(images, 20, mean=images.mean_image()), SGD(net.parameters()), Steps(0.0003), 40,
                    progress=False).run()
    assert lines[0]["error"] > 0.6
    assert lines[-1]["error"] < 0.2


def test_a_record_without_a_checkpoint_is_not_resumed_over(tmp_path):
    """Stored results hold metrics and no weights: going on from them would begin anew and lose them."""
    small_trainer(tmp_path, epochs=1).run()
    (tmp_path / checkpoint.NAME).unlink()
    before = (tmp_path / metrics.NAME).read_bytes()
    with pytest.raises(UserError, match="holds metrics and no checkpoint"):
        small_trainer(tmp_path, epochs=2).resume()
    assert (tmp_path / metrics.NAME).read_bytes() == before


def test_only_what_this_run_left_half_written_is_removed(tmp_path):
    others = [tmp_path / name for name in ("film.part", "cifar-10-binary.tar.gz.part", "other.123.part")]
    for path in (*others, tmp_path / f"{checkpoint.NAME}.99.part"):
        path.write_text("half")
    small_trainer(tmp_path, epochs=1).run()
    assert sorted(tmp_path.glob("*.part")) == sorted(others)


@pytest.mark.parametrize("damage", ["{", "5", "{}", "\xff\xfe"])
def test_a_damaged_line_of_metrics_is_named_and_nothing_is_lost(tmp_path, damage):
    small_trainer(tmp_path, epochs=1).run()
    path = tmp_path / metrics.NAME
    whole = path.read_bytes().splitlines(keepends=True)
    assert len(whole) > 2
    broken = b"".join([whole[0], damage.encode("latin-1"), b"\n", *whole[2:]])
    path.write_bytes(broken)
    with pytest.raises(UserError, match=rf"{metrics.NAME}: line 2 is damaged"):
        small_trainer(tmp_path, epochs=2).resume()
    assert path.read_bytes() == broken
    path.write_bytes(b"".join(whole)[:-5])  # killed while it wrote the last one
    assert len(metrics.read(tmp_path)) == len(whole) - 1


def test_begin_is_called_once_the_folder_is_this_runs(tmp_path):
    begun = []
    small_trainer(tmp_path, epochs=1, begin=lambda: begun.append(sorted(tmp_path.iterdir()))).run()
    assert begun == [[]]
    with pytest.raises(UserError, match="holds a run already"):
        small_trainer(tmp_path, epochs=1, begin=lambda: begun.append("again")).run()
    assert len(begun) == 1


class Slow(Loader):
    """Takes its time over each batch."""

    def _fill(self, *arguments):
        time.sleep(0.03)
        super()._fill(*arguments)


@pytest.mark.parametrize("computing", [0.0, 0.12])
def test_batches_are_made_while_the_net_computes_and_waiting_is_counted(backend, computing):
    """AlexNet §4.1: "in effect, computationally free". A batch takes 30 ms to make; the net little, or 120 ms."""
    run = small_trainer(epochs=1, loader=Slow)
    run.net.forward(np.zeros((BATCH, 3, 14, 14), np.float32))  # compiled
    train, spent = run._train, []

    def timed(*batch):
        began = time.perf_counter()
        time.sleep(computing)
        train(*batch)
        spent.append(time.perf_counter() - began)

    run._train = timed
    waited = sum(line["waited"] for line in run.run())
    if computing:
        assert waited < 0.25 < 11 * 0.03, "for the first batch alone, which nothing comes before"
    else:
        assert waited > 11 * 0.03 - sum(spent), "for what was not made meanwhile"
        assert waited < run.seconds - sum(spent) + 0.01


def test_what_another_process_has_done_since_is_not_written_over(tmp_path):
    late = small_trainer(tmp_path, epochs=1)
    late.resume()  # nothing is there yet
    small_trainer(tmp_path, epochs=1).run()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UserError, match=r"has gone on to step 11 since this trainer looked: resume\(\) again"):
        late.run()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    late.resume()
    assert late.finished
