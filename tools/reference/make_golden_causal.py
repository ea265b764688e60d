"""Makes the fixtures under tests/golden/causal: small decoder-only models and what PyTorch and
Transformers make of them (float32, eager attention, one thread, batch of one).

    /opt/regard-ref/bin/python tools/reference/make_golden_causal.py tests/golden/causal

Each folder holds model/ (a Hugging Face folder), expected.safetensors (per case: history_tokens,
reply_tokens, logits [S, vocabulary] of the reply's predictions, attention [layers, heads, S,
N + S - 1]; then loss, the mean over the reply tokens of all cases, and grad.NAME), score.jsonl and
score.expected.jsonl (in float64 from those maps: docs/reward.md), generate.jsonl and
generate.expected.jsonl (greedy, with the margin of the best token)."""
import json
import pathlib
import shutil
import sys

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config

SPECIAL = [0, 1, 2, 3]
SIZES = dict(num_hidden_layers=2, max_position_embeddings=64, eos_token_id=2, bos_token_id=0,
             pad_token_id=1, attn_implementation="eager")
MODELS = {
    # Three queries a key-value head, scaled rotary positions, tied.
    "llama": LlamaConfig(vocab_size=41, hidden_size=24, intermediate_size=36,
                         num_attention_heads=6, num_key_value_heads=2, head_dim=8,
                         tie_word_embeddings=True, rope_theta=5000.0,
                         rope_scaling=dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0,
                                           high_freq_factor=4.0,
                                           original_max_position_embeddings=16), **SIZES),
    "qwen2": Qwen2Config(vocab_size=37, hidden_size=20, intermediate_size=28,
                         num_attention_heads=2, num_key_value_heads=1, rope_theta=1e6,
                         tie_word_embeddings=False, **SIZES),
    "qwen3": Qwen3Config(vocab_size=43, hidden_size=16, intermediate_size=30,
                         num_attention_heads=4, num_key_value_heads=2, head_dim=6,
                         rope_theta=1e6, tie_word_embeddings=True, **SIZES),
}


def make_cases(random, vocabulary):
    """Histories that begin alike, as those of a dialogue's turns do, and replies to them."""
    draw = lambda n: [int(t) for t in random.integers(4, vocabulary, n)]
    first, reply = draw(7), draw(5) + [2]
    second = first + reply + [3] + draw(6)
    return [(first, reply), (first, draw(4)), (second, draw(6) + [2]), ([0, 3, 3], draw(3)),
            (draw(1), draw(2))]


def masses(maps, history, reply, salient, layers, exclude_first):
    """The numbers of score.expected.jsonl, in float64."""
    n, s = len(history), len(reply)
    rows = maps.double().numpy()[-layers:].mean(axis=(0, 1))
    special = np.array([t in SPECIAL for t in history])
    visible = ~special
    if exclude_first:
        visible[0] = False
    marked = visible & np.array(salient, bool)
    out = dict(entropy=[], salient_mass=[], first_mass=[], special_mass=[], history_mass=[],
               reply_mass=[])
    for row in range(s):
        a = rows[row]
        out["first_mass"].append(float(a[0]))
        out["special_mass"].append(float(a[1:n][special[1:]].sum()))
        out["history_mass"].append(float(a[1:n][~special[1:]].sum()))
        out["reply_mass"].append(float(a[n:].sum()))
        p = a[:n][visible]
        p = p / p.sum() if visible.any() and p.sum() > 0 else np.full(len(p), 1 / max(len(p), 1))
        out["entropy"].append(float(-(p[p > 0] * np.log(p[p > 0])).sum()))
        out["salient_mass"].append(float(p[marked[visible]].sum()))
    out["coverage"] = float(np.mean(out["salient_mass"]) / marked.sum()) if marked.any() else 0.0
    out["focus"] = -float(np.mean(out["entropy"]))
    return out


def reply_rows(model, history, reply):
    ids = torch.tensor([history + reply])
    out = model(ids, output_attentions=True)
    rows = slice(len(history) - 1, ids.shape[1] - 1)
    maps = torch.stack([a[0, :, rows, : ids.shape[1] - 1] for a in out.attentions])
    return out.logits[0, rows], maps


def greedy(model, history, limit=10):
    ids, logp, margin = list(history), [], []
    for _ in range(limit):
        scores = torch.log_softmax(model(torch.tensor([ids])).logits[0, -1], -1)
        best = torch.topk(scores, 2).values
        ids.append(int(scores.argmax()))
        logp.append(float(best[0]))
        margin.append(float(best[0] - best[1]))
        if ids[-1] == 2:
            break
    return dict(reply_tokens=ids[len(history):], logp=logp, margin=margin)


def write_lines(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def make(name, config, folder, random):
    torch.manual_seed(5)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float()
    with torch.no_grad():
        for key, value in model.named_parameters():
            if value.dim() == 1:  # norms that are not 1, biases that are not 0
                value.copy_(torch.rand_like(value) * 0.6 + (0.7 if "norm" in key else -0.3))
            else:
                value.mul_(8 if "q_proj" in key else 3)
    if folder.exists():
        shutil.rmtree(folder)
    model.save_pretrained(folder / "model")
    cases, expected = make_cases(random, config.vocab_size), {}
    scores, wanted, losses, tokens = [], [], [], 0
    for i, (history, reply) in enumerate(cases):
        logits, maps = reply_rows(model, history, reply)
        logp = torch.log_softmax(logits, -1)[torch.arange(len(reply)), torch.tensor(reply)]
        losses.append(-logp.sum())
        tokens += len(reply)
        expected[f"case{i}.history_tokens"] = torch.tensor(history)
        expected[f"case{i}.reply_tokens"] = torch.tensor(reply)
        expected[f"case{i}.logits"] = logits.detach().contiguous()
        expected[f"case{i}.attention"] = maps.detach().contiguous()
        salient = [int(x) for x in random.integers(0, 2, len(history))]
        scores.append(dict(id=f"case{i}", history_tokens=history, reply_tokens=reply,
                           salient=salient, special=SPECIAL))
        wanted.append(dict(id=f"case{i}", logp=logp.tolist(),
                           layers1=masses(maps.detach(), history, reply, salient, 1, True),
                           layers2_with_first=masses(maps.detach(), history, reply, salient, 2,
                                                     False)))
    loss = sum(losses) / tokens
    loss.backward()
    expected["loss"] = loss.detach().reshape(1)
    for key, value in model.named_parameters():
        expected[f"grad.{key}"] = value.grad.contiguous()
    save_file(expected, folder / "expected.safetensors")
    write_lines(folder / "score.jsonl", scores)
    write_lines(folder / "score.expected.jsonl", wanted)
    with torch.no_grad():
        write_lines(folder / "generate.jsonl",
                    [dict(id=f"case{i}", history_tokens=h) for i, (h, _) in enumerate(cases)])
        write_lines(folder / "generate.expected.jsonl",
                    [dict(id=f"case{i}", **greedy(model, h)) for i, (h, _) in enumerate(cases)])


def main(out):
    torch.set_num_threads(1)
    for name, config in MODELS.items():
        make(name, config, pathlib.Path(out) / name, np.random.default_rng(11))


if __name__ == "__main__":
    main(sys.argv[1])
