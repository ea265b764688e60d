"""Writes tests/evaluate/fixtures/bert_score.json: pairs of texts as random token states with weights,
and what the package bert_score makes of them, in float64, a pair at a time.

    PYTHON tools/reference/bert_score_cases.py   (the environment of requirements-bert-score.txt)

Weights are those of its three ways: all 1; the first and the last token special, of weight 0; idf
with special tokens.  States are multiples of 1/8, so that fp32 holds them."""
import json
import random
import sys

import bert_score
import torch
from bert_score.utils import greedy_cos_idf


def make_text(rng, width, kind):
    count = rng.randint(1, 5)
    if kind != "plain":
        count += 2
    rows = [[rng.randint(-16, 16) / 8 for _ in range(width)] for _ in range(count)]
    for row in rows:
        if not any(row):
            row[0] = 1.0
    weights = [1.0 if kind != "idf" else rng.randint(1, 24) / 8 for _ in range(count)]
    if kind != "plain":
        weights[0] = weights[-1] = 0.0
    return {"states": rows, "weights": weights}


def tensors(text):
    rows = torch.tensor([text["states"]], dtype=torch.float64)
    return rows, torch.ones(1, rows.shape[1]), torch.tensor([text["weights"]], dtype=torch.float64)


def main(path):
    rng = random.Random(11)
    cases = []
    while len(cases) < 200:
        kind = ["plain", "special", "idf"][len(cases) % 3]
        width = rng.randint(2, 6)
        pair = {"reply": make_text(rng, width, kind), "reference": make_text(rng, width, kind)}
        if kind != "plain" and rng.random() < 0.05:  # nothing but the special tokens
            empty = pair[rng.choice(["reply", "reference"])]
            empty["states"], empty["weights"] = empty["states"][:2], [0.0, 0.0]
        if any(len(t["states"]) == 2 and any(t["weights"]) for t in pair.values()):
            continue  # which bert_score takes for an empty text
        p, r, f = greedy_cos_idf(*tensors(pair["reference"]), *tensors(pair["reply"]))
        cases.append({**pair, "precision": p.item(), "recall": r.item(), "f1": f.item()})
    with open(path, "w", encoding="utf-8") as out:
        out.write(f'{{"bert_score": "{bert_score.__version__}", "cases": [\n')
        out.write(",\n".join(json.dumps(c) for c in cases) + "\n]}\n")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "tests/evaluate/fixtures/bert_score.json")
