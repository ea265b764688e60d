"""Decoder-only models (Llama, Qwen2, Qwen3, Mistral) in float64 from their formulas, for the oracles
beside it: parameters out of a Hugging Face folder, logits of a sequence, differentiable by PyTorch.

    python tools/reference/causal_model.py FIXTURE...

holds it against fixtures with model/ and expected.safetensors (caseN.history_tokens, .reply_tokens,
.logits)."""
import json
import math
import pathlib
import sys

import torch
from safetensors.torch import load_file


class CausalModel:
    """config: config.json; parameters: {name: float64 tensor}."""

    def __init__(self, config, parameters):
        self.config, self.parameters = config, parameters
        self.heads = config["num_attention_heads"]
        self.kv_heads = config.get("num_key_value_heads") or self.heads
        self.head_dim = config.get("head_dim") or config["hidden_size"] // self.heads
        self.eps = config["rms_norm_eps"]
        self.tied = config.get("tie_word_embeddings", False)
        self.frequencies = self.rope_frequencies()

    def rope_frequencies(self):
        parameters = self.config.get("rope_parameters") or {}
        theta = parameters.get("rope_theta") or self.config["rope_theta"]
        d = self.head_dim
        frequencies = theta ** (-2 * torch.arange(d // 2, dtype=torch.float64) / d)
        scaling = self.config.get("rope_scaling") or parameters or {"rope_type": "default"}
        kind = scaling.get("rope_type", scaling.get("type", "default"))
        if kind == "linear":
            return frequencies / scaling["factor"]
        if kind == "llama3":
            turns = scaling["original_max_position_embeddings"] * frequencies / (2 * math.pi)
            low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
            kept = ((turns - low) / (high - low)).clamp(0, 1)
            return kept * frequencies + (1 - kept) * frequencies / scaling["factor"]
        assert kind == "default", kind
        return frequencies

    def norm(self, x, name):
        return x * self.parameters[name] / torch.sqrt(x.square().mean(-1, keepdim=True) + self.eps)

    def linear(self, x, name):
        y = x @ self.parameters[name + ".weight"].T
        bias = self.parameters.get(name + ".bias")
        return y if bias is None else y + bias

    def rotate(self, x, positions):
        """x [tokens, heads, d]; element i turns with element i + d/2."""
        angle = positions[:, None, None] * self.frequencies
        a, b = x.chunk(2, -1)
        return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)

    def attention(self, x, name, positions, mask):
        tokens = x.shape[0]
        q, k, v = (self.linear(x, f"{name}.{part}_proj").view(tokens, -1, self.head_dim) for part in "qkv")
        if name + ".q_norm.weight" in self.parameters:
            q, k = self.norm(q, name + ".q_norm.weight"), self.norm(k, name + ".k_norm.weight")
        q, k = self.rotate(q, positions), self.rotate(k, positions)
        k, v = (t.repeat_interleave(self.heads // self.kv_heads, 1) for t in (k, v))
        scores = torch.einsum("ihd,jhd->hij", q, k) / math.sqrt(self.head_dim)
        weights = scores.masked_fill(~mask, -math.inf).softmax(-1)
        return self.linear(torch.einsum("hij,jhd->ihd", weights, v).reshape(tokens, -1), name + ".o_proj")

    def logits(self, tokens):
        """[tokens, vocabulary] of a list of ids."""
        embedding = self.parameters["model.embed_tokens.weight"]
        positions = torch.arange(len(tokens), dtype=torch.float64)
        mask = torch.ones(len(tokens), len(tokens), dtype=torch.bool).tril()
        x = embedding[torch.tensor(tokens)]
        for i in range(self.config["num_hidden_layers"]):
            layer = f"model.layers.{i}"
            x = x + self.attention(self.norm(x, layer + ".input_layernorm.weight"), layer + ".self_attn",
                                   positions, mask)
            h = self.norm(x, layer + ".post_attention_layernorm.weight")
            gate = torch.nn.functional.silu(self.linear(h, layer + ".mlp.gate_proj"))
            x = x + self.linear(gate * self.linear(h, layer + ".mlp.up_proj"), layer + ".mlp.down_proj")
        head = embedding if self.tied else self.parameters["lm_head.weight"]
        return self.norm(x, "model.norm.weight") @ head.T

    def reply_logits(self, history, reply):
        """[reply, vocabulary]: what each of the reply's tokens was chosen from."""
        return self.logits(history + reply[:-1])[len(history) - 1 :]


def read_folder(folder, dtype=torch.float64):
    folder = pathlib.Path(folder)
    config = json.loads((folder / "config.json").read_text())
    index = folder / "model.safetensors.index.json"
    files = set(json.loads(index.read_text())["weight_map"].values()) if index.exists() else ["model.safetensors"]
    tensors = {}
    for name in sorted(files):
        tensors.update(load_file(folder / name))
    if config.get("tie_word_embeddings", False):
        tensors.pop("lm_head.weight", None)
    return CausalModel(config, {name: tensor.to(dtype) for name, tensor in sorted(tensors.items())
                                if not name.endswith("rotary_emb.inv_freq")})


def main():
    for fixture in map(pathlib.Path, sys.argv[1:]):
        model, expected, worst = read_folder(fixture / "model"), load_file(fixture / "expected.safetensors"), 0.0
        for name in [name for name in expected if name.endswith(".logits")]:
            case = name[: -len("logits")]
            got = model.reply_logits(expected[case + "history_tokens"].tolist(),
                                     expected[case + "reply_tokens"].tolist())
            worst = max(worst, float((got - expected[name]).abs().max()))
        print(f"{fixture}: logits differ by at most {worst:.2g}")


if __name__ == "__main__":
    main()
