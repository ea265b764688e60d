"""Writes tests/golden/states.json: the state of every token of a few texts in the golden models, in fp32
by Transformers, behind each number of layers.  As bert_score has it, a model's other layers are
taken out, so that its last norm stands behind those that are left (0: behind the embeddings).

    PYTHON tools/reference/state_cases.py tests/golden   (the environment of requirements.txt)"""
import json
import pathlib
import sys

import torch
from transformers import AutoModelForCausalLM, T5EncoderModel

FOLDERS = ["relu-tied", "gated-untied", "causal/llama", "causal/qwen2", "causal/qwen3"]


def main(golden):
    torch.manual_seed(1)
    models = []
    for folder in FOLDERS:
        path = pathlib.Path(golden) / folder / "model"
        causal = folder.startswith("causal")
        kind = AutoModelForCausalLM if causal else T5EncoderModel
        model = kind.from_pretrained(path, dtype=torch.float32, attn_implementation="eager").eval()
        stack = model.model if causal else model.encoder
        name = "layers" if causal else "block"
        whole = getattr(stack, name)
        size = model.config.vocab_size
        texts = [[int(t) for t in torch.randint(4, size, (n,))] for n in (7, 1, 4)]
        rows = []
        for layer in range(len(whole) + 1):
            setattr(stack, name, whole[:layer])
            states = [stack(input_ids=torch.tensor([text]), use_cache=False).last_hidden_state[0]
                      for text in texts]
            rows.append([[float(f"{x:.7g}") for x in row] for text in states for row in text.tolist()])
        models.append({"folder": folder, "texts": texts, "states": rows})
    with open(pathlib.Path(golden) / "states.json", "w", encoding="utf-8") as out:
        out.write('{"models": [\n' + ",\n".join(json.dumps(m) for m in models) + "\n]}\n")


with torch.no_grad():
    main(sys.argv[1])
