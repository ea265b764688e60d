"""Held-out replies of many models, side by side, with paired bootstrap intervals over dialogues.

    python paired_bootstrap.py TABLE

TABLE is what tools/studies/dialogue_real leaves: a folder a model (`sft` and ARM-SEED) with
replies.jsonl, lift.jsonl, lift_sft.jsonl, gold.jsonl, and references.json beside them.  Every
metric is a function of numbers that are summed over dialogues; a resample draws dialogues with
replacement (2,000 resamples, fixed seed), the same ones for all models, so differences are paired.
Seeds of one arm are averaged within each resample: an interval is over dialogues, not over seeds.
Written: TABLE/values.json, turn.md and group.md (change from the SFT model, number of seeds in
brackets), against_controls.md, seeds.md, greedy.md, before.md,
samples.md.
"""

import json
import math
import os
import random
import sys

import numpy
import sacrebleu
from rouge_score import rouge_scorer

RESAMPLES = 2000
# arm, its control: what the reward has that its control has not
PAIRS = [("coverage", "coverage_random"), ("best", "best_random"), ("terms", "terms_random"),
         ("default", "random_salience"), ("default", "shuffled")]
TABLES = {"turn.md": ["default", "random_salience", "shuffled", "length", "kl0", "unscaled"],
          "group.md": ["coverage", "coverage_random", "best", "best_random", "terms", "terms_random"]}
ARMS = ["sft"] + TABLES["turn.md"] + TABLES["group.md"]
BLEU = sacrebleu.BLEU()
CHRF = sacrebleu.CHRF()


def ratio(sums):
    return sums[..., 0] / sums[..., 1]


def from_statistics(metric):
    def value(sums):
        flat = sums.reshape(-1, sums.shape[-1])
        scores = [metric._compute_score_from_stats([round(x) for x in row]).score for row in flat]
        return numpy.array(scores).reshape(sums.shape[:-1])

    return value


# name: (function of the summed statistics, digits)
METRICS = {
    "reward": (ratio, 3),
    "coverage": (ratio, 4),
    "lift, live": (ratio, 3),
    "lift, read by SFT": (ratio, 3),
    "focus": (ratio, 3),
    "focus, read by SFT": (ratio, 3),
    "rep_hist": (ratio, 4),
    "rep_self": (ratio, 4),
    "BLEU": (from_statistics(BLEU), 2),
    "ROUGE-L": (ratio, 4),
    "chrF": (from_statistics(CHRF), 2),
    "length": (ratio, 2),
    "distinct replies": (ratio, 3),
    "gold perplexity": (lambda sums: numpy.exp(ratio(sums)), 2),
    "KL to SFT": (ratio, 4),
}


