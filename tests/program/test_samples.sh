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
import json, math, sys
work, train = sys.argv[1:]
read = lambda path: [json.loads(line) for line in open(path)]
terms = ["coverage", "focus", "rep_hist", "rep_self"]
every = ["turn", "messages", "reply", "pieces", "history_pieces", "history_tokens", "salient", "visible",
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
check(trained, ["dialogue", "candidate", "reward_scaled", "credit", "ratio"])
assert read(f"{work}/train.jsonl")[0]["reply_tokens"] == trained[0]["reply_tokens"]
# What the update made of a token's probability is what the model that it left says; a token's credit
# is its reply's here (credit.form: uniform).
moved = 0
for before, after in zip(trained, read(f"{work}/train.jsonl"), strict=True):
    assert len(before["history_pieces"]) == len(before["history_tokens"])
    said = [math.exp(b - a) for a, b in zip(before["logp"], after["logp"])]
    assert all(abs(r - s) < 1e-5 for r, s in zip(before["ratio"], said, strict=True)), (before["ratio"], said)
    moved += sum(abs(r - 1) > 1e-4 for r in before["ratio"])
    assert len(set(before["credit"])) == 1 and len(before["credit"]) == len(before["logp"])
assert moved > 0, "no token moved"
assert len({s["credit"][0] for s in trained}) > 4, "credits do not differ"
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
# Users with names: every record names who said what, and score gives it back.
named=("${small[@]}" --set data.train=speakers:1:20 --set data.valid=speakers:1:4:100 --set rollout.turns=3
    --set attention.speakers=true)
expect_status 0 "$regard" train "${named[@]}" --set train.updates=1 --set eval.every=1 --set eval.dialogues=1 --run "$work/named"
expect_status 0 run/mpirun -np 3 "$regard" train "${named[@]}" --set train.updates=1 --set eval.every=1 --set eval.dialogues=1 \
    --run "$work/named-three"
cmp "$work/named/samples/step-000001.jsonl" "$work/named-three/samples/step-000001.jsonl" ||
    fail "names on three ranks"
expect_equal_metrics "$work/named/metrics.jsonl" "$work/named-three/metrics.jsonl"
for name in speaker_mass_asking speaker_mass_others speaker_coverage_asking speaker_coverage_others; do
    grep -qE "\"$name\":0\.[0-9]" "$work/named/metrics.jsonl" || fail "no $name"
done
expect_status 0 "$regard" eval "${named[@]}" --model "$work/named" --data speakers:9:3 \
    --out "$work/table.json" --samples "$work/named.jsonl"
expect_status 0 "$regard" score "${named[@]}" --model "$work/named" --data "$work/named.jsonl" \
    --out "$work/named-again.jsonl"
expect_status 0 "$regard" import-data --data speakers:9:3 --out "$work/speakers.jsonl"
python3 - "$work" <<'END' || fail "names in samples"
import json, sys
work = sys.argv[1]
read = lambda path: [json.loads(line) for line in open(f"{work}/{path}")]
data, samples, again = (read(n) for n in ["speakers.jsonl", "named.jsonl", "named-again.jsonl"])
assert len(samples) == len(again) == 9
for s, a in zip(samples, again):
    for key in ["speakers", "speaker", "visible", "coverage", "speaker_mass", "speaker_coverage"]:
        assert s[key] == a[key], key
    said = data[s["line"] - 1]["messages"]
    for got, want in zip(s["messages"], said):
        assert got.get("name") == want.get("name") and got["content"].strip() == want["content"].strip(), (got, want)
    names = []
    for m in said[: 2 * s["turn"]]:
        if m.get("name") not in names + [None]: names.append(m["name"])
    assert s["speakers"] == names
    for speaker, seen in zip(s["speaker"], s["visible"]):
        assert not speaker or seen
    assert set(s["speaker"]) == set(range(len(names) + 1))
    assert len(s["speaker_mass"]) == len(names) and 0 < sum(s["speaker_mass"]) < 1 + 1e-6
    of_all = sum(c * sum(k == i + 1 and m for k, m in zip(s["speaker"], s["salient"]))
                 for i, c in enumerate(s["speaker_coverage"]))
    assert of_all <= sum(s["salient_mass"]) / len(s["salient_mass"]) + 1e-6
assert all(set(s["speakers"]) for s in read("named/samples/step-000001.jsonl"))
END
for verb in score generate; do
    expect_status 0 "$regard" "$verb" --help
    for key in history_tokens reply_tokens pieces attention_entropy top_position reward_scaled; do
        grep -q "$key" "$work/out" || fail "$verb --help does not name $key"
    done
done
