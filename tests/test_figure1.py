import json
import os

import numpy as np
import pytest

from npnet import data
from npnet.data import shapes
from npnet.errors import UserError
from npnet.recipes import figure1
from npnet.train import metrics

IMAGES = 130  # two steps an epoch, the second of two images


@pytest.fixture
def small(monkeypatch):
    """`data.load` draws no more than is used; in this process."""
    monkeypatch.setattr(data, "load", lambda name, split, most=None: shapes.load(split, IMAGES))


def lines(*errors, epochs=0.2):
    return [{"step": i, "epoch": epochs * (i + 1), "error": e} for i, e in enumerate(errors)]


def test_a_point_of_the_curve_is_the_mean_of_the_epoch_before_it():
    measured = lines(0.9, 0.7, 0.6, 0.5, 0.3, 0.1, 0.2)  # fifths of an epoch
    measured.insert(3, {"step": 1, "epoch": 0.6, "test_error": 0.1})
    measured.append({"step": 9, "epoch": 2.4, "error": 0.15})  # one line for the whole of the next epoch
    expected = [
        (0.1, 0.9), (0.2, 0.8), (0.3, 2.2 / 3), (0.4, 2.7 / 4), (0.5, 0.6), (0.7, 0.44), (0.9, 0.34), (1.9, 0.15)]
    np.testing.assert_allclose(figure1.curve(measured), expected)


def test_a_saw_tooth_within_the_epochs_is_no_crossing():
    """Early in an epoch the error is less than late in it: the mean of an epoch is what counts."""
    saw = lines(*[0.24, 0.26, 0.28, 0.30, 0.32] * 4)
    assert all(error >= 0.2799 for _, error in figure1.curve(saw)[4:])


@pytest.mark.parametrize(("errors", "epoch"), [
    ((0.8, 0.5, 0.2), 1.5 + 5 / 6),  # from 0.5 to 0.2: five sixths of the way at 0.25
    ((0.8, 0.25, 0.2), 1.5),  # on the point
    ((0.8, 0.3, 0.2, 0.4, 0.1), 2.0),  # the first time
    ((0.2, 0.1), 0.5),  # from the first measurement on: nothing is known before it
    ((0.25,), 0.5),
    ((0.9, 0.8, 0.2500001), None),
    ((), None),
])
def test_crossing(errors, epoch):
    reached = figure1.crossing(lines(*errors, epochs=1))
    assert reached == (None if epoch is None else pytest.approx(epoch, rel=1e-12))


def test_crossing_at_another_level_ignores_evaluations():
    measured = [lines(0.9)[0], {"step": 0, "epoch": 0.2, "test_error": 0.0}, lines(0.9, 0.1)[1]]
    assert figure1.crossing(measured, 0.5) == pytest.approx(0.2)


def test_the_experiment_has_no_regularisation():
    for activation in figure1.ACTIVATIONS:
        recipe = figure1.recipe(activation, 0.001, 5)
        assert (recipe.weight_decay, recipe.crop, recipe.mirror, recipe.drops) == (0, 0, False, ())
        assert f"{activation}1" in recipe.build(0).names
        assert not [n for n in recipe.build(0).names if "drop" in n or "norm" in n]


def run(folder, **settings):
    return figure1.run("shapes", folder, **{"epochs": 1, "images": IMAGES, "progress": False, **settings})


def test_a_run_records_enough_to_be_drawn_again_without_training(tmp_path, small, monkeypatch):
    summary = run(tmp_path, rates={"relu": 0.001, "tanh": 0.002}, seeds=2)
    assert summary == json.loads((tmp_path / "summary.json").read_text())
    assert summary["epochs"] == {"relu": [None, None], "tanh": [None, None]}
    assert summary["ratio"] is None
    assert summary["rates"] == {"relu": 0.001, "tanh": 0.002}
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "figure1.json", "figure1.png", "figure1.svg", "relu-seed0", "relu-seed1", "summary.json", "tanh-seed0",
        "tanh-seed1"]
    first = {name: (tmp_path / name).read_bytes() for name in ("figure1.svg", "figure1.png", "summary.json")}
    assert b"shapes, the built-in set (not CIFAR-10), 130 images" in first["figure1.svg"]
    for name in first:
        (tmp_path / name).unlink()
    monkeypatch.setattr(figure1, "train_all", None)
    monkeypatch.setattr(data, "load", None)
    assert figure1.draw(tmp_path) == summary
    assert {name: (tmp_path / name).read_bytes() for name in first} == first


