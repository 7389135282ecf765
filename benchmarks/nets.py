"""The tables of results/bench: every net against PyTorch, as `npnet bench` measures it.

    python benchmarks/nets.py [FOLDER [MODEL | MODEL-BATCH ...]]    # default: results/bench, all of them

PyTorch must be installed.
"""
import json
import sys
from pathlib import Path

from npnet.bench import run, text

# net, batch, steps: more of short ones, and of GoogLeNet's; the machine changes its speed within seconds and minutes
NETS = (
    ("alexnet", 64, 7), ("alexnet", 128, 7), ("googlenet", 32, 21), ("cifar_18pct", 128, 51), ("cifar_19pct", 128, 51),
)


def main(folder="results/bench", *names):
    known = {name for model, batch, _ in NETS for name in (model, f"{model}-{batch}")}
    if unknown := set(names) - known:
        sys.exit(f"{', '.join(sorted(unknown))}: must be among {', '.join(sorted(known))}")
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    for model, batch, steps in NETS:
        if names and not {model, f"{model}-{batch}"} & set(names):
            continue
        result = run(model, batch, against="torch", steps=steps)
        page = text(result)
        (out / f"{model}-{batch}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        (out / f"{model}-{batch}.txt").write_text(page + "\n", encoding="utf-8")
        print(page, end="\n\n", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
