#!/usr/bin/env python3
"""Writes tests/text/fixtures/bpe: small byte-level BPE tokenizers of the usual kinds, texts, their ids by
the tokenizers library and what it decodes them to; says how the library's classes of characters
differ from Python's Unicode, which is what src/text/unicode.c has tables of.

usage: bpe_fixture.py FOLDER | --classes
"""
import json
import os
import random
import sys
import unicodedata

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

TEXT = """The ticket office opens at nine and closes at half past five. Where can I leave my suitcase?
You can leave it in a locker beside platform 12; it costs 3.50 a day. Is there a train to the coast tonight?
There's one at 18:45, and we'll hold a seat if you'd like. I'm sorry, I can't hear you. They've gone, haven't they?
Please don't forget your umbrella; it's raining again. She said: "Don't wait for me, I'll be late."
for (int i = 0; i < 10; i++) { total += price[i]; }
Der Zug fährt um 9 Uhr ab. Où est la bibliothèque? ¿Dónde está la estación? Поезд прибывает на вторую платформу.
今日はいい天気ですね。 明天去北京的火车几点出发？ Xin chào, tôi muốn đặt một phòng. नमस्ते दुनिया 안녕하세요 반갑습니다
""".splitlines()

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
          r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")
# Patterns that have no code of their own: of the kinds that o200k and DeepSeek use.
CASES = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
SCRIPTS = (r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"
           r" ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(pattern) if not pattern.startswith("=") else pattern[1:], behavior, invert)


def byte_level(regex=False, prefix=False):
    return pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=regex)


def sequence(*parts):
    return pre_tokenizers.Sequence(list(parts))


# name: pre-tokenizer, normalizer, changes to the model
KINDS = {
    "gpt2": (byte_level(True), None, {}),
    "digits": (sequence(pre_tokenizers.Digits(individual_digits=True), byte_level(True)), None,
               {"drop": True, "merge": ["1", "2"]}),  # which single digits never come to
    "llama3": (sequence(split(LLAMA3), byte_level()), None, {"ignore_merges": True, "pairs": True}),
    "qwen2": (sequence(split(QWEN2), byte_level()), normalizers.NFC(), {}),
    "cases": (sequence(split(CASES), byte_level()), normalizers.Sequence([normalizers.NFC()]), {"pairs": True}),
    "scripts": (sequence(split(r"\p{N}{1,3}"), split("[一-龥぀-ゟ゠-ヿ]+"), split(SCRIPTS), byte_level(prefix=True)),
                None, {"drop": True, "unk": True}),
    "removed": (sequence(split("=-", "removed"), split(r"\S+|\s", "removed", True),
                         pre_tokenizers.Digits(individual_digits=False), byte_level()), None, {}),
}
ADDED = [AddedToken("<|end|>", special=True, normalized=False), AddedToken("<|im_start|>", special=True, normalized=False),
         AddedToken("<|im", special=False, normalized=False), AddedToken("<left>", lstrip=True, normalized=False),
         AddedToken("<right>", rstrip=True, normalized=False), AddedToken("<both>", lstrip=True, rstrip=True, special=True),
         AddedToken("<tool>", normalized=True), AddedToken("<ế>", normalized=True), AddedToken("<ệ>", normalized=False),
         AddedToken("  ", normalized=False), AddedToken("<é", normalized=False),
         AddedToken("<o\u0302\u0301>", normalized=True)]
DROPPED = ["Ā", "Ą", "ò", "ÿ", "Ģ"]  # bytes 0x00, 0x04, 0xF2, 0xFF, 0x80 without a token


def make(name, folder):
    splitter, normalizer, changes = KINDS[name]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = splitter
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(TEXT, trainers.BpeTrainer(vocab_size=256 + 180, show_progress=False,
                                                            initial_alphabet=alphabet))
    state = json.loads(tokenizer.to_str())
    model = state["model"]
    if changes.get("drop"):
        kept = [piece for piece in sorted(model["vocab"], key=model["vocab"].get) if piece not in DROPPED]
        model["vocab"] = {piece: number for number, piece in enumerate(kept)}
        if changes.get("unk"):
            model["unk_token"], model["fuse_unk"] = "?", True
        model["merges"] = [m for m in model["merges"] if all(p in model["vocab"] for p in [*m, "".join(m)])]
    for word in ["ĠSuitcase", "zebra", "Ġcan't", "12345"]:  # which no merge makes
        model["vocab"][word] = max(model["vocab"].values()) + 1
    if changes.get("merge"):
        model["vocab"]["".join(changes["merge"])] = max(model["vocab"].values()) + 1
        model["merges"].append(changes["merge"])
    if not changes.get("pairs"):
        model["merges"] = [" ".join(m) for m in model["merges"]]
    model["ignore_merges"] = changes.get("ignore_merges", False)
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.add_special_tokens([t for t in ADDED if t.special])
    tokenizer.add_tokens([t for t in ADDED if not t.special])
    os.makedirs(os.path.join(folder, name), exist_ok=True)
    state = json.loads(tokenizer.to_str())
    state["model"]["merges"] = model["merges"]
    write_lines(os.path.join(folder, name, "tokenizer.json"), [state])
    return Tokenizer.from_file(os.path.join(folder, name, "tokenizer.json"))


