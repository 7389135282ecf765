import ast
import subprocess
import sys
from pathlib import Path

import pytest

import npnet

ROOT = Path(npnet.__file__).parent
MODULES = {
    ".".join(("npnet", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}
# cli → recipes → train, evaluate → weights, models → layers → kernels; data and plot know no layer
RANK = {"errors": 0, "files": 0, "processes": 0, "counter": 0, "kernels": 1, "layers": 2, "models": 3, "weights": 3,
        "gradcheck": 3, "train": 4, "evaluate": 4, "recipes": 5, "bench": 5, "doctor": 5, "cli": 6}
KNOW_NO_LAYER = ("data", "plot", "notebook")


def part(module):
    """``npnet.layers.conv`` → ``layers``."""
    return ([*module.split("."), ""])[1]


def imports(module, lazy):
    """The modules of npnet that `module` imports: with `lazy`, those imported inside functions and for types too."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = set()

    def visit(node):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not lazy:
            return
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not lazy:
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            base = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
            base = ".".join(filter(None, (base, node.module)))
            for alias in node.names:  # a module, as in ``from npnet import counter``, or a name in one
                inside = f"{base}.{alias.name}"
                found.add(inside if inside in MODULES else base)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return {name for name in found if name in MODULES} - {module}


@pytest.mark.parametrize("module", [m for m in MODULES if part(m) in RANK])
def test_arrows_point_down(module):
    for other in imports(module, lazy=True):
        if part(other) in RANK and part(other) != part(module):
            assert RANK[part(other)] <= RANK[part(module)], f"{module} imports {other}, which is above it"


@pytest.mark.parametrize("module", [m for m in MODULES if part(m) in KNOW_NO_LAYER])
def test_data_and_plot_know_no_layer(module):
    known = {part(other) for other in imports(module, lazy=True)} - {"", part(module)}
    assert not known & {*RANK} - {"counter", "errors", "files", "processes"}, f"{module} imports {known}"


def test_kernels_need_nothing_but_the_counter():
    for module in MODULES:
        if part(module) == "kernels":
            assert {part(other) for other in imports(module, lazy=True)} <= {"kernels", "counter", ""}


def test_no_circles_at_module_level():
    done, path = set(), []

    def visit(module):
        assert module not in path, " → ".join((*path[path.index(module) :], module))
        if module in done:
            return
        path.append(module)
        for other in sorted(imports(module, lazy=False)):
            if not module.startswith(f"{other}."):  # a package is begun before what is in it
                visit(other)
        path.pop()
        done.add(module)

    for module in MODULES:
        visit(module)


def test_the_reader_of_imports_sees_them():
    assert "npnet.layers.layer" in imports("npnet.layers.conv", lazy=False)
    assert "npnet.kernels" in imports("npnet.layers.conv", lazy=False)
    assert "npnet.counter" in imports("npnet.kernels.numpy.dropout", lazy=False)
    assert "npnet.kernels.numpy" in imports("npnet.kernels", lazy=True)
    assert "npnet.kernels.numpy" not in imports("npnet.kernels", lazy=False)


HEAVY = {"matplotlib", "numba", "scipy", "PIL", "pooch", "tqdm", "safetensors", "requests"}


def loaded(code):
    """Names of top-level packages in a fresh Python after `code`."""
    script = f"{code}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    out = subprocess.run([sys.executable, "-c", script], cwd=ROOT.parent, capture_output=True, text=True, check=True)
    return set(out.stdout.split())


def test_import_npnet_loads_nothing_heavy():
    assert not loaded("import npnet") & HEAVY


def test_the_numpy_backend_needs_numpy_alone():
    names = loaded("import npnet\nnpnet.use('numpy')\nnpnet.layers.Conv2D(1, 1, 1)")
    assert not names & HEAVY
