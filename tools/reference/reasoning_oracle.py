"""Reasoning in blocks in float64 (docs/reward.md, Chain of thought), for tests/golden/reasoning.json.

    python3 tools/reference/reasoning_oracle.py > tests/golden/reasoning.json

A case: captured rows of a reply's tokens over the question (`history`, of a causal model over the question and the
reply so far) and, of an encoder-decoder, over the start token and the reply so far (`self`); V and I of the question
and of the reply's tokens; where the answer's marker stands (-1: nowhere).  By hand: where blocks begin, each block's
entropy, floored entropy and salient mass by token, its terms, and the returns of given rewards.
"""
import json
import math
import random

ALPHA_TERMS = ("coverage", "focus", "rep_hist", "rep_self")


def normalized(weights, seen):
    total = sum(w for w, s in zip(weights, seen) if s)
    count = sum(seen)
    return [(w / total if total > 0 else 1 / count) if s else 0.0 for w, s in zip(weights, seen)]


def begins(count, size, marker):
    edge = count if marker < 0 else marker
    return list(range(0, edge, size)) + ([marker] if marker >= 0 else [])


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
    begin = begins(len(case["reply"]), case["block"], case["marker"])
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


def returns(rewards, answered, final, discount, mean):
    value, out = 0.0, []
    for u in reversed(range(len(rewards))):
        reward = rewards[u] / (len(rewards) if mean else 1)
        value = (final if answered and u == len(rewards) - 1 else 1.0) * reward + discount * value
        out.insert(0, value)
    return out


def case_make(rng, causal):
    n, count, block = rng.randint(3, 7), rng.randint(1, 11), rng.randint(2, 5)
    case = {"block": block, "marker": rng.choice([-1, rng.randrange(count)]), "tokens": [rng.randrange(6) for _ in range(n)],
            "reply": [rng.randrange(6) for _ in range(count)]}
    case["visible"] = [1] + [int(rng.random() < 0.8) for _ in range(n - 1)]
    case["salient"] = [v * int(rng.random() < 0.5) for v in case["visible"]]
    case["reply_visible"] = [int(rng.random() < 0.85) for _ in range(count)]
    case["reply_salient"] = [v * int(rng.random() < 0.5) for v in case["reply_visible"]]
    weight = lambda: round(rng.random() ** 3, 4)
    case["history"] = [[weight() for _ in range(n + (count if causal else 0))] for _ in range(count)]
    case["self"] = None if causal else [[weight() for _ in range(count)] for _ in range(count)]
    case["read"] = [read(case, form, w, delta) for form, w, delta in (("rows", 0.5, 0.5), ("steps", 0.3, 1.25))]
    rewards = [round(rng.uniform(-1, 1), 3) for _ in case["read"][0]["begin"]]
    case["rewards"] = rewards
    case["returns"] = [{"lambda_final": final, "discount": discount, "mean": mean,
                        "value": returns(rewards, case["marker"] >= 0, final, discount, mean)}
                       for final, discount, mean in ((2, 1, False), (3, 0.5, True))]
    return case


if __name__ == "__main__":
    rng = random.Random(5)
    print(json.dumps({"cases": [case_make(rng, i % 2 == 1) for i in range(10)]}))
