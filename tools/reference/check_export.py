"""Holds a folder that `regard export` wrote against the original: Transformers loads both and
gives equal outputs.

    python tools/reference/check_export.py ORIGINAL EXPORTED [TOLERANCE]

TOLERANCE (0) is relative, ||a-b|| / ||b||, of the logits. Run it under Transformers 4.57 and 5.
Where ORIGINAL is the model/ of a fixture, the exported folder's logits are also held to the fixture's,
to 1e-5: versions of Transformers may differ in what they make of a config.json."""
import pathlib
import sys

import torch
import transformers
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, T5ForConditionalGeneration


def load(folder):
    # The exported folder is float32; a bf16 original is computed in float32 too.
    encodes = AutoConfig.from_pretrained(folder).is_encoder_decoder
    kind = T5ForConditionalGeneration if encodes else AutoModelForCausalLM
    model, report = kind.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    if report["missing_keys"]:
        raise SystemExit(f"{folder}: missing tensors {sorted(report['missing_keys'])}")
    if report["mismatched_keys"]:
        raise SystemExit(f"{folder}: mismatched tensors {report['mismatched_keys']}")
    # Parameters lie in the mapped file, aligned or not, and bits depend on that: copy them.
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()
    return model.eval()


def reply_logits(model, history, reply):
    """[1, reply tokens, vocabulary] of [1, tokens] each."""
    with torch.no_grad():
        if model.config.is_encoder_decoder:
            return model(input_ids=history, labels=reply).logits
        return model(input_ids=torch.cat([history, reply[:, :-1]], 1)).logits[:, history.shape[1] - 1 :]


def off_fixture(model, path):
    expected, worst = load_file(path), 0.0
    names = (("input_ids", "labels") if model.config.is_encoder_decoder else
             ("history_tokens", "reply_tokens"))
    for name in [name for name in expected if name.endswith(".logits")]:
        case = name[: -len("logits")]
        logits = reply_logits(model, *(expected[case + part][None] for part in names))[0]
        worst = max(worst, float((logits - expected[name]).norm() / expected[name].norm()))
    return worst


def main():
    torch.set_num_threads(1)
    original, exported = load(sys.argv[1]), load(sys.argv[2])
    tolerance = float(sys.argv[3]) if len(sys.argv) > 3 else 0.0
    keys = ["eos_token_id", "vocab_size"]  # what else may stand in generation_config.json alone
    if original.config.is_encoder_decoder:
        keys += ["decoder_start_token_id", "pad_token_id"]
    for key in keys:
        if getattr(original.config, key) != getattr(exported.config, key):
            raise SystemExit(f"config.json: {key} differs")
    if original.generation_config.eos_token_id != exported.generation_config.eos_token_id:
        raise SystemExit("generation_config.json: eos_token_id differs")
    generator, worst = torch.Generator().manual_seed(1), 0.0
    longest = getattr(original.config, "max_position_embeddings", 1 << 20) - 20
    for length in (1, 2, 9, min(40, longest), min(130, longest)):
        draw = lambda count: torch.randint(2, original.config.vocab_size, (1, count),
                                           generator=generator)
        history, reply = draw(length), draw(7)
        a, b = reply_logits(exported, history, reply), reply_logits(original, history, reply)
        worst = max(worst, float((a - b).norm() / b.norm()))
        # Without the cache: 4.57's fails where the decoder is deeper than the encoder.
        one, other = (model.generate(history, max_new_tokens=12, do_sample=False, use_cache=False)
                      for model in (exported, original))
        if not torch.equal(one, other):
            raise SystemExit(f"greedy replies differ: {one.tolist()}, {other.tolist()}")
    print(f"transformers {transformers.__version__}: largest relative difference {worst:.3g}")
    if not worst <= tolerance:
        raise SystemExit(f"outputs differ by more than {tolerance:g}")
    fixture = pathlib.Path(sys.argv[1]).parent / "expected.safetensors"
    if fixture.exists():
        off = off_fixture(exported, fixture)
        print(f"from {fixture}: {off:.3g}")
        if not off <= 1e-5:
            raise SystemExit("outputs are not the fixture's")


if __name__ == "__main__":
    main()