def test_photos_are_no_cifar10(tmp_path):
    (tmp_path / "pets" / "train").mkdir(parents=True)
    (tmp_path / "pets" / "train" / "index.json").write_text("{}")
    assert figure1.known_as(str(tmp_path / "pets")) == "photos in pets"
    assert figure1.quick(str(tmp_path / "pets")) == figure1.quick("cifar10") != figure1.quick("shapes")
    assert (figure1.known_as("shapes"), figure1.known_as(str(tmp_path))) == ("shapes", "cifar10")


def test_as_many_images_are_named_as_there_were(tmp_path, small):
    assert run(tmp_path, images=999_999)["images"] == IMAGES
    assert b"not in 1 epochs with ReLU; not in 1 epochs with tanh" in (tmp_path / "figure1.svg").read_bytes()


@pytest.mark.parametrize("change", [{"level": "x"}, {"rates": {}}, {"runs": [{}]}, {"runs": 3}])
def test_a_damaged_record_is_named(tmp_path, small, change):
    run(tmp_path)
    path = tmp_path / "figure1.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(UserError, match=r"figure1.json: not a Figure 1's record \("):
        figure1.draw(tmp_path)


def test_the_summary_is_counted_by_hand(tmp_path):
    errors = {"relu-seed0": (0.5, 0.0), "relu-seed1": (0.75, 0.25), "tanh-seed0": (0.9, 0.8, 0.7, 0.25),
              "tanh-seed1": (0.9, 0.9, 0.9, 0.9, 0.9, 0.25)}
    facts = {"data": "cifar10", "images": 0, "level": 0.25, "rates": {"relu": 1, "tanh": 2},
             "runs": [{"activation": name[:4], "folder": name} for name in errors]}
    (tmp_path / "figure1.json").write_text(json.dumps(facts))
    for name, values in errors.items():
        (tmp_path / name).mkdir()
        metrics.write(tmp_path / name, lines(*values, epochs=1))
    summary = figure1.draw(tmp_path)
    assert summary["epochs"] == {"relu": [1.0, 1.5], "tanh": [3.5, 5.5]}
    assert summary["mean_epochs"] == {"relu": 1.25, "tanh": 4.5}
    assert summary["ratio"] == 3.6
    assert summary["ratio_by_seed"] == [3.5, 5.5 / 1.5]
    assert summary["paper_ratio"] == 6


def test_one_worker_and_two_measure_the_same(tmp_path, small, capfd):
    before = os.environ.get("NUMBA_NUM_THREADS")
    for workers in (1, 2):
        run(tmp_path / str(workers), workers=workers)
    assert os.environ.get("NUMBA_NUM_THREADS") == before
    assert capfd.readouterr() == ("", "")
    for name in ("relu-seed0", "tanh-seed0"):
        one, two = (metrics.read(tmp_path / str(workers) / name) for workers in (1, 2))
        assert len(one) == 2
        for a, b in zip(one, two, strict=True):
            for key in ("step", "epoch", "error", "rate"):
                assert a[key] == b[key]
            assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)  # other threads, another order of summing


