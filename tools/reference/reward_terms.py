"""The terms of docs/reward.md in float64: the plain
oracle that the C code and the fixtures are held against."""
import math

import numpy as np


def entropy(row):
    """- sum a log a of one row, with 0 log 0 = 0."""
    positive = row[row > 0]
    return float(-(positive * np.log(positive)).sum()) if len(positive) else 0.0


def restrict(row, visible):
    """a over V(t) alone, divided by its sum; uniform over V(t) where that sum is 0."""
    row = np.where(visible, np.asarray(row, np.float64), 0.0)
    total = row.sum()
    return row / total if total > 0 else visible / visible.sum()


def mix(row, visible, delta):
    """(row mixed with uniform over V, weight): the smallest weight with entropy >= delta."""
    uniform = visible / visible.sum()
    if entropy(row) >= delta:
        return row, 0.0
    low, high = 0.0, 1.0
    while high - low > 1e-12:
        middle = (low + high) / 2
        if entropy((1 - middle) * row + middle * uniform) < delta:
            low = middle
        else:
            high = middle
    return (1 - high) * row + high * uniform, high


def ngrams(tokens, n):
    return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]


def repetition_history(reply, history, n):
    grams, seen = ngrams(reply, n), set(ngrams(history, n))
    return sum(g in seen for g in grams) / len(grams) if grams else 0.0


def repetition_self(reply, n):
    grams = ngrams(reply, n)
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def terms(rows, visible, salient, reply, history, settings):
    """rows a[s][j] already averaged over layers and heads, before restriction to V.

    settings: coverage, focus, floor ("value", "mix", "none"), delta0, kappa, turn (from 1), n.
    Returns entropy (before the floor), entropy_floored, salient_mass (of the row coverage uses)
    and coverage, focus, rep_hist, rep_self."""
    visible = np.asarray(visible, bool)
    salient = np.asarray(salient, bool) & visible
    count, out_entropy, floored, mass = int(visible.sum()), [], [], []
    if len(rows) == 0 or count == 0:
        zero = [0.0] * len(rows)
        return dict(entropy=zero, entropy_floored=zero, salient_mass=zero, coverage=0.0,
                    focus=0.0, rep_hist=0.0, rep_self=0.0)
    delta = min(settings["delta0"] + settings["kappa"] * (settings["turn"] - 1), math.log(count))
    for row in rows:
        row = restrict(row, visible)
        out_entropy.append(entropy(row))
        value = out_entropy[-1]
        if settings["floor"] == "value":
            value = max(value, delta)
        elif settings["floor"] == "mix":
            row, _ = mix(row, visible, delta)
            value = entropy(row)
        floored.append(value)
        mass.append(float(row[salient].sum()))
    coverage = float(np.mean(mass))
    marked = int(salient.sum())
    if marked == 0:
        coverage = 0.0
    elif settings["coverage"] == "paper":
        coverage /= marked
    elif settings["coverage"] == "lift":
        coverage *= count / marked
    divisor = 1.0
    if settings["focus"] == "normalized" and count > 1:
        divisor = math.log(count)
    return dict(
        entropy=out_entropy,
        entropy_floored=floored,
        salient_mass=mass,
        coverage=coverage,
        focus=-float(np.mean(floored)) / divisor,
        rep_hist=repetition_history(reply, history, settings["n"]),
        rep_self=repetition_self(reply, settings["n"]),
    )
