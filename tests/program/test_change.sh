# What may change on resume when it is asked for, where that is written down, and a reference of its own.
set -euo pipefail
source tests/program/common.sh

train=("$regard" train --config $tiny --set threads=1 --set eval.every=0 --set checkpoint.every=0)
last() { sed -n "s/.*\"$2\":\([^,}]*\).*/\1/p" "$1/metrics.jsonl" | tail -1; }

expect_status 0 "${train[@]}" --set train.updates=2 --run "$work/run"
expect_said "the reference is the model of random weights that the run began with"
expect_same "the rate" 0.001 "$(last "$work/run" learning_rate)"

expect_said "train 2: ends; checkpoints/newest is step 2, no update was evaluated"
expect_status 0 "${train[@]}" --set train.updates=0 --run "$work/nothing"
expect_said "train 0: ends without an update; there is no checkpoint"
apart=(--set eval.every=2 --set eval.dialogues=2 --set train.updates=3 --set checkpoint.every=3)
expect_status 0 "${train[@]}" "${apart[@]}" --run "$work/apart"
expect_said "train 3: ends; step 2 was evaluated best, eval_rouge_l 0" "no step has both a checkpoint and an evaluation"

# Not without being asked, and not every key; nothing is written.
expect_status 1 "${train[@]}" --set train.updates=3 --set policy.lr=0.5 --run "$work/run" --resume
expect_said "key policy.lr differs" "--change policy.lr=VALUE"
expect_status 1 "${train[@]}" --change seed=2 --run "$work/run" --resume
expect_line "seed stays as the run began" policy.lr kl.coef policy.schedule
expect_status 1 "${train[@]}" --change policy.speed=2 --run "$work/run" --resume
expect_line "unknown key policy.speed"
[ "$(wc -l <"$work/run/metrics.jsonl")" = 2 ] || fail "a refused resume wrote metrics"

changed=(--set train.updates=4 --change policy.lr=0.5 --change kl.coef=0.25 --change policy.schedule=cosine)
expect_status 0 "${train[@]}" "${changed[@]}" --run "$work/run" --resume
expect_said "changed from update 3 on: policy.lr from 0.001 to 0.5, kl.coef from 0.2 to 0.25, policy.schedule from constant to cosine"
grep '^{"step":3,' "$work/run/metrics.jsonl" |
    grep -q '"changed_policy_lr":0.5,"changed_kl_coef":0.25,' || fail "$(cat "$work/run/metrics.jsonl")"
[ "$(grep -c changed_ "$work/run/metrics.jsonl")" = 1 ] || fail "more than one change is told"
grep -q '"learning_rate":0.25,' <(grep '^{"step":3,' "$work/run/metrics.jsonl") || fail "not half of the new rate"
about=$work/run/about.txt
[ "$(grep -c ' from the beginning$' "$about")" = 1 ] || fail "$(cat "$about")"
grep -q " from .*step-000002$" "$about" || fail "$(cat "$about")"
grep -qF -- "--change policy.lr=0.5" "$about" || fail "no command line: $(cat "$about")"
grep -q "changed from update 3 on: policy.lr from 0.001 to 0.5" "$about" || fail "$(cat "$about")"

# The same line again, on a run that is over: nothing is to do, and no file of events without events.
events() { find "$work/run" -name 'events.out.*' | wc -l; }
before=$(events)
expect_status 0 "${train[@]}" "${changed[@]}" --run "$work/run" --resume
[ "$(events)" = "$before" ] || fail "a finished run got another file of events"

# A run from a checkpoint: its own beginning is the reference, or another model, which is another run.
model=$(newest "$work/run")
expect_status 0 "${train[@]}" --set train.updates=1 --set model.path="$model" --run "$work/own"
expect_said "the reference is $model, which the run began with (model.path)"
awk -v kl="$(last "$work/own" kl)" 'BEGIN { exit !(kl < 1) }' || fail "far from itself: $(last "$work/own" kl)"
other=(--set train.updates=1 --set model.path="$model" --set model.reference_path="$(newest "$work/own")")
expect_status 0 "${train[@]}" "${other[@]}" --set scorer=frozen --run "$work/other"
expect_said "the reference is $(newest "$work/own") (model.reference_path)"
[ "$(last "$work/other" kl)" != "$(last "$work/own" kl)" ] || fail "the same KL to another reference"
expect_status 0 "${train[@]}" "${other[@]}" --set train.updates=2 --set scorer=frozen --run "$work/other" --resume
expect_status 1 "${train[@]}" "${other[@]}" --set train.updates=3 --set scorer=frozen \
    --set model.reference_path="$model" --run "$work/other" --resume
expect_said "the reference differs"
expect_status 1 "${train[@]}" --set train.updates=1 --set model.vocabulary=400 \
    --set model.reference_path="$model" --run "$work/third"
expect_said "model.reference_path" "ids"

# Lines of the log every third update, and of the last: log.every.  Of the metrics, log.metrics_every, which says
# in its first line what was changed.
steps() { sed -n 's/^{"step":\([0-9]*\),.*/\1/p' "$work/few/metrics.jsonl" | tr '\n' ' '; }
expect_status 0 "${train[@]}" --set train.updates=7 --set log.every=3 --run "$work/few"
expect_same "steps" "1 2 3 4 5 6 7 " "$(steps)"
[ "$(grep -c 'train [0-9]*/7' "$work/err")" = 3 ] || fail "$(cat "$work/err")"
expect_status 0 "${train[@]}" --set train.updates=13 --set log.metrics_every=4 --change policy.lr=0.5 --run "$work/few" --resume
expect_same "steps" "1 2 3 4 5 6 7 8 12 13 " "$(steps)"
expect_same "the line that tells the change" '{"step":8,' \
    "$(grep changed_policy_lr "$work/few/metrics.jsonl" | grep -o '^{"step":[0-9]*,')"
