"""Makes the fixtures under tests/golden: four tiny models of the T5 family and what PyTorch and
Transformers make of them (float32, one thread, batch of one).

    /opt/regard-ref/bin/python tools/reference/make_golden.py tests/golden

Each folder holds model/ (a Hugging Face folder), expected.safetensors (per case: input_ids,
labels, encoder_output, logits, logp, cross_attention; then loss and grad.NAME), score.jsonl and
score.expected.jsonl (terms in float64 from those maps), generate.jsonl and
generate.expected.jsonl (greedy, the best token ahead by more than MARGIN everywhere)."""
import json
import pathlib
import shutil
import sys

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import T5Config, T5ForConditionalGeneration

from reward_terms import terms

LENGTHS = [1, 2, 7, 17, 33]  # history tokens of the cases
MARGIN = 0.002
STEPS = 220
GENERATE_MAX = 16

MODELS = {
    # Old sparse config.json, redundant copies of the embedding, one legacy tensor.
    "relu-tied": dict(
        config=dict(vocab_size=61, d_model=24, d_kv=8, d_ff=40, num_layers=2, num_heads=3,
                    feed_forward_proj="relu", tie_word_embeddings=True),
        redundant=True,
    ),
    # v1.1: separate head, inner size other than d_model, other depths, two shards.
    "gated-untied": dict(
        config=dict(vocab_size=71, d_model=28, d_kv=12, d_ff=36, num_layers=1,
                    num_decoder_layers=2, num_heads=2, feed_forward_proj="gated-gelu",
                    tie_word_embeddings=False),
        shards=True,
    ),
    # ByT5: bytes as tokens, deep encoder, few buckets; config.json as 4.57 writes it.
    "bytes": dict(
        config=dict(vocab_size=384, d_model=16, d_kv=8, d_ff=28, num_layers=3,
                    num_decoder_layers=1, num_heads=2, feed_forward_proj="gated-gelu",
                    relative_attention_num_buckets=12, relative_attention_max_distance=20,
                    tie_word_embeddings=False),
        modern=True,
    ),
    # Stored in bf16, computed in float32.
    "bf16": dict(
        config=dict(vocab_size=53, d_model=20, d_kv=6, d_ff=32, num_layers=1,
                    num_decoder_layers=2, num_heads=3, feed_forward_proj="gated-gelu",
                    tie_word_embeddings=False),
        bf16=True,
    ),
}


def make_cases(random, vocabulary):
    """Histories that end in the end token (from two tokens on) and replies that borrow from
    them: tokens of the history, and their successors."""
    cases = []
    for index, length in enumerate(LENGTHS):
        history = random.integers(2, vocabulary, length).tolist()
        if length > 1:
            history[-1] = 1
        size = [0, 2, 4, 8, 11][index]
        reply = []
        while len(reply) < size:
            start = int(random.integers(0, max(1, length - 3)))
            reply += history[start : start + 3] if random.random() < 0.5 else [
                int(random.integers(2, vocabulary))
            ]
        reply = [token for token in reply if token > 1][:size] + [1]
        cases.append(dict(
            id=f"case{index}",
            history=history,
            reply=reply,
            salient=[int(random.random() < 0.35) for _ in history],
        ))
    return cases


def make_model(seed, settings):
    torch.manual_seed(seed)
    config = T5Config(decoder_start_token_id=0, dropout_rate=0.0, **settings["config"])
    model = T5ForConditionalGeneration(config).float()
    with torch.no_grad():  # norms and biases away from their starting values
        for name, parameter in model.named_parameters():
            if "layer_norm" in name:
                parameter.mul_(1 + 0.2 * torch.randn_like(parameter))
            if "relative_attention_bias" in name:
                parameter.copy_(0.5 * torch.randn_like(parameter))
    return model


def token_logp(model, case):
    output = model(input_ids=torch.tensor([case["history"]]),
                   labels=torch.tensor([case["reply"]]))
    logp = torch.log_softmax(output.logits[0].double(), -1)
    return logp[torch.arange(len(case["reply"])), torch.tensor(case["reply"])]


def mean_loss(model, cases):
    losses = [-token_logp(model, case) for case in cases]
    return torch.cat(losses).mean()


