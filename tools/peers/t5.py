"""A turn of T5-small's shape on the CPU: regard, CTranslate2 and Transformers in turn, a line of JSON a
round and medians at the end.

    python tools/peers/t5.py FOLDER [--threads 1] [--rounds 5] [--regard build/regard]

FOLDER: as tools/reference/make_t5_small.py makes it, with a tokenizer; CTranslate2's conversion is put
beside it (FOLDER.ct2). Wants tools/peers/requirements.txt. 4 histories of 128
tokens, 8 candidates, 32 new tokens, as tools/regard/bench_scale.c has them; regard's reads statistics."""
import argparse
import json
import pathlib
import statistics
import subprocess
import time

import ctranslate2
import numpy as np
import torch
import transformers

HISTORIES, HISTORY, CANDIDATES, NEW = 4, 128, 8, 32
parser = argparse.ArgumentParser()
parser.add_argument("folder", type=pathlib.Path)
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--regard", default="build/regard")
args = parser.parse_args()
torch.set_num_threads(args.threads)
model = transformers.T5ForConditionalGeneration.from_pretrained(args.folder).eval()
histories = np.random.default_rng(2).integers(3, 2000, (HISTORIES, HISTORY))
converted = pathlib.Path(f"{args.folder}.ct2")
if not converted.exists():
    ctranslate2.converters.TransformersConverter(str(args.folder)).convert(str(converted))
translator = ctranslate2.Translator(str(converted), device="cpu", compute_type="float32", inter_threads=1,
                                    intra_threads=args.threads)
words = json.loads((converted / "shared_vocabulary.json").read_text(encoding="utf-8"))
lines = [[words[token] for token in line] for line in histories]


def regard():
    command = [args.regard, "bench", "generate", "--shape", "small", "--model", str(args.folder), "--rounds", "1",
               "--set", f"threads={args.threads}", "--set", "device=cpu"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(text)["generate"]["turn_ms"] * 1e-3


def with_ctranslate2():
    begun = time.perf_counter()
    results = translator.translate_batch(lines, beam_size=1, num_hypotheses=CANDIDATES, sampling_topk=50,
                                         sampling_topp=0.9, sampling_temperature=0.8, min_decoding_length=NEW,
                                         max_decoding_length=NEW)
    assert sum(len(reply) for result in results for reply in result.hypotheses) >= HISTORIES * CANDIDATES * (NEW - 1)
    return time.perf_counter() - begun


@torch.inference_mode()
def with_transformers():
    begun = time.perf_counter()
    out = model.generate(torch.from_numpy(histories), do_sample=True, temperature=0.8, top_k=50, top_p=0.9,
                         num_return_sequences=CANDIDATES, min_new_tokens=NEW, max_new_tokens=NEW)
    assert out.shape == (HISTORIES * CANDIDATES, NEW + 1)
    return time.perf_counter() - begun


programs = {"regard": regard, "ctranslate2": with_ctranslate2, "transformers": with_transformers}
for run in programs.values():
    run()
seconds = {name: [] for name in programs}
for _ in range(args.rounds):
    for name, run in programs.items():
        seconds[name].append(run())
    print(json.dumps({name: round(values[-1], 4) for name, values in seconds.items()}), flush=True)
first = statistics.median(seconds["regard"])
for name, values in seconds.items():
    print(f"{name}: {statistics.median(values):.3f} s ({min(values):.3f} to {max(values):.3f}), "
          f"{statistics.median(values) / first:.2f} of regard's")
