"""A folder of T5-small's shape with random weights (v1.0: ReLU, tied) and a real tokenizer.

    python tools/reference/make_t5_small.py OUT [TOKENIZER_FOLDER | SPIECE_MODEL] [--seed N]

With a tokenizer its files are copied; the vocabulary is T5's 32128, or larger if it needs to be."""
import argparse
import pathlib
import shutil

import torch
from transformers import T5Config, T5ForConditionalGeneration

TOKENIZER_FILES = ("spiece.model", "tokenizer_config.json", "special_tokens_map.json",
                   "tokenizer.json", "added_tokens.json")


def copy_tokenizer(source, out):
    """Returns how many ids the SentencePiece model and T5's 100 extra ids take."""
    import sentencepiece

    if source.is_dir():
        for name in TOKENIZER_FILES:
            if (source / name).exists():
                shutil.copyfile(source / name, out / name)
    else:
        shutil.copyfile(source, out / "spiece.model")
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(out / "spiece.model"))
    return pieces.get_piece_size() + 100


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("tokenizer", type=pathlib.Path, nargs="?")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    vocabulary = 32128
    if options.tokenizer:
        vocabulary = max(vocabulary, copy_tokenizer(options.tokenizer, options.out))
    torch.manual_seed(options.seed)
    config = T5Config(vocab_size=vocabulary, d_model=512, d_kv=64, d_ff=2048, num_layers=6,
                      num_heads=8, feed_forward_proj="relu", decoder_start_token_id=0)
    T5ForConditionalGeneration(config).save_pretrained(options.out)
    print(f"{options.out}: T5-small's shape, {vocabulary} ids")


if __name__ == "__main__":
    main()
