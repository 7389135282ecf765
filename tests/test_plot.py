import itertools

import numpy as np
import pytest
from PIL import Image

from npnet import plot

LONG = "shapes, the built-in set (not CIFAR-10), 2,000 images"
RATES = {"relu": 0.0005, "tanh": 0.0005}


def falling(epochs, speed, seed=0):
    """Training error that falls from 90 % to 15 %, five points an epoch."""
    x = (np.arange(5 * epochs) + 0.5) / 5
    noise = np.random.default_rng(seed).normal(0, 0.004, len(x))
    return list(zip(x.tolist(), (0.15 + 0.75 * np.exp(-x / speed) + noise).tolist(), strict=True))


def crossing(points):
    return next((x for x, y in points if y <= 0.25), None)


CASES = {
    "both": (12, 3, 60, 18), "close": (14, 5, 14, 5.4), "at the end": (4, 1.5, 26, 12), "tanh slower": (12, 3, 60, 90),
    "relu slower": (60, 90, 12, 3), "neither": (6, 60, 6, 90), "at once": (3, 0.3, 30, 2),
}


def arguments(case, seeds=1):
    n, fast, m, slow = CASES[case]
    curves = {"relu": [falling(n, fast, s) for s in range(seeds)], "tanh": [falling(m, slow, s) for s in range(seeds)]}
    crossings = {}
    for name, runs in curves.items():
        found = [crossing(run) for run in runs]
        crossings[name] = None if None in found else float(np.mean(found))
    return curves, crossings


@pytest.fixture
def drawn(monkeypatch):
    """What was drawn, instead of a file."""
    kept = []
    monkeypatch.setattr(plot, "_saved", lambda figure, paths, description: kept.append((figure, description)))
    return kept


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("case", CASES)
def test_no_text_of_figure1_overlaps_another_or_leaves_the_picture(drawn, case, seeds):
    plot.figure1(*arguments(case, seeds), RATES, 0.25, LONG, [])
    figure, _ = drawn[0]
    figure.canvas.draw()
    axes = figure.axes[0]
    texts = [figure._suptitle, *axes.texts, *axes.get_legend().get_texts(), axes.xaxis.label, axes.yaxis.label,
             *axes.get_xticklabels(), *axes.get_yticklabels()]
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    shown = [t for t in texts if t.get_text() and not (
        (t in axes.get_xticklabels() and not left <= t.get_position()[0] <= right)
        or (t in axes.get_yticklabels() and not bottom <= t.get_position()[1] <= top))]
    boxes = [(t.get_text(), t.get_window_extent()) for t in shown]
    for text, box in boxes:
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1, text
        assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1, text
    for (text, a), (other, b) in itertools.combinations(boxes, 2):
        assert not a.overlaps(b), (text, other)


def test_figure1_looks_like_the_papers(drawn):
    curves, crossings = arguments("both", seeds=3)
    plot.figure1(curves, crossings, {"relu": 0.004, "tanh": 0.016}, 0.25, "CIFAR-10", [])
    figure, description = drawn[0]
    axes = figure.axes[0]
    relu, tanh = (next(line for line in axes.lines if line.get_label().startswith(name)) for name in ("ReLU", "tanh"))
    assert (relu.get_linestyle(), tanh.get_linestyle()) == ("-", "--")
    assert relu.get_color() != tanh.get_color()
    assert [t.get_text() for t in axes.get_legend().get_texts()] == [
        "ReLU, learning rate 0.004", "tanh, learning rate 0.016"]
    errors, epochs = plot.reached([np.array(run) for run in curves["relu"]], 0.25)
    np.testing.assert_allclose(relu.get_xdata(), epochs.mean(axis=0))
    np.testing.assert_allclose(relu.get_ydata(), errors)
    assert relu.get_ydata()[-1] == 0.25
    assert len(axes.collections) == 2, "a band for each"
    assert any(set(line.get_ydata()) == {0.25} and len(line.get_ydata()) == 2 for line in axes.lines)
    written = figure._suptitle.get_text()
    ratio = crossings["tanh"] / crossings["relu"]
    assert "Training error on CIFAR-10, 3 seeds\n" in written
    assert f"25% after {crossings['relu']:.1f} epochs with ReLU and {crossings['tanh']:.1f} with tanh" in written
    assert f"{ratio:.1f} times as many (the paper, to 25%: 6 times)" in written
    assert " ".join(written.split()) == " ".join(description.replace(", against epochs.", "").rstrip(".").split())


