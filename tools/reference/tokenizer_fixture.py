#!/usr/bin/env python3
"""Writes tests/text/fixtures/small: a small SentencePiece model (identity normalizer, byte
fallback) trained on a text, lines, their ids by SentencePiece and by Transformers' slow
T5Tokenizer, and what the latter decodes them to.

usage: tokenizer_fixture.py CORPUS.jsonl FOLDER
"""
import itertools
import json
import os
import sys

import sentencepiece
import transformers

from tokenizer_check import SPECIAL


def main():
    corpus, folder = sys.argv[1:]
    with open(corpus, encoding="utf-8") as lines:
        texts = [m["content"] for line in itertools.islice(lines, 500)
                 for m in json.loads(line)["messages"]]
    prefix = os.path.join(folder, "spiece")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_prefix=prefix, vocab_size=600, pad_id=0, eos_id=1,
        unk_id=2, bos_id=-1, byte_fallback=True, normalization_rule_name="identity",
        user_defined_symbols=["user: ", "assistant: "], num_threads=1, minloglevel=2)
    os.remove(prefix + ".vocab")
    spm = sentencepiece.SentencePieceProcessor(model_file=prefix + ".model")
    slow = transformers.T5Tokenizer(prefix + ".model")
    chosen = texts[:40] + SPECIAL
    ids = [slow(t, add_special_tokens=False).input_ids for t in chosen]
    files = {
        "lines.txt": chosen,
        "ids_spm.txt": [" ".join(map(str, spm.encode(t))) for t in chosen],
        "ids_t5.txt": [" ".join(map(str, i)) for i in ids],
        "decoded_t5.txt": [slow.decode(i) if i else "" for i in ids],
    }
    for name, content in files.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8", newline="") as out:
            out.write("".join(line + "\n" for line in content))
    with open(os.path.join(folder, "tokenizer_config.json"), "w", encoding="utf-8") as out:
        json.dump({"tokenizer_class": "T5Tokenizer", "extra_ids": 100,
                   "model_max_length": int(1e30)}, out, indent=2)
        out.write("\n")


if __name__ == "__main__":
    main()
