"""Run notebooks from their py:percent sources and write the executed .ipynb beside them.

python notebooks/execute.py             all of them
python notebooks/execute.py 02_relu     one

The .py is what is edited, reviewed and linted; the .ipynb is made from it, for those who read outputs without running
anything. What is written depends on nothing but the source and its outputs: no times, no random cell numbers.
"""
import os
import sys
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent

os.environ["NPNET_STATIC"] = "1"  # a stored notebook has pictures where a running one has sliders


def sources(names):
    """The py:percent files of these names, or all."""
    files = [FOLDER / f"{Path(name).stem}.py" for name in names] or sorted(FOLDER.glob("[0-9]*.py"))
    for file in files:
        if not file.exists():
            sys.exit(f"{file} is not there: name one of {', '.join(f.stem for f in sorted(FOLDER.glob('[0-9]*.py')))}")
    return files


def read(file):
    """The notebook of a py:percent source, without outputs, cells numbered in order."""
    notebook = jupytext.read(file)
    notebook.metadata = nbformat.from_dict({"kernelspec": notebook.metadata["kernelspec"]})
    for i, cell in enumerate(notebook.cells):
        cell.id = f"cell-{i}"
    return notebook


def run(notebook, folder, timeout=600):
    """Execute all cells in `folder`, in place. A cell that takes longer than `timeout` seconds hangs."""
    NotebookClient(
        notebook, timeout=timeout, kernel_name="python3", record_timing=False, coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    ).execute()
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def main(names):
    for file in sources(names):
        began = time.perf_counter()
        notebook = run(read(file), FOLDER)
        target = file.with_suffix(".ipynb")
        beside = target.with_suffix(".ipynb.new")
        nbformat.write(notebook, beside)
        beside.replace(target)
        print(f"{target.name}: {time.perf_counter() - began:.0f} s, {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
