#!/usr/bin/env python3
"""Writes tests/text/fixtures/llama: a small SentencePiece BPE with byte fallback, as Llama 2 and Mistral have
one, in two folders (a space before every part between special tokens; before the text alone), texts, their
ids by Transformers' slow LlamaTokenizer and what it decodes them to.

usage: llama_fixture.py FOLDER
"""
import io
import json
import os
import random
import sys

import sentencepiece
import transformers

from bpe_fixture import TEXT, write_lines

KINDS = {"legacy": {"legacy": True}, "first": {"legacy": False}}
ADDED = {500: ("<|im_end|>", True), 501: ("<tool>", False)}


def texts():
    random.seed(5)
    yield from ["", " ", "  ", "\n", "a", " a", "a  b   c ", "\ttab\nline\r\n", "½²Ⅷ 12345", "🙂 日本", "zebra▁x ▁y",
                "<s>", "</s>", "<s>The ticket", "<s> The", "ticket</s>", "ticket </s> office", "a<unk>b", "<unk> b",
                "<s><s>office", "<s>office</s><s>train", "x<|im_end|>y", " <|im_end|> z <tool> w", "<tool>", "e\u0301 \u00a0é"]
    yield from TEXT
    pieces = sorted(set("".join(TEXT))) + [" ", " ", "<s>", "</s>", "<unk>", "<|im_end|>", "<tool>", "the", "\n"]
    for _ in range(40):
        yield "".join(random.choice(pieces) for _ in range(random.randrange(1, 16)))


def config(changes):
    def token(text, special=True):
        return {"content": text, "lstrip": False, "rstrip": False, "normalized": False, "single_word": False,
                "special": special}
    added = {0: token("<unk>"), 1: token("<s>"), 2: token("</s>"), **{k: token(*v) for k, v in ADDED.items()}}
    return {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>",
            "additional_special_tokens": ["<|im_end|>"], "clean_up_tokenization_spaces": False,
            "added_tokens_decoder": {str(k): v for k, v in added.items()}, **changes}


def expected(slow, row):
    ids = slow(row["text"], add_special_tokens=False).input_ids
    out = {"id": row["id"], "ids": ids}
    decoded, skipped = (slow.decode(ids, skip_special_tokens=skip) if ids else "" for skip in (False, True))
    if decoded != row["text"]:
        out["decoded"] = decoded
    if skipped != decoded:
        out["decoded_skip_special"] = skipped
    return out


def random_ids(slow):
    random.seed(6)
    for number in range(25):
        ids = [random.choice([0, 1, 2, 500, 501]) if random.random() < 0.25 else random.randrange(3, 500)
               for _ in range(random.randrange(1, 9))]
        yield {"id": f"d{number:02}", "ids": ids, "decoded": slow.decode(ids),
               "decoded_skip_special": slow.decode(ids, skip_special_tokens=True)}


def main():
    folder = sys.argv[1]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT * 3), model_writer=model, vocab_size=500, model_type="bpe", byte_fallback=True,
        split_digits=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True, character_coverage=0.98, num_threads=1, minloglevel=2)
    rows = [{"id": f"t{number:03}", "text": text} for number, text in enumerate(texts())]
    os.makedirs(folder, exist_ok=True)
    write_lines(os.path.join(folder, "texts.jsonl"), rows)
    for name, changes in KINDS.items():
        own = os.path.join(folder, name)
        os.makedirs(own, exist_ok=True)
        with open(os.path.join(own, "tokenizer.model"), "wb") as out:
            out.write(model.getvalue())
        with open(os.path.join(own, "tokenizer_config.json"), "w", encoding="utf-8") as out:
            json.dump(config(changes), out, indent=1)
            out.write("\n")
        slow = transformers.LlamaTokenizer.from_pretrained(own)
        write_lines(os.path.join(own, "expected.jsonl"), [expected(slow, row) for row in rows])
        write_lines(os.path.join(own, "decode.jsonl"), random_ids(slow))


if __name__ == "__main__":
    main()
