"""Reasoning in blocks in float64 (docs/reward.md, Chain of thought), for tests/golden/reasoning.json.

    python3 tools/reference/reasoning_oracle.py > tests/golden/reasoning.json

A case: captured rows of a reply's tokens over the question (`history`, of a causal model over the question and the
reply so far) and, of an encoder-decoder, over the start token and the reply so far (`self`); V and I of the question
and of the reply's tokens; where the answer's marker stands (-1: nowhere).  By hand: where blocks begin, each block's
entropy, floored entropy and salient mass by token, its terms, and the returns of given rewards.  Cases with sub-blocks
(cot.depth_lambda) have `pieces`, what each token of the reply stands for, the tokens' depths and whether a tag has
no partner.
"""
import json
import math
import random
import re

ALPHA_TERMS = ("coverage", "focus", "rep_hist", "rep_self")


def normalized(weights, seen):
    total = sum(w for w, s in zip(weights, seen) if s)
    count = sum(seen)
    return [(w / total if total > 0 else 1 / count) if s else 0.0 for w, s in zip(weights, seen)]


def begins(count, size, marker, depths=None):
    edge = count if marker < 0 else marker
    changes = [t for t in range(edge) if t == 0 or (depths and depths[t] != depths[t - 1])]
    runs = zip(changes, changes[1:] + [edge])
    return [t for begin, end in runs for t in range(begin, end, size)] + ([marker] if marker >= 0 else [])


def depths_of(pieces, marker):
    """A sub-block is an interval of the reasoning's characters, tags included; one without end goes beyond them."""
    pieces = pieces if marker < 0 else pieces[:marker]
    text, opened, intervals, alone = "".join(pieces), [], [], False
    for tag in re.finditer("</?sub>", text):
        if tag.group() == "<sub>":
            opened.append(tag.start())
        elif opened:
            intervals.append((opened.pop(), tag.end()))
        else:
            alone = True
    unbalanced = alone or bool(opened)
    intervals += [(start, len(text) + 1) for start in opened]
    depths, at = [], 0
    for piece in pieces:
        place = at + len(piece) - 1 if piece else at
        depths.append(sum(start <= place < end for start, end in intervals))
        at += len(piece)
    return depths, unbalanced


def row_of(case, token, begin, weight):
    """Over the question and the reply's tokens before `begin`, renormalized over V(H(u))."""
    n = len(case["visible"])
    seen = case["visible"] + case["reply_visible"][:begin]
    if case["self"] is None:
        return normalized(case["history"][token][: n + begin], seen)
    question = normalized(case["history"][token], case["visible"])
    if not any(case["reply_visible"][:begin]):
        return question + [0.0] * begin
    own = normalized(case["self"][token][1 : 1 + begin], case["reply_visible"][:begin])
    return [(1 - weight) * x for x in question] + [weight * x for x in own]


def entropy(row):
    return -sum(x * math.log(x) for x in row if x > 0)


def ngrams(tokens, n):
    return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]


def terms(case, begin, end, entropies, masses):
    n = len(case["visible"])
    salient = sum(case["salient"]) + sum(case["reply_salient"][:begin])
    block, before = case["reply"][begin:end], case["tokens"] + case["reply"][:begin]
    grams, known = ngrams(block, 2), set(ngrams(before, 2))
    return {
        "coverage": sum(masses) / len(masses) / salient if salient else 0.0,
        "focus": -sum(entropies) / len(entropies),
        "rep_hist": sum(g in known for g in grams) / len(grams) if grams else 0.0,
        "rep_self": 1 - len(set(grams)) / len(grams) if grams else 0.0,
    }


def read(case, form, weight, delta):
    begin = begins(len(case["reply"]), case["block"], case["marker"], case.get("depths"))
    ends = begin[1:] + [len(case["reply"])]
    numbers, blocks = [], []
    for at, end in zip(begin, ends):
        seen = case["visible"] + case["reply_visible"][:at]
        mark = case["salient"] + case["reply_salient"][:at]
        floor = min(delta, math.log(sum(seen)))
        rows = [row_of(case, t, at, weight) for t in range(at, end)]
        if form == "rows":
            joined = [sum(column) for column in zip(*rows)]
            rows = [normalized(joined, seen)] * (end - at)
        own = [(entropy(r), max(entropy(r), floor), sum(x for x, m in zip(r, mark) if m)) for r in rows]
        numbers += own
        blocks.append(terms(case, at, end, [x[1] for x in own], [x[2] for x in own]))
    return {"form": form, "self_weight": weight, "delta": delta, "begin": begin, "numbers": numbers, "terms": blocks}


def returns(rewards, answered, final, discount, mean, weights=None):
    value, out = 0.0, []
    for u in reversed(range(len(rewards))):
        reward = rewards[u] / (len(rewards) if mean else 1)
        own = weights[u] if weights else 1.0
        value = (final if answered and u == len(rewards) - 1 else own) * reward + discount * value
        out.insert(0, value)
    return out


def case_make(rng, causal, deep=False):
    n, count, block = rng.randint(3, 7), rng.randint(1, 11), rng.randint(2, 5)
    case = {"block": block, "marker": rng.choice([-1, rng.randrange(count)]), "tokens": [rng.randrange(6) for _ in range(n)],
            "reply": [rng.randrange(6) for _ in range(count)]}
    case["visible"] = [1] + [int(rng.random() < 0.8) for _ in range(n - 1)]
    case["salient"] = [v * int(rng.random() < 0.5) for v in case["visible"]]
    case["reply_visible"] = [int(rng.random() < 0.85) for _ in range(count)]
    case["reply_salient"] = [v * int(rng.random() < 0.5) for v in case["reply_visible"]]
    if deep:
        parts = ["<sub>", "</sub>", "<s", "ub>", "</sub", ">", "> ", " <sub>", "a", "b", "", "</sub><sub>"]
        case["pieces"] = [parts[min(rng.randrange(24), rng.randrange(12))] for _ in range(count)]
        case["depths"], case["unbalanced"] = depths_of(case["pieces"], case["marker"])
    weight = lambda: round(rng.random() ** 3, 4)
    case["history"] = [[weight() for _ in range(n + (count if causal else 0))] for _ in range(count)]
    case["self"] = None if causal else [[weight() for _ in range(count)] for _ in range(count)]
    case["read"] = [read(case, form, w, delta) for form, w, delta in (("rows", 0.5, 0.5), ("steps", 0.3, 1.25))]
    rewards = [round(rng.uniform(-1, 1), 3) for _ in case["read"][0]["begin"]]
    case["rewards"] = rewards
    case["returns"] = [{"lambda_final": final, "discount": discount, "mean": mean,
                        "value": returns(rewards, case["marker"] >= 0, final, discount, mean)}
                       for final, discount, mean in ((2, 1, False), (3, 0.5, True))]
    if deep:
        for one, by_depth in zip(case["returns"], ([1, 0.5], [0.25, 3, -1, 2])):
            weights = [by_depth[min(case["depths"][b], len(by_depth) - 1)] if b != case["marker"] else None
                       for b in case["read"][0]["begin"]]
            one["depth_lambda"] = by_depth
            one["value"] = returns(rewards, case["marker"] >= 0, one["lambda_final"], one["discount"], one["mean"], weights)
    return case


if __name__ == "__main__":
    rng = random.Random(5)
    plain = [case_make(rng, i % 2 == 1) for i in range(10)]
    rng = random.Random(6)
    print(json.dumps({"cases": plain + [case_make(rng, i % 2 == 1, True) for i in range(24)]}))
