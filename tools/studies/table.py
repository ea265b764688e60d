"""Tables of tools/experiments, as Markdown and as one page without other files, by the standard library alone:

    python table.py TABLE OUT SIZE UPDATES ROWS SEEDS CORPUS...
    python table.py latency OUT SIZE

A cell is OUT/CORPUS-SIZE/TABLE-UPDATES/ROW-SEED/values.jsonl (seed `start`: the start's replies, read by that row's
reward).  Intervals are 95% of 1000 resamples of dialogues or questions, the same ones for all rows, so that
differences are paired; they are not over seeds, whose deviation stands beside the mean.  Of table dialogue a cell also has
whole.json, what `regard eval` says of the dialogues that its model generates by itself.
"""

import html
import json
import os
import random
import statistics
import sys

from texts import correlation

RESAMPLES = 1000
NOT_RUN = "not run"
DIGITS = {"right": 3, "ROUGE-L": 4, "chrF": 2, "slots": 3, "tokens": 2, "distinct": 3}
# Of whole dialogues, by their names in whole.json; BLEU, and coherence, which has it in it, are no means over dialogues.
WHOLE = {"coherence": "coherence", "BLEU/100": "bleu", "BERTScore": "bert_score", "consistency": "consistency"}
DIGITS.update(dict.fromkeys(WHOLE, 3))
MEANS = {"right": "share of replies that are right", "ROUGE-L": "with the gold reply", "chrF": "with the gold reply",
         "slots": "share of what the gold reply repeats of the dialogue that the reply names",
         "tokens": "of a reply", "distinct": "share of a history's replies that no earlier one equals",
         "coherence": "of whole dialogues, (BLEU/100 + BERTScore)/2", "BLEU/100": "of all their replies together",
         "BERTScore": "F1 with the gold reply to the same turn", "consistency": "share of replies taken for their dialogue's"}
START = "start"
# What stands for a person's preferences, by corpus (tools/experiments, `preferred`): PREFERRED of a row.
PREFERRED = {"builtin": "built-in preferences, which a program wrote",
             "dialogues": "demonstration pairs, people's replies over sampled ones: nobody stated a preference",
             "reasoning": "demonstration pairs, a program's worked answers over sampled ones: nobody stated a preference"}
# A fit's target: the measure that it is held to, what its labels are, what a verifier reads.
TARGETS = {"verifier": ("right", "answers to labelled questions", "answers"),
           "rouge_l": ("ROUGE-L", "gold replies of labelled turns", "slots of gold replies"),
           "slots": ("slots", "slots of labelled gold replies", "slots of gold replies")}


