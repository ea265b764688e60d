# A message of the user that is longer than history.max_tokens allows ends no run: train leaves its
# dialogue out, sft and eval its turn, and each says so once, with the line.
set -euo pipefail
source tests/program/common.sh

line() { printf '{"messages":[{"role":"user","content":"%s"},{"role":"assistant","content":"%s"}]}\n' "$1" "$2"; }
long=$(printf 'word %.0s' {1..60})
for i in 1 2 3 4 5 6; do line "Is it open at $i?" "Yes, it is."; done >"$work/data.jsonl"
line "$long" "Yes." >>"$work/data.jsonl"
line "And at noon?" "No." >>"$work/data.jsonl"
line "$long" "Yes." >"$work/long.jsonl"
small=(--config $tiny --set threads=1 --set tokenizer.path=bytes --set history.max_tokens=128
    --set rollout.dialogues=4 --set rollout.max_new_tokens=8)

# expect_warning TEXT: one warning, with it and with the line.
expect_warning() {
    [ "$(grep -c 'left out\|not evaluated' "$work/err")" = 1 ] || fail "not one warning"
    expect_said "data.jsonl: 1 $1" "line 7" "history.max_tokens (128)"
}

expect_status 0 "$regard" train "${small[@]}" --set data.train="$work/data.jsonl" \
    --set data.valid="$work/data.jsonl" --set eval.every=2 --set eval.dialogues=0 --set train.updates=4 --run "$work/run"
[ "$(grep -c 'left out' "$work/err")" = 1 ] || fail "train does not say once what is left out"
expect_said "1 dialogues are left out, the first in line 7" "1 turns are not evaluated"
[ "$(grep -c '"update"\|"step"' "$work/run/metrics.jsonl")" -ge 4 ] || fail "train ended early"

expect_status 0 "$regard" sft "${small[@]}" --set data.train="$work/data.jsonl" --set data.valid= \
    --set sft.updates=2 --set sft.batch=4 --run "$work/sft"
expect_warning "turns are left out"

expect_status 0 "$regard" eval "${small[@]}" --model "$(newest "$work/run")" \
    --data "$work/data.jsonl" --out "$work/table.json"
expect_warning "turns are not evaluated"
grep -q '"replies": 7' "$work/table.json" || fail "eval: $(head -1 "$work/table.json")"

# Nothing that fits: refused at the start, in a dry run too.
expect_status 1 "$regard" train "${small[@]}" --set data.train="$work/long.jsonl" \
    --set rollout.dialogues=1 --run "$work/none" --dry-run
expect_line "long.jsonl" "history.max_tokens"
