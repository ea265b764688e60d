"""Replies of several arms for people to rate, and what they said, by the standard library alone:

    tools/experiments sheet --out SHEET.csv --key KEY.csv [--seed N] [--items N] [--gold] [--own] ARM=FILE...
        FILE: records of `regard eval --samples` of one set of lines.  A row of SHEET is a reply behind its history,
        with an empty cell `rating`; turns stand in random order, so do the arms of each, and only KEY says which
        reply is whose.  --items: so many of the turns that all arms have (0: all); --gold: the data's replies are
        an arm too, which wants records of eval.history=gold; --own: the arms' histories may differ (eval.history=own),
        and each reply stands behind its own.
    tools/experiments ratings --key KEY.csv [--scale LOW,HIGH] [--against ARM] SHEET.csv...
        Copies of SHEET that people filled in, one of each: mean of each arm with its error over dialogues, the
        difference to ARM (the first by name), and Krippendorff's alpha.  A rating is a number from LOW to HIGH (1,5); an empty
        cell is none, and an arm that nobody rated has an empty one.
"""

import csv
import hashlib
import json
import os
import random
import sys

RESAMPLES, LEAST_DIALOGUES = 1000, 5
COLUMNS = ["id", "history", "reply", "rating", "comment"]
KEY = ["id", "arm", "line", "turn"]


class Mistake(Exception):
    """What is wrong, in a line."""


def options(arguments, known, flags=()):
    found, rest, at = dict.fromkeys(flags, False), [], 0
    while at < len(arguments):
        word = arguments[at]
        if word in flags:
            found[word] = True
        elif word in known:
            if at + 1 == len(arguments):
                raise Mistake(f"{word} wants a value")
            at += 1
            found[word] = arguments[at]
        elif word.startswith("--"):
            raise Mistake(f"no option {word}; see tools/experiments")
        else:
            rest.append(word)
        at += 1
    return found, rest


def whole(text, name):
    if not text.isdecimal():
        raise Mistake(f"{name} {text}: a whole number is wanted")
    return int(text)


def records(path):
    """Of `regard eval --samples`, by line of the data and turn."""
    found = {}
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
                place = row["line"], row["turn"]
                row["messages"], row["reply"], row["gold"]
            except (ValueError, KeyError, TypeError):
                raise Mistake(f"{path}:{number}: no record of regard eval --samples") from None
            if place in found:
                raise Mistake(f"{path}:{number}: line {place[0]}, turn {place[1]} is there twice")
            found[place] = row
    return found


def cell(text):
    """A spreadsheet takes what begins so for a formula."""
    return " " + text if text[:1] in ("=", "+", "-", "@") else text


def history(messages):
    return "\n".join(f"{m['role']}: {m['content']}" for m in messages)


def write(path, columns, rows):
    with open(path, "x", encoding="utf-8-sig", newline="") as out:  # the mark by which spreadsheets know UTF-8
        writer = csv.writer(out)
        writer.writerow(columns)
        writer.writerows(rows)


