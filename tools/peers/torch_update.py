"""One supervised update as PyTorch makes it, of the shape of `regard bench update --shape large`:
fp32 weights, bf16 products (autocast), gradient accumulation over the same passes, clipping, fused
AdamW; nothing is padded, so every token counts.
--only eager: Transformers' T5 as it comes; sdpa: its attention by scaled_dot_product_attention;
blocks: that, each layer through torch.compile; compiled: the whole model (minutes of compiling)."""
import inspect
import re

import torch
import torch.nn.functional as functional
from transformers.models.t5 import modeling_t5

import common

args = common.arguments(["eager", "sdpa", "blocks", "compiled"])
shape, device = common.SHAPES[args.shape], args.device


# Transformers 5 has T5's attention by SDPA; before, it is put in here.
native = bool(getattr(modeling_t5.T5PreTrainedModel, "_supports_sdpa", False))
returns_weights = re.search(r"\w+, \w+, \w+ = self\.SelfAttention\(",
                            inspect.getsource(modeling_t5.T5LayerSelfAttention.forward))


def sdpa_forward(self, hidden_states, mask=None, key_value_states=None, position_bias=None,
                 **ignored):
    """T5Attention.forward in training: no cache, no dropout, no weights returned."""
    keys = hidden_states if key_value_states is None else key_value_states
    batch, queries, _ = hidden_states.shape

    def heads(x):
        return x.view(batch, -1, self.n_heads, self.key_value_proj_dim).transpose(1, 2)

    q, k, v = heads(self.q(hidden_states)), heads(self.k(keys)), heads(self.v(keys))
    if position_bias is None:
        if self.has_relative_attention_bias:
            position_bias = self.compute_bias(queries, k.shape[2], device=q.device)
        else:
            position_bias = torch.zeros((1, self.n_heads, queries, k.shape[2]), device=q.device)
        if mask is not None:
            position_bias = position_bias + mask[:, :, :, : k.shape[2]]
    bias = position_bias.to(q.dtype)
    if key_value_states is not None:
        bias = None  # nothing is padded: cross-attention has no bias at all
    out = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=1.0)
    out = self.o(out.transpose(1, 2).reshape(batch, queries, -1))
    return (out, position_bias, None) if returns_weights else (out, position_bias)


def batch():
    torch.manual_seed(3)
    passes, each = shape["passes"], shape["updates"] // shape["passes"]
    return [(torch.randint(3, shape["vocabulary"], (each, shape["history_tokens"]), device=device),
             torch.randint(3, shape["vocabulary"], (each, shape["reply_tokens"]), device=device))
            for _ in range(passes)]


def loss_of(model, histories, replies):
    with torch.autocast(device, dtype=torch.bfloat16):
        logits = model(input_ids=histories, labels=replies, use_cache=False).logits
    return functional.cross_entropy(logits.float().flatten(0, 1), replies.flatten(),
                                    reduction="sum") / (shape["updates"] * shape["reply_tokens"])


data = batch()
with torch.no_grad():
    plain = common.t5(shape, device, torch.float32, "eager").train()
    expected = loss_of(plain, *data[0]).item()
    del plain
if args.only != "eager" and not native:
    modeling_t5.T5Attention.forward = sdpa_forward
model = common.t5(shape, device, torch.float32,
                  "sdpa" if native and args.only != "eager" else "eager").train()
with torch.no_grad():
    # The other attention is the same function: bf16 rounds it differently.
    assert abs(loss_of(model, *data[0]).item() / expected - 1) < 0.02, "another loss than T5's"
run = torch.compile(model) if args.only == "compiled" else model
if args.only == "blocks":
    for block in [*model.encoder.block, *model.decoder.block]:
        block.compile()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, weight_decay=0.0, fused=device == "cuda")


def update():
    optimizer.zero_grad(set_to_none=True)
    for histories, replies in data:
        loss_of(run, histories, replies).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


def forward_flop():
    """Counted as bench_update.c does."""
    d, inner, f = shape["d_model"], shape["heads"] * shape["d_kv"], shape["d_ff"]
    n, k, layers = shape["history_tokens"], shape["reply_tokens"], shape["layers"]
    encoder = layers * (4 * d * inner + 2 * d * f) + layers * 2 * d * inner
    decoder = layers * (6 * d * inner + 2 * d * f) + shape["vocabulary"] * d
    attention = layers * 4 * inner * (n * n + k * (k + 1) / 2 + k * n)
    return shape["updates"] * (2 * encoder * n + 2 * decoder * k + attention)


seconds = common.seconds_of(update, shape["rounds"], device, warm=3)
common.report(peer="update", variant=args.only, seconds=seconds, tflop=3 * forward_flop() * 1e-12,
              model_gflops=3 * forward_flop() / seconds * 1e-9,
              replies=shape["updates"], history_tokens=shape["history_tokens"],
              reply_tokens=shape["updates"] * shape["reply_tokens"], passes=shape["passes"],
              attention="eager" if args.only == "eager" else
              "Transformers' SDPA" if native else "SDPA put into Transformers' T5",
              optimizer="AdamW fused, fp32 weights, bf16 autocast")
