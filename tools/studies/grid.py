"""The grid of tools/experiments, by the standard library alone:

    python grid.py chosen BASE UPDATES ROWS SEEDS        ROW:SEED of what is to be measured on the third set, a line each
    python grid.py table OUT SIZE UPDATES ROWS SEEDS CORPUS...

A cell is BASE/grid-UPDATES/ROW-SEED/values.jsonl, by the validation half, and test.jsonl, by the other, of the start
and of what was chosen alone.  Chosen is, of the points of which every seed is there, the one with the highest mean over
seeds of the corpus's measure; of equals the first.
"""

import os
import statistics
import sys

from table import DIGITS, MEANS, NOT_RUN, START, TARGETS, Cell, difference, interval_text, resamples, rows_of, seeds_text, write


class Grid:
    def __init__(self, base, updates, rows, seeds):
        self.folder, target = os.path.join(base, f"grid-{updates}"), "verifier"
        if os.path.exists(os.path.join(base, "target")):
            with open(os.path.join(base, "target"), encoding="utf-8") as of:
                target = of.read().strip()
        self.measure = TARGETS[target][0]
        self.rows, self.seeds = rows, seeds
        self.validation = {row[0]: self.cells(row[0], "values") for row in rows}
        whole = [(statistics.fmean(cell.values[self.measure] for cell in cells), name)
                 for name, cells in self.validation.items() if name != START and len(cells) == len(seeds)]
        best = max((value for value, _ in whole), default=None)
        self.chosen = next((name for value, name in whole if value == best), None)
        self.whole = len(whole)

    def places(self, name):
        return [START] if name == START else self.seeds

    def cells(self, name, values):
        paths = [os.path.join(self.folder, f"{name}-{seed}", values + ".jsonl") for seed in self.places(name)]
        return [Cell(path, self.measure) for path in paths if os.path.exists(path)]


def chosen(base, updates, rows, seeds):
    grid = Grid(base, updates, rows_of(rows), seeds.split(","))
    for name in (START, grid.chosen) if grid.chosen else ():
        for place in grid.places(name):
            print(f"{name}:{place}")


def weights(settings):
    of = dict(word.split("=", 1) for word in settings)
    return [of.get(f"reward.{name}", "-") for name in ("alpha", "beta", "gamma")]


def figures(cells, measures):
    return [seeds_text([cell.values[m] for cell in cells], DIGITS[m]) if cells else NOT_RUN for m in measures]


def part(grid):
    """The points by validation with the chosen one's figure on the third set beside them, and its change there."""
    done = [cell for cells in grid.validation.values() for cell in cells]
    measures = [m for m in DIGITS if done and all(m in cell.measures for cell in done)] or [grid.measure]
    header = ["point", "alpha", "beta", "gamma", "seeds"] + [f"{m}, validation" for m in measures]
    header += [f"{grid.measure}, third set"]
    rows = []
    for name, _, _, settings in grid.rows:
        cells = grid.validation[name]
        taken = name in (START, grid.chosen)
        rows.append([f"**{name}**" if name == grid.chosen else name] + weights(settings) +
                    ["-" if name == START else f"{len(cells)} of {len(grid.seeds)}"] + figures(cells, measures) +
                    (figures(grid.cells(name, "test"), [grid.measure]) if taken else ["-"]))
    out = [("words", f"Mean over seeds ± deviation over seeds; {grid.measure}: {MEANS[grid.measure]}."),
           ("table", (header, rows))]
    before, after = grid.cells(START, "test"), grid.cells(grid.chosen, "test") if grid.chosen else []
    points = len(grid.rows) - 1
    if not before or len(after) < len(grid.seeds):
        why = (f"{grid.chosen} is chosen on validation, but the third set is not measured yet." if grid.chosen else
               "Nothing is chosen yet: no point has all of its seeds.")
        return out + [("words", why)]
    drawn = resamples(sorted(before[0].counts["tokens"]))
    change = interval_text(difference(after, before, grid.measure, drawn), DIGITS[grid.measure])
    return out + [("words", f"Chosen by {grid.measure} on validation, of {grid.whole} of {points} points: {grid.chosen}. On the "
                   f"third set, which nothing was chosen by, its change from the start is {change} (95% over dialogues, "
                   "bold where that leaves out 0). The others' figures are of the set that was chosen on: the best of "
                   "many is too high there by chance.")]


def table(out, size, updates, rows_path, seeds, *corpora):
    parts = []
    for corpus in corpora:
        grid = Grid(os.path.join(out, f"{corpus}-{size}"), updates, rows_of(rows_path), seeds.split(","))
        parts.append(("title", f"grid: {corpus}, {size}, {updates} updates"))
        parts += part(grid)
    write(out, f"grid-{size}", parts)


if __name__ == "__main__":
    verbs = {"chosen": chosen, "table": table}
    if len(sys.argv) < 6 or sys.argv[1] not in verbs:
        sys.exit(__doc__)
    verbs[sys.argv[1]](*sys.argv[2:])
