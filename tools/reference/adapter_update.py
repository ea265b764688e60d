"""Steps of PPO and of `sft` on adapters as PEFT and PyTorch make them (Transformers' models in float64,
AdamW), on the tiny models that lie in tests/golden already.

    python tools/reference/adapter_update.py make tests/golden
        writes tests/golden/adapter_update/NAME: adapter/ (PEFT's own files), update.jsonl and
        expected.safetensors (metrics of the steps, the change of each adapter, logits before it)
    python tools/reference/adapter_update.py check FOLDER [BASE]
        loads a PEFT folder with PEFT and prints its first logits, for folders that regard has written
"""
import json
import math
import pathlib
import sys

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from transformers import AutoConfig, LlamaForCausalLM, T5ForConditionalGeneration

# What tests/learn/test_adapter_update.c sets too.
SETTINGS = dict(temperature=0.8, clip=0.1, kl_coef=0.2, clip_norm=0.05, lr=3e-3, epochs=2)
CASES = {
    "t5": dict(base="relu-tied/model", targets=["q", "v", "o", "wi"], rank=3, alpha=5, rslora=False),
    "llama": dict(base="causal_update/llama/model", rank=2, alpha=3, rslora=True,
                  targets=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]),
}


def base_of(folder):
    kind = AutoConfig.from_pretrained(folder).model_type
    model = (T5ForConditionalGeneration if kind == "t5" else LlamaForCausalLM).from_pretrained(folder)
    return model.double().eval()


def reply_logits(model, history, reply):
    """[reply tokens, vocabulary], the rows that predict the reply."""
    if model.config.is_encoder_decoder:
        start = [model.config.decoder_start_token_id] + reply[:-1]
        return model(input_ids=torch.tensor([history]), decoder_input_ids=torch.tensor([start])).logits[0]
    rows = model(input_ids=torch.tensor([history + reply])).logits[0]
    return rows[len(history) - 1 : -1]


def token_logp(model, line, temperature):
    logits = reply_logits(model, line["history_tokens"], line["reply_tokens"]) / temperature
    return torch.log_softmax(logits, -1)[range(len(line["reply_tokens"])), line["reply_tokens"]]


def ppo_loss(model, lines, references, metrics):
    tokens, total = sum(len(line["reply_tokens"]) for line in lines), 0.0
    for line, reference in zip(lines, references):
        logp = token_logp(model, line, SETTINGS["temperature"])
        ratio = (logp - torch.tensor(line["logp"], dtype=torch.float32).double()).exp()
        clipped = ratio.clamp(1 - SETTINGS["clip"], 1 + SETTINGS["clip"])
        k1 = logp - reference
        k3 = torch.exp(-k1) - 1 + k1
        surrogate = torch.minimum(ratio * line["advantage"], clipped * line["advantage"])
        total = total + (SETTINGS["kl_coef"] * k3 - surrogate).sum() / tokens
        metrics["kl"] += float(k3.detach().sum()) / tokens
    return total


def sft_loss(model, lines, references, metrics):
    tokens = sum(len(line["reply_tokens"]) for line in lines)
    return -sum(token_logp(model, line, 1.0).sum() for line in lines) / tokens


def trained(model):
    return {name.replace(".default", "").removeprefix("base_model.model."): value
            for name, value in model.named_parameters() if value.requires_grad}


def learn(model, lines, loss_of):
    """The reference is the base: the same model with its adapters off."""
    with torch.no_grad(), model.disable_adapter():
        references = [token_logp(model, line, SETTINGS["temperature"]).float().double() for line in lines]
    values = list(trained(model).values())
    optimizer = torch.optim.AdamW(values, lr=SETTINGS["lr"], betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    steps = []
    for _ in range(SETTINGS["epochs"]):
        metrics = dict(kl=0.0)
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
    """Three replies to each of two histories; old log-probabilities are the model's, off by up to 0.3."""
    random, vocabulary = np.random.default_rng(seed), model.config.vocab_size
    draw = lambda count: random.integers(3, vocabulary, count).tolist()
    histories = [draw(10), draw(5)]
    lines = [dict(history_tokens=histories[i // 3], reply_tokens=draw(3 + i)) for i in range(6)]
    for number, line in enumerate(lines):
        with torch.no_grad():
            logp = token_logp(model, line, SETTINGS["temperature"])
        noise = random.uniform(-0.3, 0.3, len(logp))
        line.update(id=f"line{number}", advantage=round(random.uniform(-1.5, 1.5), 3),
                    logp=[float(np.float32(min(-1e-3, float(l) + n))) for l, n in zip(logp, noise)])
    return lines


def make(golden, name, case, seed):
    folder = golden / "adapter_update" / name
    base = base_of(golden / case["base"])
    base.config.name_or_path = base.name_or_path = f"tests/golden/{case['base']}"
    torch.manual_seed(seed)
    model = get_peft_model(base, LoraConfig(r=case["rank"], lora_alpha=case["alpha"], use_rslora=case["rslora"],
                                            target_modules=case["targets"], lora_dropout=0.0, bias="none"))
    with torch.no_grad():
        for name_, value in trained(model).items():
            if "lora_B" in name_:
                value.copy_(0.2 * torch.randn(value.shape))
            value.copy_(value.float().double())
    for config in model.peft_config.values():
        config.base_model_name_or_path = f"tests/golden/{case['base']}"
    model.float()
    model.save_pretrained(folder / "adapter")
    (folder / "adapter" / "README.md").unlink(missing_ok=True)
    model.double()
    lines = make_lines(model, seed)
    (folder / "update.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    start = {key: value.detach().clone() for key, value in trained(model).items()}
    with torch.no_grad():
        logits = reply_logits(model, lines[0]["history_tokens"], lines[0]["reply_tokens"])
    expected = {"logits": logits.float().contiguous()}
    for kind, loss in (("ppo", ppo_loss), ("sft", sft_loss)):
        with torch.no_grad():
            for key, value in trained(model).items():
                value.copy_(start[key])
        steps = learn(model, lines, loss)
        for metric in ("loss", "gradient_norm", "kl"):
            expected[f"{kind}.{metric}"] = torch.tensor([step[metric] for step in steps]).float()
        expected |= {f"{kind}.change.{key}": (value.detach() - start[key]).float().contiguous()
                     for key, value in trained(model).items()}
        print(f"{name} {kind}: {steps}")
    save_file(expected, folder / "expected.safetensors", {"format": "pt"})


def check(folder, base):
    config = json.loads((pathlib.Path(folder) / "adapter_config.json").read_text())
    model = PeftModel.from_pretrained(base_of(base or config["base_model_name_or_path"]), folder).double()
    vocabulary = model.config.vocab_size
    history, reply = [3 + i * 7 % (vocabulary - 3) for i in range(9)], [5, 9, 4]
    with torch.no_grad():
        print(json.dumps([float(x) for x in token_logp(model, dict(history_tokens=history, reply_tokens=reply), 1.0)]))


def main():
    torch.set_num_threads(1)
    if sys.argv[1] == "make":
        for seed, (name, case) in enumerate(CASES.items(), 1):
            make(pathlib.Path(sys.argv[2]), name, case, seed)
    else:
        check(sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None)


if __name__ == "__main__":
    main()