@pytest.mark.parametrize(("crossings", "seeds", "said"), [
    ({"relu": 5.0, "tanh": 30.0}, 1, "25% after 5.0 epochs with ReLU and 30.0 with tanh: 6.0 times as many"),
    ({"relu": 5.0, "tanh": None}, 1, "25% after 5.0 epochs with ReLU; not in 60 epochs with tanh"),
    ({"relu": None, "tanh": 9.0}, 1, "25% not in 20 epochs with ReLU; after 9.0 epochs with tanh"),
    ({"relu": None, "tanh": None}, 3, "25% not always in 20 epochs with ReLU; not always in 60 epochs with tanh"),
])
def test_the_verdict_says_what_was_reached(crossings, seeds, said):
    assert plot.verdict(crossings, {"relu": 20.0, "tanh": 60.0}, 0.25, seeds) == f"{said} (the paper, to 25%: 6 times)"


def test_the_epochs_that_were_trained_are_said():
    """Not those to the middle of the last measurement."""
    curves = {"relu": [[(0.5, 0.8)]], "tanh": [[(0.5, 0.9), (4.5, 0.8)]]}
    figure = plot.figure1(curves, {"relu": None, "tanh": None}, RATES, 0.25, "shapes", [])
    assert "not in 1 epochs with ReLU; not in 5 epochs with tanh" in figure.get_suptitle()


@pytest.mark.parametrize(("name", "shown"), [
    ("cost 5$ or 6$.png", "cost 5$ or 6$.png"), (r"a_$\x$", r"a_$\x$"), (r"$\frac$", r"$\frac$"),
    ("bad\udcff.jpg", "bad?.jpg"), ("100%", "100%"),
])
def test_names_are_shown_as_they_are(tmp_path, name, shown):
    """A $ is a $, not mathematics; what is no character is a ?."""
    paths = [tmp_path / "a.svg", tmp_path / "a.png"]
    figure = plot.sheet([(name, [np.zeros((3, 4, 4), np.uint8)])], name, paths)
    assert figure.get_suptitle() == shown
    assert figure.axes[0].get_title(loc="left") == shown
    assert all(path.stat().st_size for path in paths)


def test_numbers_at_a_logarithmic_axis_stay_numbers(tmp_path):
    result = {"looked_at": [10, 100, 1000], "gallery": 1000, "k": 6,
              **{key: [0.1, 0.5, 1.0] for key in ("learnt", "random_planes", "chance")}}
    plot.recall(result, "a $ and $", [tmp_path / "a.svg"])
    written = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert "a $ and $" in written
    assert "mathdefault" not in written.replace(r"<!-- $\mathdefault{", "")


@pytest.mark.parametrize("installed", [True, False])
def test_what_no_font_can_write_is_said_once(tmp_path, monkeypatch, capsys, installed):
    from matplotlib import font_manager

    monkeypatch.setattr(plot, "FONTS", ("DejaVu Serif",) if installed else ("Nowhere Sans",))
    assert any(font.name == "DejaVu Serif" for font in font_manager.fontManager.ttflist)
    plot.sheet([("고양이", [np.zeros((3, 4, 4), np.uint8)])], "é × 개", [tmp_path / "a.svg", tmp_path / "a.png"])
    said = capsys.readouterr().err
    assert said == ("" if installed else "no font for 개고양이 is installed, and boxes stand in the picture instead: "
                                         "install one, as Nowhere Sans\n")


def test_without_any_point_there_is_still_a_picture(tmp_path):
    plot.figure1({"relu": [], "tanh": [[]]}, {"relu": None, "tanh": None}, RATES, 0.25, "nothing", [tmp_path / "a.svg"])
    assert (tmp_path / "a.svg").stat().st_size


