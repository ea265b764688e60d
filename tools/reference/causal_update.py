"""`regard update` and a step of `sft` on decoder-only models as PyTorch makes them in float64: the
losses of docs/reward.md, gradients by autograd, the norm clipped, AdamW.

    python tools/reference/causal_update.py make tests/golden/causal_update
        writes three tiny models (Llama, Qwen2, Qwen3), update.jsonl and what becomes of them
    python tools/reference/causal_update.py check REGARD FOLDER...
        runs REGARD update on each Hugging Face folder and compares its parameters
"""
import copy
import json
import math
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from causal_model import CausalModel, read_folder

# What tests/learn/test_causal_update.c sets too.
SETTINGS = dict(temperature=0.8, clip=0.1, kl_coef=0.2, clip_norm=0.05, lr=3e-3, epochs=3)
CHECK_LR = 1e-4  # of `check`: models that were taught are steep
KL_CLAMP = 10.0  # kl.clamp's default
BASE = dict(vocab_size=41, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, hidden_act="silu", rms_norm_eps=1e-5, max_position_embeddings=64,
            rope_theta=100.0, attention_dropout=0.0, bos_token_id=0, pad_token_id=1, eos_token_id=2,
            torch_dtype="float32", use_cache=True)
MODELS = {
    "llama": dict(BASE, architectures=["LlamaForCausalLM"], model_type="llama", head_dim=6,
                  tie_word_embeddings=False, attention_bias=False, mlp_bias=False),
    "qwen2": dict(BASE, architectures=["Qwen2ForCausalLM"], model_type="qwen2", use_sliding_window=False,
                  tie_word_embeddings=True),
    "qwen3": dict(BASE, architectures=["Qwen3ForCausalLM"], model_type="qwen3", head_dim=6,
                  use_sliding_window=False, attention_bias=False, tie_word_embeddings=True),
}


def token_logp(model, line, temperature):
    logits = model.reply_logits(line["history_tokens"], line["reply_tokens"]) / temperature
    return torch.log_softmax(logits, -1)[range(len(line["reply_tokens"])), line["reply_tokens"]]


def bounded_k3(k1):
    """exp(-k1) - 1 + k1 of k1 within the bounds at which it is KL_CLAMP; outside, it stays and so does
    its slope."""
    k3 = lambda k: math.exp(-k) - 1 + k
    bounds = []
    for sign in (-1, 1):
        inner, outer = 0.0, sign * (KL_CLAMP + 2.0)
        for _ in range(200):
            middle = (inner + outer) / 2
            inner, outer = (middle, outer) if k3(middle) < KL_CLAMP else (inner, middle)
        bounds.append(inner)
    k = k1.detach().clamp(*bounds)
    return torch.exp(-k) - 1 + k + (1 - torch.exp(-k)) * (k1 - k1.detach())


def ppo_loss(model, lines, references, metrics):
    """The mean over all tokens of -min(ratio A, clipped ratio A) + kl_coef k3."""
    tokens, total = sum(len(line["reply_tokens"]) for line in lines), 0.0
    for line, reference in zip(lines, references):
        logp = token_logp(model, line, SETTINGS["temperature"])
        old = torch.tensor(line["logp"], dtype=torch.float32).double()
        ratio, advantage = (logp - old).exp(), line["advantage"]
        clipped = ratio.clamp(1 - SETTINGS["clip"], 1 + SETTINGS["clip"])
        k3 = bounded_k3(logp - reference)
        surrogate = torch.minimum(ratio * advantage, clipped * advantage)
        total = total + (SETTINGS["kl_coef"] * k3 - surrogate).sum() / tokens
        metrics["kl"] += float(k3.detach().sum()) / tokens
        metrics["ratio_deviation"] = max(metrics["ratio_deviation"], float((logp - old).detach().abs().max()))
    return total


def sft_loss(model, lines, references, metrics):
    tokens = sum(len(line["reply_tokens"]) for line in lines)
    return -sum(token_logp(model, line, 1.0).sum() for line in lines) / tokens


