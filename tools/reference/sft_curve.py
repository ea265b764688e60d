"""Makes tests/golden/sft_curve: what PyTorch and Transformers make of supervised fine-tuning from
the same initial weights, on the same dialogues, in the same order, with the same schedule.

    /opt/regard-ref/bin/python tools/reference/sft_curve.py tests/golden/sft_curve

Each folder holds model/ (a Hugging Face folder, bf16), config.yaml (what `regard sft` is given)
and curve.tsv (a line an update: loss a token before the step, gradient norm before clipping; then
the validation loss after the last update).  Nothing of regard runs here: tokens (ByT5 bytes),
prompt order (philox), masking, batch mean, clipping, schedule and AdamW are written again."""
import json
import math
import pathlib
import shutil
import sys

import torch
from safetensors.torch import save_file
from transformers import T5Config, T5ForConditionalGeneration

UPDATES, BATCH = 100, 6  # 6 turns in 4 microbatches: of 1, 2, 1 and 2
ORDER = 2  # philox purpose of the prompt order (src/base/philox.h)

RUNS = {
    # The head apart, gated GELU, warm-up and cosine, clipping at the default norm.
    "gated": dict(
        config=dict(vocab_size=384, d_model=24, d_kv=8, d_ff=40, num_layers=2,
                    num_decoder_layers=2, num_heads=3, feed_forward_proj="gated-gelu",
                    tie_word_embeddings=False),
        seed=5, lr=4e-3, warmup=12, schedule="cosine", clip=1.0, smoothing=0.0),
    # The head tied and scaled, a constant rate, no clipping, smoothed labels.  Not ReLU: a unit at
    # its corner turns on in one and not in the other, and losses then differ by 0.13%.
    "tied": dict(
        config=dict(vocab_size=384, d_model=24, d_kv=8, d_ff=40, num_layers=1,
                    num_decoder_layers=2, num_heads=3, feed_forward_proj="gated-gelu",
                    tie_word_embeddings=True),
        seed=4294967311, lr=3e-3, warmup=0, schedule="constant", clip=0.0, smoothing=0.1),
}


def philox(counter, key):
    """Philox4x32-10 (Salmon et al., SC'11)."""
    c, k, mask = list(counter), list(key), 0xFFFFFFFF
    for _ in range(10):
        left, right = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [right >> 32 ^ c[1] ^ k[0], right & mask, left >> 32 ^ c[3] ^ k[1], left & mask]
        k = [k[0] + 0x9E3779B9 & mask, k[1] + 0xBB67AE85 & mask]
    return c


def prompt_order(seed, epoch, index, count):
    """A Feistel network of 6 rounds on the smallest 4^b >= count, walked until it is inside."""
    bits = 1
    while 4**bits < count:
        bits += 1
    mask, value = 2**bits - 1, index
    while True:
        left, right = value >> bits, value & mask
        for r in range(6):
            key = (seed & 0xFFFFFFFF, (seed >> 32) * 64 + ORDER)
            words = philox((right, r, epoch, 0), key)
            left, right = right, left ^ words[0] & mask
        value = left << bits | right
        if value < count:
            return value


def dialogues():
    """Sixteen to learn from and four held out; our own words, some outside ASCII."""
    things = ["lamp", "kettle", "Stuhl", "théière", "desk", "clock", "rug", "vase", "mirror", "fan"]
    colours = ["red", "blue", "green", "weiß"]
    out = []
    for i in range(20):
        thing, colour, number = things[i * 7 % 10], colours[i * 3 % 4], 130 + 17 * i
        messages = [("user", f"Where is my {colour} {thing}?"),
                    ("assistant", "Your order number, please?"),
                    ("user", f"{number}"),
                    ("assistant", f"The {thing} {number} comes on {['Monday', 'Friday'][i % 2]}.")]
        if i % 3 == 0:
            messages += [("user", "Thanks — good."), ("assistant", "Bye!" if i % 2 else "Gern ☺")]
        out.append({"messages": [{"role": r, "content": c} for r, c in messages]})
    return out[:16], out[16:]


def to_bytes(text):
    return [byte + 3 for byte in text.encode()]


def examples(lines):
    """(history, reply) of every assistant turn: markers and messages, then one end token."""
    out = []
    for line in lines:
        history = []
        for message in line["messages"]:
            if message["role"] == "assistant":
                out.append((history + [1], to_bytes(message["content"]) + [1]))
            history = history + to_bytes(message["role"] + ": ") + to_bytes(message["content"])
    return out