def teach(model, cases):
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    model.train()
    for _ in range(STEPS):
        optimizer.zero_grad()
        mean_loss(model, cases).backward()
        optimizer.step()
    model.eval()


def round_to_bf16(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.bfloat16().float())


def greedy(model, history):
    """(reply, its log-probabilities, the smallest lead of the best token over the second)."""
    reply, logp, lead = [], [], float("inf")
    while len(reply) < GENERATE_MAX and (not reply or reply[-1] != 1):
        logits = model(input_ids=torch.tensor([history]),
                       decoder_input_ids=torch.tensor([[0] + reply])).logits[0, -1].double()
        best = torch.topk(logits, 2)
        lead = min(lead, float(best.values[0] - best.values[1]))
        reply.append(int(best.indices[0]))
        logp.append(float(torch.log_softmax(logits, -1)[reply[-1]]))
    return reply, logp, lead


def folder_tensors(model):
    """State dict without names that share memory."""
    tensors = {name: value.detach().clone().contiguous()
               for name, value in model.state_dict().items()}
    for name in ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight"):
        tensors.pop(name, None)
    if model.config.tie_word_embeddings:
        tensors.pop("lm_head.weight", None)
    return tensors


def write_weights(folder, tensors, settings):
    metadata = {"format": "pt"}
    if settings.get("bf16"):
        tensors = {name: value.bfloat16() for name, value in tensors.items()}
    if settings.get("redundant"):
        for name in ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight",
                     "lm_head.weight"):
            tensors[name] = tensors["shared.weight"].clone()
        tensors["decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"] = (
            torch.randn_like(
                tensors["decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"]))
    if not settings.get("shards"):
        save_file(tensors, folder / "model.safetensors", metadata)
        return
    names, weight_map, total = sorted(tensors), {}, 0
    for number, part in enumerate((names[: len(names) // 2], names[len(names) // 2 :]), 1):
        shard = f"model-{number:05d}-of-00002.safetensors"
        save_file({name: tensors[name] for name in part}, folder / shard, metadata)
        weight_map.update({name: shard for name in part})
        total += sum(tensors[name].numel() * 4 for name in part)
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": total}, "weight_map": weight_map}, indent=1) + "\n")


def write_config(folder, model, settings):
    if settings.get("modern"):
        model.config.to_json_file(folder / "config.json", use_diff=False)
        config = json.loads((folder / "config.json").read_text())
        keep = set(T5Config(decoder_start_token_id=0).to_diff_dict()) | set(settings["config"]) | {
            "model_type", "architectures", "dense_act_fn", "is_gated_act", "layer_norm_epsilon",
            "transformers_version", "num_decoder_layers", "pad_token_id", "eos_token_id",
            "decoder_start_token_id", "is_encoder_decoder", "use_cache", "dropout_rate"}
        config = {key: value for key, value in config.items() if key in keep}
    else:
        c = model.config
        config = {"architectures": ["T5ForConditionalGeneration"], "d_ff": c.d_ff, "d_kv": c.d_kv,
                  "d_model": c.d_model, "decoder_start_token_id": 0, "eos_token_id": 1,
                  "is_encoder_decoder": True, "model_type": "t5", "n_positions": 512,
                  "num_heads": c.num_heads, "num_layers": c.num_layers, "output_past": True,
                  "pad_token_id": 0, "relative_attention_num_buckets": 32,
                  "vocab_size": c.vocab_size}
        if not settings.get("redundant"):
            config.update(feed_forward_proj=c.feed_forward_proj,
                          num_decoder_layers=c.num_decoder_layers,
                          tie_word_embeddings=c.tie_word_embeddings)
        if settings.get("bf16"):
            config["torch_dtype"] = "bfloat16"
    (folder / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")


def score_terms(maps, case, layers, exclude_special, floor, delta0):
    rows = maps[-layers:].double().mean((0, 1)).numpy()
    visible = [token != 0 and (not exclude_special or token != 1) for token in case["history"]]
    # A mark on a special token (pad 0, end 1) is dropped, excluded or not.
    salient = [mark and token > 1 for mark, token in zip(case["salient"], case["history"])]
    result = terms(rows, visible, salient, case["reply"], case["history"],
                   dict(coverage="paper", focus="paper", floor=floor, delta0=delta0, kappa=0.0,
                        turn=1, n=3))
    result.pop("entropy_floored")
    return result


def expected_of_case(model, case):
    output = model(input_ids=torch.tensor([case["history"]]),
                   labels=torch.tensor([case["reply"]]), output_attentions=True)
    logp = torch.log_softmax(output.logits[0].double(), -1)
    chosen = logp[torch.arange(len(case["reply"])), torch.tensor(case["reply"])]
    return dict(
        input_ids=torch.tensor(case["history"]),
        labels=torch.tensor(case["reply"]),
        encoder_output=output.encoder_last_hidden_state[0],
        logits=output.logits[0],
        logp=chosen.float(),
        cross_attention=torch.cat(output.cross_attentions),
    )


def write_lines(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def make_fixture(folder, name, settings):
    for attempt in range(50):
        random = np.random.default_rng(1000 * attempt + len(name))
        cases = make_cases(random, settings["config"]["vocab_size"])
        model = make_model(7 + attempt, settings)
        teach(model, cases)
        if settings.get("bf16"):
            round_to_bf16(model)
        with torch.no_grad():
            replies = [greedy(model, case["history"]) for case in cases]
        # Score replies that are not the taught ones too: one token is changed.
        for case in cases[1::2]:
            case["reply"][0] = int(random.integers(2, settings["config"]["vocab_size"]))
        if all(lead > MARGIN and reply[-1] == 1 for reply, _, lead in replies):
            break
    else:
        raise SystemExit(f"{name}: no attempt had a margin")

    shutil.rmtree(folder, ignore_errors=True)
    (folder / "model").mkdir(parents=True)
    write_config(folder / "model", model, settings)
    write_weights(folder / "model", folder_tensors(model), settings)

    loaded = T5ForConditionalGeneration.from_pretrained(folder / "model", dtype=torch.float32)
    loaded.eval()
    expected, scores = {}, []
    for case in cases:
        with torch.no_grad():
            values = expected_of_case(loaded, case)
            same = expected_of_case(model, case)
        assert torch.equal(values["logits"], same["logits"]), f"{name}: reloaded model differs"
        expected.update({f"{case['id']}.{key}": value.contiguous()
                         for key, value in values.items()})
        maps = values["cross_attention"]
        line = {"id": case["id"], "logp": values["logp"].tolist(),
                "layers1": score_terms(maps, case, 1, True, "none", 0.0)}
        if len(maps) > 1:
            line["layers2"] = score_terms(maps, case, 2, True, "none", 0.0)
        line["layers1_all_tokens"] = score_terms(maps, case, 1, False, "none", 0.0)
        line["layers1_floor1.5"] = score_terms(maps, case, 1, True, "value", 1.5)
        scores.append(line)
    loss = mean_loss(loaded, cases)
    loss.backward()
    expected["loss"] = loss.detach().float()
    for parameter_name, parameter in loaded.named_parameters():
        expected["grad." + parameter_name] = parameter.grad.contiguous()
    save_file(expected, folder / "expected.safetensors", {"format": "pt"})
    write_lines(folder / "score.jsonl",
                [dict(id=c["id"], history_tokens=c["history"], reply_tokens=c["reply"],
                      salient=c["salient"]) for c in cases])
    write_lines(folder / "score.expected.jsonl", scores)
    write_lines(folder / "generate.jsonl",
                [dict(id=c["id"], history_tokens=c["history"]) for c in cases])
    write_lines(folder / "generate.expected.jsonl",
                [dict(id=c["id"], reply_tokens=reply, logp=logp)
                 for c, (reply, logp, _) in zip(cases, replies)])
    leads = min(lead for _, _, lead in replies)
    print(f"{name}: attempt {attempt}, loss {loss.item():.4f}, smallest lead {leads:.4f}, "
          f"replies {[r for r, _, _ in replies]}", flush=True)


def main():
    torch.set_num_threads(1)
    root = pathlib.Path(sys.argv[1])
    for name, settings in MODELS.items():
        make_fixture(root / name, name, settings)


if __name__ == "__main__":
    main()