def test_a_resumed_run_does_not_train_what_is_done(tmp_path, small, monkeypatch):
    run(tmp_path)
    with pytest.raises(UserError, match="holds a run of figure1 already"):
        run(tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    run(tmp_path, resume=True)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    run(tmp_path, resume=True, epochs=2)
    assert metrics.read(tmp_path / "relu-seed0")[-1]["epoch"] == 2


def test_a_rate_that_diverges_ends_the_figure_with_its_name(tmp_path, small):
    with pytest.raises(UserError, match=r"relu, rate 1e\+06, seed 0: .*try a smaller learning rate"):
        run(tmp_path, rates={"relu": 1e6, "tanh": 0.001}, epochs=3)


def test_training_must_go_as_far_as_the_line(tmp_path):
    with pytest.raises(ValueError, match=r"level \(=1.0\) must be more than 0 and less than 1"):
        run(tmp_path, level=1.0)


def test_no_figure_is_drawn_from_an_empty_folder(tmp_path):
    with pytest.raises(UserError, match=r"holds no Figure 1 \(no figure1\.json\)"):
        figure1.draw(tmp_path)


def test_tuning_takes_the_best_of_each_heat(tmp_path, small, monkeypatch):
    """With training replaced by known curves: what is trained how far, and which is chosen."""
    trained = []

    def train_all(jobs, workers, progress):
        failures = {}
        for job in jobs:
            trained.append((job.activation, job.rate, job.epochs, job.seed, job.resume))
            speed = {0.001: 0.90, 0.002: 0.60, 0.004: 0.70, 0.008: 0.80, 0.016: 0.5}[job.rate]
            if job.activation == "tanh":
                speed = {0.001: 0.5, 0.002: 0.6, 0.004: 0.97, 0.008: 0.95, 0.016: 0.92}[job.rate]
            job.folder.mkdir(parents=True, exist_ok=True)
            metrics.write(job.folder, lines(*(0.9 * speed**k for k in range(1, job.epochs + 1)), epochs=1))
            failures[job] = "the loss is nan" if job.rate == 0.016 and job.activation == "relu" else None
        return failures

    monkeypatch.setattr(figure1, "train_all", train_all)
    monkeypatch.setattr(figure1, "GRID", (0.001, 0.002, 0.004, 0.008, 0.016))
    monkeypatch.setattr(figure1, "HEATS", ((2, 3), (4, 2)))
    chosen = figure1.tune("shapes", tmp_path, 8, IMAGES, 1, False, False)
    assert chosen == {"relu": 0.002, "tanh": 0.001}
    told = json.loads((tmp_path / "tuning.json").read_text())
    assert told["chosen"] == chosen
    diverged = {(run["activation"], run["rate"]): run["diverged"] for run in told["runs"] if run["diverged"]}
    assert diverged == {("relu", 0.016): "the loss is nan"}
    assert len(told["runs"]) == 10
    assert {seed for *_, seed, _ in trained} == {figure1.TUNING_SEED}
    by_heat = {length: sorted((a, rate) for a, rate, e, *_ in trained if e == length) for length in (2, 4, 8)}
    assert len(by_heat[2]) == 10
    assert by_heat[4] == [("relu", 0.002), ("relu", 0.004), ("relu", 0.008), ("tanh", 0.001), ("tanh", 0.002),
                          ("tanh", 0.016)], "the diverged one does not go on, whatever its error was"
    assert by_heat[8] == [("relu", 0.002), ("relu", 0.004), ("tanh", 0.001), ("tanh", 0.002)]
    assert {(e, going_on) for _, _, e, _, going_on in trained} == {(2, False), (4, True), (8, True)}


def test_tuning_trains_on_from_heat_to_heat(tmp_path, small, monkeypatch):
    monkeypatch.setattr(figure1, "GRID", (0.0005, 0.002))
    monkeypatch.setattr(figure1, "HEATS", ((1, 1), (2, 1)))
    chosen = figure1.tune("shapes", tmp_path, 2, IMAGES, 1, False, False)
    ends = {path.name: metrics.read(path)[-1]["epoch"] for path in (tmp_path / "tuning").iterdir()}
    for activation, rate in chosen.items():
        assert ends.pop(f"{activation}-{rate:g}") == 2
    assert set(ends.values()) == {1}
    assert figure1.tune("shapes", tmp_path, 2, IMAGES, 1, True, False) == chosen


def test_means_only_where_all_seeds_arrive():
    assert figure1._mean([1.0, 3.0]) == 2
    assert figure1._mean([1.0, None]) is None
    assert figure1._mean([]) is None
