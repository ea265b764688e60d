"""What the peers share: the shapes of `regard bench`, timing, a line of JSON at the end."""
import argparse
import json
import statistics
import time

import torch
import transformers

# As tools/regard/bench_scale.c.
SHAPES = {
    "tiny": dict(vocabulary=64, d_model=32, d_kv=8, d_ff=64, heads=4, layers=2,
                 histories=2, history_tokens=16, candidates=2, new_tokens=4,
                 updates=4, reply_tokens=4, passes=2, rounds=3,
                 product=256, copy_bytes=1 << 20),
    "large": dict(vocabulary=32128, d_model=1024, d_kv=64, d_ff=4096, heads=16, layers=24,
                  histories=4, history_tokens=512, candidates=8, new_tokens=64,
                  updates=32, reply_tokens=64, passes=2, rounds=5,
                  product=8192, copy_bytes=4 << 30),
}


def arguments(only=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", choices=SHAPES, default="large")
    parser.add_argument("--device", default="cuda")
    if only:
        parser.add_argument("--only", choices=only, default=only[0])
    return parser.parse_args()


def synchronize(device):
    if device == "cuda":
        torch.cuda.synchronize()


def seconds_of(call, rounds, device, warm=2):
    """Median seconds of a call that may return before it has finished."""
    for _ in range(warm):
        call()
    times = []
    for _ in range(rounds):
        synchronize(device)
        start = time.perf_counter()
        call()
        synchronize(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def t5(shape, device, dtype, attention):
    """T5 1.0 (ReLU, tied) with random weights."""
    config = transformers.T5Config(
        vocab_size=shape["vocabulary"], d_model=shape["d_model"], d_kv=shape["d_kv"],
        d_ff=shape["d_ff"], num_heads=shape["heads"], num_layers=shape["layers"],
        num_decoder_layers=shape["layers"], feed_forward_proj="relu", tie_word_embeddings=True,
        dropout_rate=0.0, decoder_start_token_id=0, pad_token_id=0, eos_token_id=1)
    config._attn_implementation = attention
    torch.manual_seed(1)
    with torch.device(device):
        model = transformers.T5ForConditionalGeneration(config)
    return model.to(dtype)


def report(**values):
    if torch.cuda.is_available():
        values["device_name"] = torch.cuda.get_device_name()
        values["memory_gb"] = torch.cuda.max_memory_allocated() / 1e9
    print(json.dumps(dict(torch=torch.__version__, transformers=transformers.__version__, **values)))