def sheet(arguments):
    found, rest = options(arguments, ("--out", "--key", "--seed", "--items"), ("--gold", "--own"))
    out, key = found.get("--out"), found.get("--key")
    if not out or not key or not rest:
        raise Mistake("sheet wants --out SHEET.csv, --key KEY.csv and ARM=FILE...")
    for path in (out, key):
        if os.path.exists(path):
            raise Mistake(f"{path} is there already; people may have written into it")
    if os.path.realpath(out) == os.path.realpath(key):
        raise Mistake("--out and --key are one file: the key is not for those who rate")
    arms = {}
    for word in rest:
        name, is_arm, path = word.partition("=")
        if not is_arm or not name or not path:
            raise Mistake(f"{word}: an arm is ARM=FILE")
        if name in arms or (name == "gold" and found["--gold"]):
            raise Mistake(f"two arms have the name {name}")
        arms[name] = records(path)
    places = sorted(set.intersection(*(set(rows) for rows in arms.values())))
    if not places:
        raise Mistake("no turn of a line is in all arms; are they of the same --data?")
    first_name, first = next(iter(arms.items()))
    for name, rows in arms.items():
        for line, turn in places:
            if rows[line, turn]["gold"] != first[line, turn]["gold"]:
                raise Mistake(f"{name}: line {line}, turn {turn} has another gold reply; are the arms of the same --data?")
            if rows[line, turn]["messages"] == first[line, turn]["messages"] or (found["--own"] and not found["--gold"]):
                continue
            raise Mistake(f"{name}: line {line}, turn {turn} has another history than {first_name}'s; " +
                          ("--gold wants replies after the data's histories: eval.history=gold" if found["--gold"] else
                           "take records of eval.history=gold, or say --own: each reply behind its own history"))
    items, drawn = whole(found.get("--items", "0"), "--items"), random.Random(whole(found.get("--seed", "1"), "--seed"))
    if items > len(places):
        raise Mistake(f"--items {items}: there are {len(places)} turns that all arms have")
    names = list(arms) + (["gold"] if found["--gold"] else [])
    rows = []
    for place in drawn.sample(places, items or len(places)):
        for name in drawn.sample(names, len(names)):
            row = arms.get(name, first)[place]
            rows.append((name, place, history(row["messages"]), row["gold" if name not in arms else "reply"]))
    mark = hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:6]
    ids = [f"{mark}-{number:0{len(str(len(rows)))}d}" for number in range(1, len(rows) + 1)]
    try:
        write(key, KEY, [(i, name, *place) for i, (name, place, _, _) in zip(ids, rows)])
        write(out, COLUMNS, [(i, cell(said), cell(reply), "", "") for i, (_, _, said, reply) in zip(ids, rows)])
    except OSError:
        for path in (out, key):
            if os.path.exists(path):
                os.remove(path)
        raise
    print(f"{out}: {len(rows)} replies to {items or len(places)} turns, {len(names)} arms; each rater fills in a copy's "
          f"column rating.  {key} says whose they are: keep it away from them.")


def table(path, wanted):
    """Rows by column, each with its line; a spreadsheet may have saved it with ; or tabs."""
    with open(path, encoding="utf-8-sig", newline="") as text:
        head = text.readline()
        text.seek(0)
        reader = csv.DictReader(text, delimiter=max(",;\t", key=head.count))
        missing = [name for name in wanted if name not in (reader.fieldnames or [])]
        if missing:
            raise Mistake(f"{path}: no column {missing[0]}")
        return [(reader.line_num, row) for row in reader]


def ratings_of(path, keys, low, high):
    """A rater's numbers by id."""
    found = {}
    for line, row in table(path, ("id", "rating")):
        name, said = row["id"] or "", (row["rating"] or "").strip()
        if name not in keys:
            raise Mistake(f"{path}:{line}: the key has no reply {name!r}; is it another sheet's?")
        if name in found:
            raise Mistake(f"{path}:{line}: {name} is there twice")
        try:
            found[name] = float(said) if said else None
        except ValueError:
            found[name] = float("nan")
        if found[name] is not None and not low <= found[name] <= high:
            raise Mistake(f"{path}:{line}: the rating {said!r} is no number from {low:g} to {high:g}")
    return {name: value for name, value in found.items() if value is not None}


def krippendorff(raters, level):
    """Krippendorff's alpha of ratings by unit, one dict a rater; level: ordinal or interval.  None where no unit has
    two ratings, or all are equal."""
    units = {}
    for rater in raters:
        for unit, value in rater.items():
            units.setdefault(unit, []).append(value)
    pairable = [values for values in units.values() if len(values) > 1]
    counts = {}
    for values in pairable:
        for value in values:
            counts[value] = counts.get(value, 0) + 1
    scale, total = sorted(counts), sum(counts.values())

    def distance(a, b):
        """Squared."""
        if level == "interval":
            return (a - b) ** 2
        low, high = min(a, b), max(a, b)
        return (sum(counts[v] for v in scale if low <= v <= high) - (counts[a] + counts[b]) / 2) ** 2

    observed = sum(distance(a, b) / (len(values) - 1) for values in pairable for a in values for b in values)
    expected = sum(counts[a] * counts[b] * distance(a, b) for a in scale for b in scale)
    return 1 - (total - 1) * observed / expected if expected else None


