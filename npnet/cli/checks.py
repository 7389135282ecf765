"""Commands that measure and check: bench, gradcheck, doctor."""
import argparse

from .options import Add, positive


def add_to(add: Add) -> None:
    """The commands, and their options."""
    sub = add("bench", bench, "How fast a net trains on this machine, layer by layer, and against PyTorch.",
              "cifar_18pct", "alexnet --batch 64 --against torch", "googlenet --batch 32 --json")
    sub.add_argument("model", nargs="?", default="cifar_18pct", help="default: cifar_18pct")
    sub.add_argument("--batch", type=positive, default=128, metavar="N", help="images in a step; default: 128")
    sub.add_argument("--against", choices=("torch",), help="measure PyTorch in turns, in both of its layouts")
    sub.add_argument("--steps", type=positive, default=9, metavar="N", help="that are counted; default: 9")
    sub.add_argument("--json", action="store_true", help="all numbers, ratio among them")

    add("gradcheck", gradcheck, "Hold every layer's gradient against finite differences.", "", "--backend numpy")
    add("doctor", doctor, "Versions, backend, threads, BLAS, data, speed: is everything in order?", "")


def bench(options: argparse.Namespace) -> int:
    """``npnet bench``."""
    import json

    from npnet import bench as measure

    result = measure.run(options.model, options.batch, options.against, options.steps, options.threads or 0)
    print(json.dumps(result, indent=1) if options.json else measure.text(result))
    return 0


def gradcheck(options: argparse.Namespace) -> int:
    """``npnet gradcheck``."""
    from tqdm.auto import tqdm

    from npnet import gradcheck as check
    from npnet.kernels import active_name

    failed = 0
    cases = list(check.suite(active_name()))
    for case in tqdm(cases, unit=" layers", leave=False, dynamic_ncols=True):
        report = case.check()
        failed += not report.ok
        tqdm.write(f"{'ok  ' if report.ok else 'FAIL'}  {report.worst.error:7.1e}  {case.name}" if report.worst else
                   f"{'ok  ' if report.ok else 'FAIL'}           {case.name}")
        if not report.ok:
            tqdm.write(str(report))
    print(f"{len(cases) - failed} of {len(cases)} agree with finite differences (worst relative error in the second "
          f"column; tolerance 1e-7, float64, {active_name()})")
    return 1 if failed else 0


def doctor(options: argparse.Namespace) -> int:
    """``npnet doctor``."""
    from npnet.doctor import report

    wrong = 0
    for well, what, how in report():
        wrong += not well
        print(f"{'  ' if well else '! '}{what:15s} {how}", flush=True)
    return 1 if wrong else 0
