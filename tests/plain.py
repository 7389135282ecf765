"""The numba backend as the plain Python that it was compiled from."""
import importlib
import inspect

import numpy as np


def use_plain_loops(modules, monkeypatch):
    """Puts them in place of what was compiled. Returns how many."""
    from numba.core.dispatcher import Dispatcher

    from npnet.kernels.numba.launch import Launch

    replaced = 0
    for module in modules:
        for name, value in list(vars(module).items()):
            if hasattr(value, "prepare"):  # it says which loops, and is none
                continue
            if isinstance(value, Dispatcher | Launch):
                loop = value.__wrapped__
                home = importlib.import_module(loop.__module__)
                assert getattr(home, loop.__name__) is loop, "the plain loop stays callable by name"
                divided = "team" in inspect.signature(loop).parameters
                monkeypatch.setattr(module, name, one_after_another(loop) if divided else loop)
                replaced += 1
    return replaced


def one_after_another(loop):
    """What a team does in parallel: as many as there is memory for."""
    from npnet.kernels.numba.team import threads

    def run(*arguments):
        begun = [np.zeros(threads(), np.int64)] if "begun" in inspect.signature(loop).parameters else []
        for thread in range(threads()):
            loop(*arguments, *begun, thread, threads())

    return run
