"""Float64 oracle of docs/reward.md; writes tests/golden/reward.json with random cases.

    /opt/regard-ref/bin/python tools/reference/reward_oracle.py tests/golden/reward.json

The file holds three lists.
terms: one turn each. rows[s][j] are attention weights averaged over layers and heads, before
  restriction to V (float32 values); visible, salient per history token; reply, history token
  ids; settings: coverage, focus, floor (forms), delta0, kappa, turn (from 1), n, and alpha, beta,
  gamma, gamma_self. expected: per reply token entropy (before the floor), entropy_floored,
  salient_mass (of the row that coverage uses); coverage, focus, rep_hist, rep_self, and reward
  (divisors 1).
scales: form ("running" or "within"); batches in order, each with items {dialogue, turn,
  candidate, coverage, focus, rep_hist, rep_self} in no order, and the divisors [coverage, focus,
  rep_hist, rep_self] once that batch was added.
advantages: settings (advantage turn/gae/group, group rloo/mean/grpo, whiten, discount, gae_lambda,
  turns_lambda (empty: 1; its last value goes on), continue each/best, critic_target
  all/best); items in no order {dialogue, turn, candidate, reward, chosen, value} with the
  expected {return, advantage, target}. chosen is meant with `best` alone, one a turn."""
import itertools
import json
import math
import pathlib
import sys

import numpy as np

from reward_terms import terms

TERMS = ("coverage", "focus", "rep_hist", "rep_self")


def item_key(item):
    return item["dialogue"], item["turn"], item["candidate"]


def groups(items):
    """Lists of the candidates of one dialogue and turn, all in order."""
    ordered = sorted(items, key=item_key)
    return [list(part) for _, part in
            itertools.groupby(ordered, key=lambda item: (item["dialogue"], item["turn"]))]


def divisor(values):
    deviation = float(np.std(values)) if len(values) >= 2 else 0.0
    return deviation if deviation >= 1e-8 else 1.0


def scale_values(form, items, term):
    """What one batch adds to the statistic of one term."""
    if form == "running":
        return [item[term] for item in sorted(items, key=item_key)]
    out = []
    for group in groups(items):
        count, mean = len(group), np.mean([item[term] for item in group])
        if count > 1:
            out += [(item[term] - mean) * math.sqrt(count / (count - 1)) for item in group]
    return out


def turn_weight(settings, turn):
    weights = settings["turns_lambda"]
    return weights[min(turn, len(weights)) - 1] if weights else 1.0


def successor(settings, items, item):
    following = [other for other in items if other["dialogue"] == item["dialogue"]
                 and other["turn"] == item["turn"] + 1
                 and (other["chosen"] if settings["continue"] == "best"
                      else other["candidate"] == item["candidate"])]
    return following[0] if following else None


def whiten(values):
    values = np.asarray(values, np.float64)
    return (values - values.mean()) / (values.std() + 1e-8)


def group_baseline(form, rewards):
    rewards = np.asarray(rewards, np.float64)
    count = len(rewards)
    if count == 1:
        return np.zeros(1)
    if form == "rloo":
        return rewards - (rewards.sum() - rewards) / (count - 1)
    centred = rewards - rewards.mean()
    return centred / (rewards.std() + 1e-6) if form == "grpo" else centred


def advantages(settings, items):
    """Fills return, advantage and target of every item."""
    items = sorted(items, key=item_key)
    for item in sorted(items, key=lambda one: -one["turn"]):
        following = successor(settings, items, item)
        own = turn_weight(settings, item["turn"]) * item["reward"]
        discount = settings["discount"]
        item["return"] = own + (discount * following["return"] if following else 0.0)
        item["delta"] = own - item["value"] + (discount * following["value"] if following else 0.0)
        item["gae"] = item["delta"] + (
            discount * settings["gae_lambda"] * following["gae"] if following else 0.0)
    if settings["advantage"] == "group":
        raw = [value for group in groups(items)
               for value in group_baseline(settings["group"], [one["reward"] for one in group])]
        if settings["whiten"] and settings["group"] != "grpo":
            raw = np.asarray(raw) / (math.sqrt(np.mean(np.square(raw))) + 1e-8)
    else:
        raw = [item["return"] - item["value"] if settings["advantage"] == "turn" else item["gae"]
               for item in items]
        if settings["whiten"]:
            raw = whiten(raw)
    for item, value in zip(items, raw):
        item["advantage"] = float(value)
    for group in groups(items):
        best = max(one["return"] for one in group)
        for item in group:
            item["target"] = best if settings["critic_target"] == "best" else item["return"]
    for item in items:
        del item["delta"], item["gae"]


