"""Writes tests/report/text_metrics.json: pairs of texts and what sacrebleu and rouge_score
say of them, one by one and as a corpus.  Run with the reference environment's Python."""

import json
import random
import sys

import sacrebleu
from rouge_score import rouge_scorer

FIXED = [
    ("the cat sat on the mat", "the cat sat on the mat"),
    ("the cat", "the cat sat on the mat"),
    ("", "an empty reply"),
    ("an empty reference", ""),
    ("nothing shared here at all", "completely different words everywhere today"),
    ("Your order 4,512.50 arrives at 10:30-11:30.", "Your order 4,512.50 arrives at 10:30-11:00!"),
    ("It costs $3.50, i.e. 3.5-4 dollars...", "It costs $3.5, i.e. about 3.5-4 dollars."),
    ("don't   panic\tplease\u00a0now", "don't panic please now"),
    ("caf\u00e9 na\u00efve \u2013 \u201cquoted\u201d \u2026 \u00bfQu\u00e9?", "cafe naive - \"quoted\" ... Que?"),
    ("\u4f60\u597d\uff0c\u4e16\u754c\u3002 hello \u3000 world", "\u4f60\u597d\uff0c\u4e16\u754c\u3002 hello world"),
    ("\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440! 5-\u0439", "\u041f\u0440\u0438\u0432\u0435\u0442 \u043c\u0438\u0440 5-\u0439"),
    ("emoji \U0001f600\U0001f600, ok.", "emoji \U0001f600 ok"),
    ("\u212a elvin \u0130stanbul \u00c5ngstr\u00f6m", "k elvin istanbul angstrom"),
    ("a &amp; b &lt;c&gt; &quot;d&quot; &amp;lt;", "a & b <c> \"d\" &lt;"),
    ("line one\nline two hyphen-\nated <skipped>", "line one line two hyphenated"),
    ("trailing  \n", "trailing"),
    ("a.b,c 1.2,3 .5 5. ,x x, ..", "a . b , c 1.2,3 .5 5 . , x x , . ."),
    ("(x) [y] {z} ~w `v` ^u _t_ #s @r /q\\p |o| a*b+c=d;e:f?g!h%i'j", "(x) [y] {z} w v u t s r q p o a*b+c"),
    ("unit\x1fseparator\x85next\u2028line\u205fmath", "unit separator next line math"),
]


def main(path):
    rng = random.Random(7)
    words = "the order number is 4512, and your caf\u00e9 arrives (today) at 10:30 - thanks! e-mail me.".split()
    pairs = list(FIXED)
    for _ in range(30):
        reference = [rng.choice(words) for _ in range(rng.randint(1, 20))]
        reply = [w if rng.random() < 0.7 else rng.choice(words) for w in reference if rng.random() < 0.9]
        pairs.append((" ".join(reply), " ".join(reference)))
    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)

    def bleu(some):
        return sacrebleu.corpus_bleu([a for a, _ in some], [[b for _, b in some]]).score

    def rouge(some):
        return sum(scorer.score(b, a)["rougeL"].fmeasure for a, b in some) / len(some)

    rows = [{"reply": a, "reference": b, "bleu": bleu([(a, b)]), "rouge_l": rouge([(a, b)])}
            for a, b in pairs]
    result = {"sacrebleu": sacrebleu.__version__, "bleu": bleu(pairs), "rouge_l": rouge(pairs),
              "pairs": rows}
    with open(path, "w", encoding="utf-8") as out:
        json.dump(result, out, indent=1, ensure_ascii=True)
        out.write("\n")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "tests/report/text_metrics.json")
