"""Float64 oracle of docs/reward.md, "Reward models": losses of pairs of scores and their
derivatives, and what held-out pairs say; writes tests/golden/preferences.json.  Plain Python, no
package.

    python3 tools/reference/preference_oracle.py tests/golden/preferences.json

The file holds two lists.
losses: form (bradley_terry, logistic), margin, center, smoothing, right, wrong; expected loss and
  its derivatives by_right and by_wrong, by central differences of the loss in 60-digit decimals.
measures: apart, pairs [right, wrong, right tokens, wrong tokens]; expected accuracy, nll, ece,
  length_correlation, longer_accuracy, score, score_deviation, and bins [count, confidence,
  accuracy]."""
import decimal
import json
import math
import pathlib
import random
import sys
from decimal import Decimal

decimal.getcontext().prec = 60
BINS = 10


def minus_log_sigmoid(x):
    return (1 + (-x).exp()).ln()


def loss(form, margin, center, smoothing, right, wrong):
    if form == "bradley_terry":
        distance = right - wrong - margin
        return ((1 - smoothing) * minus_log_sigmoid(distance)
                + smoothing * minus_log_sigmoid(-distance) + center * ((right + wrong) / 2) ** 2)
    return sum((1 - smoothing) * minus_log_sigmoid(x) + smoothing * minus_log_sigmoid(-x)
               for x in (right, -wrong)) / 2


def loss_case(form, margin, center, smoothing, right, wrong):
    settings = form, Decimal(margin), Decimal(center), Decimal(smoothing)
    right, wrong, step = Decimal(right), Decimal(wrong), Decimal("1e-20")
    by_right = (loss(*settings, right + step, wrong) - loss(*settings, right - step, wrong)) / (2 * step)
    by_wrong = (loss(*settings, right, wrong + step) - loss(*settings, right, wrong - step)) / (2 * step)
    return dict(form=form, margin=margin, center=center, smoothing=smoothing, right=float(right),
                wrong=float(wrong), loss=float(loss(*settings, right, wrong)),
                by_right=float(by_right), by_wrong=float(by_wrong))


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def half(x):
    return 1.0 if x > 0 else 0.0 if x < 0 else 0.5


def mean(values):
    return math.fsum(values) / len(values)


def measure_case(apart, pairs):
    decisions = []
    for right, wrong, _, _ in pairs:
        decisions += [right, -wrong] if apart else [right - wrong]
    bins = [[] for _ in range(BINS)]
    for x in decisions:
        confidence = max(sigmoid(x), sigmoid(-x))
        bins[min(BINS - 1, int((confidence - 0.5) * 2 * BINS))].append((confidence, half(x)))
    found = [[len(bin), mean([c for c, _ in bin]), mean([a for _, a in bin])] if bin else [0, 0, 0]
             for bin in bins]
    scores = [s for pair in pairs for s in pair[:2]]
    tokens = [t for pair in pairs for t in pair[2:]]
    apart_scores = [s - mean(scores) for s in scores]
    apart_tokens = [t - mean(tokens) for t in tokens]
    both = math.fsum(s * s for s in apart_scores) * math.fsum(t * t for t in apart_tokens)
    return dict(
        apart=apart, pairs=pairs, accuracy=mean([half(x) for x in decisions]),
        nll=mean([-math.log(sigmoid(x)) for x in decisions]),
        ece=math.fsum(n * abs(c - a) for n, c, a in found) / len(decisions),
        length_correlation=math.fsum(s * t for s, t in zip(apart_scores, apart_tokens)) / math.sqrt(both)
        if both > 0 else 0.0,
        longer_accuracy=mean([half(pair[2] - pair[3]) for pair in pairs]), score=mean(scores),
        score_deviation=math.sqrt(mean([s * s for s in apart_scores])), bins=found)


def measure_pairs(source, count, scale):
    return [[round(source.gauss(0.3, 1) * scale * 64) / 64, round(source.gauss(0, 1) * scale * 64) / 64,
             source.randrange(1, 40), source.randrange(1, 40)] for _ in range(count)]


def main():
    source = random.Random(17)
    scores = [(0, 0), (1.5, -0.5), (-3, 2), (0.25, 0.25), (40, -700), (-700, 40)]
    losses = [loss_case(form, margin, center, smoothing, right, wrong)
              for form, margin, center, smoothing in
              (("bradley_terry", 0, 0, 0), ("bradley_terry", 0.75, 0, 0), ("bradley_terry", 0, 0.125, 0),
               ("bradley_terry", 0, 0, 0.25), ("bradley_terry", 1.5, 0.5, 0.125),
               ("logistic", 0, 0, 0), ("logistic", 0, 0, 0.125))
              for right, wrong in scores]
    measures = [measure_case(apart, measure_pairs(source, count, scale))
                for count, scale in ((1, 1), (7, 0.5), (40, 1), (60, 4)) for apart in (False, True)]
    measures.append(measure_case(False, [[0, 0, 3, 3], [0, 0, 2, 5]]))
    result = dict(losses=losses, measures=measures)
    lines = ",\n".join(f' "{key}": [\n  ' + ",\n  ".join(json.dumps(case) for case in cases) + "\n ]"
                       for key, cases in result.items())
    pathlib.Path(sys.argv[1]).write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main()
