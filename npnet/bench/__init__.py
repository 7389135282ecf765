"""How fast is a net on this machine, layer by layer, and against PyTorch?

`run` starts a process for each that is measured, so that each has its own memory and its own threads, and lets them
take turns: step by step, so that a machine that is slower for a minute is slower for all. Only one computes at a time.
"""
from .report import text
from .run import run

__all__ = ["run", "text"]
