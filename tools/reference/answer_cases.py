#!/usr/bin/env python3
"""200 replies with the answers that lm-evaluation-harness finds in them: the fixture of src/text/answer.c.

    python3 tools/reference/answer_cases.py > tests/text/fixtures/answers.jsonl

Regular expressions and what its metric leaves out are those of lm_eval/tasks/gsm8k/gsm8k.yaml (version 3.0:
strict-match takes the first match, flexible-extract the last); a case has the text that each filter gives, null
where it gives "[invalid]", and whether exact_match then calls it right.  `same` says whether the two are the same
number, which also counts here (3 and 3.0 are not the same text).  Standard library only.
"""
import decimal
import json
import random
import re

STRICT = re.compile(r"#### (\-?[0-9\.\,]+)")
FLEXIBLE = re.compile(r"(-?[$0-9.,]{2,})|(-?[0-9]+)")
LEFT_OUT = [",", r"\$", r"(?s).*#### ", r"\.$"]


def strict(reply):
    found = STRICT.findall(reply)
    return found[0].strip() if found else None


def flexible(reply):
    found = FLEXIBLE.findall(reply)
    return next(group for group in found[-1] if group).strip() if found else None


def bare(text):
    for pattern in LEFT_OUT:
        text = re.sub(pattern, "", text)
    return text.lower()


def number(text):
    plain = bare(text)
    return decimal.Decimal(plain) if re.fullmatch(r"-?([0-9]+\.?[0-9]*|\.[0-9]+)", plain) else None


def verdict(found, answer):
    right = bare("[invalid]" if found is None else found) == bare(answer)
    same = found is not None and number(found) is not None and number(found) == number(answer)
    return right, same


def numeral(rng, value):
    forms = [f"{value}", f"{value:,}", f"${value}", f"${value:,}", f"{value}.00", f"{value}.0", f"-{value}",
             f"${value}.50", f"{value}%", f"0{value}", f"-${value}", f"$-{value}", f".{value}", f"{value}."]
    return rng.choice(forms)


def reply(rng, value):
    word = rng.choice(["apples", "dollars", "hours", "of them", "Äpfel", "km²"])
    said = [
        lambda: f"She has {numeral(rng, rng.randint(2, 99))} + {numeral(rng, rng.randint(2, 99))} {word}.\n#### {numeral(rng, value)}",
        lambda: f"The answer is {numeral(rng, value)}.",
        lambda: f"{rng.randint(1, 9)} * {rng.randint(1, 9)} = {numeral(rng, value)} {word}",
        lambda: f"So {numeral(rng, value)} {word} are left, not {numeral(rng, rng.randint(2, 5000))}!",
        lambda: f"#### {numeral(rng, value)}\n#### {numeral(rng, rng.randint(2, 5000))}",
        lambda: f"####{numeral(rng, value)}",
        lambda: f"####  {numeral(rng, value)} {word}",
        lambda: f"### {numeral(rng, value)}",
        lambda: f"##### {numeral(rng, value)} {word}. Done",
        lambda: f"Is it {numeral(rng, value)}? ... yes, {word}, $.",
        lambda: f"I do not know, {word}",
        lambda: "".join(rng.choice("0123456789.,$-# #\n ab") for _ in range(rng.randint(0, 24))),
        lambda: "#### " + "".join(rng.choice("0123456789.,$- ") for _ in range(rng.randint(0, 8))),
        lambda: f"x-{value} --{value} {value}-{rng.randint(1, 9)}",
        lambda: f"{numeral(rng, value)}\r\n",
    ]
    return rng.choice(said)()


def main():
    rng = random.Random("answers")
    for _ in range(200):
        value = rng.choice([rng.randint(0, 20), rng.randint(21, 999), rng.randint(1000, 2000000)])
        text = reply(rng, value)
        answer = rng.choice([str(value), f"{value:,}", f"{value}.0", f"It is so. #### {value}"])
        case = {"reply": text, "answer": answer}
        for name, found in (("strict", strict(text)), ("flexible", flexible(text))):
            right, same = verdict(found, answer)
            case[name] = {"text": found, "right": right, "same": same}
        print(json.dumps(case, ensure_ascii=False))


main()
