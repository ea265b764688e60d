# Sources of reward over a run: columns of metrics, samples and evaluation, what score says of a
# file, and that ranks, a kill and a resume change nothing.
set -euo pipefail
source tests/program/common.sh

sources=constant:0.5,random
settings=(--config $tiny --set train.updates=3 --set eval.every=3 --set checkpoint.every=1
    --set threads=1 --set rollout.dialogues=2 --set learn.microbatches=2 --set eval.dialogues=1
    --set "reward.sources=$sources")

# every update: raw, scaled and the time of each source; no column of a source that is not listed
run=$work/run
expect_status 0 "$regard" train "${settings[@]}" --run "$run"
for name in constant constant_scaled constant_ms random random_scaled random_ms \
    within_share_random; do
    [ "$(grep -c "\"$name\":" "$run/metrics.jsonl")" = 3 ] || fail "no $name in each update"
done
! grep -E '"(coverage|focus|eval_coverage)":' "$run/metrics.jsonl" || fail "columns of attention"
[ "$(grep -c '"constant":1.0,' "$run/metrics.jsonl")" = 3 ] || fail "constant is not 1"
grep -q '"eval_random":' "$run/metrics.jsonl" || fail "no eval_random"

# samples: each reply's own
sample=$run/samples/step-000003.jsonl
[ "$(grep -cE '"constant":1\.0,"random":[01]\.0,"reward":(0|1)\.5' "$sample")" = "$(wc -l <"$sample")" ] ||
    fail "samples: $(head -c 3000 "$sample" | grep -o '"constant".*')"

# what is read off the reference's distributions, and a format
own=logprob:0.1,self_certainty,entropy:-1,format
expect_status 0 "$regard" train "${settings[@]}" --set train.updates=1 --set "reward.sources=$own" \
    --set 'reward.format="[a-z]"' --set scorer=frozen --run "$work/own"
for name in logprob self_certainty entropy format; do
    for column in $name ${name}_scaled ${name}_ms eval_$name; do
        grep -qE "\"$column\":-?[0-9]" "$work/own/metrics.jsonl" || fail "no $column"
    done
done

# right and wrong: the share right; what four replies agree on
expect_status 0 "$regard" train "${settings[@]}" --set train.updates=1 --set data.train=reverse:1:8 \
    --set data.valid=reverse:1:2:8 --set reward.sources=verifier,majority --set rollout.candidates=4 \
    --set advantage=group --run "$work/right"
grep -qE '"verifier":0\.0,.*"majority":0\.[0-9]+,|"majority":0\.[0-9]+,.*"verifier":0\.0,' \
    "$work/right/metrics.jsonl" || fail "verifier and majority of noise"
grep -q '"eval_verifier":0\.0' "$work/right/metrics.jsonl" || fail "no eval_verifier"

# ranks change nothing; nor does going on after update 2
expect_status 0 run/mpirun -np 3 "$regard" train "${settings[@]}" --set roles.learners=2 --run "$work/ranks"
expect_equal_metrics "$run/metrics.jsonl" "$work/ranks/metrics.jsonl"
expect_same "three ranks" "$(parameters_hash "$(newest "$run")")" "$(parameters_hash "$(newest "$work/ranks")")"
expect_status 0 "$regard" train "${settings[@]}" --set train.updates=2 --run "$work/half"
expect_status 0 "$regard" train "${settings[@]}" --run "$work/half" --resume
expect_same "resumed" "$(parameters_hash "$(newest "$run")")" "$(parameters_hash "$(newest "$work/half")")"
expect_status 1 "$regard" train "${settings[@]}" --set train.updates=4 --set reward.sources=random \
    --run "$work/half" --resume
grep -q 'reward.sources' "$work/err" || fail "another list of sources on resume"

# score and eval
cat >"$work/data.jsonl" <<'END'
{"messages":[{"role":"user","content":"hello"},{"role":"assistant","content":"good day"}],"answer":"Good  day."}
{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"7"},{"role":"user","content":"c"},{"role":"assistant","content":"so 8"}],"answer":7}
END
model=$(newest "$run")
expect_status 0 "$regard" score --model "$model" --data "$work/data.jsonl" --out "$work/scores" \
    --set reward.sources=attention,verifier,constant
[ "$(grep -oE '"verifier":[01]\.0,"constant":1\.0,"reward":' "$work/scores" | cut -c12 | tr -d '\n')" = 100 ] ||
    fail "scores: $(grep -o '"verifier.*' "$work/scores")"
expect_status 0 "$regard" eval --model "$model" --data "$work/data.jsonl" --out "$work/eval" \
    --set reward.sources=random:2,constant
grep -q '"constant": 1' "$work/eval" || fail "eval"
