"""The measurements as a page of text."""
from typing import Any

from .run import PEERS


def text(result: dict[str, Any]) -> str:
    """Header, a row for each layer, and what a step costs."""
    machine, sides, best = result["machine"], result["sides"], result["limits"]
    own = sides["npnet"]
    lines = [
        f"{result['model']}, batch {result['batch']}, {result['threads']} threads; {machine['date']}",
        machine.get("gpu") or f"{machine['processor']}, {machine['cores']} cores, {machine['system']}",
        f"{own['name']} ({own['backend']}), Python {machine['python']}, NumPy {machine['numpy']}, Numba {own['numba']}",
        f"{'products in float32 at most' if 'gpu' in machine else 'best matrix product'} {best['gflops']:.0f} GFLOP/s "
        f"({'by its clock' if 'gpu' in machine else machine['blas']}), copying {best['gbs']:.0f} GB/s",
        "",
        f"{'layer':26s}{'forward':>10s}{'':>20s}{'backward':>12s}",
    ]
    for row in result["layers"]:
        parts = [_part(row, i) for i in (0, 1)]
        lines.append(f"{row['layer']:26s}{parts[0]}  {parts[1]}".rstrip())
    lines += ["", f"{'all layers of a kind':26s}{'':31s}{'':30s}together"]
    for row in result["kinds"]:
        parts = [_part(row, i) for i in (0, 1, None)]
        lines.append(f"{row['kind']:26s}{'  '.join(parts)}".rstrip())
    lines += ["", *_steps(result)]
    return "\n".join(lines)


def _part(row: dict[str, Any], i: int | None) -> str:
    """Forward, backward, or both (None)."""
    def of(values: Any) -> Any:
        return sum(values) if i is None else values[i]

    seconds = of((row["forward"], row["backward"]))
    if not seconds:
        return f"{'':30s}"
    rate, share = "", row["shares"][2 if i is None else i]
    if "macs" in row:
        rate = f"{2e-9 * of(row['macs']) / seconds:6.0f} GFLOP/s {share:4.0%}"
    elif share is not None:
        rate = f"{1e-9 * of(row['bytes']) / seconds:6.0f} GB/s    {share:4.0%}"
    return f"{seconds * 1e3:7.2f} ms {rate:20s}"


def _steps(result: dict[str, Any]) -> list[str]:
    names = {"npnet": "npnet", **{key: name for peers in PEERS.values() for key, name in peers.items()}}
    lines = [f"{'':26s}{'a step':>11s}{'images/s':>10s}{'inference':>12s}{'peak memory':>14s}"]
    for key, side in result["sides"].items():
        peak = side["memory"]["peak"]
        size = f"{peak / 2**20:,.0f} MiB" if peak else "unknown"
        lines.append(
            f"{names[key]:26s}{side['step_median'] * 1e3:8.1f} ms{result['batch'] / side['step_median']:10,.0f}"
            f"{result['batch'] / side['infer_median']:12,.0f}{size:>14s}")
    speed = result["gflop"] / result["sides"]["npnet"]["step_median"]
    lines.append(f"npnet's step: {speed:.0f} GFLOP/s, {speed / result['limits']['gflops']:.0%} of the matrix product "
                 f"(median of {result['steps']})")
    if "ratio" in result:
        lines.append(f"against the better of PyTorch's layouts: a step {result['ratio']:.2f} times as fast, inference "
                     f"{result['inference_ratio']:.2f} times")
    return lines
