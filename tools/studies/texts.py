"""Metrics of one reply, by the standard library alone; tests/text/fixtures/text_metrics.json holds them to
sacrebleu and rouge_score, as it does src/text/text_metrics.c (but for scripts without spaces, whose
words are not cut here)."""

import collections
import re
import unicodedata


def words(text):
    """Runs of letters, marks and decimal digits, lower-cased."""
    kept = (c if unicodedata.category(c)[0] in "LM" or unicodedata.category(c) == "Nd" else " " for c in text.lower())
    return "".join(kept).split()


def rouge_l(reply, reference):
    """F1 of the longest common subsequence of words, 0 to 1."""
    a, b = words(reply), words(reference)
    row = [0] * (len(b) + 1)
    for x in a:
        diagonal = 0
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], diagonal + 1 if x == y else max(row[j], row[j - 1])
    common = row[-1]
    return 2 * common / (len(a) + len(b)) if common else 0.0


def chrf(reply, reference):
    """chrF2 of one pair: characters without spaces, n-grams of 1 to 6, 0 to 100."""
    a, b = "".join(reply.split()), "".join(reference.split())
    precision = recall = orders = 0
    for n in range(1, 7):
        left = collections.Counter(a[i:i + n] for i in range(len(a) - n + 1))
        right = collections.Counter(b[i:i + n] for i in range(len(b) - n + 1))
        if left and right:
            matches = sum((left & right).values())
            precision += matches / sum(left.values())
            recall += matches / sum(right.values())
            orders += 1
    if not orders or precision + recall == 0:
        return 0.0
    precision, recall = precision / orders, recall / orders
    return 100 * 5 * precision * recall / (4 * precision + recall)


def mentions(text, value):
    """Whether value stands in text as words of its own, whatever the case."""
    return re.search(r"(?<![A-Za-z0-9])" + re.escape(value) + r"(?![A-Za-z0-9])", text, re.IGNORECASE) is not None


def slot_share(reply, slots):
    return sum(mentions(reply, value) for value in slots) / len(slots)


def values_of(text):
    """What a text names: words with a digit, and runs of capitalised words that begin no sentence."""
    found, run = [], []
    for match in re.finditer(r"[^\W_][\w:'.-]*[^\W_]|[^\W_]", text):
        word, before = match.group(), text[:match.start()].rstrip()
        begins = not before or before[-1] in ".!?\n"
        joined = text[:match.start()].endswith(" ") and before and before[-1] not in ",;:"
        if word[0].isupper() and not begins and word not in ("I", "I'm", "I'll", "I've", "I'd"):
            if run and joined:
                run.append(word)
                continue
            if run:
                found.append(" ".join(run))
            run = [word]
            continue
        if run:
            found.append(" ".join(run))
            run = []
        if any(c.isdigit() for c in word):
            found.append(word)
    if run:
        found.append(" ".join(run))
    return list(dict.fromkeys(found))


def ranks(numbers):
    """From 0, ties at their mean."""
    order = sorted(range(len(numbers)), key=lambda i: numbers[i])
    out = [0.0] * len(numbers)
    i = 0
    while i < len(order):
        j = i
        while j + 1 < len(order) and numbers[order[j + 1]] == numbers[order[i]]:
            j += 1
        for k in range(i, j + 1):
            out[order[k]] = (i + j) / 2
        i = j + 1
    return out


def correlation(a, b):
    """Of ranks; None where one of them is the same throughout."""
    x, y = ranks(a), ranks(b)
    mean = (len(x) - 1) / 2
    xx = sum((v - mean) ** 2 for v in x)
    yy = sum((v - mean) ** 2 for v in y)
    if not xx or not yy:
        return None
    return sum((v - mean) * (w - mean) for v, w in zip(x, y)) / (xx * yy) ** 0.5
