# The generated tasks with every verb that takes dialogues: what is given is history everywhere, the
# last reply alone is generated, scored, measured and learned; import-data writes their lines.
set -euo pipefail
source tests/program/common.sh

lines() { [ "$(wc -l <"$1")" = "$2" ] || fail "$1 has $(wc -l <"$1") lines, not $2"; }
small=(--set tokenizer.path=bytes --set model.d_model=16 --set model.d_kv=8 --set model.heads=2
    --set model.d_ff=16 --set model.encoder_layers=1 --set model.decoder_layers=1 --set threads=1
    --set history.max_tokens=512 --set rollout.max_new_tokens=4)

for task in reverse:1:3 slot:1:3:7 reasoning:1:3:2; do
    expect_status 0 "$regard" import-data --data $task --out "$work/$task.jsonl"
    lines "$work/$task.jsonl" 3
    expect_status 0 "$regard" import-data --data $task --out -
    cmp -s "$work/out" "$work/$task.jsonl" || fail "standard output differs from the file"
done
expect_status 2 "$regard" import-data --keep-system --data story:1:3 --out "$work/x"
grep -q -- "--keep-system: story:1:3 has no system messages" "$work/err" || fail "keep-system"

# sft: a set by its name and from its file gives the same weights.
for data in reverse:1:3 "$work/reverse:1:3.jsonl"; do
    rm -rf "$work/run"
    expect_status 0 "$regard" sft --config $tiny "${small[@]}" --set "data.train=$data" \
        --set data.valid=reverse:1:2:100 --set sft.updates=2 --set sft.batch=2 \
        --set checkpoint.every=2 --set eval.every=2 --run "$work/run"
    model=$(newest "$work/run")
    hash=$(parameters_hash "$model")
    expect_same "$data" "${named:=$hash}" "$hash"
done

expect_status 0 "$regard" eval --model "$model" --data reverse:1:2:100 --out "$work/eval.json" \
    --samples "$work/samples.jsonl" "${small[@]}"
lines "$work/samples.jsonl" 2
expect_status 0 "$regard" score --model "$model" --data reverse:1:2 --out "$work/scored.jsonl" \
    "${small[@]}"
lines "$work/scored.jsonl" 2
expect_status 0 "$regard" generate --model "$model" --data reverse:1:2 --out "$work/made.jsonl" \
    "${small[@]}" --set rollout.candidates=3
lines "$work/made.jsonl" 6
grep -q '"turn": *1' "$work/made.jsonl" || fail "the question is not turn 1"

# A rollout samples the last turn alone; what was made by name may not be exchanged at a resume.
expect_status 0 "$regard" train --config $tiny "${small[@]}" --set data.train=reverse:1:8 \
    --set data.valid=reverse:1:2:100 --set train.updates=1 --set checkpoint.every=1 \
    --set eval.every=1 --run "$work/rl"
expect_status 1 "$regard" train --config $tiny "${small[@]}" --set data.train=reverse:2:8 \
    --set data.valid=reverse:1:2:100 --set train.updates=2 --run "$work/rl" --resume
grep -q "key data.train differs" "$work/err" || fail "another set was taken at a resume"

# The three configurations with a model of no skill: the share that is right is measured, held out too.
for task in reverse story slot; do
    expect_status 0 "$regard" train --config configs/$task.yaml --set "model.path=$model" \
        --set threads=1 --set train.updates=1 --set eval.dialogues=2 --set rollout.max_new_tokens=4 \
        --set rollout.dialogues=2 --run "$work/$task"
    grep -q '"verifier":' "$work/$task/metrics.jsonl" || fail "$task: no verifier in the metrics"
    grep -q '"eval_verifier":' "$work/$task/metrics.jsonl" || fail "$task: it is not held out"
done
