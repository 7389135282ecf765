"""What is compiled is kept on disk, and found again; what only compiled code calls becomes part of it."""
import gc
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("numba")

from numba import types
from numba.core.codegen import CPUCodeLibrary
from numba.extending import intrinsic

from npnet.kernels.numba import rows
from npnet.kernels.numba.compile import MANY, _Files, kept, serial
from npnet.kernels.numba.team import parallel, share
from npnet.kernels.numba.vectors import move


@pytest.mark.parametrize("moment", ["_save_data", "_save_index"])
@pytest.mark.parametrize("files", [_Files])  # of numba's own, IndexDataCacheFile, float32 finds "code 64"
def test_two_processes_that_compile_at_once_do_not_find_each_others_code(tmp_path, files, moment):
    """One has read the index, which is empty; before it goes on, another one begins; then they end in turn."""
    class First(files):
        def _load_index(self):
            return {}

    def go_on(self, *arguments):
        First(tmp_path, "f", "stamp").save("float32", "code 32")
        getattr(files, moment)(self, *arguments)

    type("Second", (files,), {moment: go_on})(tmp_path, "f", "stamp").save("float64", "code 64")
    found = files(tmp_path, "f", "stamp")
    assert found.load("float32") in ("code 32", None)
    assert found.load("float64") in ("code 64", None)


def test_what_an_older_source_was_compiled_to_is_not_found(tmp_path):
    """Also by a process that looks while another one saves."""
    _Files(tmp_path, "f", "old").save("float32", "old code")
    seen = []

    class Looked(_Files):
        def _save_index(self, overloads):
            seen.append(_Files(tmp_path, "f", "new").load("float32"))
            super()._save_index(overloads)
            seen.append(_Files(tmp_path, "f", "new").load("float32"))

        def _save_data(self, name, data):
            seen.append(_Files(tmp_path, "f", "new").load("float32"))
            super()._save_data(name, data)

    Looked(tmp_path, "f", "new").save("float32", "new code")
    assert seen == [None, None, "new code"]


def test_kernels_are_kept_so():
    from npnet.kernels.numba import conv

    for kernel in (conv.correlate.write, conv.turn._for_python):
        assert type(kernel._cache._cache_file) is _Files


FAMILY = """
import math
import sys

import numba

from npnet.kernels.numba.compile import kept


def member(factor):
    @numba.njit
    def same_name(x):  # too long to be written out three times
        for i in range(9):
            x = factor * math.sin(x) + math.exp(math.cos(x + i)) + math.atan(x) * math.log(1.5 + math.cos(3 * x))
            x += math.tanh(x) / (2 + math.sin(x)) + math.sinh(0.1 * x) - math.erf(x) + math.gamma(2 + math.cos(x))
        return x
    return same_name


one, two = member(1.0), member(2.0)


def _first(x):
    return one(x) + one(x + 1) + one(x + 2)


def _second(x):
    return two(x) + two(x + 1) + two(x + 2)


def plainly(f):
    return f.py_func(0.5) + f.py_func(1.5) + f.py_func(2.5)


first, second = kept(_first), kept(_second)
for name in sys.argv[1:]:
    f, of = {"first": (first, one), "second": (second, two)}[name]
    assert abs(f(0.5) - plainly(of)) < 1e-9, name
"""


def test_functions_of_one_name_that_two_processes_compiled_are_not_mixed_up(tmp_path):
    """As the transforms of minimal filtering are, and their gradients were wrong."""
    script = tmp_path / "family.py"
    script.write_text(FAMILY)
    for names in (["first"], ["second"], ["first", "second"], ["second", "first"]):
        run = subprocess.run([sys.executable, script, *names], capture_output=True, text=True)
        assert run.returncode == 0, run.stderr


