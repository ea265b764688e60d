"""The step of interaction distillation (docs/reward.md) in float64 by PyTorch: whole maps, autograd.

    python tools/reference/interaction_oracle.py tests/golden/interaction.json

Student: tests/golden/causal_update/llama/model, teacher: tests/golden/relu-tied/model, each with a value
head.  The file has the heads, pairs of sequences ("prompt", "chosen", "rejected": tokens; "markers": those
of the prompt that are no text, the last token of each reply is none either; "second": the teacher reads
the rejected reply first) and for each case what a step's loss, its alignment and the norm of its gradient
are."""
import json
import math
import pathlib
import random
import sys

import torch
from safetensors.torch import load_file

from causal_model import read_folder

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden"
CASES = [dict(form="kl", layers=1, control="none", weight=1.0, margin=0.0, smoothing=0.0),
         dict(form="kl", layers=2, control="none", weight=0.7, margin=0.3, smoothing=0.1),
         dict(form="mse", layers=1, control="none", weight=2.5, margin=0.0, smoothing=0.0),
         dict(form="mse", layers=2, control="none", weight=1.0, margin=0.0, smoothing=0.2),
         dict(form="kl", layers=1, control="uniform", weight=1.5, margin=0.0, smoothing=0.0),
         dict(form="kl", layers=1, control="probability", weight=0.5, margin=0.0, smoothing=0.0)]


def bucket(distance, buckets=32, most=128):
    """T5's of key - query, in both directions."""
    half = buckets // 2
    side, far = (half if distance > 0 else 0), abs(distance)
    exact = half // 2
    if far < exact:
        return side + far
    return side + min(half - 1, exact + int(math.log(far / exact) / math.log(most / exact) * (half - exact)))


class Encoder:
    """A T5's encoder with ReLU; attention: what each layer has of q, k [tokens, heads, d] and its bias."""

    def __init__(self, folder):
        self.config = json.loads((folder / "config.json").read_text())
        self.p = {n: t.double() for n, t in load_file(folder / "model.safetensors").items()}
        self.heads, self.d = self.config["num_heads"], self.config["d_kv"]

    def norm(self, x, name):
        return x * self.p[name] / torch.sqrt(x.square().mean(-1, keepdim=True) + 1e-6)

    def read(self, tokens):
        n, self.attention = len(tokens), []
        table = self.p["encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"]
        bias = table[torch.tensor([[bucket(j - i) for j in range(n)] for i in range(n)])].permute(2, 0, 1)
        x = self.p["shared.weight"][tokens]
        for layer in range(self.config["num_layers"]):
            block = f"encoder.block.{layer}.layer."
            h = self.norm(x, block + "0.layer_norm.weight")
            q, k, v = ((h @ self.p[f"{block}0.SelfAttention.{part}.weight"].T).view(n, self.heads, self.d)
                       for part in "qkv")
            scores = torch.einsum("ihd,jhd->hij", q, k) + bias
            self.attention.append(scores)
            mixed = torch.einsum("hij,jhd->ihd", scores.softmax(-1), v).reshape(n, -1)
            x = x + mixed @ self.p[block + "0.SelfAttention.o.weight"].T
            h = self.norm(x, block + "1.layer_norm.weight")
            h = torch.relu(h @ self.p[block + "1.DenseReluDense.wi.weight"].T)
            x = x + h @ self.p[block + "1.DenseReluDense.wo.weight"].T
        return self.norm(x, "encoder.final_layer_norm.weight").mean(0)