def read(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def rows_of(path):
    """name, what the reward saw, the row's null, settings."""
    with open(path, encoding="utf-8") as lines:
        rows = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    return [(row[0], row[1].replace("_", " "), row[2], row[3:]) for row in rows]


def untrained(row):
    """Whether nothing is trained for a row."""
    return row[0] == START or "START" in row[3]


def mean_correlation(groups, target):
    """The reward's rank correlation with the target, over the histories whose replies differ in the target (0 where
    they are of one reward, as regard's probe and audits have it), and its standard error over dialogues; None: there
    is no such history, or they are all of one dialogue."""
    sums = {}
    for group in groups:
        if target in group[0] and len({row[target] for row in group}) > 1:
            found = correlation([row["reward"] for row in group], [row[target] for row in group]) or 0.0
            total, count = sums.get(group[0]["dialogue"], (0.0, 0))
            sums[group[0]["dialogue"]] = (total + found, count + 1)
    n, all_of = len(sums), sum(count for _, count in sums.values())
    if n < 2:
        return None, None
    mean = sum(total for total, _ in sums.values()) / all_of
    squares = sum((total - mean * count) ** 2 for total, count in sums.values())
    return mean, (squares * n / (n - 1)) ** 0.5 / all_of


class Cell:
    """The replies of one trained model: sums and counts a dialogue of each measure, and its reward's ranks."""

    def __init__(self, path, target):
        self.sums, self.counts, groups, kinds = {}, {}, {}, {}
        for row in read(path):
            groups.setdefault(row["id"], []).append(row)
            for measure in DIGITS:
                if measure in row:
                    for table, value in ((self.sums, row[measure]), (self.counts, 1)):
                        of = table.setdefault(measure, {})
                        of[row["dialogue"]] = of.get(row["dialogue"], 0) + value
            if "kind" in row and "right" in row:
                kinds.setdefault(row["kind"], []).append(row["right"])
        self.kinds = {kind: statistics.fmean(values) for kind, values in kinds.items()}
        self.values = {m: sum(sums.values()) / sum(self.counts[m].values()) for m, sums in self.sums.items()}
        self.whole = self.read_whole(os.path.join(os.path.dirname(path), "whole.json"))
        self.measures = [measure for measure in DIGITS if measure in self.values]
        self.ranks, self.ranks_error = mean_correlation(groups.values(), target)

    def read_whole(self, path):
        """whole.json; None: there is none.  A row of by_dialogue has sum and count of each metric."""
        if not os.path.exists(path):
            return None
        with open(path, encoding="utf-8") as source:
            whole = json.load(source)
        metrics = whole["by_dialogue"]["metrics"]
        for measure, name in WHOLE.items():
            if whole.get(name) is None:
                continue
            self.values[measure] = whole[name] / (100 if name == "bleu" else 1)
            if name in metrics:
                place = 2 * metrics.index(name)
                rows = [(str(d), row) for d, row in enumerate(whole["by_dialogue"]["rows"]) if row[place + 1]]
                self.sums[measure] = {dialogue: row[place] for dialogue, row in rows}
                self.counts[measure] = {dialogue: row[place + 1] for dialogue, row in rows}
        return whole


def resamples(dialogues):
    """Counts of each dialogue, a list a resample."""
    source, out = random.Random(1), []
    for _ in range(RESAMPLES):
        counts = dict.fromkeys(dialogues, 0)
        for name in source.choices(dialogues, k=len(dialogues)):
            counts[name] += 1
        out.append(counts)
    return out


def difference(ones, others, measure, drawn):
    """Mean of some cells less that of others, which may have other numbers of replies, and its interval."""
    def totals(cells):
        return {d: (statistics.fmean(cell.sums[measure].get(d, 0) for cell in cells), count)
                for d, count in cells[0].counts[measure].items()}

    def mean(of, weights):
        return (sum(weights.get(d, 0) * total for d, (total, _) in of.items()) /
                max(1, sum(weights.get(d, 0) * count for d, (_, count) in of.items())))

    left, right = totals(ones), totals(others)
    once = dict.fromkeys(left, 1)
    values = sorted(mean(left, draw) - mean(right, draw) for draw in drawn)
    return (mean(left, once) - mean(right, once), values[int(0.025 * RESAMPLES)], values[int(0.975 * RESAMPLES)])


def all_have(measure, cells):
    return all(measure in cell.measures for cell in cells)


def lacks(measure, cells):
    """What stands in place of a measure that not all cells have."""
    return NOT_RUN if measure in WHOLE and any(cell.whole is None for cell in cells) else "-"


def interval_text(found, digits):
    value, low, high = found
    text = f"{value:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"
    return f"**{text}**" if low > 0 or high < 0 else text


def seeds_text(values, digits):
    mean = statistics.fmean(values)
    return f"{mean:.{digits}f} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else f"{mean:.{digits}f}"


def ranks_text(cells):
    with_ranks = [cell for cell in cells if cell.ranks is not None]
    if not with_ranks:
        return "-"
    error = statistics.fmean(cell.ranks_error for cell in with_ranks)
    return f"{statistics.fmean(cell.ranks for cell in with_ranks):+.3f} ({error:.3f})"


def training(folders):
    """From the first to the last quarter of the updates: reward, what was right, and the correlation of audits."""
    texts = []
    for name in ("reward", "verifier", "audit_correlation"):
        ends = []
        for folder in folders:
            lines = read(os.path.join(folder, "run", "metrics.jsonl"))
            rows = [row[name] for row in lines if row.get(name) is not None]
            quarter = max(1, len(rows) // 4)
            if rows:
                ends.append((statistics.fmean(rows[:quarter]), statistics.fmean(rows[-quarter:])))
        texts.append(" to ".join(f"{statistics.fmean(e):.3f}" for e in zip(*ends)) if ends else "-")
    return texts


class Corpus:
    def __init__(self, table, name, folder, updates, rows, seeds):
        self.name, self.base = name, folder
        self.folder, target = os.path.join(folder, f"{table}-{updates}"), "verifier"
        if os.path.exists(os.path.join(folder, "target")):
            with open(os.path.join(folder, "target"), encoding="utf-8") as of:
                target = of.read().strip()
        self.target, self.labels, self.answers = TARGETS[target]
        self.rows, self.cells, self.read_at_start, self.folders = rows, {}, {}, {}
        for row in rows:
            name, fixed = row[0], untrained(row)
            places = [os.path.join(self.folder, f"{name}-{seed}") for seed in ([START] if fixed else seeds)]
            there = [place for place in places if os.path.exists(os.path.join(place, "values.jsonl"))]
            self.folders[name] = there
            self.cells[name] = [Cell(os.path.join(place, "values.jsonl"), self.target) for place in there]
            before = os.path.join(self.folder, f"{name}-{START}", "values.jsonl")
            self.read_at_start[name] = [Cell(before, self.target)] if not fixed and os.path.exists(before) else []
        done = [cell for cells in self.cells.values() for cell in cells]
        self.measures = [m for m in DIGITS if any(m in cell.measures for cell in done)] or list(DIGITS)[:1]
        self.drawn = resamples(sorted(done[0].counts["tokens"])) if done else []
        self.sft = os.path.isdir(os.path.join(folder, "sft"))

    def label(self, name):
        return {START: "SFT", "greedy": "SFT, greedy"}.get(name, name) if self.sft else name

    def saw(self, name, words):
        if name == START and self.sft:
            return "gold replies; so did the start of all other rows"
        words = words.replace("PREFERRED", PREFERRED.get(self.name, "preferred pairs"))
        return {"labels": self.labels, "answers": self.answers}.get(words, words.replace("labels", self.labels))

    def values(self, seeds):
        header = ["row", "the reward saw", "seeds"] + self.measures
        header += [f"its reward's rank correlation with {self.target} within a history: at the start", "after",
                   "in training, first to last quarter: reward", "right", "audits' correlation"]
        out = []
        for one in self.rows:
            name, words, _, settings = one
            cells = self.cells[name]
            # a control's replies are measured by the reward without the control, which is not its own
            controlled = any(one.startswith("control=") for one in settings)
            row = [self.label(name), self.saw(name, words)]
            if not cells:
                out.append(row + ["0"] + [NOT_RUN] * (len(header) - 3))
                continue
            row.append("-" if untrained(one) else f"{len(cells)} of {len(seeds)}")
            row += [seeds_text([cell.values[m] for cell in cells], DIGITS[m]) if all_have(m, cells) else lacks(m, cells)
                    for m in self.measures]
            row += ["-"] * 5 if untrained(one) else [
                "-" if controlled else ranks_text(of)
                for of in (self.read_at_start[name], cells)] + training(self.folders[name])
            out.append(row)
        return header, out

    def differences(self, against):
        measures = [m for m in self.measures if m not in ("coherence", "BLEU/100")]
        header, out = ["row", "less"] + measures, []
        for name, _, null, _ in self.rows:
            other = START if against == START else null
            if name == START or other == "-":
                continue
            row = [name, self.label(other)]
            if not self.cells[name] or not self.cells[other]:
                out.append(row + [NOT_RUN] * len(measures))
                continue
            ones, others = self.cells[name], self.cells[other]
            out.append(row + [interval_text(difference(ones, others, m, self.drawn), DIGITS[m])
                              if all_have(m, ones + others) else lacks(m, ones + others) for m in measures])
        return header, out

    def whole(self):
        """What whole dialogues were measured by, one for all cells, and what that says of gold and random replies; empty:
        none was measured."""
        found = [cell.whole for cells in self.cells.values() for cell in cells if cell.whole]
        if not found:
            return ""
        one = found[0]
        for other in found:
            for name in ("encoder", "encoder_layer", "on_topic", "on_topic_threshold"):
                if self.within(other[name]) != self.within(one[name]):
                    sys.exit(f"tools/studies/table.py: whole.json of {self.folder} are by more than one {name}; remove those "
                             "of one of them")

        def number(name):
            return "-" if one[name] is None else f"{one[name]:.3f}"

        return (f"Whole dialogues: each turn after the model's own earlier replies, one reply a turn. BERTScore by the start, "
                f"{self.within(one['encoder'])}, layer {one['encoder_layer']}, not rescaled; of random replies it is "
                f"{number('bert_score_floor')}, coherence {number('coherence_floor')}. Consistency by an on-topic model, "
                f"{self.within(one['on_topic'])}, its threshold fixed on lines that are not measured: gold replies have "
                f"{number('consistency_gold')}, random ones {number('consistency_random')}, and of these two it takes "
                f"{number('on_topic_accuracy')} for what they are.")

    def within(self, path):
        """A path as it is within the corpus's folder, wherever that lay."""
        return path.split(f"/{os.path.basename(self.base)}/")[-1] if isinstance(path, str) else path

    def models(self):
        """Of the reward models that rows ask for: what the pairs say by which their checkpoint was taken, the one of the
        least -log likelihood of them: too good by chance by as much as the least of so many is."""
        header = ["reward model", "learned from", "pairs its checkpoint was taken by", "accuracy", "the longer reply's accuracy",
                  "-log likelihood", "score's correlation with length"]
        out, seen = [], set()
        for _, words, _, settings in self.rows:
            for model in (word.split("RM:")[1] for word in settings if "=RM:" in word):
                path = os.path.join(self.base, f"rm-{model}", "run", "metrics.jsonl")
                if model in seen or not os.path.exists(path):
                    continue
                seen.add(model)
                measured = [row for row in read(path) if row.get("valid_nll") is not None]
                best = min(measured, key=lambda row: row["valid_nll"]) if measured else {}
                out.append([model, self.saw("", words), str(int(best.get("valid_pairs", 0)))] + [
                    f"{best[name]:.3f}" if best.get(name) is not None else "-"
                    for name in ("valid_accuracy", "valid_longer_accuracy", "valid_nll", "valid_length_correlation")])
        return header, out

    def kinds(self):
        found = sorted({kind for cells in self.cells.values() for cell in cells for kind in cell.kinds})
        header = ["right, by kind of question"] + found
        return header, [[self.label(name)] +
                        [seeds_text([c.kinds[kind] for c in self.cells[name]], 3) for kind in found]
                        for name, _, _, _ in self.rows if self.cells[name] and all_have("right", self.cells[name])]


def markdown(parts):
    out = []
    for kind, content in parts:
        if kind == "table":
            header, rows = content
            out.append("| " + " | ".join(header) + " |\n|" + " --- |" * len(header) + "\n" +
                       "".join("| " + " | ".join(row) + " |\n" for row in rows))
        else:
            out.append(("## " if kind == "title" else "") + content + "\n")
    return "\n".join(out)


def page(parts):
    def text(cell):
        bold = cell.startswith("**")
        return f"<b>{html.escape(cell[2:-2])}</b>" if bold else html.escape(cell)

    out = ["<!doctype html><meta charset=utf-8><title>tools/experiments</title><style>body{font-family:sans-serif}"
           "td,th{padding:2px 8px;text-align:left;border-bottom:1px solid #ccc}</style>"]
    for kind, content in parts:
        if kind == "table":
            lines = ["".join(f"<th>{text(c)}</th>" for c in content[0])]
            lines += ["".join(f"<td>{text(c)}</td>" for c in row) for row in content[1]]
            out.append("<table>" + "".join(f"<tr>{line}</tr>\n" for line in lines) + "</table>")
        else:
            tag = "h2" if kind == "title" else "p"
            out.append(f"<{tag}>{html.escape(content)}</{tag}>")
    return "\n".join(out) + "\n"


def write(out, name, parts):
    for ending, text in ((".md", markdown(parts)), (".html", page(parts))):
        with open(os.path.join(out, name + ending), "w", encoding="utf-8") as to:
            to.write(text)
    print(markdown(parts))


def table(name, out, size, updates, rows_path, seeds, *corpora):
    rows, seeds, parts = rows_of(rows_path), seeds.split(","), []
    for corpus in corpora:
        one = Corpus(name, corpus, os.path.join(out, f"{corpus}-{size}"), updates, rows, seeds)
        parts.append(("title", f"{name}: {corpus}, {size}, {updates} updates"))
        parts.append(("words", "Mean over seeds ± deviation over seeds. " +
                      "; ".join(f"{m}: {MEANS[m]}" for m in one.measures) +
                      ". In brackets standard errors over dialogues."))
        parts.append(("table", one.values(seeds)))
        if one.whole():
            parts.append(("words", one.whole()))
        parts.append(("words", "Change from the start, its 95% interval over dialogues (not over seeds), "
                      "bold where that leaves out 0:"))
        parts.append(("table", one.differences(START)))
        parts.append(("words", "The same, less the row's null:"))
        parts.append(("table", one.differences("null")))
        if one.kinds()[1]:
            parts.append(("table", one.kinds()))
        if one.models()[1]:
            parts.append(("table", one.models()))
    write(out, f"{name}-{size}", parts)


def latency(out, size):
    def file(what):
        path = os.path.join(out, f"latency-{size}", f"{what}.json")
        if not os.path.exists(path):
            return None
        with open(path, encoding="utf-8") as source:
            return json.load(source)[what]

    generate, decode = file("generate"), file("decode")
    rows = []

    def add(label, found, number):
        rows.append([label, number(found) if found else NOT_RUN])

    def ratio(found, name):
        return f"{found[name]:.3f} ({found[name + '_lowest']:.3f} to {found[name + '_highest']:.3f})"

    add("a token of a reply, no statistics, ms", generate, lambda g: f"{1e3 / g['tokens_s_capture_off']:.3f}")
    add("a token of a reply, statistics of the last layers, ms", generate, lambda g: f"{1e3 / g['tokens_s_capture_on']:.3f}")
    add("a token of a reply, every layer and head too, ms", generate, lambda g: f"{1e3 / g['tokens_s_all_heads']:.3f}")
    add("tokens a second, statistics on over off (lowest to highest round)", generate, lambda g: ratio(g, "on_over_off"))
    add("tokens a second, every head over the last layers (lowest to highest round)", generate,
        lambda g: ratio(g, "all_heads_over_capture"))
    add("a step of decoding, no statistics, ms", decode, lambda d: f"{d['step_ms_capture_off']:.3f}")
    add("a step of decoding, statistics of the last layers, ms", decode, lambda d: f"{d['step_ms']:.3f}")
    write(out, f"latency-{size}", [
        ("title", f"latency: {size}"),
        ("words", "`regard bench`, one thread. A token of a reply is a token of reasoning where a reply is that; its "
                  "history is counted in."),
        ("table", (["what", "figure"], rows))])


if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[1] == "latency":
        latency(*sys.argv[2:])
    elif len(sys.argv) > 7:
        table(*sys.argv[1:])
    else:
        sys.exit(__doc__)