def term_case(random, index):
    settings = dict(
        coverage=("paper", "mass", "lift")[index % 3],
        focus=("paper", "normalized")[index // 3 % 2],
        floor=("value", "mix", "none")[index // 6 % 3],
        delta0=float(random.choice([0.0, 0.5, 1.5, 9.0])),
        kappa=float(random.choice([0.0, 0.25])), turn=int(random.integers(1, 5)),
        n=int(random.integers(1, 4)), alpha=1.25, beta=0.5, gamma=0.75, gamma_self=0.5)
    length, steps = int(random.integers(2, 15)), int(random.integers(1, 8))
    special = {18: "empty reply", 19: "nothing visible", 20: "nothing salient", 21: "one visible",
               22: "no mass in V", 23: "a weight of one"}.get(index, "")
    if special == "empty reply":
        steps = 0
    rows = random.dirichlet(np.full(length, 0.3), steps).astype(np.float32)
    visible = random.random(length) < 0.8
    visible[0] = True
    if special == "nothing visible":
        visible[:] = False
    if special == "one visible":
        visible[1:] = False
    if special == "no mass in V":
        visible[-1] = False
        rows[:] = 0
        rows[:, -1] = 1
    if special == "a weight of one":
        rows[:] = 0
        rows[:, 0] = 1
    salient = (random.random(length) < 0.4) & visible
    if special == "nothing salient":
        salient[:] = False
    history = random.integers(2, 6, length).tolist()
    reply = random.integers(2, 6, steps).tolist()
    expected = terms(rows.astype(np.float64), visible, salient, reply, history, settings)
    expected["reward"] = (settings["alpha"] * expected["coverage"]
                          + settings["beta"] * expected["focus"]
                          - settings["gamma"] * expected["rep_hist"]
                          - settings["gamma_self"] * expected["rep_self"])
    return dict(name=special, settings=settings, rows=rows.astype(np.float64).tolist(),
                visible=visible.astype(int).tolist(), salient=salient.astype(int).tolist(),
                reply=reply, history=history, expected=expected)


def batch_items(random, first_dialogue, fields):
    """Dialogues of 1-3 turns and 1-4 candidates, shuffled. Candidates may end early."""
    items = []
    for dialogue in range(first_dialogue, first_dialogue + int(random.integers(2, 5))):
        turns, candidates = int(random.integers(1, 4)), int(random.integers(1, 5))
        last = [int(random.integers(1, turns + 1)) for _ in range(candidates)]
        last[0] = turns
        for turn in range(1, turns + 1):
            for candidate in range(candidates):
                if turn <= last[candidate]:
                    items.append(dict(dialogue=dialogue, turn=turn, candidate=candidate,
                                      **fields(random)))
    random.shuffle(items)
    return items


def scale_case(random, form):
    batches, seen = [], {term: [] for term in TERMS}
    for number in range(4):
        items = batch_items(random, 10 * number, lambda r: dict(
            coverage=float(r.random()), focus=float(-3 * r.random()),
            rep_hist=float(r.random()) if number else 0.0, rep_self=0.25))
        for term in TERMS:
            seen[term] += scale_values(form, items, term)
        batches.append(dict(items=items, divisors=[divisor(seen[term]) for term in TERMS]))
    return dict(form=form, batches=batches)


def advantage_case(random, advantage, group, whitened, following, target):
    settings = dict(advantage=advantage, group=group, whiten=whitened,
                    discount=float(random.choice([1.0, 0.9])), gae_lambda=0.95,
                    turns_lambda=[[], [1.0, 0.5], [0.25, 1.0, 2.0]][int(random.integers(3))],
                    critic_target=target)
    settings["continue"] = following
    items = batch_items(random, 0, lambda r: dict(
        reward=float(r.normal()), chosen=False, value=float(r.normal())))
    for part in groups(items):
        part[int(random.integers(len(part)))]["chosen"] = True
    if following == "best":
        # All candidates of a turn stand on one history: one value.
        for part in groups(items):
            for item in part:
                item["value"] = part[0]["value"]
    advantages(settings, items)
    return dict(settings=settings, items=items)


def main():
    random = np.random.default_rng(20250611)
    result = dict(
        terms=[term_case(random, index) for index in range(36)],
        scales=[scale_case(random, form) for form in ("running", "within")],
        advantages=[advantage_case(random, advantage, group, whitened, following, target)
                    for advantage, group in (("turn", "rloo"), ("gae", "rloo"), ("group", "rloo"),
                                             ("group", "mean"), ("group", "grpo"))
                    for whitened in (True, False) for following in ("each", "best")
                    for target in ("all", "best")],
    )
    lines = ",\n".join(f' "{key}": [\n  ' + ",\n  ".join(json.dumps(case) for case in cases) + "\n ]"
                       for key, cases in result.items())
    pathlib.Path(sys.argv[1]).write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main()