def rate(run, step):
    if step < run["warmup"]:
        return run["lr"] * (step + 1) / run["warmup"]
    if run["schedule"] == "constant":
        return run["lr"]
    share = (step - run["warmup"]) / (UPDATES - run["warmup"])
    return run["lr"] * 0.5 * (1 + math.cos(math.pi * share))


def make_model(run):
    torch.manual_seed(run["seed"])
    model = T5ForConditionalGeneration(
        T5Config(decoder_start_token_id=0, dropout_rate=0.0, **run["config"])).float()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "layer_norm" in name:  # away from 1
                parameter.mul_(1 + 0.2 * torch.randn_like(parameter))
            if "lm_head" in name or (run["config"]["tie_word_embeddings"] and "shared" in name):
                parameter.mul_(0.3)  # a first loss near log(384)
            parameter.copy_(parameter.bfloat16().float())
    return model


def write_model(folder, model, run):
    folder.mkdir(parents=True)
    tensors = {name: value.detach().bfloat16().contiguous()
               for name, value in model.named_parameters()}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    config = dict(architectures=["T5ForConditionalGeneration"], model_type="t5",
                  is_encoder_decoder=True, decoder_start_token_id=0, eos_token_id=1,
                  pad_token_id=0, relative_attention_num_buckets=32,
                  relative_attention_max_distance=128, **run["config"])
    (folder / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")


def nll(model, example, smoothing):
    """Sums over the reply's tokens: of -logp, and of the loss with smoothed labels."""
    history, reply = (torch.tensor([tokens]) for tokens in example)
    logits = model(input_ids=history, labels=reply).logits[0]
    total = lambda s: torch.nn.functional.cross_entropy(logits, reply[0], reduction="sum",
                                                        label_smoothing=s)
    return total(0.0), total(smoothing)


def learn(model, run, train, valid):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0, betas=(0.9, 0.999), eps=1e-8,
                                  weight_decay=0.0)
    lines = []
    for step in range(UPDATES):
        places = range(step * BATCH, (step + 1) * BATCH)
        batch = [train[prompt_order(run["seed"], p // len(train), p % len(train), len(train))]
                 for p in places]
        tokens = sum(len(reply) for _, reply in batch)
        optimizer.zero_grad()
        loss = 0.0
        for example in batch:
            plain, smoothed = nll(model, example, run["smoothing"])
            (smoothed / tokens).backward()
            loss += plain.item() / tokens
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), run["clip"] or math.inf)
        for group in optimizer.param_groups:
            group["lr"] = rate(run, step)
        optimizer.step()
        lines.append(f"{step + 1}\t{loss:.9g}\t{float(norm):.9g}\n")
    with torch.no_grad():
        held = sum(float(nll(model, example, 0.0)[0]) for example in valid)
    lines.append(f"valid\t{held / sum(len(reply) for _, reply in valid):.9g}\n")
    return lines


def write_config(path, root, name, run):
    path.write_text(f"""\
# Made by tools/reference/sft_curve.py; the test runs from the repository's root.
seed: {run["seed"]}
model:
  path: {root}/{name}/model
tokenizer:
  path: bytes
data:
  train: {root}/train.jsonl
  valid: {root}/valid.jsonl
sft:
  updates: {UPDATES}
  batch: {BATCH}
  lr: {run["lr"]}
  label_smoothing: {run["smoothing"]}
policy:
  warmup: {run["warmup"]}
  schedule: {run["schedule"]}
  clip_norm: {run["clip"]}
eval:
  every: 0
checkpoint:
  every: 0
""")


def main():
    torch.set_num_threads(1)
    root = pathlib.Path(sys.argv[1])
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    lines = dict(zip(("train", "valid"), dialogues()))
    for name, part in lines.items():
        (root / f"{name}.jsonl").write_text(
            "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in part))
    for name, run in RUNS.items():
        model = make_model(run)
        write_model(root / name / "model", model, run)
        write_config(root / name / "config.yaml", root, name, run)
        curve = learn(model.train(), run, examples(lines["train"]), examples(lines["valid"]))
        (root / name / "curve.tsv").write_text("".join(curve))
        norms = [float(line.split("\t")[2]) for line in curve[:-1]]
        print(f"{name}: loss {curve[0].split()[1]} to {curve[-2].split()[1]}, {curve[-1].strip()}, "
              f"gradient norms {min(norms):.3f} to {max(norms):.3f}, "
              f"{sum(n > run['clip'] > 0 for n in norms)} of {UPDATES} clipped")


if __name__ == "__main__":
    main()
