#!/usr/bin/env python3
"""How fast `regard tokenizer encode` is beside the tokenizers library on one thread, and whether both give the
same ids: rounds of the two in turn, on every message of a file of dialogues.

Times are of the processor (user and system), so that what else the machine does counts little. regard's is
that of the whole command, with its reading and writing of JSON, and with the start taken off by the difference
between the file once and nine times; the library's is that of encode_batch_fast alone, on texts in memory.

usage: tokenizer_rates.py REGARD DIALOGUES.jsonl FOLDER... [--rounds N]   (folders with a tokenizer.json)
"""
import argparse
import json
import os
import resource
import statistics
import subprocess
import tempfile

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
from tokenizers import Tokenizer  # noqa: E402  (reads the environment)


def processor():
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def seconds(call):
    begin = processor()
    call()
    return processor() - begin


def write_lines(path, texts, times):
    with open(path, "w", encoding="utf-8") as out:
        for _ in range(times):
            for number, text in enumerate(texts):
                out.write(json.dumps({"id": number, "text": text}, ensure_ascii=False) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("regard")
    parser.add_argument("dialogues")
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with open(options.dialogues, encoding="utf-8") as lines:
        texts = [message["content"] for line in lines for message in json.loads(line)["messages"]]
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    print(f"{len(texts)} texts, {megabytes:.2f} MB, {options.rounds} rounds; MB of text a second, median (lowest, highest)")
    with tempfile.TemporaryDirectory() as work:
        files = {times: os.path.join(work, f"{times}.jsonl") for times in (1, 9)}
        out = os.path.join(work, "ids.jsonl")
        for times, path in files.items():
            write_lines(path, texts, times)
        for folder in options.folders:
            library = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))

            def regard(times):
                subprocess.run([options.regard, "tokenizer", "encode", "--model", folder, "--data", files[times],
                                "--out", out], check=True)

            regard(1)
            wanted = [e.ids for e in library.encode_batch_fast(texts, add_special_tokens=False)]
            with open(out, encoding="utf-8") as lines:
                same = [json.loads(line)["ids"] for line in lines] == wanted
            ours, theirs = [], []
            for _ in range(options.rounds):
                once, nine = seconds(lambda: regard(1)), seconds(lambda: regard(9))
                ours.append(8 * megabytes / (nine - once))
                theirs.append(megabytes / seconds(
                    lambda: library.encode_batch_fast(texts, add_special_tokens=False)))
            ratio = [a / b for a, b in zip(ours, theirs)]

            def told(values):
                return f"{statistics.median(values):.2f} ({min(values):.2f}, {max(values):.2f})"

            print(f"{os.path.basename(os.path.normpath(folder))}: regard {told(ours)}, tokenizers {told(theirs)}, "
                  f"ratio {told(ratio)}, ids {'equal' if same else 'DIFFER'}", flush=True)


if __name__ == "__main__":
    main()
