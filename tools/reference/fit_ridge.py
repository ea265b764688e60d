"""The ridge of src/fit in float64 numpy, by another way: explicit residuals by least squares and the
primal normal equations, where the program projects and solves the dual.  Writes a fixture:
python tools/reference/fit_ridge.py > tests/fit/ridge.json"""

import json
import sys

import numpy as np

STRENGTHS = [1024, 256, 64, 16, 4, 1]
FOLDS = 5
WIDTHS = {"attention": 4, "logprob": 4, "overlap": 10}


def ranks(values):
    values = np.asarray(values)
    place = np.array([np.mean(np.flatnonzero(np.sort(values) == v)) for v in values])
    return place / (len(values) - 1) - 0.5


def residual(matrix, length):
    """Columns less constant, length and its square, within a history."""
    off = length - length.mean()
    design = np.stack([np.ones_like(off), off, off**2], 1)
    return matrix - design @ np.linalg.lstsq(design, matrix, rcond=1e-9)[0]


def degrees(length):
    return len(length) - np.linalg.matrix_rank(
        np.stack([np.ones_like(length), length, length**2], 1))


class Problem:
    def __init__(self, data):
        self.data, self.used = data, []
        begin = 0
        for h, n in enumerate(data["replies_of"]):
            rows = np.arange(begin, begin + n)
            begin += n
            target, length = data["target"][rows], data["length"][rows]
            if len(set(target)) > 1 and degrees(length) > 0:
                self.used.append((h, rows))
        bags = data["bags"]
        self.buckets = sorted({b for _, rows in self.used for r in rows for b in bags[r]})
        place = {b: i for i, b in enumerate(self.buckets)}
        words = np.zeros((len(bags), len(self.buckets)))
        for r, bag in enumerate(bags):
            for b in bag:
                if b in place:
                    words[r, place[b]] = 1
        self.raw = {"words": words}
        begin = 0
        for name, width in WIDTHS.items():
            self.raw[name] = data["dense"][:, begin:begin + width]
            begin += width
        self.label = {h: residual(ranks(data["target"][r])[:, None], data["length"][r])[:, 0]
                      for h, r in self.used}
        self.rest, self.scale, self.deviation = {}, {}, {}
        freedom = sum(degrees(data["length"][r]) for _, r in self.used)
        for name, raw in self.raw.items():
            rest = {h: residual(raw[r], data["length"][r]) for h, r in self.used}
            every = np.concatenate(list(rest.values()))
            deviation = np.sqrt((every**2).sum(0) / freedom)
            if name == "words":
                deviation = np.ones_like(deviation)
            self.deviation[name] = deviation
            self.rest[name] = {h: v / deviation for h, v in rest.items()}
            self.scale[name] = freedom / ((every / deviation)**2).sum()

    def solve(self, sets, strength, histories):
        """Weights of the sets' columns over their deviations."""
        factor = np.concatenate([np.full(self.raw[s].shape[1],
                                         np.sqrt(self.scale[s] / len(sets))) for s in sets])
        x = np.concatenate([np.concatenate([self.rest[s][h] for s in sets], 1)
                            for h in histories]) * factor
        y = np.concatenate([self.label[h] for h in histories])
        return factor * np.linalg.solve(x.T @ x + strength * np.eye(x.shape[1]), x.T @ y)

    def correlations(self, sets, weights, histories):
        out = []
        for h in histories:
            p = np.concatenate([self.rest[s][h] for s in sets], 1) @ weights
            y = self.label[h]
            out.append(p @ y / np.sqrt((p @ p) * (y @ y)))
        return np.array(out)

    def nested(self, sets):
        dialogue = self.data["dialogue"]
        order = {d: i for i, d in enumerate(dict.fromkeys(dialogue[h] for h, _ in self.used))}
        fold = {h: order[dialogue[h]] % FOLDS for h, _ in self.used}
        chosen, result = [], {}
        for outer in range(FOLDS):
            total = []
            for strength in STRENGTHS:
                total.append(0.0)
                for inner in set(range(FOLDS)) - {outer}:
                    train = [h for h in fold if fold[h] not in (outer, inner)]
                    test = [h for h in fold if fold[h] == inner]
                    w = self.solve(sets, strength, train)
                    total[-1] += self.correlations(sets, w, test).sum()
            best = STRENGTHS[int(np.argmax(total))]
            chosen.append(best)
            w = self.solve(sets, best, [h for h in fold if fold[h] != outer])
            test = [h for h in fold if fold[h] == outer]
            result.update(zip(test, self.correlations(sets, w, test)))
        return sorted(chosen, reverse=True)[FOLDS // 2], [result[h] for h, _ in self.used]

    def final(self, sets, strength):
        """The weights as the file of a fit has them, and every reply's score."""
        data = self.data
        weights = self.solve(sets, strength, [h for h, _ in self.used])
        rows = np.concatenate([r for _, r in self.used])
        x = np.concatenate([self.raw[s] / self.deviation[s] for s in sets], 1)
        mean = np.concatenate([np.zeros(self.raw[s].shape[1]) if s == "words"
                               else self.raw[s][rows].mean(0) / self.deviation[s] for s in sets])
        score = (x - mean) @ weights
        length = np.stack([data["length"], data["length"]**2], 1)

        def within(values):
            return np.concatenate([values[r] - values[r].mean(0) for _, r in self.used])

        slope = np.linalg.lstsq(within(length), within(score), rcond=None)[0]
        score = score - length @ slope
        deviation = np.sqrt((within(score)**2).sum() / (len(rows) - len(self.used)))
        return (score - score[rows].mean()) / deviation


def main():
    rng = np.random.default_rng(5)
    dialogues, data = 13, {"replies_of": [], "dialogue": [], "length": [], "target": [],
                           "dense": [], "bags": []}
    for d in range(dialogues):
        for _ in range(1 + d % 2):
            n = 6 + d % 3
            data["replies_of"].append(n)
            data["dialogue"].append(d)
            base = rng.normal(size=18)
            for _ in range(n):
                dense = np.round(base + rng.normal(size=18), 3)
                bag = sorted(set((rng.integers(0, 40, size=8) * 1637).tolist()))
                length = int(rng.integers(5, 30))
                target = dense[1] + 0.5 * dense[6] + 0.1 * length + (1637 in bag) + rng.normal()
                data["dense"].append(dense.tolist())
                data["bags"].append(bag)
                data["length"].append(length)
                # The fourth dialogue's replies are all alike: it teaches nothing.
                data["target"].append(1.0 if d == 3 else round(target, 1))
    arrays = dict(data, dense=np.array(data["dense"]), target=np.array(data["target"]),
                  length=np.array(data["length"], float))
    problem = Problem(arrays)
    data["cases"] = []
    for sets in (["attention"], ["logprob", "overlap"], ["words"],
                 ["attention", "logprob", "overlap", "words"]):
        strength, correlation = problem.nested(sets)
        data["cases"].append({"sets": ",".join(sets), "strength": strength,
                              "correlation": correlation,
                              "score": problem.final(sets, strength).tolist()})
    json.dump(data, sys.stdout, separators=(",", ":"))
    print()


main()
