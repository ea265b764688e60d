#!/usr/bin/env python3
"""A reward of your own for regard: the share of a reply's characters that are small letters.

    --set reward.sources=command:1 --set reward.command="python3 tools/examples/reward.py"

A request a line comes in, {"id","turn","candidate","messages","reply","pieces","line"}; an answer a
line goes out, {"id","reward"}, flushed.  docs/reward.md has the contract."""
import json
import sys


def reward(request):
    reply = request["reply"].encode()
    letters = sum(ord("a") <= character <= ord("z") for character in reply)
    return letters / len(reply) if reply else 0.0


for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps({"id": request["id"], "reward": reward(request)}), flush=True)
