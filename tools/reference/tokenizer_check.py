#!/usr/bin/env python3
"""Holds `regard tokenizer` to SentencePiece and to Transformers' slow T5Tokenizer and ByT5Tokenizer:
ids of lines of text, and text of ids, must be equal.

usage: tokenizer_check.py REGARD_PROGRAM MODEL.model... --text FILE.jsonl|FILE.txt [--lines N]
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

import sentencepiece
import transformers

SPECIAL = [
    "", " ", "  two  spaces ", "a <extra_id_0> b", "<extra_id_3><extra_id_99> x", "x</s> y <pad> z",
    "<unk> here", "a \u3000<extra_id_1>\u00a0 b", "na\u00efve caf\u00e9 \u4f60\u597d \U0001f600 \u2581 x",
    "<extra_id_100> <extra_id_01> <extra_id_", "</s>", "<extra_id_0>", "tab\there", "\ufb01 \u2460 \uff21",
]


def read_texts(path, count):
    texts = []
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            if path.endswith(".jsonl"):
                texts += [m["content"] for m in json.loads(line)["messages"]]
            else:
                texts.append(line.rstrip("\n"))
    return [t for t in texts if "\n" not in t][:count] + SPECIAL


def regard(program, verb, where, lines):
    with tempfile.TemporaryDirectory() as folder:
        source, target = os.path.join(folder, "in"), os.path.join(folder, "out")
        with open(source, "w", encoding="utf-8", newline="") as out:
            out.write("".join(line + "\n" for line in lines))
        subprocess.run([program, "tokenizer", verb, *where, "--data", source, "--out", target],
                       check=True)
        with open(target, encoding="utf-8", newline="") as back:
            return back.read().split("\n")[:-1]


def compare(name, texts, got, wanted):
    wrong = [(t, g, w) for t, g, w in zip(texts, got, wanted) if g != w]
    if len(got) != len(wanted):
        wrong.append(("number of lines", len(got), len(wanted)))
    print(f"{name}: {len(wanted)} lines, {len(wrong)} differ")
    for text, g, w in wrong[:3]:
        print(f"  {text!r}\n    regard    {g!r}\n    reference {w!r}")
    return not wrong


def ids_text(ids):
    return " ".join(map(str, ids))


def check(name, program, where, texts, encode, decode):
    ids = [encode(t) for t in texts]
    fine = compare(name + " encode", texts, regard(program, "encode", where, texts),
                   [ids_text(i) for i in ids])
    back = [decode(i) if i else "" for i in ids]
    keep = [k for k, b in enumerate(back) if "\n" not in b]
    lines = regard(program, "decode", where, [ids_text(ids[k]) for k in keep])
    return compare(name + " decode", [texts[k] for k in keep], lines, [back[k] for k in keep]) and fine


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--text", required=True)
    parser.add_argument("--lines", type=int, default=5000)
    options = parser.parse_args()
    texts = read_texts(options.text, options.lines)
    fine = True
    for model in options.models:
        name = os.path.basename(model)
        spm = sentencepiece.SentencePieceProcessor(model_file=model)
        fine &= check(name, options.program, ["--spm", model], texts, spm.encode, spm.decode)
        with tempfile.TemporaryDirectory() as folder:
            slow = transformers.T5Tokenizer(model)
            slow.save_pretrained(folder)
            shutil.copy(model, os.path.join(folder, "spiece.model"))
            fine &= check(name + " T5", options.program, ["--model", folder], texts,
                          lambda t: slow(t, add_special_tokens=False).input_ids, slow.decode)
    with tempfile.TemporaryDirectory() as folder:
        slow = transformers.ByT5Tokenizer()
        slow.save_pretrained(folder)
        fine &= check("ByT5", options.program, ["--model", folder], texts,
                      lambda t: slow(t, add_special_tokens=False).input_ids, slow.decode)
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
