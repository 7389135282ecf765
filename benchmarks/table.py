"""The table of the READMEs, from what `nets.py` has measured.

    python benchmarks/table.py [results/bench]
"""
import json
import sys
from pathlib import Path

HEADER = ("net, batch", "step: npnet", "PyTorch", "times as fast", "inference, images/s: npnet", "PyTorch", "times",
          "peak MiB: npnet", "PyTorch", "of the matrix product")


def mebibytes(side):
    """Of the whole process, its libraries among it."""
    return side["memory"]["peak"] / 2**20


def row(run):
    """PyTorch's figures are each of the layout in which it is better."""
    batch, sides = run["batch"], run["sides"]
    ours, peers = sides["npnet"], [sides[layout] for layout in ("nchw", "channels_last")]
    return (
        f"{run['model']}, {batch}", f"{1e3 * ours['step_median']:,.0f} ms",
        f"{1e3 * min(peer['step_median'] for peer in peers):,.0f} ms", f"**{run['ratio']:.1f}**",
        f"{batch / ours['infer_median']:,.0f}", f"{max(batch / peer['infer_median'] for peer in peers):,.0f}",
        f"{run['inference_ratio']:.1f}", f"{mebibytes(ours):,.0f}", f"{min(map(mebibytes, peers)):,.0f}",
        f"{run['gflop'] / ours['step_median'] / run['limits']['gflops']:.0%}",
    )


def main(folder="results/bench"):
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in Path(folder).glob("*-*.json")]
    runs.sort(key=lambda run: (run["model"], run["batch"]))
    rows = [HEADER, ("---",) * len(HEADER), *map(row, runs)]
    print("\n".join(f"| {' | '.join(cells)} |" for cells in rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