class Student:
    """The causal model of causal_model.py; after read, of each layer q and k as each head of q reads it."""

    def __init__(self, folder):
        self.model = read_folder(folder)
        for parameter in self.model.parameters.values():
            parameter.requires_grad_(True)

    def read(self, tokens):
        m, self.attention = self.model, []
        positions = torch.arange(len(tokens), dtype=torch.float64)
        mask = torch.ones(len(tokens), len(tokens), dtype=torch.bool).tril()
        x = m.parameters["model.embed_tokens.weight"][torch.tensor(tokens)]
        for i in range(m.config["num_hidden_layers"]):
            layer = f"model.layers.{i}"
            h = m.norm(x, layer + ".input_layernorm.weight")
            q, k = (m.rotate(m.linear(h, f"{layer}.self_attn.{part}_proj").view(len(tokens), -1, m.head_dim),
                             positions) for part in "qk")
            self.attention.append((q, k.repeat_interleave(m.heads // m.kv_heads, 1)))
            x = x + m.attention(h, layer + ".self_attn", positions, mask)
            h = m.norm(x, layer + ".post_attention_layernorm.weight")
            gate = torch.nn.functional.silu(m.linear(h, layer + ".mlp.gate_proj"))
            x = x + m.linear(gate * m.linear(h, layer + ".mlp.up_proj"), layer + ".mlp.down_proj")
        return m.norm(x, "model.norm.weight")[-1]


def sides_of(pair):
    """Of chosen and rejected: the tokens that are text, as places in the side's sequence; how many of them
    are the prompt's."""
    out = []
    for reply in ("chosen", "rejected"):
        prompt = [i for i in range(len(pair["prompt"])) if i not in pair["markers"]]
        out.append((prompt + [len(pair["prompt"]) + i for i in range(len(pair[reply]) - 1)], len(prompt)))
    return out


def distance(form, s, t):
    if form == "kl":
        return (t * (t.log() - s.log())).sum(-1)
    return (s - t).square().sum(-1)


def alignment(case, student, teacher, pair, attention):
    """Mean over layers, rows of both sides, and heads.  attention: the student's of both sides."""
    sides, replies = sides_of(pair), [pair["chosen"], pair["rejected"]]
    shift = [0, 0]
    shift[not pair["second"]] = len(replies[pair["second"]])
    maps = student.model.heads if case["control"] == "uniform" else teacher.heads
    found = []
    for layer in range(1, case["layers"] + 1):
        rows = []
        for side in (0, 1):
            own, prompt = sides[side]
            other = sides[not side][0][sides[not side][1]:]
            (q, k), (_, k_other) = attention[side][-layer], attention[not side][-layer]
            d = q.shape[1] * q.shape[2] // maps
            q = q[own].reshape(len(own), maps, d)
            k = torch.cat([k[own], k_other[other]]).reshape(-1, maps, d)
            s = (torch.einsum("ihd,jhd->hij", q, k) / math.sqrt(d)).softmax(-1)
            at = lambda which, i: i + (shift[which] if i >= len(pair["prompt"]) else 0)
            keys = [at(side, i) for i in own] + [at(1 - side, i) for i in other]
            if case["control"] == "uniform":
                t = torch.full_like(s, 1 / len(keys)).detach()
            else:
                t = teacher.attention[-layer][:, [at(side, i) for i in own]][:, :, keys].softmax(-1).detach()
            rows.append(distance(case["form"], s, t).mean(0))
        found.append(torch.cat(rows).mean())
    return torch.stack(found).mean()


def step(case, data):
    student, teacher = Student(GOLDEN / "causal_update/llama/model"), Encoder(GOLDEN / "relu-tied/model")
    head = [torch.tensor(data["student_head"], dtype=torch.float64, requires_grad=True),
            torch.tensor(data["student_bias"], dtype=torch.float64, requires_grad=True)]
    total = aligned = accuracy = 0.0
    for pair in data["pairs"]:
        first, other = (pair["rejected"], pair["chosen"]) if pair["second"] else (pair["chosen"], pair["rejected"])
        value = (teacher.read(pair["prompt"] + first + other) @ torch.tensor(data["teacher_head"],
                 dtype=torch.float64) + data["teacher_bias"]).detach()
        scores, attention = [], []
        for reply in ("chosen", "rejected"):
            scores.append(student.read(pair["prompt"] + pair[reply]) @ head[0] + head[1])
            attention.append(student.attention)
        logsigmoid = torch.nn.functional.logsigmoid
        d = scores[0] - scores[1] - case["margin"]
        loss = -(1 - case["smoothing"]) * logsigmoid(d) - case["smoothing"] * logsigmoid(-d)
        if case["control"] == "probability":
            p = torch.sigmoid(-value if pair["second"] else value)
            part = -p * logsigmoid(scores[0] - scores[1]) - (1 - p) * logsigmoid(scores[1] - scores[0])
        else:
            part = alignment(case, student, teacher, pair, attention)
        total = total + (loss + case["weight"] * part) / len(data["pairs"])
        aligned += float(part.detach()) / len(data["pairs"])
        accuracy += float(scores[0] > scores[1]) / len(data["pairs"])
    parameters = [p for name, p in student.model.parameters.items() if name != "lm_head.weight"] + head
    gradients = torch.autograd.grad(total, parameters)
    norm = math.sqrt(sum(float(g.square().sum()) for g in gradients))
    return dict(case, loss=float(total.detach()), alignment=aligned, accuracy=accuracy, gradient_norm=norm)


def main():
    random.seed(5)
    draw = lambda n: [random.randrange(3, 41) for _ in range(n)]
    number = lambda: round(random.uniform(-0.5, 0.5), 3)
    sizes = [(5, 6, 9, False), (8, 3, 2, True), (4, 12, 7, True), (6, 1, 5, False)]
    data = dict(student_head=[number() for _ in range(16)], student_bias=number(),
                teacher_head=[number() for _ in range(24)], teacher_bias=number(),
                pairs=[dict(prompt=draw(p - 1) + [1], chosen=draw(c) + [2], rejected=draw(r) + [2],
                            markers=[0, 1, p - 1], second=second) for p, c, r, second in sizes])
    data["cases"] = [step(case, data) for case in CASES]
    lines = [f' "{key}": ' + (json.dumps(value) if key not in ("pairs", "cases") else
             "[\n  " + ",\n  ".join(map(json.dumps, value)) + "\n ]") for key, value in data.items()]
    pathlib.Path(sys.argv[1]).write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
