"""Curves of docs/results.md from the runs of tools/studies/dialogue_real.

    python plot_runs.py OUT TO

OUT/sft/metrics.jsonl and OUT/arms/ARM-SEED/metrics.jsonl are read; TO/sft.png, arms.png, pair.png
(each arm's mean over its seeds)
and held_out.png (from OUT/table/values.json, when it is there) are written.
"""

import json
import os
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy  # noqa: E402

WINDOW = 25  # updates of a moving average
COLOURS = {"coverage": "tab:blue", "coverage_random": "tab:orange", "best": "tab:green",
           "best_random": "tab:red", "terms": "tab:purple", "terms_random": "tab:brown",
           "default": "tab:blue", "random_salience": "tab:orange",
           "shuffled": "tab:green", "length": "tab:red", "kl0": "tab:purple", "unscaled": "tab:brown"}


def rows_of(path, key):
    with open(path, encoding="utf-8") as lines:
        return [row for row in map(json.loads, lines) if key in row]


def smooth(values):
    values = numpy.asarray(values, float)
    sums = numpy.cumsum(numpy.insert(values, 0, 0.0))
    starts = numpy.maximum(0, numpy.arange(1, len(values) + 1) - WINDOW)
    ends = numpy.arange(1, len(values) + 1)
    return (sums[ends] - sums[starts]) / (ends - starts)


def save(figure, path):
    figure.tight_layout()
    figure.savefig(path, dpi=80, pil_kwargs={"optimize": True})
    plt.close(figure)
    print(f"{path}: {os.path.getsize(path) / 1000:.0f} kB")


def sft_plot(out, to):
    path = os.path.join(out, "sft", "metrics.jsonl")
    train, valid = rows_of(path, "loss"), rows_of(path, "valid_loss")
    figure, axes = plt.subplots(figsize=(6, 3.6))
    starts = list(range(0, len(train), 263))
    axes.plot([train[i]["step"] + 131 for i in starts if i + 263 <= len(train)],
              [numpy.mean([r["loss"] for r in train[i:i + 263]]) for i in starts if i + 263 <= len(train)],
              label="training, mean of half a pass")
    axes.plot([r["step"] for r in valid], [r["valid_loss"] for r in valid], "o-", ms=3,
              label="validation, all 500 dialogues")
    best = min(valid, key=lambda r: r["valid_loss"])
    axes.axvline(best["step"], color="grey", lw=0.8, ls=":")
    axes.annotate(f"{best['valid_loss']:.3f}", (best["step"], best["valid_loss"]),
                  textcoords="offset points", xytext=(4, 10))
    axes.set(xlabel="updates of 32 turns (526 are one pass)", ylabel="nats a token", ylim=(1.4, 4),
             title="SFT from scratch, 1.44 million parameters")
    axes.legend()
    save(figure, os.path.join(to, "sft.png"))


def arms_plot(out, to, name, arms, keys, title):
    folder = os.path.join(out, "arms")
    figure, grid = plt.subplots(2, 3, figsize=(11, 5.6), sharex=True)
    for axes, (key, label) in zip(grid.flat, keys):
        for arm in arms:
            # A run without a reference does not know its KL; minus the length is another scale.
            if (key, arm) in (("kl_behaviour", "kl0"), ("kl_behaviour", "length"), ("reward", "length")):
                continue
            runs = [rows_of(os.path.join(folder, run, "metrics.jsonl"), "reward")
                    for run in sorted(os.listdir(folder)) if run.rsplit("-", 1)[0] == arm
                    and os.path.exists(os.path.join(folder, run, "metrics.jsonl"))]
            if not runs:
                continue
            updates = min(len(rows) for rows in runs)
            mean = numpy.mean([[row[key] for row in rows[:updates]] for rows in runs], axis=0)
            axes.plot(range(1, updates + 1), smooth(mean), color=COLOURS[arm], lw=1,
                      label=f"{arm} ({len(runs)})")
        axes.set_title(label, fontsize=9)
    for axes in grid[1]:
        axes.set_xlabel("update")
    grid.flat[3].legend(fontsize=7)
    figure.suptitle(f"{title} (training batches, mean over seeds, moving average of {WINDOW} updates)", fontsize=10)
    save(figure, os.path.join(to, name))


def lift_plot(out, to):
    path = os.path.join(out, "table", "values.json")
    if not os.path.exists(path):
        return
    with open(path, encoding="utf-8") as source:
        change = json.load(source)["change"]
    figure, grid = plt.subplots(1, 3, figsize=(11, 3.4), sharey=True)
    for axes, key in zip(grid, ("lift, read by SFT", "rep_hist", "ROUGE-L")):
        for place, arm in enumerate(reversed(change)):
            difference, (low, high) = change[arm][key]
            axes.errorbar([difference], [place], xerr=[[difference - low], [high - difference]],
                          fmt="o", ms=4, color=COLOURS[arm], capsize=3)
        axes.axvline(0, color="grey", lw=0.8)
        axes.set_title(f"{key}, less the SFT model's", fontsize=9)
    grid[0].set_yticks(range(len(change)), list(reversed(change)))
    figure.suptitle("Held out: change and its 95% paired bootstrap interval over dialogues", fontsize=10)
    save(figure, os.path.join(to, "held_out.png"))


def main(out, to):
    os.makedirs(to, exist_ok=True)
    sft_plot(out, to)
    if os.path.isdir(os.path.join(out, "arms")):
        arms_plot(out, to, "pair.png", ("coverage", "coverage_random", "best", "best_random"),
                  (("coverage", "coverage (scorer frozen; by the arm's own salience)"),
                   ("focus", "focus"), ("rep_hist", "repHist"), ("reply_length", "tokens a reply"),
                   ("kl_behaviour", "KL to SFT, nats a token"), ("token_entropy", "token entropy")),
                  "Coverage alone, group advantage")
        arms_plot(out, to, "arms.png",
                  ("default", "kl0", "random_salience", "shuffled", "length", "unscaled"),
                  (("reward", "R, raw (by the arm's own salience; length left out)"), ("coverage", "coverage"),
                   ("focus", "focus"), ("rep_hist", "repHist"), ("reply_length", "tokens a reply"),
                   ("kl_behaviour", "KL to SFT, nats a token (length left out)")),
                  "Attention reward and controls, turn advantage")
    lift_plot(out, to)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
