"""Notebooks run from their sources, exercises solved, and the stored ones are in step with them.

The run of a notebook takes about 15 seconds on two free cores (NPNET_QUICK cuts its trainings short), the rest of
this file a few seconds. It needs neither a network, nor CIFAR-10, nor results/.
"""
import copy
import html
import importlib.util
import json
import os
import re
import socket
import sys
import tempfile
from pathlib import Path

import pytest

jupytext = pytest.importorskip("jupytext")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "notebooks"
SOURCES = sorted(FOLDER.glob("[0-9]*.py"))
LIMIT_SECONDS = 120  # of one core, so that a busy machine does not count
LIMIT_BYTES = 300_000
LONGEST_CELL = 20

spec = importlib.util.spec_from_file_location("execute_notebooks", FOLDER / "execute.py")
execute = importlib.util.module_from_spec(spec)
spec.loader.exec_module(execute)

each_notebook = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)


def tags(cell):
    return cell.metadata.get("tags", [])


def with_solutions(notebook):
    """After each hidden solution, the solution as a cell, and once more the cell that checks the answer."""
    cells, check = [], None
    for cell in notebook.cells:
        cells.append(cell)
        if "check" in tags(cell):
            check = cell
        solution = re.search(r"```python\n(.*?)```", cell.source, re.DOTALL) if "<details>" in cell.source else None
        if solution:
            solved = nbformat.v4.new_code_cell(solution.group(1), metadata={"tags": ["solution"]})
            again = copy.deepcopy(check)
            again.metadata["tags"] = ["solved"]
            again.id = f"{check.id}-solved"
            cells += [solved, again]
    notebook.cells = cells
    return notebook