def read(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def statistics(folder, references, dialogues):
    """For each metric an array [dialogues, numbers], to be summed over dialogues."""
    rouge = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    replies = read(os.path.join(folder, "replies.jsonl"))
    live = read(os.path.join(folder, "lift.jsonl"))
    frozen = read(os.path.join(folder, "lift_sft.jsonl"))
    assert len(replies) == len(live) == len(frozen)
    place = {name: i for i, name in enumerate(dialogues)}
    index = numpy.array([place[row["id"].split(".")[0]] for row in replies])

    def gathered(rows, index=index):
        rows = numpy.asarray(rows, dtype=float)
        out = numpy.zeros((len(dialogues), rows.shape[1]))
        numpy.add.at(out, index, rows)
        return out

    def mean_of(values):
        return gathered([(value, 1) for value in values])

    out = {name: mean_of([row[name] for row in replies])
           for name in ("reward", "coverage", "focus", "rep_hist", "rep_self")}
    out["lift, live"] = mean_of([row["coverage"] for row in live])
    out["lift, read by SFT"] = mean_of([row["coverage"] for row in frozen])
    out["focus, read by SFT"] = mean_of([row["focus"] for row in frozen])
    texts = [row["reply"] for row in replies]
    gold = [references[row["id"]] for row in replies]
    out["BLEU"] = gathered(BLEU._extract_corpus_statistics(texts, [gold]))
    out["chrF"] = gathered(CHRF._extract_corpus_statistics(texts, [gold]))
    out["ROUGE-L"] = mean_of([rouge.score(g, t)["rougeL"].fmeasure for t, g in zip(texts, gold)])
    out["length"] = mean_of([len(row["reply_tokens"]) for row in replies])
    # Of the 4 replies to one history, the share that no earlier one equals.
    seen, fresh = set(), []
    for row in replies:
        key = (row["id"], row["reply"])
        fresh.append(key not in seen)
        seen.add(key)
    out["distinct replies"] = mean_of(fresh)
    # Of the behaviour at the sampling temperature, a token: log p - log p of the SFT model.
    out["KL to SFT"] = gathered([(sum(a["logp"]) - sum(b["logp"]), len(a["logp"]))
                                 for a, b in zip(live, frozen)])
    scored = read(os.path.join(folder, "gold.jsonl"))
    at = numpy.array([place[row["id"]] for row in scored])
    out["gold perplexity"] = gathered([(-sum(row["logp"]), len(row["logp"])) for row in scored], at)
    return out


def interval(differences):
    low, high = numpy.percentile(differences, [2.5, 97.5])
    return float(low), float(high)


def cell(name, difference, limits):
    digits = METRICS[name][1]
    clear = limits[0] > 0 or limits[1] < 0
    text = f"{difference:+.{digits}f} [{limits[0]:+.{digits}f}, {limits[1]:+.{digits}f}]"
    return f"**{text}**" if clear else text


def table_write(path, header, rows):
    with open(path, "w", encoding="utf-8") as out:
        out.write("| " + " | ".join(header) + " |\n|" + " --- |" * len(header) + "\n")
        for row in rows:
            out.write("| " + " | ".join(row) + " |\n")


def samples_write(path, table, names, references, count=10):
    """Histories drawn with a fixed seed; of each model the first of its four replies."""
    texts = {name: {row["id"]: row["reply"] for row in read(os.path.join(table, name, "replies.jsonl"))
                    if row["candidate"] == 0} for name in names}
    histories = {row["id"]: row["messages"] for row in read(os.path.join(table, "histories.jsonl"))}
    chosen = random.Random(20).sample(sorted(references), count)

    def plain(text):
        return text.replace("|", "/").replace("\n", " ").replace("<", "&lt;")

    rows = []
    for name in chosen:
        history = " / ".join(plain(m["content"]) for m in histories[name][-3:])
        rows.append([name, history] + [plain(texts[n][name]) for n in names] + [plain(references[name])])
    table_write(path, ["id", "the history's end"] + names + ["gold"], rows)


def before_write(path, table, references):
    """What a reply can change, before any RL: the terms of 4 replies a history of the SFT model."""
    rouge = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    replies = read(os.path.join(table, "sft", "replies.jsonl"))
    lift = read(os.path.join(table, "sft", "lift.jsonl"))
    columns = {name: [row[name] for row in replies] for name in ("reward", "coverage", "focus", "rep_hist")}
    columns["lift"] = [row["coverage"] for row in lift]
    columns["mean log-probability"] = [numpy.mean(row["logp"]) for row in replies]
    columns["length"] = [len(row["reply_tokens"]) for row in replies]
    quality = [rouge.score(references[row["id"]], row["reply"])["rougeL"].fmeasure for row in replies]
    grid = {name: numpy.array(values, float).reshape(-1, 4) for name, values in columns.items()}

    def ranks(values):  # of 4, ties shared, centred
        below = (values[:, :, None] > values[:, None, :]).sum(2)
        above = (values[:, :, None] < values[:, None, :]).sum(2)
        return (below - above) / 2

    of_quality = ranks(numpy.array(quality).reshape(-1, 4))
    rows = []
    for name, values in grid.items():
        within = ((values - values.mean(1, keepdims=True)) ** 2).sum() / ((values - values.mean()) ** 2).sum()
        mine = ranks(values)
        products = (mine * of_quality).sum(1)
        scale = math.sqrt((mine**2).sum() * (of_quality**2).sum())
        error = math.sqrt(len(products)) * products.std() / scale
        rows.append([name, f"{values.mean():.4f}", f"{values.std():.4f}", f"{100 * within:.1f}%",
                     f"{products.sum() / scale:+.3f} ({error:.3f})"])
    table_write(path, ["", "mean", "deviation", "share of variance within a history",
                       "rank correlation with ROUGE-L within a history (standard error)"], rows)


def main(table):
    with open(os.path.join(table, "references.json"), encoding="utf-8") as source:
        references = json.load(source)
    dialogues = sorted({name.split(".")[0] for name in references}, key=int)
    models = sorted(name for name in os.listdir(table)
                    if os.path.exists(os.path.join(table, name, "gold.jsonl")))
    counts = numpy.random.default_rng(1).multinomial(
        len(dialogues), [1 / len(dialogues)] * len(dialogues), RESAMPLES).astype(float)
    values, resampled = {}, {}
    for model in models:
        of = statistics(os.path.join(table, model), references, dialogues)
        values[model] = {k: float(METRICS[k][0](of[k].sum(axis=0))) for k in METRICS}
        resampled[model] = {k: METRICS[k][0](counts @ of[k]) for k in METRICS}
        print(model, {k: round(v, 4) for k, v in values[model].items()}, flush=True)

    seeds = {arm: [m for m in models if m == arm or m.rsplit("-", 1)[0] == arm] for arm in ARMS}
    arms = [arm for arm in ARMS if seeds[arm]]
    mean = {a: {k: float(numpy.mean([values[m][k] for m in seeds[a]])) for k in METRICS} for a in arms}
    drawn = {a: {k: numpy.mean([resampled[m][k] for m in seeds[a]], axis=0) for k in METRICS}
             for a in arms}

    result = {"values": values, "arms": mean, "seeds": seeds, "change": {}, "against": {}}

    def compare(a, b):
        return {k: (mean[a][k] - mean[b][k], interval(drawn[a][k] - drawn[b][k])) for k in METRICS}

    changes = {a: compare(a, "sft") for a in arms if a != "sft"}
    result["change"] = changes
    for name, wanted in TABLES.items():
        columns = [a for a in wanted if a in changes]
        table_write(os.path.join(table, name), ["", "SFT"] + [f"{a} ({len(seeds[a])})" for a in columns],
                    [[k, f"{mean['sft'][k]:.{METRICS[k][1]}f}"] + [cell(k, *changes[a][k]) for a in columns]
                     for k in METRICS])

    columns, names = [], []
    for a, b in PAIRS:
        if a in arms and b in arms:
            columns.append(compare(a, b))
            names.append(f"{a} ({len(seeds[a])}) - {b} ({len(seeds[b])})")
            result["against"][f"{a} - {b}"] = columns[-1]
    table_write(os.path.join(table, "against_controls.md"), [""] + names,
                [[k] + [cell(k, *column[k]) for column in columns] for k in METRICS])

    rows = []
    for a, b in PAIRS:
        for m in seeds.get(a, []):
            other = b + "-" + m.rsplit("-", 1)[1]
            if other not in values:
                continue
            row = [f"{m} - {other}"]
            for k in ("lift, read by SFT", "lift, live", "focus", "rep_hist", "ROUGE-L", "gold perplexity"):
                row.append(cell(k, values[m][k] - values[other][k],
                                interval(resampled[m][k] - resampled[other][k])))
            rows.append(row)
    table_write(os.path.join(table, "seeds.md"), ["seed by seed", "lift, read by SFT", "lift, live",
                                                 "focus", "rep_hist", "ROUGE-L", "gold perplexity"], rows)
    with open(os.path.join(table, "values.json"), "w", encoding="utf-8") as out:
        json.dump(result, out, indent=1)
    greedy = {m: json.load(open(os.path.join(table, m, "greedy.json"), encoding="utf-8")) for m in models}
    rows = [[k] + [f"{numpy.mean([greedy[m][k] for m in seeds[a]]):.4f}" for a in arms]
            for k, value in greedy["sft"].items() if value is not None and k != "replies"]
    table_write(os.path.join(table, "greedy.md"), ["`regard eval`, greedy"] + arms, rows)
    before_write(os.path.join(table, "before.md"), table, references)
    shown = [n for n in ("sft", "coverage-1", "coverage_random-1") if n in models]
    samples_write(os.path.join(table, "samples.md"), table, shown, references)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
