"""The table of tools/studies/history: python history_table.py OUT SEEDS ARMS

Of the slots that a gold reply repeats, those that no message of the history that `none` leaves names were named in
turns that were cut; the others can still be read.  A cell is the share of slots that the reply names, by seed, and
the mean; the metrics are `regard eval`'s over all replies.
"""

import json
import math
import os
import sys

from texts import mentions


def read(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def asked(out):
    """Of every reply, in the order of eval's samples: its slots named only in what was cut, and the others."""
    slots = {}
    for number, line in enumerate(read(os.path.join(out, "held_out.jsonl")), 1):
        replies = [m for m in line["messages"] if m["role"] == "assistant"]
        for turn, message in enumerate(replies, 1):
            slots[number, turn] = message.get("slots", [])
    found = []
    for record in read(os.path.join(out, "none-1.gold.jsonl")):
        left = " ".join(message["content"] for message in record["messages"])
        wanted = slots[record["line"], record["turn"]]
        found.append(([s for s in wanted if not mentions(left, s)], [s for s in wanted if mentions(left, s)]))
    return found


def share(records, wanted, part):
    right = [mentions(r["reply"], s) for r, w in zip(records, wanted) for s in w[part]]
    return sum(right) / len(right) if right else math.nan


def cell(values):
    there = [v for v in values if v is not None]
    if any(math.isnan(v) for v in there):
        return "no slot"
    return f"{sum(there) / len(there):.3f} (" + ", ".join("not run" if v is None else f"{v:.3f}" for v in values) + ")"


def numbers(name, wanted):
    records = read(name + ".jsonl")
    if len(records) != len(wanted):
        sys.exit(f"tools/studies/history_table.py: {name}.jsonl has {len(records)} replies, not {len(wanted)}")
    with open(name + ".json", encoding="utf-8") as file:
        metrics = json.load(file)
    return share(records, wanted, 0), share(records, wanted, 1), metrics["rouge_l"], metrics["perplexity"]


def main(out, seeds, arms):
    wanted = asked(out)
    cut, left = (sum(len(w[part]) for w in wanted) for part in (0, 1))
    print(f"{len(wanted)} replies, {cut} slots named only in turns that were cut, {left} others.\n")
    print("| arm | after | slots that were cut | other slots | ROUGE-L | perplexity |\n| --- | --- | --- | --- | --- | --- |")
    for arm in arms.split():
        for how in ("gold", "own"):
            name = [os.path.join(out, f"{arm}-{seed}.{how}") for seed in seeds.split()]
            found = [numbers(one, wanted) if os.path.exists(one + ".json") else None for one in name]
            if any(found):
                cells = (cell([one and one[column] for one in found]) for column in range(4))
                print(f"| {arm} | {how} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main(*sys.argv[1:])
