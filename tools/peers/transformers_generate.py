"""A turn as Transformers makes it: generate(output_attentions=True), and from what it returns the
statistics that regard captures: of the last layer's cross-attention, averaged over the heads, the
entropy of each new token's row over the visible history and the mass on its salient tokens
(docs/reward.md, Terms).  Same shape as `regard bench generate --shape large`, random weights, bf16."""
import torch

import common

args = common.arguments()
shape, device = common.SHAPES[args.shape], args.device
model = common.t5(shape, device, torch.bfloat16, "eager").eval()
rows = shape["histories"] * shape["candidates"]
torch.manual_seed(2)
histories = torch.randint(3, shape["vocabulary"], (shape["histories"], shape["history_tokens"]),
                          device=device)
salient = (torch.arange(shape["history_tokens"], device=device) % 4 == 0).float()
steps = shape["new_tokens"]


@torch.no_grad()
def turn():
    made = model.generate(
        input_ids=histories, attention_mask=torch.ones_like(histories), do_sample=True,
        temperature=0.8, top_k=50, top_p=0.9, num_return_sequences=shape["candidates"],
        min_new_tokens=steps, max_new_tokens=steps, output_attentions=True, use_cache=True,
        return_dict_in_generate=True)
    # [rows, steps, history tokens]: a step's layers are [rows, heads, 1, history tokens].
    weight = torch.stack([step[-1][:, :, -1, :].float().mean(1) for step in made.cross_attentions], 1)
    weight = weight / weight.sum(-1, keepdim=True)
    entropy = -torch.special.xlogy(weight, weight).sum(-1)
    mass = (weight * salient).sum(-1)
    return made.sequences.cpu(), entropy.cpu(), mass.cpu()


sequences, entropy, mass = turn()
assert sequences.shape == (rows, steps + 1) and entropy.shape == mass.shape == (rows, steps)
assert torch.isfinite(entropy).all() and (mass > 0).all() and (mass < 1).all()
seconds = common.seconds_of(turn, 3, device, warm=1)
common.report(peer="generate", turn_ms=seconds * 1e3, tokens_s=rows * steps / seconds,
              histories=shape["histories"], history_tokens=shape["history_tokens"],
              candidates=shape["candidates"], new_tokens=steps, dtype="bfloat16",
              attention="eager, output_attentions=True")