def texts(notebook):
    """Everything that the outputs say, without the bytes of pictures."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            yield output.get("text", "")
            for kind, content in output.get("data", {}).items():
                if not kind.startswith("image/png"):
                    yield str(content)


def test_there_are_notebooks_and_each_is_on_the_map():
    assert SOURCES
    for name in ("README.md", "README.ko.md"):
        readme = (FOLDER / name).read_text(encoding="utf-8")
        for source in SOURCES:
            assert f"({source.stem}.ipynb)" in readme
        for linked in re.findall(r"\((\w+\.ipynb)\)", readme):
            assert (FOLDER / linked).exists(), linked


@each_notebook
def test_each_opens_with_a_korean_abstract_and_closes_with_what_is_misread(source):
    cells = [cell.source for cell in execute.read(source).cells if cell.cell_type == "markdown"]
    abstract = re.sub(r"\s*>\s*", " ", cells[0].partition("**초록.**")[2].partition("\n\n")[0])
    assert 5 <= len(re.findall(r"다\.", abstract)) <= 8
    assert any("What summaries get wrong here" in cell for cell in cells)


@pytest.mark.filterwarnings("default")
@each_notebook
def test_runs_quickly_and_its_solutions_are_right(source, tmp_path, monkeypatch):
    monkeypatch.setenv("NPNET_QUICK", "1")
    monkeypatch.delenv("NPNET_FULL", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = with_solutions(execute.read(source))
    before = os.times()
    execute.run(notebook, tmp_path)  # a failing assert in a cell raises here
    after = os.times()
    seconds = sum(getattr(after, part) - getattr(before, part) for part in ("children_user", "children_system"))
    assert seconds < LIMIT_SECONDS
    solved = [cell for cell in notebook.cells if "solved" in tags(cell)]
    assert len(solved) == 3
    for cell in solved:
        assert "right" in cell.outputs[0].text
    assert {path.name for path in tmp_path.iterdir()} <= {"ipython"}  # it writes nothing where it runs


@each_notebook
def test_stored_notebook_is_in_step_with_its_source(source):
    stored = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    fresh = execute.read(source)
    command = f"python notebooks/execute.py {source.stem}"
    assert [(c.cell_type, c.source, tags(c)) for c in stored.cells] == [
        (c.cell_type, c.source, tags(c)) for c in fresh.cells
    ], f"{source.stem}.ipynb is not in step with {source.name}: {command}"


@each_notebook
def test_stored_outputs_are_there_small_and_clean(source):
    path = source.with_suffix(".ipynb")
    stored = nbformat.read(path, as_version=4)
    code = [cell for cell in stored.cells if cell.cell_type == "code"]
    assert path.stat().st_size <= LIMIT_BYTES
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert sum(bool(cell.outputs) for cell in code) > len(code) / 2
    for cell in code:
        for output in cell.outputs:
            assert output.output_type in ("stream", "display_data"), output
            assert output.get("name") != "stderr", output.text
            assert "image/png" not in output.get("data", {}) or len(output.metadata["image/png"]["alt"]) > 40
    assert sum("image/png" in output.get("data", {}) for cell in code for output in cell.outputs) >= 2
    here = {str(ROOT), str(Path.home()), tempfile.gettempdir(), sys.prefix, socket.gethostname()} - {"", "/"}
    for text in texts(stored):
        assert not re.search(r"(^|[\s'\"(])/(home|root|tmp|work|usr|opt|Users)/|[A-Z]:\\", text), text
        assert not [name for name in here if name in text and len(name) > 3], text


@each_notebook
def test_cells_are_short(source):
    for cell in execute.read(source).cells:
        if cell.cell_type == "code":
            assert len([line for line in cell.source.splitlines() if line.strip()]) < LONGEST_CELL, cell.source


def test_a_slider_is_a_picture_where_nobody_can_move_it(monkeypatch, capsys):
    pytest.importorskip("IPython")
    import IPython.display
    from matplotlib.figure import Figure

    from npnet import notebook

    shown, drawn = [], []

    def draw(n, alpha):
        drawn.append((n, alpha))
        figure = Figure()
        figure.subplots().plot([0, n], [0, alpha])
        return figure

    monkeypatch.setattr(IPython.display, "display", shown.append)
    monkeypatch.setenv("NPNET_STATIC", "1")
    notebook.slide(draw, "a line that rises", n=(5, 1, 15, 1), alpha=(0.5, 0.0, 1.0, 0.1))
    [picture] = shown
    assert (drawn, picture.alt) == ([(5, 0.5)], "a line that rises")
    assert picture.data.startswith(b"\x89PNG")


def test_sliders_are_whole_numbers_where_their_steps_are(monkeypatch):
    widgets = pytest.importorskip("ipywidgets")
    from npnet import notebook

    monkeypatch.delenv("NPNET_STATIC", raising=False)
    made = {}
    monkeypatch.setattr(widgets, "interact", lambda function, **sliders: made.update(sliders))
    notebook.slide(lambda **values: None, "nothing", n=(5, 1, 15, 1), alpha=(0.5, 0.0, 1.0, 0.1))
    assert isinstance(made["n"], widgets.IntSlider)
    assert (made["alpha"].value, made["alpha"].max) == (0.5, 1.0)


def said(picture):
    """What is said of a picture to those who cannot see it, beside the image or in the HTML."""
    return picture.alt if hasattr(picture, "alt") else html.unescape(re.search('alt="([^"]*)"', picture.data)[1])


@pytest.mark.parametrize("static", ["0", "1"])
def test_a_live_curve_grows_where_somebody_looks(monkeypatch, static):
    pytest.importorskip("IPython")
    import IPython.display

    from npnet import notebook

    class Handle:
        def update(self, picture):
            shown.append(("again", picture))

    def display(picture, display_id):
        shown.append(("first", picture))
        return Handle()

    shown = []
    monkeypatch.setenv("NPNET_STATIC", static)
    monkeypatch.setattr(IPython.display, "display", display)
    monkeypatch.setattr(notebook.Live, "SECONDS", -1.0)
    curve = notebook.Live("A net", "epochs", "loss (nats)")
    for epoch in range(3):
        curve.add("training", epoch + 1, 2.0 - epoch)
        curve.add("test", epoch + 1, 2.5 - epoch, learnt=2.2 - epoch)
    curve.close("two lines that fall <of two>")
    kinds = [kind for kind, _ in shown]
    assert kinds == (["first"] if static == "1" else ["first"] + ["again"] * 6), "in the place of the one before it"
    assert said(shown[-1][1]) == "two lines that fall <of two>"
    assert len({picture.data for _, picture in shown[:-1]}) == len(shown) - 1, "each with a point more"


@pytest.mark.parametrize("static", ["0", "1"])
def test_a_stored_picture_is_shown_as_wide_as_asked_and_described(monkeypatch, tmp_path, static):
    pytest.importorskip("IPython")
    import IPython.display

    from npnet import notebook

    shown = []
    monkeypatch.setenv("NPNET_STATIC", static)
    monkeypatch.setattr(IPython.display, "display", shown.append)
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    notebook.show_file(tmp_path / "a.png", 'a "square"', width=420)
    [picture] = shown
    assert said(picture) == 'a "square"'
    assert picture.width == 420 if static == "1" else ' width="420" ' in picture.data


def test_a_live_curve_has_the_images_learnt_from_dashed_beside_it(monkeypatch):
    pytest.importorskip("IPython")
    import IPython.display

    from npnet import notebook

    drawn = []
    monkeypatch.setenv("NPNET_STATIC", "1")
    monkeypatch.setattr(IPython.display, "display", lambda picture, display_id: None)
    monkeypatch.setattr(notebook, "_picture", lambda figure, alt: drawn.append(figure))
    curve = notebook.Live("Two nets", "epochs", "error (fraction)")
    for epoch in (1, 2):
        curve.add("one", epoch, 0.6)
        curve.add("two", epoch, 0.5, learnt=0.3)
    curve.close("three level lines")
    [figure] = drawn
    assert [(line.get_label(), line.get_linestyle(), *line.get_ydata()) for line in figure.axes[0].lines] == [
        ("one", "-", 0.6, 0.6), ("two, other images", "-", 0.5, 0.5), ("two, images learnt from", "--", 0.3, 0.3)]
    assert len({line.get_color() for line in figure.axes[0].lines[1:]}) == 1


def test_begin_goes_to_the_repository_and_says_whether_to_be_quick(monkeypatch, tmp_path):
    from npnet import notebook

    monkeypatch.chdir(FOLDER)
    monkeypatch.setenv("NPNET_QUICK", "1")
    assert notebook.begin() is True
    assert Path.cwd() == ROOT
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NPNET_QUICK", "0")
    assert notebook.begin() is False
    assert Path.cwd() == tmp_path, "an installed package has no repository around it"


@pytest.mark.parametrize(("set_to", "size"), [({}, 2), ({"NPNET_QUICK": "1"}, 1), ({"NPNET_FULL": "1"}, 3),
                                              ({"NPNET_QUICK": "0", "NPNET_FULL": ""}, 2)])
def test_a_training_is_as_large_as_is_asked(monkeypatch, set_to, size):
    from npnet.notebook import sized

    for name in ("NPNET_QUICK", "NPNET_FULL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in set_to.items():
        monkeypatch.setenv(name, value)
    assert sized(1, 2, 3) == size


def metrics_of_a_run(folder, errors):
    folder.mkdir(parents=True)
    lines = [{"step": i, "epoch": (i + 1) / 5, "loss": 1.0, "error": error} for i, error in enumerate(errors)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def cells_of_figure_1(monkeypatch, folder, capsys):
    """The set-up of 02_relu and its cells about the stored figure, run in `folder`. (what is printed, what is shown)"""
    monkeypatch.chdir(folder)
    code = [cell for cell in execute.read(FOLDER / "02_relu.py").cells if cell.cell_type == "code"]
    last = next(i for i, cell in enumerate(code) if "begin()" in cell.source)
    names, shown = {}, []
    for cell in code[: last + 1]:
        exec(cell.source, names)
    names["show_file"] = lambda path, alt, width: shown.append(path.read_bytes())
    for cell in code[last + 1 :]:
        if "figure1" in tags(cell):
            exec(cell.source, names)
    return capsys.readouterr().out, shown


def test_relu_without_stored_trainings(monkeypatch, tmp_path, capsys):
    printed, shown = cells_of_figure_1(monkeypatch, tmp_path, capsys)
    assert "results/figure1 is not here" in printed
    assert not shown


@pytest.mark.parametrize("reached", [True, False])
def test_relu_with_stored_trainings(monkeypatch, tmp_path, capsys, reached):
    folder = tmp_path / "results" / "figure1"
    fall = {"relu": [0.8] * 5 + [0.2] * 5, "tanh": [0.8] * 10 + [0.2 if reached else 0.3] * 5}  # fifths of an epoch
    runs = [{"activation": a, "rate": 0.1, "seed": s, "folder": f"{a}-seed{s}"} for s in range(2) for a in fall]
    for run in runs:
        metrics_of_a_run(folder / run["folder"], fall[run["activation"]])
    rates = dict.fromkeys(fall, 0.1)
    (folder / "figure1.json").write_text(
        json.dumps({"data": "cifar10", "images": 0, "seeds": 2, "level": 0.25, "rates": rates, "runs": runs})
    )
    tried = [
        {"activation": a, "rate": rate, "epochs_trained": 2.0, "last_error": error, "epochs_to_25_percent": None,
         "diverged": None if error else "the loss is nan at step 9"}
        for a in fall for rate, error in ((0.05, 0.5), (0.1, 0.4), (0.2, None))
    ]
    (folder / "tuning.json").write_text(json.dumps({"chosen": rates, "runs": tried}))
    before = sorted(folder.rglob("*"))
    printed, (picture,) = cells_of_figure_1(monkeypatch, tmp_path, capsys)
    assert sorted(folder.rglob("*")) == before  # nothing is written into the stored results
    assert picture.startswith(b"\x89PNG")
    if reached:  # the mean of an epoch is 0.32 around 1.3 and 0.2 around 1.5, and with tanh an epoch later
        relu = 1.3 + 0.2 * (0.32 - 0.25) / (0.32 - 0.2)
        assert f"{(relu + 1) / relu:.1f}   (the paper: 6)" in printed
    else:
        assert "never got there" in printed
    assert "diverged" in printed
    assert printed.count("← chosen") == 2
    assert printed.count("is inside the list") == 2
