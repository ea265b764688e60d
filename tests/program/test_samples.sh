# One record of a reply: train, eval, generate and score write it, score reads it back, and says the
# same of it.
set -euo pipefail
source tests/program/common.sh

small=(--config $tiny --set threads=1 --set rollout.max_new_tokens=8)
expect_status 0 "$regard" train "${small[@]}" --set train.updates=2 --set eval.every=2 \
    --set eval.dialogues=2 --set rollout.turns=2 --run "$work/run"
model=$(newest "$work/run")
train=$work/run/samples/step-000002.jsonl
expect_status 0 "$regard" eval "${small[@]}" --model "$model" --data synthetic:9:3 \
    --out "$work/table.json" --samples "$work/eval.jsonl"
expect_status 0 "$regard" score "${small[@]}" --model "$model" --data "$work/eval.jsonl" \
    --out "$work/scored.jsonl"
expect_status 0 "$regard" score "${small[@]}" --model "$model" --data "$work/scored.jsonl" \
    --out "$work/again.jsonl"
expect_status 0 "$regard" score "${small[@]}" --model "$model" --data "$train" \
    --out "$work/train.jsonl"

python3 - "$work" "$train" <<'END' || fail "samples"
import json, sys
work, train = sys.argv[1:]
read = lambda path: [json.loads(line) for line in open(path)]
terms = ["coverage", "focus", "rep_hist", "rep_self"]
every = ["turn", "messages", "reply", "pieces", "history_tokens", "salient", "visible",
         "reply_tokens", "ended", "logp", "token_entropy", "attention_entropy",
         "attention_entropy_floored", "salient_mass", "special_mass", "turn_mass", "top_position",
         "top_weight", "reward"] + terms
def check(lines, more):
    assert lines
    for s in lines:
        for key in every + more:
            assert key in s, (key, sorted(s))
        n = len(s["reply_tokens"])
        for key in ["pieces", "logp", "token_entropy", "attention_entropy", "salient_mass",
                    "turn_mass", "top_position"]:
            assert len(s[key]) == n, (key, len(s[key]), n)
        assert "".join(s["pieces"]).strip() == s["reply"].strip() or "\ufffd" in "".join(s["pieces"])
evaluated, scored, again = (read(f"{work}/{n}.jsonl") for n in ["eval", "scored", "again"])
trained = read(train)
check(evaluated, ["line", "gold"])
check(scored, ["id", "reward_scaled"])
check(trained, ["dialogue", "candidate", "reward_scaled"])
assert read(f"{work}/train.jsonl")[0]["reply_tokens"] == trained[0]["reply_tokens"]
assert len(evaluated) == len(scored) == len(again)
for a, b, c in zip(evaluated, scored, again):
    # Terms do not depend on the temperature, nor on who reads the tokens.
    for key in terms + ["reply_tokens", "reply", "attention_entropy", "reward", "turn"]:
        assert a[key] == b[key] == c[key], (key, a[key], b[key], c[key])
    assert b["logp"] == c["logp"]
# Turns do not run together: a second turn has three messages, of two speakers.
second = [s for s in evaluated if s["turn"] == 2]
assert second
for s in second:
    assert [m["role"] for m in s["messages"]] == ["user", "assistant", "user"], s["messages"]
first = next(s for s in evaluated if s["turn"] == 1 and s["line"] == second[0]["line"])
assert second[0]["messages"][0] == first["messages"][0]
assert second[0]["messages"][1]["content"].strip() == first["gold"].strip()
END
for verb in score generate; do
    expect_status 0 "$regard" "$verb" --help
    for key in history_tokens reply_tokens pieces attention_entropy top_position reward_scaled; do
        grep -q "$key" "$work/out" || fail "$verb --help does not name $key"
    done
done