def learn(model, lines, loss_of, lr):
    """Steps of AdamW; the model's parameters are replaced. A line of metrics a step."""
    with torch.no_grad():  # regard keeps the reference's log-probabilities in float32
        references = [token_logp(model, line, SETTINGS["temperature"]).float().double() for line in lines]
    for name, value in model.parameters.items():
        model.parameters[name] = value.clone().requires_grad_()
    values = list(model.parameters.values())
    optimizer = torch.optim.AdamW(values, lr=lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    steps = []
    for step in range(SETTINGS["epochs"]):
        metrics = dict(step=step + 1, kl=0.0, ratio_deviation=0.0)
        optimizer.zero_grad()
        loss = loss_of(model, lines, references, metrics)
        loss.backward()
        norm = math.sqrt(sum(float(value.grad.square().sum()) for value in values))
        for value in values:
            value.grad *= min(1.0, SETTINGS["clip_norm"] / norm)
        optimizer.step()
        steps.append(dict(metrics, loss=float(loss.detach()), gradient_norm=norm))
    return steps


def make_lines(model, seed):
    """Three replies to each of two histories, and one to a history that goes on from a reply; the
    old log-probabilities are the model's own, off by up to 0.3, so that some ratios are clipped."""
    random, vocabulary = np.random.default_rng(seed), model.config["vocab_size"]
    draw = lambda count: random.integers(3, min(vocabulary, 1000), count).tolist()
    histories = [[0] + draw(9), [0] + draw(4)]
    lines = [dict(history_tokens=histories[i // 3], reply_tokens=draw(3 + i) + [2]) for i in range(6)]
    longer = lines[1]["history_tokens"] + lines[1]["reply_tokens"] + draw(5)
    lines.append(dict(history_tokens=longer, reply_tokens=draw(6)))
    for number, line in enumerate(lines):
        with torch.no_grad():
            logp = token_logp(model, line, SETTINGS["temperature"])
        noise = random.uniform(-0.3, 0.3, len(logp))
        line.update(id=f"line{number}", advantage=round(random.uniform(-1.5, 1.5), 3),
                    logp=[float(np.float32(min(-1e-3, float(l) + n))) for l, n in zip(logp, noise)])
    return lines


def make_model(config, seed):
    """Weights of float32 in float64; norms and biases away from their start."""
    generator = torch.Generator().manual_seed(seed)
    width, inner, d = config["hidden_size"], config["intermediate_size"], config.get("head_dim") or (
        config["hidden_size"] // config["num_attention_heads"])
    q, kv = config["num_attention_heads"] * d, config["num_key_value_heads"] * d
    shapes = {"model.embed_tokens.weight": (config["vocab_size"], width), "model.norm.weight": (width,)}
    for i in range(config["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        shapes |= {layer + "input_layernorm.weight": (width,), layer + "post_attention_layernorm.weight": (width,),
                   layer + "self_attn.q_proj.weight": (q, width), layer + "self_attn.k_proj.weight": (kv, width),
                   layer + "self_attn.v_proj.weight": (kv, width), layer + "self_attn.o_proj.weight": (width, q),
                   layer + "mlp.gate_proj.weight": (inner, width), layer + "mlp.up_proj.weight": (inner, width),
                   layer + "mlp.down_proj.weight": (width, inner)}
        if config["model_type"] == "qwen2":
            shapes |= {layer + f"self_attn.{p}_proj.bias": (q if p == "q" else kv,) for p in "qkv"}
        if config["model_type"] == "qwen3":
            shapes |= {layer + f"self_attn.{p}_norm.weight": (d,) for p in "qk"}
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (config["vocab_size"], width)
    values = {}
    for name, shape in sorted(shapes.items()):
        value = torch.randn(shape, generator=generator)
        values[name] = (1 + 0.2 * value if "norm" in name else 0.3 * value).double()
    return CausalModel(config, values)


def make_fixture(folder, config, seed):
    model = make_model(config, seed)
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    save_file({name: value.float() for name, value in model.parameters.items()},
              folder / "model" / "model.safetensors", {"format": "pt"})
    lines = make_lines(model, seed)
    (folder / "update.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    expected = {}
    for name, loss in (("ppo", ppo_loss), ("sft", sft_loss)):
        learned = copy.deepcopy(model)
        steps = learn(learned, lines, loss, SETTINGS["lr"])
        for metric in ("loss", "gradient_norm", "kl", "ratio_deviation"):
            expected[f"{name}.{metric}"] = torch.tensor([step[metric] for step in steps]).float()
        # The change, which float32 holds more exactly than the sum.
        expected |= {f"{name}.change.{key}": (value.detach() - model.parameters[key]).float()
                     for key, value in learned.parameters.items()}
        print(f"{folder.name} {name}: {steps}")
    save_file(expected, folder / "expected.safetensors", {"format": "pt"})


def check(regard, folder):
    """Parameters after `regard update`, by the change's length."""
    model = read_folder(folder)
    before = dict(model.parameters)
    lines = make_lines(model, 5)
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        (work / "update.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        keys = {"rollout.temperature": SETTINGS["temperature"], "ppo.clip": SETTINGS["clip"],
                "kl.coef": SETTINGS["kl_coef"], "policy.clip_norm": SETTINGS["clip_norm"],
                "policy.lr": CHECK_LR, "ppo.epochs": SETTINGS["epochs"], "learn.microbatches": 2}
        command = [regard, "update", "--model", str(folder), "--data", str(work / "update.jsonl"), "--out",
                   str(work / "updated"), "--set", "device=cpu"]
        for key, value in keys.items():
            command += ["--set", f"{key}={value}"]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        subprocess.run([regard, "export", "--model", str(work / "updated"), "--out", str(work / "exported")],
                       check=True)
        after = read_folder(work / "exported").parameters
    steps = learn(model, lines, ppo_loss, CHECK_LR)
    for line, step in zip(map(json.loads, printed.splitlines()), steps, strict=True):
        for key in ("loss", "gradient_norm", "kl", "ratio_deviation"):
            if not abs(line[key] - step[key]) <= 1e-4 * abs(step[key]) + 1e-6:
                raise SystemExit(f"{folder}: step {step['step']}: {key} is {line[key]}, not {step[key]}")
    off = length = worst = 0.0
    for name, value in before.items():
        wanted = model.parameters[name].detach() - value
        difference = float((after[name] - value - wanted).norm())
        off, length = off + difference**2, length + float(wanted.norm()) ** 2
        worst = max(worst, difference / float(wanted.norm()))
    print(f"{folder}: {len(steps)} steps, the change differs by {math.sqrt(off / length):.2g} of its length, "
          f"of one tensor by at most {worst:.2g}")


def main():
    torch.set_num_threads(1)
    if sys.argv[1] == "make":
        for seed, (name, config) in enumerate(MODELS.items(), 1):
            make_fixture(pathlib.Path(sys.argv[2]) / name, config, seed)
    else:
        for folder in sys.argv[3:]:
            check(sys.argv[2], folder)


if __name__ == "__main__":
    main()