def write_lines(path, rows):
    with open(path, "w", encoding="utf-8", newline="") as out:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")


def hard_texts():
    random.seed(12)
    yield from ["", " ", "  ", "\n", "a", " a", "a ", "   a   b\n\n  c\t\td \r\n", "Don't DON'T we'LL you'Re '\u017f 's'S'",
                "½²Ⅷ①〇 12345 1 22 333", "a\0b\0", "x\u0085y\u00a0z\u2028w\u3000v\u180eu\u200bt\u001cs",
                "zebra Suitcase can't 12345 zebras", "é e\u0301 <e\u0302\u0301> <ế> <e\u0323\u0302> <ệ> ㅎㅏㄴ 한 \u1112\u1161\u11ab",
                "\u08d1\u05ae \u0abc\u1acb a\u0316\u0301\u0315\u0300\u0334", "\U00080000\U000bffff\U00040000 \U0010ffff",
                "x\u0315\u1acb\u0300 <ố><o\u0302\u0301> 'ſabc",
                "𞗐𞗑𖵀𖵁𐵊 𖄰𖄱 𑇠 ꟋꟚ", "    <left>   <right>   <both>   x", "<|im_start|>user\n<|im <|im_sta <|end|><|end|>",
                " <left><right>  <tool>  <both><both> <left>", "e-mail--x - - well-known", "x" * 300 + " " * 90 + "\n" * 60,
                "for (int i = 0; i < 10; i++) {\n\ttotal += price[i];\n}\n", "🙂👩‍👩‍👧 🇫🇷 \u0301 a\u0300\u0301"]
    yield from TEXT
    characters = sorted(set("".join(TEXT))) + list("\t\n\r \u0085\u00a0\u2028\u3000\u200b'-0123½Ⅷ\u0301\u0323")
    words = [t.content for t in ADDED] + ["'s", "'LL", "  ", "\n\n", " the", " can't", "12345", "é", "e\u0301"]
    for _ in range(90):
        text = ""
        for _ in range(random.randrange(1, 24)):
            kind = random.random()
            other = random.randrange(0x110000)
            if kind < 0.6:
                text += random.choice(characters)
            elif kind < 0.92:
                text += random.choice(words)
            elif not 0xD800 <= other < 0xE000:
                text += chr(other)
        yield text


def expected(tokenizer, row):
    ids = tokenizer.encode(row["text"], add_special_tokens=False).ids
    out = {"id": row["id"], "ids": ids}
    decoded = tokenizer.decode(ids, skip_special_tokens=False)
    skipped = tokenizer.decode(ids, skip_special_tokens=True)
    if decoded != row["text"]:
        out["decoded"] = decoded
    if skipped != decoded:
        out["decoded_skip_special"] = skipped
    tokenizer.encode_special_tokens = True
    plain = tokenizer.encode(row["text"], add_special_tokens=False).ids
    tokenizer.encode_special_tokens = False
    if plain != ids:
        out["plain_ids"] = plain
    return out


def random_ids(tokenizer, seed):
    random.seed(seed)
    for number in range(12):
        ids = [random.randrange(tokenizer.get_vocab_size() + 3) for _ in range(random.randrange(1, 14))]
        yield {"id": f"d{number:02}", "ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=False),
               "decoded_skip_special": tokenizer.decode(ids, skip_special_tokens=True)}


def ranges(members):
    out = []
    for c in sorted(members):
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return ", ".join(f"{{0x{a:X}, 0x{b:X}}}" for a, b in out)


def classes():
    every = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]

    def of(splitter):
        return {c for c in every if len(splitter.pre_tokenize_str("\x01" + chr(c))) == 2}

    def python(letter):
        return {c for c in every if unicodedata.category(chr(c))[0] == letter}

    letters, numbers, digits = of(split(r"\p{L}")), of(split(r"\p{N}")), of(pre_tokenizers.Digits(True))
    nfc = normalizers.NFC().normalize_str
    late = {c for c in every if unicodedata.normalize("NFC", chr(c) + "\u0334") != nfc(chr(c) + "\u0334")}
    print("Python has Unicode", unicodedata.unidata_version)
    print(len(letters), "letters, beyond Python's:", ranges(letters - python("L")))
    print(len(numbers), "numbers, beyond Python's:", ranges(numbers - python("N")))
    print(len(digits), "digits, beyond those numbers:", ranges(digits - numbers))
    print("white space:", ranges(of(split(r"\s"))))
    print("marks that are newer than the library's NFC:", ranges(late))


def main():
    if sys.argv[1:] == ["--classes"]:
        return classes()
    folder = sys.argv[1]
    rows = [{"id": f"t{number:03}", "text": text} for number, text in enumerate(hard_texts())]
    write_lines(os.path.join(folder, "texts.jsonl"), rows)
    for seed, name in enumerate(KINDS):
        tokenizer = make(name, folder)
        write_lines(os.path.join(folder, name, "expected.jsonl"), [expected(tokenizer, row) for row in rows])
        write_lines(os.path.join(folder, name, "decode.jsonl"), random_ids(tokenizer, seed))


if __name__ == "__main__":
    main()