def test_the_same_numbers_give_the_same_files_with_a_description(tmp_path):
    for folder in ("a", "b"):
        paths = [tmp_path / folder / name for name in ("figure1.svg", "figure1.png")]
        plot.figure1(*arguments("both", 2), RATES, 0.25, "CIFAR-10", paths)
    for name in ("figure1.svg", "figure1.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    said = "Training error on CIFAR-10, 2 seeds"
    with Image.open(tmp_path / "a" / "figure1.png") as image:
        assert image.info["Description"].startswith(said)
    assert said in (tmp_path / "a" / "figure1.svg").read_text()


def test_a_runs_curves_end_where_its_metrics_do(drawn):
    lines = [{"epoch": 0.5, "error": 0.8}, {"epoch": 1.0, "error": 0.6},
             {"epoch": 1.0, "test_error": 0.65, "averaged_error": 0.7}]
    plot.training({"one": lines, "two": lines[:1], "none": []}, "runs", [], chance=0.9)
    figure, description = drawn[0]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == [
        "one: training 60.0%, test 65.0%, with the mean of the weights (squares) 70.0% at the end",
        "two: training 80.0% at the end", "none: nothing yet"]
    drawn_lines = [line.get_xydata().tolist() for line in figure.axes[0].lines]
    assert [[0.5, 0.8], [1.0, 0.6]] in drawn_lines
    assert [[1.0, 0.65]] in drawn_lines
    assert [[1.0, 0.7]] in drawn_lines
    assert [[0, 0.9], [1, 0.9]] in drawn_lines
    assert "one: training 60.0%" in description
    colours = [line.get_color() for line in figure.axes[0].lines if line.get_label().startswith(("one", "two"))]
    assert len(set(colours)) == 2


def test_a_single_seed_is_drawn_as_it_was_measured(drawn):
    curves, crossings = arguments("both")
    plot.figure1(curves, crossings, RATES, 0.25, "CIFAR-10", [])
    line = next(line for line in drawn[0][0].axes[0].lines if line.get_label().startswith("tanh"))
    np.testing.assert_array_equal(line.get_xydata(), curves["tanh"][0])


def test_the_mean_curve_is_of_the_epochs_at_which_an_error_is_reached():
    """Seeds that end at different epochs: it goes on to their mean, and not only to where the first one ends."""
    a = np.array([(0.5, 0.9), (1.0, 0.5), (2.0, 0.25)])
    b = np.array([(0.5, 0.8), (2.0, 0.5), (3.0, 0.6), (6.0, 0.2)])  # up, and down again
    errors, epochs = plot.reached([a, b], 0.25)
    assert errors[0] == 0.8
    assert errors[-1] == 0.25
    np.testing.assert_allclose(epochs[:, 0], [0.625, 0.5])
    np.testing.assert_allclose(epochs[:, -1], [2.0, 3.0 + 3 * 0.35 / 0.4])
    assert (np.diff(epochs, axis=1) >= 0).all()
    assert plot.reached([a, b[:3]], 0.25)[0][-1] == 0.5, "as far as all seeds came"


def test_long_names_of_runs_and_classes_stay_in_the_picture(drawn):
    lines = [{"epoch": 1, "error": 0.5}, {"epoch": 1, "test_error": 0.4, "averaged_error": 0.3}]
    plot.training({"googlenet-imagenette-batch32-seed0" * 2: lines}, "Runs", [])
    figure, _ = drawn.pop()
    figure.canvas.draw()
    box = figure.legends[0].get_window_extent()
    assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
    photo = np.zeros((3, 8, 8), np.uint8)
    plot.answers([photo] * 3, [[("n" * 60, 0.9), ("cat", 0.1)]] * 3, ["photo-" * 20] * 3, [])
    figure, _ = drawn.pop()
    figure.canvas.draw()
    above, below = figure.axes[0], figure.axes[3]
    assert above.get_window_extent().width > 100, "the photo is not squeezed by a name"
    assert below.texts[0].get_text() == "n" * 29 + "…  90%"
    assert above.title.get_window_extent().x1 <= figure.bbox.x1