FORK = """
import os
from numba.core import bytecode
import npnet.kernels.numba.compile

numbers = bytecode.FunctionIdentity
read, write = os.pipe()
if os.fork() == 0:
    os.write(write, str(next(numbers._unique_ids)).encode())
    os._exit(0)
os.wait()
print(next(numbers._unique_ids), os.read(read, 99).decode())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes of this kind here")
def test_a_forked_process_gives_numbers_of_its_own():
    run = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    one, other = map(int, run.stdout.split())
    assert abs(one - other) > 10_000


def test_what_is_kept_goes_by_all_sources(tmp_path, monkeypatch):
    """Of a kernel in one file, parts are in others."""
    from npnet.kernels.numba import compile as module
    from npnet.kernels.numba import conv

    assert conv.correlate.write._cache._cache_file._version == module.version()
    (tmp_path / "tile.py").write_text("ROWS = 8")
    monkeypatch.setattr(module, "__file__", str(tmp_path / "compile.py"))
    before = module.version.__wrapped__()
    (tmp_path / "tile.py").write_text("ROWS = 4")
    assert module.version.__wrapped__() != before


def _twice(x):
    for i in range(x.size):
        x[i] += x[i]


twice = serial(_twice)


def _eight_times(x, thread, team):
    first, last = share(x.size, thread, team)
    for _ in range(3):
        twice(x[first:last])


eight_times = parallel(_eight_times)


def test_what_compiled_code_calls_becomes_part_of_it():
    """Machine code of it alone is made where Python calls it, and not before."""
    x = np.arange(7.0)
    eight_times(x)
    np.testing.assert_array_equal(x, 8 * np.arange(7.0))
    assert len(twice.signatures) <= 1  # none, if the cache had what calls it
    assert not twice._for_python.signatures
    twice(x)
    np.testing.assert_array_equal(x, 16 * np.arange(7.0))
    assert len(twice._for_python.signatures) == 1


def test_what_compiled_code_calls_can_be_sent_to_another_process():
    """Numba's functions can; here by the name of the loop, in a process that has made none of them."""
    code = ("import pickle, sys\nimport numpy as np\nfrom npnet.kernels.numba import rows\n"
            "assert pickle.loads(bytes.fromhex(sys.argv[1]))(np.ones(5, np.float32)) == 5")
    result = subprocess.run([sys.executable, "-c", code, pickle.dumps(rows.total).hex()],
                            capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-500:]


thresholds = []


@intrinsic
def look(typing):
    """Compiles to nothing."""
    def generate(context, *_):
        thresholds.append(gc.get_threshold())
        return context.get_dummy_value()

    return types.void(), generate


def of_no_file(source, **names):
    """A function that numba has no place for on disk, and compiles anew."""
    exec(f"def function{source}", names)
    return names["function"]


@pytest.mark.parametrize(("threshold", "meanwhile"), [
    ((70, 5, 6), (MANY, 5, 6)), ((0, 5, 6), (0, 5, 6)), ((2 * MANY, 5, 6), (2 * MANY, 5, 6))])
def test_python_looks_for_unused_objects_as_often_as_before(threshold, meanwhile):
    """Seldom while numba compiles, and never if it is not to."""
    before = gc.get_threshold()
    try:
        gc.set_threshold(*threshold)
        kept(of_no_file("(): look()", look=look))()
        assert thresholds.pop() == meanwhile
        assert gc.get_threshold() == threshold
    finally:
        gc.set_threshold(*before)


def test_of_what_stands_in_for_a_loop_no_machine_code_is_made_alone(monkeypatch):
    made, optimise = [], CPUCodeLibrary._optimize_final_module

    def optimised(library):
        made.append(library.name)
        optimise(library)

    monkeypatch.setattr(CPUCodeLibrary, "_optimize_final_module", optimised)
    x = np.arange(40, dtype=np.float32)
    kept(of_no_file("(x): move(x, 0, x, 20, 20)", move=move))(x)
    np.testing.assert_array_equal(x[20:], np.arange(20))
    assert made == ["function"]
