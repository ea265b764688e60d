"""Writes tests/text/fixtures/text_metrics.json: pairs of texts and what sacrebleu and rouge_score
say of them, one by one and as a corpus; scripts without spaces are spaced out first, and rouge_score
is given words of any script.  Run with the reference environment's Python."""

import json
import random
import sys
import unicodedata

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
    # Scripts without spaces, and letters beyond a-z.
    ("\u4f60\u597d\uff0c\u6b22\u8fce\u5149\u4e34\u3002", "\u4f60\u597d\uff0c\u6b22\u8fce\u5149\u4e34\u3002"),
    ("\u660e\u5929\u5341\u70b9\u5f00\u95e8", "\u6211\u4eec\u660e\u5929\u4e5d\u70b9\u5f00\u95e8\u3002"),
    ("\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e04\u0e23\u0e31\u0e1a", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e04\u0e23\u0e31\u0e1a"),
    ("\u0e40\u0e1b\u0e34\u0e14 9:00 \u0e19.", "\u0e40\u0e1b\u0e34\u0e14\u0e40\u0e27\u0e25\u0e32 9:00 \u0e19."),
    ("\u6771\u4eac\u30bf\u30ef\u30fc\u306fopen\u3067\u3059", "\u6771\u4eac\u30bf\u30ef\u30fc\u306fOPEN\u3067\u3059\u304b"),
    ("\u0417\u0430\u043a\u0430\u0437 \u0433\u043e\u0442\u043e\u0432", "\u0437\u0430\u043a\u0430\u0437 \u0443\u0436\u0435 \u0433\u043e\u0442\u043e\u0432"),
    ("Gr\u00fc\u00dfe aus K\u00d6LN", "gr\u00fc\u00dfe aus k\u00f6ln"),
    ("\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e", "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e"),
    ("\uc548\ub155\ud558\uc138\uc694 \uc138\uacc4", "\uc548\ub155\ud558\uc138\uc694, \uc138\uacc4"),
]

UNSPACED = [(0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x2E80, 0x2FDF), (0x3005, 0x3007),
            (0x3040, 0x30FF), (0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF),
            (0xFF66, 0xFF9F), (0x20000, 0x323AF)]


def space_out(text):
    """A space on either side of each character of a script without spaces, its marks behind it."""
    out, alone = "", False
    for c in text:
        if unicodedata.category(c)[0] != "M":
            unspaced = any(a <= ord(c) <= b for a, b in UNSPACED)
            out += " " if unspaced or alone else ""
            alone = unspaced
        out += c
    return out


class Words:
    """rouge_score's tokenizer for any script: runs of letters, marks and decimal digits."""

    def tokenize(self, text):
        kept = "".join(c.lower() if unicodedata.category(c)[0] in "LM" or unicodedata.category(c) == "Nd"
                       else " " for c in space_out(text))
        return kept.split()


def main(path):
    rng = random.Random(7)
    words = "the order number is 4512, and your caf\u00e9 arrives (today) at 10:30 - thanks! e-mail me.".split()
    pairs = list(FIXED)
    for _ in range(30):
        reference = [rng.choice(words) for _ in range(rng.randint(1, 20))]
        reply = [w if rng.random() < 0.7 else rng.choice(words) for w in reference if rng.random() < 0.9]
        pairs.append((" ".join(reply), " ".join(reference)))
    scorer = rouge_scorer.RougeScorer(["rougeL", "rouge1", "rouge2"], tokenizer=Words())

    def bleu(some):
        return sacrebleu.corpus_bleu([space_out(a) for a, _ in some], [[space_out(b) for _, b in some]]).score

    def rouge(some, kind="rougeL"):
        return sum(scorer.score(b, a)[kind].fmeasure for a, b in some) / len(some)

    rows = [{"reply": a, "reference": b, "bleu": bleu([(a, b)]), "rouge_l": rouge([(a, b)]),
             "rouge_1": rouge([(a, b)], "rouge1"), "rouge_2": rouge([(a, b)], "rouge2"),
             "chrf": sacrebleu.sentence_chrf(a, [b]).score} for a, b in pairs]
    result = {"sacrebleu": sacrebleu.__version__, "bleu": bleu(pairs), "rouge_l": rouge(pairs),
              "pairs": rows}
    with open(path, "w", encoding="utf-8") as out:
        json.dump(result, out, indent=1, ensure_ascii=True)
        out.write("\n")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "tests/text/fixtures/text_metrics.json")
