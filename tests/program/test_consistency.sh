# eval.on_topic: the share of replies that a reward model takes for its dialogue's, whose threshold is fixed on
# validation lines, beside that of gold and of random replies and what it knows; in eval, its comparison and training.
set -euo pipefail
source tests/program/common.sh

expect_status 0 "$regard" train --config $tiny --set train.updates=1 --set eval.every=0 --run "$work/run"
model=$(newest "$work/run")
expect_status 0 "$regard" reward --config $tiny --set threads=1 --set rm.objective=on_topic --set rm.updates=4 \
    --set rm.lr=3e-3 --set data.train=synthetic:1:20 --set data.valid=synthetic:1:4:60 --set eval.every=4 --run "$work/topic"
measure() { # NAME SETTINGS...
    expect_status 0 "$regard" eval --model "$model" --data synthetic:1:6:200 --out "$work/$1.json" \
        --set rollout.max_new_tokens=8 --set history.max_tokens=512 "${@:2}"
}
number() { sed -n "s/.*\"$2\": \([^,}]*\).*/\1/p" "$work/$1.json"; }
measure plain
measure topic --set eval.on_topic="$work/topic" --set data.valid=synthetic:1:6:300
expect_said "consistency is by $work/topic/checkpoints/step-0000" " replies of synthetic:1:6:300 from others'" \
    "consistency $(printf %.4f "$(number topic consistency)"); of the data's replies $(printf %.4f "$(number topic consistency_gold)")"
! grep -q 'the lines that are measured' "$work/err" || fail "a threshold of other lines is warned of"
measure alone --set eval.on_topic="$work/topic" --set infer.batch=1 --set eval.on_topic_data=synthetic:1:6:300 \
    --set data.valid=synthetic:1:9
expect_equal_files "$work/topic.json" "$work/alone.json"
diff <(grep -vE '"(on_topic|consistency)|by_dialogue' "$work/topic.json") <(grep -v by_dialogue "$work/plain.json") ||
    fail "the reward model changed other metrics"
# shares; the accuracy is of gold and random replies
awk -v own="$(number topic consistency)" -v gold="$(number topic consistency_gold)" -v random="$(number topic consistency_random)" \
    -v accuracy="$(number topic on_topic_accuracy)" 'BEGIN {
        off = accuracy - (gold + 1 - random) / 2
        exit !(own >= 0 && own <= 1 && gold > 0 && gold <= 1 && random < 1 && off < 1e-12 && off > -1e-12) }' ||
    fail "no shares: $(grep -E 'consistency|accuracy' "$work/topic.json")"
# whole dialogues: what is of gold replies stays
measure own --set eval.on_topic="$work/topic" --set data.valid=synthetic:1:6:300 --set eval.history=own
expect_same "gold replies' share" "$(number topic consistency_gold)" "$(number own consistency_gold)"
expect_status 0 "$regard" eval --compare "$work/topic.json" "$work/own.json"
grep -qE '^consistency +[0-9.]+ +[0-9.]+ +[-+][0-9.]+ +[0-9.]+$' "$work/out" || fail "no error of consistency"
measure other --set eval.on_topic="$work/topic" --set data.valid=synthetic:3:4:300
expect_status 0 "$regard" eval --compare "$work/topic.json" "$work/other.json"
expect_line "are by different reward models or thresholds: consistencies do not compare"
grep -qE '^consistency +[0-9.]+ +[0-9.]+ +- +-$' "$work/out" || fail "consistencies of two thresholds are compared"

# what is asked of whole and of cut sequences is of the same decisions
expect_status 0 "$regard" eval --model "$work/topic" --data synthetic:1:6:300 --out "$work/inspected.json" \
    --set rm.objective=on_topic --set rm.inspect=true
expect_same "accuracy, nothing masked" "$(number inspected accuracy)" "$(number inspected masked_0)"

train=("$regard" train --config $tiny --set threads=1 --set train.updates=1 --set eval.every=1 --set eval.dialogues=3
    --set eval.on_topic="$work/topic" --set guard.metric=consistency --set guard.patience=1)
expect_status 0 "${train[@]}" --run "$work/trained"
expect_said "the threshold of consistency is fixed on" "the lines that are measured; eval.on_topic_data fixes it on others"
grep -qE '"step": *1,"eval_.*"eval_consistency": *[0-9].*"eval_on_topic_accuracy": *[0-9]' "$work/trained/metrics.jsonl" ||
    fail "training logs no consistency"
expect_status 0 ranks 3 "${train[@]}" --run "$work/trained-3"
expect_equal_metrics "$work/trained/metrics.jsonl" "$work/trained-3/metrics.jsonl"

# A resumed run has the judge and the threshold's dialogues that it began with; others are refused, moved ones taken.
cp -r "$work/topic" "$work/moved"
more=("$regard" train --config $tiny --set threads=1 --set train.updates=2 --set eval.every=1 --set eval.dialogues=3
    --set guard.metric=consistency --set guard.patience=1 --run "$work/trained" --resume)
expect_status 0 "$regard" reward --config $tiny --set threads=1 --set rm.objective=on_topic --set rm.updates=1 \
    --set rm.lr=3e-3 --set data.train=synthetic:1:20 --set data.valid= --set eval.every=0 --run "$work/judge"
expect_status 1 "${more[@]}" --set eval.on_topic="$work/judge"
expect_said_once "the contents of eval.on_topic are not what this run began with"
"$regard" import-data --data synthetic:1:4 --out "$work/fixed-on.jsonl"
expect_status 1 "${more[@]}" --set eval.on_topic="$work/moved" --set eval.on_topic_data="$work/fixed-on.jsonl"
expect_said_once "the contents of eval.on_topic_data are not what this run began with"
expect_status 0 "${more[@]}" --set eval.on_topic="$work/moved" --set eval.encoder="$model"

refused() { # TEXT SETTINGS...
    expect_status 1 "$regard" eval --model "$model" --data synthetic:1:2:200 --out "$work/bad.json" "${@:2}"
    expect_line "$1"
    [ ! -e "$work/bad.json" ] || fail "$* left a file"
}
refused "eval.on_topic needs dialogues to fix its threshold on" --set eval.on_topic="$model"
refused "eval.on_topic: $model is a language model's folder; a reward model's is wanted" --set eval.on_topic="$model" \
    --set data.valid=synthetic:1:5
refused "wants replies of two dialogues or more" --set eval.on_topic="$(newest "$work/topic")" --set data.valid=synthetic:1:1
