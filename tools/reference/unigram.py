"""Perplexity of a unigram model of reply tokens, to hold an SFT model's against: counted on the
replies of one file of `regard score`, add-one over the vocabulary, evaluated on those of another.

    python3 tools/reference/unigram.py TRAIN.jsonl HELD_OUT.jsonl VOCABULARY

Also prints the perplexity of the evaluated file's own logp: score it with rollout.temperature=1.  Needs
nothing but Python."""
import collections
import json
import math
import sys


def main(train, held_out, vocabulary):
    counts = collections.Counter()
    with open(train) as lines:
        for line in lines:
            counts.update(json.loads(line)["reply_tokens"])
    total = sum(counts.values()) + vocabulary
    tokens, unigram, model, unseen = 0, 0.0, 0.0, 0
    with open(held_out) as lines:
        for line in lines:
            line = json.loads(line)
            tokens += len(line["reply_tokens"])
            unseen += sum(token not in counts for token in line["reply_tokens"])
            unigram -= sum(math.log((counts[token] + 1) / total) for token in line["reply_tokens"])
            model -= sum(line["logp"])
    print(f"{sum(counts.values())} tokens counted, {len(counts)} distinct; {tokens} evaluated, "
          f"{unseen} of them unseen")
    print(f"unigram perplexity {math.exp(unigram / tokens):.3f}, the file's own "
          f"{math.exp(model / tokens):.4f}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
