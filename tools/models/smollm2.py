"""A GGUF file of SmolLM2 to a Hugging Face folder: smollm2.py FILE.gguf OUT bf16|f32
Called by the script smollm2 beside it, which says what is made and from what."""
import json
import pathlib
import sys

import numpy as np

from gguf_file import GgufFile

LAYER_NAMES = {"attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
               "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
               "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
               "ffn_down": "mlp.down_proj"}
SPECIAL = 3  # tokenizer.ggml.token_type of a special token


def name_in_folder(name):
    if name == "token_embd.weight":
        return "model.embed_tokens.weight"
    if name == "output_norm.weight":
        return "model.norm.weight"
    _, layer, part, _ = name.split(".")
    return f"model.layers.{layer}.{LAYER_NAMES[part]}.weight"


def halves_together(matrix, heads):
    """GGUF's rotary embedding pairs a head's rows 2i and 2i + 1, Hugging Face's rows i and i + d/2:
    row r of a head in GGUF is row (r % 2) d/2 + r // 2 here."""
    rows = matrix.reshape(heads, -1, 2, matrix.shape[1])
    return np.concatenate([rows[:, :, 0], rows[:, :, 1]], axis=1).reshape(matrix.shape)


def weights(gguf):
    heads = {"attn_q": gguf.keys["llama.attention.head_count"],
             "attn_k": gguf.keys["llama.attention.head_count_kv"]}
    for name in gguf.names:
        matrix = gguf.tensor(name)
        part = name.split(".")[-2]
        yield name_in_folder(name), halves_together(matrix, heads[part]) if part in heads else matrix


def to_bf16(values):
    """The upper halves of float32, rounded to nearest, ties to even; as uint16."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    return ((bits + (0x7FFF + (bits >> 16 & 1))) >> 16).astype("<u2")


def write_weights(path, tensors, dtype):
    encode = to_bf16 if dtype == "bf16" else lambda values: values.astype("<f4")
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, values in sorted(tensors.items()):
        begin, end = end, end + values.size * (2 if dtype == "bf16" else 4)
        header[name] = {"dtype": dtype.upper(), "shape": list(values.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, values in sorted(tensors.items()):
            file.write(encode(values).tobytes())


def model_config(keys, dtype):
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": keys["llama.vocab_size"],
        "hidden_size": keys["llama.embedding_length"],
        "intermediate_size": keys["llama.feed_forward_length"],
        "num_hidden_layers": keys["llama.block_count"],
        "num_attention_heads": keys["llama.attention.head_count"],
        "num_key_value_heads": keys["llama.attention.head_count_kv"],
        "max_position_embeddings": keys["llama.context_length"],
        "rms_norm_eps": float(f"{keys['llama.attention.layer_norm_rms_epsilon']:.6g}"),  # of a float32
        "rope_theta": float(keys["llama.rope.freq_base"]),
        "rope_scaling": None,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "attention_dropout": 0.0,
        "tie_word_embeddings": True,
        "bos_token_id": keys["tokenizer.ggml.bos_token_id"],
        "eos_token_id": keys["tokenizer.ggml.eos_token_id"],
        "pad_token_id": keys["tokenizer.ggml.padding_token_id"],
        "torch_dtype": {"bf16": "bfloat16", "f32": "float32"}[dtype],
        "use_cache": True,
    }


def added_tokens(keys):
    """{id: flags} of the special tokens."""
    return {i: {"content": keys["tokenizer.ggml.tokens"][i], "lstrip": False, "normalized": False,
                "rstrip": False, "single_word": False, "special": True}
            for i, kind in enumerate(keys["tokenizer.ggml.token_type"]) if kind == SPECIAL}


def tokenizer(keys):
    """tokenizer.json. The GGUF names how text is split ("smollm") and does not spell it out: digits
    one by one, then GPT-2's pattern over bytes."""
    byte_level = {"type": "ByteLevel", "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": i, **flags} for i, flags in added_tokens(keys).items()],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence",
                          "pretokenizers": [{"type": "Digits", "individual_digits": True},
                                            {**byte_level, "add_prefix_space": False}]},
        "post_processor": None,
        "decoder": {**byte_level, "add_prefix_space": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                  "ignore_merges": False,
                  "vocab": {token: i for i, token in enumerate(keys["tokenizer.ggml.tokens"])},
                  "merges": keys["tokenizer.ggml.merges"]},
    }


def tokenizer_config(keys):
    token = lambda role: keys["tokenizer.ggml.tokens"][keys[f"tokenizer.ggml.{role}_token_id"]]
    return {
        "tokenizer_class": "GPT2Tokenizer",
        "add_prefix_space": False,
        "added_tokens_decoder": {str(i): flags for i, flags in added_tokens(keys).items()},
        "additional_special_tokens": [token("bos"), token("eos")],
        "bos_token": token("bos"),
        "eos_token": token("eos"),
        "pad_token": token("padding"),
        "unk_token": token("unknown"),
        "chat_template": keys["tokenizer.chat_template"],
        "clean_up_tokenization_spaces": False,
        "model_max_length": keys["llama.context_length"],
        "vocab_size": keys["llama.vocab_size"],
    }


def main(path, out, dtype):
    gguf, out = GgufFile(path), pathlib.Path(out)
    keys = gguf.keys
    tensors = dict(weights(gguf))
    # What config.json and tokenizer.json take for granted.
    assert keys["general.architecture"] == "llama" and keys["tokenizer.ggml.pre"] == "smollm"
    assert "output.weight" not in gguf.names, "the head is not tied"
    assert len(set(keys["tokenizer.ggml.tokens"])) == keys["llama.vocab_size"]
    assert all(np.isfinite(values).all() for values in tensors.values())
    out.mkdir()
    write_weights(out / "model.safetensors", tensors, dtype)
    config = model_config(keys, dtype)
    files = {"config.json": config,
             "generation_config.json": {k: config[k] for k in ("bos_token_id", "eos_token_id", "pad_token_id")},
             "tokenizer_config.json": tokenizer_config(keys)}
    for name, content in files.items():
        (out / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (out / "tokenizer.json").write_text(
        json.dumps(tokenizer(keys), separators=(",", ":"), ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"SmolLM2-135M-Instruct: {sum(v.size for v in tensors.values()):,} parameters in {len(tensors)} "
          f"tensors, {dtype}")


main(*sys.argv[1:])
