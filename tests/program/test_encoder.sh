# eval.encoder: coherence, BERTScore and prompt relevance by a model's token states, in eval, in its
# comparison and in training; its layer is named, batches change nothing, and without the key all is
# as it was.
set -euo pipefail
source tests/program/common.sh

expect_status 0 "$regard" train --config $tiny --set train.updates=1 --set eval.every=0 --run "$work/run"
model=$(newest "$work/run")
measure() { # NAME SETTINGS...
    expect_status 0 "$regard" eval --model "$model" --data synthetic:1:6:200 --out "$work/$1.json" \
        --set rollout.max_new_tokens=8 --set history.max_tokens=512 "${@:2}"
}
number() { sed -n "s/.*\"$2\": \([^,}]*\).*/\1/p" "$work/$1.json"; }
measure plain
! grep -q bert_score "$work/plain.json" || fail "BERTScore without an encoder"
measure last --set eval.encoder="$work/run"
expect_said "coherence $(printf %.4f "$(number last coherence)") = (BLEU/100 " ", layer 2 of 2"
measure alone --set eval.encoder="$model" --set infer.batch=1
expect_equal_files "$work/last.json" "$work/alone.json"
# what the encoder adds is all that differs, and it says which layer of what it is of
grep -q '"encoder": ".*checkpoints/step-000001"' "$work/last.json" || fail "no encoder named"
expect_same layer 2 "$(number last encoder_layer)"
diff <(grep -vE '"(encoder|coherence|bert_score|prompt_relevance)|by_dialogue' "$work/last.json") \
    <(grep -v by_dialogue "$work/plain.json") || fail "the encoder changed other metrics"
# coherence is made of its parts; random replies are of other dialogues
near() { awk "BEGIN { off = $1 - ($2); exit !(off < 1e-12 && off > -1e-12) }" || fail "$1 is not $2"; }
near "$(number last coherence)" "($(number last bleu) / 100 + $(number last bert_score)) / 2"
awk "BEGIN { exit !($(number last coherence_floor) >= $(number last bert_score_floor) / 2) }" ||
    fail "the floor is not half of its parts"
for name in bert_score bert_score_precision bert_score_recall bert_score_floor prompt_relevance \
    prompt_relevance_random prompt_relevance_gold; do
    awk "BEGIN { v = $(number last $name); exit !(v > -1 && v < 1 && v != 0) }" || fail "$name is $(number last $name)"
done
# the same seed draws the same others, another seed others; one dialogue has none
measure seed --set eval.encoder="$model" --set seed=5
[ "$(number seed bert_score_floor)" != "$(number last bert_score_floor)" ] || fail "a floor of no draw"
expect_same "BERTScore under another seed" "$(number last bert_score)" "$(number seed bert_score)"
expect_status 0 "$regard" eval --model "$model" --data synthetic:1:1:200 --out "$work/one.json" \
    --set rollout.max_new_tokens=8 --set history.max_tokens=512 --set eval.encoder="$model"
expect_same "a floor of one dialogue" null "$(number one coherence_floor)"
# own histories
measure own --set eval.encoder="$model" --set eval.history=own
expect_same "relevance of gold replies" "$(number last prompt_relevance_gold)" "$(number own prompt_relevance_gold)"
[ "$(number own bert_score)" != "$(number last bert_score)" ] || fail "own histories change no BERTScore"

# side by side: means have errors, coherence none (BLEU has none); other layers do not compare
expect_status 0 "$regard" eval --compare "$work/last.json" "$work/own.json"
grep -qE '^bert_score +[-0-9.]+ +[-0-9.]+ +[-+][0-9.]+ +[0-9.]+$' "$work/out" || fail "no error of BERTScore"
grep -qE '^coherence +[-0-9.]+ +[-0-9.]+ +[-+][0-9.]+ +-$' "$work/out" || fail "no coherence side by side"
expect_status 0 "$regard" eval --compare "$work/plain.json" "$work/plain.json"
! grep -q coherence "$work/out" || fail "coherence of files that have none"
measure first --set eval.encoder="$model" --set eval.encoder_layer=0
expect_status 0 "$regard" eval --compare "$work/last.json" "$work/first.json"
expect_line "are by different encoders or layers of one"
grep -qE '^bert_score +[-0-9.]+ +[-0-9.]+ +- +-$' "$work/out" || fail "BERTScores of two layers are compared"

# in training, on any number of ranks
train=("$regard" train --config $tiny --set threads=1 --set train.updates=1 --set eval.every=1 --set eval.dialogues=3
    --set eval.encoder="$work/run" --set guard.metric=coherence --set guard.patience=1)
expect_status 0 "${train[@]}" --run "$work/trained"
expect_said "BERTScore and prompt relevance are by " ", layer 2 of 2"
grep -qE '"step": *1,"eval_.*"eval_coherence": *[0-9].*"eval_prompt_relevance_random": *[-0-9]' "$work/trained/metrics.jsonl" ||
    fail "training logs no coherence"
expect_status 0 ranks 3 "${train[@]}" --run "$work/trained-3"
expect_equal_metrics "$work/trained/metrics.jsonl" "$work/trained-3/metrics.jsonl"

refused() { # TEXT SETTINGS...
    expect_status 1 "$regard" eval --model "$model" --data synthetic:1:2:200 --out "$work/bad.json" "${@:2}"
    expect_line "$1"
    [ ! -e "$work/bad.json" ] || fail "$* left a file"
}
refused "eval.encoder_layer is 3; $model has 2 layers" --set eval.encoder="$model" --set eval.encoder_layer=3
mkdir "$work/wordless"
cp tests/golden/relu-tied/model/* "$work/wordless"
refused "eval.encoder: $work/wordless holds no tokenizer" --set eval.encoder="$work/wordless"