def ratio(parts):
    total = sum(n for _, n in parts)
    return sum(s for s, _ in parts) / total if total else None


def deviation(values):
    """Standard error of a figure, from its resamples; None where one of them has none."""
    if None in values:
        return None
    mean = sum(values) / len(values)
    return (sum((v - mean) ** 2 for v in values) / (len(values) - 1)) ** 0.5


def figures(of_arm, against):
    """Mean, its error over dialogues, difference to `against` in the dialogues of both, its error.  of_arm, against: by
    dialogue, sum and number of replies' ratings."""
    mean = ratio(list(of_arm.values()))
    if mean is None:
        return None, None, None, None
    both = [d for d in of_arm if d in against]

    def change(dialogues):
        ones, others = ratio([of_arm[d] for d in dialogues]), ratio([against[d] for d in dialogues])
        return None if ones is None or others is None else ones - others

    drawn = random.Random(1)
    own = list(of_arm)
    means = [ratio([of_arm[d] for d in drawn.choices(own, k=len(own))]) for _ in range(RESAMPLES)]
    changes = [change(drawn.choices(both, k=len(both))) if both else None for _ in range(RESAMPLES)]
    return (mean, deviation(means) if len(own) >= LEAST_DIALOGUES else None, change(both),
            deviation(changes) if len(both) >= LEAST_DIALOGUES else None)


def text(value, form):
    return format(value, form) if value is not None else ""


def ratings(arguments):
    found, sheets = options(arguments, ("--key", "--scale", "--against"))
    if not found.get("--key") or not sheets:
        raise Mistake("ratings wants --key KEY.csv and the sheets that people filled in")
    try:
        low, high = (float(bound) for bound in found.get("--scale", "1,5").split(","))
    except ValueError:
        raise Mistake(f"--scale {found['--scale']}: it is LOW,HIGH") from None
    keys = {row["id"]: row for _, row in table(found["--key"], KEY)}
    raters = [ratings_of(path, keys, low, high) for path in sheets]
    arms = {}
    for name, row in keys.items():
        said = [rater[name] for rater in raters if name in rater]
        arm = arms.setdefault(row["arm"], {})
        if said:
            total, number = arm.get(row["line"], (0, 0))
            arm[row["line"]] = total + sum(said) / len(said), number + 1
    arms = dict(sorted(arms.items()))
    first = found.get("--against") or next(iter(arms))
    if first not in arms:
        raise Mistake(f"--against {first}: the arms are {', '.join(arms)}")
    print(f"| arm | replies rated | mean | error | less {first} | error |\n| --- | --- | --- | --- | --- | --- |")
    for name, arm in arms.items():
        mean, error, change, change_error = figures(arm, arms[first])
        if name == first:
            change = change_error = None
        print(f"| {name} | {sum(n for _, n in arm.values()) or ''} | {text(mean, '.2f')} | {text(error, '.2f')} | "
              f"{text(change, '+.2f')} | {text(change_error, '.2f')} |")
    several = sum(sum(name in rater for rater in raters) > 1 for name in keys)
    if not several:
        print("\nNo reply has two ratings: nothing says whether raters agree.")
        return
    alphas = [f"{level} {text(krippendorff(raters, level), '.3f') or 'none, since all ratings are equal'}"
              for level in ("ordinal", "interval")]
    print(f"\nKrippendorff's alpha of {len(raters)} raters over the {several} replies that two or more rated: "
          f"{', '.join(alphas)}.")


def main(verb, arguments):
    if not arguments:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    try:
        {"sheet": sheet, "ratings": ratings}[verb](arguments)
    except (Mistake, UnicodeDecodeError, csv.Error) as mistake:
        sys.exit(f"tools/experiments: {mistake}")
    except OSError as error:
        sys.exit(f"tools/experiments: {error.filename}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
