# device: sleep, a timed stub: a run goes through all it has, says what it is, takes at least the
# time that its device works, gives the same over ranks; and what it saves is taken for nothing else.
set -euo pipefail
source tests/program/common.sh

slow=(--set device=sleep --set sleep.launch=2e-5 --set train.updates=4 --set eval.every=2
    --set checkpoint.every=2)
expect_status 0 "$regard" train --config $tiny "${slow[@]}" --run "$work/one"
expect_said "warning: device: sleep is a timed stub: NOTHING IS COMPUTED"
awk -F'"timed_stub_seconds":' '
    /"loss":/ {
        split($0, a, "\"seconds\":"); lines++
        if (NF != 2 || $2 + 0 <= 0.01 || a[2] + 0 < $2 - 0.002) { print "bad: " $0; exit 1 }
        if (!/"ratio_deviation_first":0.0,/ || !/"reply_length":12.0,/) { print "bad: " $0; exit 1 }
    }
    END { if (lines != 4) exit 1 }' "$work/one/metrics.jsonl" || fail "times of $work/one"

# Roles and lag change who waits for whom, and no number.
rest() { sed -E 's/,"seconds":.*/}/' "$1/metrics.jsonl"; }
expect_status 0 ranks 3 "$regard" train --config $tiny "${slow[@]}" --set pipeline.lag=1 \
    --run "$work/three"
expect_status 0 "$regard" train --config $tiny "${slow[@]}" --set pipeline.lag=1 --run "$work/lag"
expect_same "metrics over ranks" "$(rest "$work/lag")" "$(rest "$work/three")"
expect_status 0 "$regard" train --config $tiny "${slow[@]}" --set model.family=llama \
    --set adapter.rank=2 --run "$work/llama"

# A stub holds nothing: one of a model that no host could hold is no matter.
expect_status 0 "$regard" train --config $tiny "${slow[@]}" --set model.d_model=8192 --set model.d_ff=32768 \
    --set model.encoder_layers=48 --dry-run --run "$work/large"

# Resumed under the same device; refused under another, and as a model.
newest=$(newest "$work/one")
[ -s "$newest/timed_stub.txt" ] || fail "no mark in $newest"
expect_status 0 "$regard" train --config $tiny "${slow[@]}" --set train.updates=5 --run "$work/one" \
    --resume
expect_status 1 "$regard" train --config $tiny "${slow[@]:2}" --set device=cpu \
    --set sleep.launch=4e-6 --set train.updates=6 --run "$work/one" --resume
expect_said "was written under device: sleep, which computes nothing"
expect_status 1 "$regard" generate --model "$newest" --data synthetic:1:2 --out "$work/replies"
expect_said "was written under device: sleep, which computes nothing"
expect_status 1 "$regard" generate --model "$newest" --data synthetic:1:2 --out "$work/replies" --set device=sleep
expect_said "device: sleep computes nothing: it is for timing train, sft and reward alone"
rm "$newest/timed_stub.txt"
expect_status 1 "$regard" generate --model "$newest" --data synthetic:1:2 --out "$work/replies"
expect_said "timed_stub.txt is missing"

# At lag 1 a batch goes to the learner before the next one is generated: the learner never waits for that.
expect_status 0 ranks 2 "$regard" train --config configs/scaling.yaml --set sleep.launch=1e-4 \
    --set sleep.flops=1e12 --set train.updates=5 --set log.every=1 --run "$work/ahead"
awk '
    function of(kind, rank, list) {
        if (!match($0, "\"" kind "\":\\[[^]]*")) return 0
        split(substr($0, RSTART + length(kind) + 4, RLENGTH), list, ",")
        return list[rank + 1] + 0
    }
    /"seconds":/ {
        if (of("generate", 1) < 0.2) { print "generated without owing: " $0; exit 1 }
        # Nothing is generated beside the last update, of which actors have nothing to send late.
        if (lines++ && lines < 5 && of("wait_experience", 0) < of("generate", 1) / 2) prompt++
    }
    END { if (!prompt) { print "experience always came late"; exit 1 } }' "$work/ahead/metrics.jsonl" >"$work/err" ||
    fail "who waited for whom at lag 1"
