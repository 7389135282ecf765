"""The command line."""
import argparse
import errno
import io
import os
import sys
import traceback
from collections.abc import Sequence

from npnet import __version__, kernels
from npnet.errors import UserError

from . import checks, figures, learning, nets, photos, testing, training
from .options import Command, Parser, threads

MEND = {
    errno.ENOSPC: "make room, and run it again",
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "name another place, or change who may use this one"),
}
"""What to do about an error of the disk that no command knew better about."""


def main(arguments: Sequence[str] | None = None) -> int:
    """What the command ``npnet`` runs. Returns the exit code: 0, 1 if a check failed, 2 if something is wrong."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # where the terminal has no ×, it shows a ?
    options = parser().parse_args(arguments)
    command: Command = options.command
    try:
        if options.threads:
            os.environ["NUMBA_NUM_THREADS"] = str(options.threads)
            _blas_threads(options.threads)
        if options.backend:
            os.environ["NPNET_BACKEND"] = options.backend
        from npnet.train import Interrupted

        if kernels.asked() == "cuda" and options.name != "doctor":
            kernels.active()  # if there is no GPU, that is to be said before anything else
        try:
            return command(options)
        except Interrupted as stop:
            return _say(options, str(stop), 130)
    except (UserError, ValueError, ImportError, MemoryError) as error:
        return _say(options, " ".join(str(error).split()), 2)
    except BrokenPipeError:  # `npnet ... | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        mend = MEND.get(error.errno or 0, "mend this, and run it again")
        return _say(options, f"{where}{error.strerror or error}: {mend}", 2)
    except KeyboardInterrupt:
        return _say(options, "interrupted", 130)
    except Exception as error:
        if os.environ.get("NPNET_DEBUG"):
            traceback.print_exc()
        return _say(options, f"{type(error).__name__}: {' '.join(str(error).split())} (unexpected; NPNET_DEBUG=1 shows "
                             f"where)", 2)


def _blas_threads(number: int) -> None:
    import numpy  # noqa: F401 (loads the library)
    from threadpoolctl import threadpool_limits

    threadpool_limits(number, user_api="blas")


def _say(options: argparse.Namespace, message: str, code: int) -> int:
    print(f"npnet {options.name}: {message}", file=sys.stderr)
    return code


def parser() -> Parser:
    """All commands and their options."""
    top = Parser(prog="npnet", description="AlexNet and GoogLeNet, built from scratch in NumPy and Numba.",
                 epilog="npnet COMMAND --help shows examples.")
    top.add_argument("--version", action="version", version=f"npnet {__version__}")
    commands = top.add_subparsers(dest="name", required=True, metavar="COMMAND", parser_class=Parser)

    def add(name: str, command: Command, text: str, *examples: str) -> Parser:
        sub = commands.add_parser(
            name, help=text, description=text, formatter_class=argparse.RawDescriptionHelpFormatter,
            epilog="examples:\n" + "\n".join(f"  npnet {name} {e}" for e in examples))
        sub.set_defaults(command=command)
        sub.add_argument("--backend", choices=kernels.NAMES, help="default: NPNET_BACKEND, else numba")
        sub.add_argument("--threads", type=threads, metavar="N", help="default: as many as there are cores")
        return sub

    for part in (photos, training, testing, learning, figures, nets, checks):
        part.add_to(add)
    return top
