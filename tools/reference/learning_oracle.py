"""Float64 oracle of docs/reward.md, "Group and loss options" and "Credit within a reply"; writes
tests/golden/learning.json with random cases.  Plain Python, no package.

    python3 tools/reference/learning_oracle.py tests/golden/learning.json

The file holds four lists.
groups: form (rloo, mean, grpo, global, none), filter, whiten; items in no order {dialogue, turn,
  candidate, span, reward} with the expected {advantage, dropped}.  Some groups' rewards are equal.
centers: advantage (turn, gae), discount, gae_lambda; batches in order, each with items {dialogue,
  turn, candidate, reward, value} and the expected {return, advantage} (not whitened), and the mean
  that was taken off.
credits: seed, dialogue, turn, candidate, entropy of a reply's tokens; expected weights of
  credit.form entropy and random.
overlong: share, most (tokens), and pairs [length, penalty]."""
import itertools
import json
import math
import pathlib
import random
import sys

CREDIT = 11  # philox purpose (src/base/philox.h)


def mean(values):
    return math.fsum(values) / len(values)


def deviation(values):
    return math.sqrt(mean([(value - mean(values)) ** 2 for value in values]))


def philox(counter, key):
    """Philox4x32-10 (Salmon et al., SC'11)."""
    c, k, mask = list(counter), list(key), 0xFFFFFFFF
    for _ in range(10):
        left, right = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [right >> 32 ^ c[1] ^ k[0], right & mask, left >> 32 ^ c[3] ^ k[1], left & mask]
        k = [k[0] + 0x9E3779B9 & mask, k[1] + 0xBB67AE85 & mask]
    return c


def group_advantages(settings, items):
    """Fills advantage and dropped."""
    def group_of(item):
        return item["dialogue"], item["turn"]

    def reply_of(item):
        return group_of(item) + (item["candidate"],)

    ordered = sorted(items, key=lambda item: reply_of(item) + (item["span"],))
    rewards = {reply: sum(item["reward"] for item in spans)
               for reply, spans in itertools.groupby(ordered, key=reply_of)}
    value, dropped = {}, set()
    for group, replies in itertools.groupby(rewards, key=lambda reply: reply[:2]):
        replies = list(replies)
        own = [rewards[reply] for reply in replies]
        if settings["filter"] and len(set(own)) == 1:
            dropped.add(group)
        for reply in replies:
            others = [rewards[other] for other in replies if other != reply]
            centred = rewards[reply] - mean(own)
            if settings["form"] == "none":
                value[reply] = rewards[reply]
            elif not others:
                value[reply] = 0.0
            elif settings["form"] == "rloo":
                value[reply] = rewards[reply] - mean(others)
            elif settings["form"] == "grpo":
                value[reply] = centred / (deviation(own) + 1e-6)
            else:
                value[reply] = centred
    kept = [reply for reply in rewards if reply[:2] not in dropped]
    scale, off = 1.0, 0.0
    if settings["form"] == "global" and kept:
        off = mean([value[reply] for reply in kept])
        scale = deviation([value[reply] for reply in kept]) + 1e-8
    elif settings["whiten"] and settings["form"] != "grpo" and kept:
        seen = [value[reply_of(item)] for item in items if group_of(item) not in dropped]
        scale = math.sqrt(mean([one * one for one in seen])) + 1e-8
    for item in items:
        item["dropped"] = group_of(item) in dropped
        item["advantage"] = 0.0 if item["dropped"] else (value[reply_of(item)] - off) / scale


def group_case(source, form, filtered, whitened):
    items = []
    for dialogue in range(6):
        equal = dialogue in (1, 4)
        for turn in (1, 2):
            for candidate in range(1 if dialogue == 5 else 2 + dialogue % 3):
                spans = 1 + (dialogue + candidate) % 2 if dialogue == 3 else 1
                for span in range(spans):
                    reward = 0.1 + 0.2 * turn if equal else source.gauss(0, 1)
                    items.append(dict(dialogue=dialogue, turn=turn, candidate=candidate,
                                      span=span, reward=reward))
    source.shuffle(items)
    settings = dict(form=form, filter=filtered, whiten=whitened)
    group_advantages(settings, items)
    return dict(settings, items=items)


def center_case(source, advantage):
    seen, batches, discount, decay = [], [], 0.9, 0.8
    for number in range(3):
        items = [dict(dialogue=10 * number + dialogue, turn=turn, candidate=candidate,
                      reward=source.gauss(-2, 1 + number), value=source.gauss(0, 1))
                 for dialogue in range(2) for candidate in range(2)
                 for turn in range(1, 2 + (dialogue + candidate + number) % 3)]
        seen += [item["reward"] for item in items]
        off = mean(seen)
        at = {(item["dialogue"], item["candidate"], item["turn"]): item for item in items}
        gae = {}
        for place in sorted(at, reverse=True):
            item, after = at[place], place[:2] + (place[2] + 1,)
            following = at.get(after, {"return": 0.0, "value": 0.0})
            item["return"] = item["reward"] - off + discount * following["return"]
            gae[place] = (item["reward"] - off + discount * following["value"] - item["value"]
                          + discount * decay * gae.get(after, 0.0))
            item["advantage"] = (gae[place] if advantage == "gae"
                                 else item["return"] - item["value"])
        source.shuffle(items)
        batches.append(dict(mean=off, items=items))
    return dict(advantage=advantage, discount=discount, gae_lambda=decay, batches=batches)


def credit_case(source, count, scale):
    entropy = [round(scale * source.expovariate(1) ** 2 * 64) / 64 for _ in range(count)]
    key = dict(seed=source.getrandbits(40), dialogue=source.randrange(10**6),
               turn=source.randrange(1, 5), candidate=source.randrange(8))
    average = mean(entropy)
    clipped = [min(max(value, 0.2 * average), 3 * average) for value in entropy]
    weights = [value / mean(clipped) if average > 0 else 1.0 for value in clipped]
    shuffled = list(weights)
    for i in range(count):
        words = philox((key["dialogue"], key["turn"], key["candidate"], i // 4),
                       (key["seed"] & 0xFFFFFFFF, (key["seed"] >> 32) * 64 + CREDIT))
        j = i + (words[i % 4] * (count - i) >> 32)
        shuffled[i], shuffled[j] = shuffled[j], shuffled[i]
    return dict(key, entropy=entropy, weights=weights, shuffled=shuffled)


def overlong_case(share, most):
    begin = (1 - share) * most
    return dict(share=share, most=most,
                penalties=[[length, min(1.0, max(0.0, (length - begin) / (share * most)))]
                           for length in range(0, most + 3)])


def main():
    source = random.Random(13)
    result = dict(
        groups=[group_case(source, form, filtered, whitened)
                for form in ("rloo", "mean", "grpo", "global")
                for filtered in (False, True) for whitened in (False, True)],
        centers=[center_case(source, advantage) for advantage in ("turn", "gae")],
        credits=[credit_case(source, count, scale)
                 for count, scale in ((1, 1), (2, 1), (7, 0.5), (12, 1), (23, 2), (5, 0))],
        overlong=[overlong_case(share, most) for share, most in ((0.25, 16), (1.0, 5), (0.1, 8))],
    )
    source = random.Random(14)  # one of its own, so that the cases above stay what they were
    result["groups"] += [group_case(source, "none", filtered, whitened)
                         for filtered in (False, True) for whitened in (False, True)]
    lines = ",\n".join(f' "{key}": [\n  ' + ",\n  ".join(json.dumps(case) for case in cases) + "\n ]"
                       for key, cases in result.items())
    pathlib.Path(sys.argv[1]).write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main()
