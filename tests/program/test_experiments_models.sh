# tools/experiments: reward models from pairs, an arm that nothing is trained for, and the grid: each step is done
# once, what is missing is a line, and the table says what every row saw and what the grid chose.
set -euo pipefail
source tests/program/common.sh
command -v python3 >/dev/null || { echo "no python3, which tools/experiments wants"; exit 77; }

cat >"$work/counted" <<PROGRAM
#!/usr/bin/env bash
echo "\$1" >>"$work/asked"
exec "$regard" "\$@"
PROGRAM
chmod +x "$work/counted"
export REGARD=$work/counted

expect_status 0 "$regard" sft --config $tiny --set sft.updates=40 --set sft.lr=3e-3 --set checkpoint.every=40 \
    --set eval.every=0 --run "$work/sft"
small=(--model "$work/sft" --updates 1 --seeds 1 --held-out 2 --replies 2 --jobs 1
    --set policy.schedule=constant --set rollout.dialogues=2 --set rollout.turns=1 --set rollout.candidates=2
    --set rollout.max_new_tokens=8 --set pairs.histories=60 --set pairs.margin=0 --set eval.dialogues=4 --set checkpoint.keep=1 --set history.max_tokens=96)

# by what nothing was trained for, and by attention and a model of 100 preferences
out=$work/tables
study=(tools/experiments dialogue "${small[@]}" --out "$out" --rm-updates 2 --arms start,greedy,hybrid_100)
expect_status 0 "${study[@]}"
expect_same "what was asked for" "3 eval 4 generate 1 import-data 2 reward 1 split 1 train" "$(sort "$work/asked" | uniq -c | xargs)"
table=$out/dialogue-tiny.md
grep -qE '^\| greedy \| nothing \| - \| [0-9.]+ ' "$table" || fail "no row of greedy replies"
grep -qE '^\| hybrid_100 \| 100 built-in preferences, which a program wrote \| 1 of 1 \| ' "$table" ||
    fail "the hybrid does not say what it saw"
grep -qE '^\| synthetic \| 1000 pairs made by n-grams of gold replies \| 0 \| not run' "$table" ||
    fail "what was not run does not say so"
grep -qE '^\| preferred_100 \| 100 built-in preferences, which a program wrote \| 2[0-9]{2} \| 0\.[0-9]+ \| 0\.' "$table" ||
    fail "no line of the reward model"
expect_same "pairs that the model saw, and those it is held to" 1400 \
    "$(cat "$out"/builtin-tiny/pairs-preferred/{train,valid}.jsonl | sort -u | wc -l)"
expect_same "greedy replies to a history" 1 \
    "$(cut -d, -f1 "$out/builtin-tiny/dialogue-1/greedy-start/values.jsonl" | sort | uniq -c | awk '{ print $1 }' | sort -u)"
before=$(sha256sum "$work/asked" "$table")
expect_status 0 "${study[@]}"
expect_same "a second start" "$before" "$(sha256sum "$work/asked" "$table")"
expect_status 1 "${study[@]}" --rm-updates 3
expect_line "rm-preferred_100 was made with other settings"

# pairs by a rule; too few of them for a model that wants more
expect_status 0 "${study[@]}" --step pairs:builtin:ngram
expect_same "what made the pairs" '"heuristic":"ngram"' \
    "$(grep -oh '"heuristic":"[a-z]*"' "$out"/builtin-tiny/pairs-ngram/{train,valid}.jsonl | sort -u)"
expect_status 1 "${study[@]}" --step rm:builtin:ngram:1000
expect_line "builtin-tiny/pairs-ngram has " " pairs to learn from, not 1000"

# the grid: chosen on the one half, reported on the other, done once; further points join those that are there
grid=(tools/experiments grid "${small[@]}" --out "$out" --alpha 1 --gamma 0)
rm "$work/asked"
expect_status 0 "${grid[@]}" --beta 0
table=$out/grid-tiny.md
grep -qE '^\| \*\*a1_b0_g0\*\* \| 1 \| 0 \| 0 \| 1 of 1 \| 0\.[0-9]+ \|.* \| 0\.[0-9]+ \|$' "$table" || fail "nothing was chosen"
expect_same "what was asked for" "4 generate 1 split 1 train" "$(sort "$work/asked" | uniq -c | xargs)"
halves=("$out"/builtin-tiny/grid/{valid,test}.jsonl)
expect_same "lines of both halves" "400 400" "$(cat "${halves[@]}" | wc -l) $(cat "${halves[@]}" | sort -u | wc -l)"
expect_same "the first line behind sft's" '"id":"synthetic:1:8200"' \
    "$(grep -oh '"id":"[^"]*"' "${halves[@]}" | sort -V | sed -n 1p)"
expect_status 0 "${grid[@]}" --beta 0,0.5
grep -qE 'of 2 of 2 points: a1_b0' "$table" || fail "the second point does not stand beside the first"
expect_same "trained" 2 "$(grep -c train "$work/asked")"
before=$(sha256sum "$work/asked" "$table")
expect_status 0 "${grid[@]}" --beta 0,0.5
expect_same "a third start" "$before" "$(sha256sum "$work/asked" "$table")"
expect_status 1 tools/experiments grid --out "$work/bad" --alpha one
expect_line "one is no weight"
