# tools/experiments dialogue: the dialogues that each model generates by itself are measured, in tables too that were made
# before that, without anything trained anew; the table says what gold and random replies come to.
set -euo pipefail
source tests/program/common.sh
command -v python3 >/dev/null || { echo "no python3, which tools/experiments wants"; exit 77; }

cat >"$work/counted" <<PROGRAM
#!/usr/bin/env bash
echo "\$1" >>"$work/asked"
[ "\$1" != eval ] || printf '%s\n' "\$@" | grep '^eval\.[th]' >>"$work/evaluated"
exec "$regard" "\$@"
PROGRAM
chmod +x "$work/counted"
export REGARD=$work/counted

expect_status 0 "$regard" sft --config $tiny --set sft.updates=16 --set sft.lr=3e-3 --set checkpoint.every=16 \
    --set eval.every=0 --run "$work/sft"
base=$work/tables/dialogues-tiny cells=$work/tables/dialogues-tiny/dialogue-1 table=$work/tables/dialogue-tiny.md
mkdir -p "$base"
for lines in train:12:0 valid:3:8000 labelled:6:20000; do
    IFS=: read -r name count first <<<"$lines"
    expect_status 0 "$regard" import-data --data "synthetic:1:$count:$first" --out "$base/$name.jsonl"
done
study=(tools/experiments dialogue --corpus dialogues --model "$work/sft" --updates 1 --rm-updates 6 --seeds 1 --held-out 3
    --replies 2 --jobs 1 --out "$work/tables" --set policy.schedule=constant --set rollout.dialogues=2
    --set rollout.turns=1 --set rollout.candidates=2 --set rollout.max_new_tokens=8)
expect_status 0 "${study[@]}" --arms start,greedy,random
expect_same "what was asked for" "3 eval 4 generate 1 reward 1 train" "$(sort "$work/asked" | uniq -c | xargs)"

# every model's own, all turns of them, at its own temperature
expect_same "whole dialogues" "3 eval.history=own 1 eval.temperature=0 2 eval.temperature=0.8" \
    "$(sort "$work/evaluated" | uniq -c | sort -k2 | xargs)"
expect_same "replies in them" "$(wc -l <"$base/histories.jsonl")" "$(sed -n 's/{"replies": \([0-9]*\),/\1/p' "$cells/random-1/whole.json")"
figure() { # NAME DIVISOR
    awk -v name="\"$1\":" -v by="${2:-1}" '$1 == name { sub(/,/, "", $2); printf "%.3f", $2 / by }' "$cells/random-1/whole.json"
}
expect_figures() { # LINE'S BEGINNING TEXT...: a line of the table with these texts
    local line text
    line=$(grep -- "^$1" "$table") || fail "no line of the table begins with $1"
    for text in "${@:2}"; do
        [[ $line = *"$text"* ]] || fail "the table does not say $text: $line"
    done
}
expect_figures '| random |' " | $(figure coherence) | $(figure bleu 100) | $(figure bert_score) | $(figure consistency) | "
expect_figures 'Whole dialogues' "/sft/checkpoints/step-000016, layer 2, not rescaled" " topic/run/checkpoints/step-0000" \
    "of random replies it is $(figure bert_score_floor), coherence $(figure coherence_floor)." \
    "gold replies have $(figure consistency_gold), random ones $(figure consistency_random)" "takes $(figure on_topic_accuracy) for"
before=$(sha256sum "$work/asked" "$table") made=$(cat "$table")
expect_status 0 "${study[@]}" --arms start,greedy,random
expect_same "a second start" "$before" "$(sha256sum "$work/asked" "$table")"

# a table from before: what lacks them says so, and has them then
cp "$cells/random-1/whole.json" "$work/whole.json"
rm -r "$base/topic" "$cells/random-1/whole.json" "$work/asked"
expect_status 0 "${study[@]}" --arms -
expect_figures '| random |' " | 1 of 1 | 0." " | not run | not run | not run | not run | "
expect_status 0 "${study[@]}" --arms start,greedy,random
expect_same "what was asked for again" "reward eval" "$(paste -sd' ' "$work/asked")"
expect_equal_files "$work/whole.json" "$cells/random-1/whole.json"
expect_same "the table" "$made" "$(cat "$table")"
# of two thresholds there is no table; a model of other updates is refused
sed -i 's/"on_topic_threshold": .*/"on_topic_threshold": 9,/' "$cells/greedy-start/whole.json"
expect_status 1 "${study[@]}" --arms -
expect_line "whole.json of $cells are by more than one on_topic_threshold"
expect_status 1 "${study[@]}" --arms start --rm-updates 3
expect_line "$base/topic was made with other settings"

# by hand: the mean over two seeds with its deviation; a change over two dialogues, of which a resample has the one twice, the
# other twice, or both
hand() { # ROW-SEED CONSISTENCY ACCEPTED ACCEPTED: of two replies in either dialogue
    local of=$work/hand/builtin-tiny/dialogue-1/$1 dialogue
    mkdir -p "$of/run"
    echo '{"reward":0}' >"$of/run/metrics.jsonl"
    for dialogue in 0 1; do
        echo '{"id":"'$dialogue'.1","dialogue":"'$dialogue'","candidate":0,"tokens":3,"distinct":1,"reward":0}'
    done >"$of/values.jsonl"
    cat >"$of/whole.json" <<END
{"encoder": "/old/builtin-tiny/sft", "encoder_layer": 2, "on_topic": "/old/builtin-tiny/topic", "on_topic_threshold": 0.5,
 "bleu": 40, "coherence": 0.5, "coherence_floor": null, "bert_score": 0.6, "bert_score_floor": 0.3, "consistency": $2,
 "consistency_gold": 0.9, "consistency_random": 0.1, "on_topic_accuracy": 0.9,
 "by_dialogue": {"metrics": ["bert_score", "consistency"], "rows": [[1.2, 2, $3, 2], [1.2, 2, $4, 2]]}}
END
}
hand start-start 0.25 0 1
hand mtc-1 0.75 2 1
hand mtc-2 0.25 0 1
table=$work/table
python3 tools/studies/table.py dialogue "$work/hand" tiny 1 tools/studies/rows/dialogue 1,2 builtin >"$table"
expect_figures '| mtc | nothing' " | 0.500 ± 0.000 | 0.400 ± 0.000 | 0.600 ± 0.000 | 0.500 ± 0.354 | "
expect_figures '| mtc | start' " | +0.000 [+0.000, +0.000] | +0.250 [+0.000, +0.500] |"
expect_figures 'Whole dialogues' "by the start, sft, layer 2" "coherence -." "model, topic, its"

# answers in steps are no dialogues
rm "$work/asked"
expect_status 0 tools/experiments reasoning --model "$work/sft" --arms start --held-out 2 --replies 2 --out "$work/steps" \
    --set rollout.max_new_tokens=8
expect_same "asked of answers in steps" "import-data generate" "$(paste -sd' ' "$work/asked")"
! grep -q consistency "$work/steps/reasoning-tiny.md" || fail "answers in steps are measured as dialogues"
