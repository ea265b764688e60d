"""The speed table of docs/gpu.md from what gpu_check left in a folder: table.py OUT, with
bench-bf16.json and peers.json in OUT.  What is not there stays open in the table."""
import json
import os
import sys


def read(name, default):
    path = os.path.join(sys.argv[1], name)
    if not os.path.exists(path):
        return default
    with open(path) as file:
        return json.load(file)


bench = read("bench-bf16.json", {})
peers = {(p["peer"], p.get("variant")): p for p in read("peers.json", [])}


def figure(part, *path):
    """A number of one part's run, or None."""
    value = bench.get(part, {})
    for key in path:
        if not isinstance(value, dict) or key not in value:
            return None
        value = value[key]
    return value


def peaks(part, key):
    """The lower of the rates before and after a part: a share is not flattered by a busy moment."""
    values = [v for v in (figure(part, "peaks", key), figure(part, "peaks_after", key)) if v]
    return min(values) if values else None


def ratio(a, b):
    return a / b if a and b else None


rows = []
shape = next(iter(bench.values()), {}).get("shape", "unknown")  # the bars are T5-large's alone


def row(what, bar, value, text, good):
    """value None: not measured; good: value meets the bar."""
    reached = "not measured" if value is None else text
    verdict = "" if value is None or shape != "large" else "yes" if good else "no"
    rows.append((what, bar, reached, verdict))


turn = figure("generate", "generate", "turn_ms")
steps = figure("generate", "generate", "steps_ms")
peer_turn = peers.get(("generate", None), {}).get("turn_ms")
faster = ratio(peer_turn, turn)
row("a turn, 4 x 512 tokens x 8 candidates x 64, captured, against Transformers'", "20 times",
    faster, faster and f"{faster:.1f} times ({turn:.1f} ms, {peer_turn:.0f} ms)",
    faster and faster >= 20)
row("its 64 steps", "20 ms (40 at the least)", steps,
    steps and f"{steps:.1f} ms (whole turn {turn:.1f} ms)", steps and steps < 20)
share = figure("decode", "decode", "share_of_copy")
gb_s = figure("decode", "decode", "floor_gb_s")
row("decode step, 8 x 32 candidates: floor's bytes over time", "60% of the copy", share,
    share and f"{100 * share:.1f}% ({gb_s:.0f} of {gb_s / share:.0f} GB/s)", share and share >= 0.6)
for part, key in (("decode", "capture_on_over_off"), ("generate", "on_over_off")):
    value = figure(part, part, key)
    value = value and (value if part == "decode" else 1 / value)
    row(f"capture on against off, {part}", "1% of the step", value,
        value and f"{100 * (value - 1):+.2f}%", value and value <= 1.01)
seconds = figure("update", "update", "sft_step", "seconds")
rate = ratio(figure("update", "update", "sft_step", "model_gflops"), peaks("update", "matmul_gflops"))
row("learner update, 32 x 512/64 tokens: share of the matrix rate", "50% (40 at the least)", rate,
    rate and f"{100 * rate:.1f}% ({seconds * 1e3:.0f} ms)", rate and rate >= 0.5)
updates = {p["variant"]: p["seconds"] for k, p in peers.items() if k[0] == "update"}
best = min(updates, key=updates.get) if updates else None
faster = ratio(updates.get(best), seconds)
row("the same update against PyTorch's fastest", "1.3 times", faster,
    faster and f"{faster:.2f} times ({updates[best] * 1e3:.0f} ms, {best})",
    faster and faster >= 1.3)
weights = figure("weights", "weights", "pass_over_copy")
row("weights into an actor's model against a plain copy", "1.3 times", weights,
    weights and f"{weights:.2f} times ({figure('weights', 'weights', 'pass_ms'):.2f} ms)",
    weights and weights <= 1.3)
exact = figure("exact", "exact", "exact_over_fast")
row("exact mode against fast, a turn", "at most 1.15", exact, exact and f"{exact:.3f}",
    exact and exact <= 1.15)
different = figure("exact", "exact", "mismatches")
row("replies that depend on the batch, exact, batches 1 to 256", "0", different,
    f"{different} of {figure('exact', 'exact', 'compared')} "
    f"(fast: {figure('exact', 'exact', 'mismatches_fast')})", different == 0)

rates = peers.get(("rates", None), {})
any_part = next(iter(bench.values()), {})
print(f"Version {any_part.get('version', 'unknown')}, shape {shape}, "
      f"{rates.get('device_name', 'no GPU seen by PyTorch')}.\n")
print("| what | bar | reached | met |\n| --- | --- | --- | --- |")
for line in rows:
    print("| " + " | ".join(line) + " |")
print("\n| rate of the same run | regard | PyTorch |\n| --- | --- | --- |")
for name, key, unit, scale in (("bf16 matrix product", "matmul_gflops", "TFLOP/s", 1e-3),
                               ("copy, read and written", "copy_gb_s", "GB/s", 1)):
    ours, theirs = peaks("update", key), rates.get(key)
    print(f"| {name} | {f'{ours * scale:.4g} {unit}' if ours else ''} "
          f"| {f'{theirs * scale:.4g} {unit}' if theirs else ''} |")
if updates:
    print("\nPyTorch's update: " + ", ".join(f"{k} {v * 1e3:.0f} ms" for k, v in updates.items()))
used = {part: figure(part, "memory", "bytes") for part in ("generate", "decode", "update")}
if any(used.values()):
    print("\nDevice memory: " + ", ".join(f"{part} {bytes_ / 2**30:.3g} GiB"
                                          for part, bytes_ in used.items() if bytes_))
