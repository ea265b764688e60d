# Evaluations in a run: one before the first update, its metrics on the console; what is due is saved
# before them, so that one that is cut short costs no update; the run that goes on ends as one that was
# never stopped (a save in the background is published after the evaluation: test_background.sh);
# checkpoints/best and newest are right all the time, and serve as models.
set -euo pipefail
source tests/program/common.sh

# The run waits for the signal between its save and the evaluation (hear.c); SFT, which is stopped at
# any time before its end, gets an evaluation of some seconds.
held_out=20 held_out_sft=200
if [ "$sanitized" ]; then held_out_sft=60; fi
cc -std=gnu11 -O1 -Wall -Wextra -Werror -shared -fPIC -o "$work/hear.so" tests/faults/hear.c -ldl
settings=(--config $tiny --set threads=1 --set train.updates=4 --set checkpoint.every=2
    --set checkpoint.keep=1 --set checkpoint.background=false --set eval.every=2 --set eval.dialogues=0 --set infer.batch=8)
train=("$regard" train "${settings[@]}" --set data.valid=synthetic:1:$held_out:200)

# linked RUN NAME: what checkpoints/NAME points to.
linked() { readlink "$1/checkpoints/$2" || echo nothing; }

# The step of the best value of a metric among the steps after 0: 'max' or 'min'.
best_step() { # METRICS NAME WHICH
    python3 - "$@" <<'END'
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
rows = [(r[sys.argv[2]], -r["step"]) for r in rows if sys.argv[2] in r and r["step"]]
best = max(rows) if sys.argv[3] == "max" else min((v, -s) for v, s in rows)
print("step-%06d" % abs(best[1]))
END
}

expect_status 0 "${train[@]}" --run "$work/whole"
for step in 0 2 4; do expect_said "train $step: held out: eval_reward "; done
expect_said "the best checkpoint is step "
head -1 "$work/whole/metrics.jsonl" | grep -q '^{"step":0,"eval_reward":' || fail "no evaluation before the first update"
expect_same newest step-000004 "$(linked "$work/whole" newest)"
expect_same best "$(best_step "$work/whole/metrics.jsonl" eval_rouge_l max)" "$(linked "$work/whole" best)"

# Later evaluations have the change since the first and its error, of the same dialogues; what they are held
# against is a file that eval --compare reads.
python3 - "$work/whole/metrics.jsonl" <<'END' || fail "changes since the first evaluation"
import json, sys
rows = {r["step"]: r for r in map(json.loads, open(sys.argv[1])) if "eval_rouge_l" in r}
assert "eval_rouge_l_change" not in rows[0], rows[0]
for step in 2, 4:
    row = rows[step]
    for name in "reward", "rouge_l", "perplexity":
        name = "eval_" + name
        assert abs(row[name + "_change"] - (row[name] - rows[0][name])) < 1e-6 * abs(row[name]), (step, name)
        assert 0 < row[name + "_change_error"] < 2 * (row[name + "_error"] + rows[0][name + "_error"]), (step, name)
    assert "eval_bleu_change" not in row, row
END
expect_status 0 "$regard" eval --compare "$work/whole/evaluation-first.json" "$work/whole/evaluation-first.json"
# One of fewer dialogues is held against none.
cp -r "$work/whole" "$work/fewer"
python3 - "$work/fewer/evaluation-first.json" <<'END'
import json, sys
first = json.load(open(sys.argv[1]))
first["by_dialogue"]["rows"] = first["by_dialogue"]["rows"][:7]
json.dump(first, open(sys.argv[1], "w"))
END
expect_status 0 "${train[@]}" --set train.updates=6 --run "$work/fewer" --resume
grep '"step":6,.*"eval_rouge_l":' "$work/fewer/metrics.jsonl" >"$work/sixth" || fail "no evaluation after update 6"
! grep -q '_change' "$work/sixth" || fail "a change since other dialogues: $(cat "$work/sixth")"

# same_end RUN: as the run that nobody stopped.
same_end() {
    expect_same "parameters of $1" "$(parameters_hash "$work/whole/checkpoints/step-000004")" \
        "$(parameters_hash "$1/checkpoints/step-000004")"
    expect_equal_metrics "$work/whole/metrics.jsonl" "$1/metrics.jsonl"
    expect_same newest step-000004 "$(linked "$1" newest)"
    expect_same best "$(linked "$work/whole" best)" "$(linked "$1" best)"
}

# stop_in_evaluation RUN SIGNAL RANKS: the evaluation after update 2 begins with this signal.
stop_in_evaluation() {
    local run=$1 signal=$2 count=$3
    local launcher=(run/mpirun -np "$count") variable
    local variables=("LD_PRELOAD=$work/hear.so" FAULT_STEP=step-000002 "FAULT_REACHED=$run.reached"
        "ASAN_OPTIONS=$ASAN_OPTIONS:verify_asan_link_order=0")
    if [ "$count" != 0 ]; then
        for variable in "${variables[@]}"; do launcher+=(-x "$variable"); done
    else
        launcher=(env "${variables[@]}")
    fi
    "${launcher[@]}" "${train[@]}" --run "$run" >"$work/out" 2>"$work/err" &
    job=$!
    until [ -e "$run.reached" ]; do
        kill -0 "$job" 2>/dev/null || fail "the run ended before the signal"
        sleep 0.05
    done
    kill "-$signal" "$job"
    status=0
    wait "$job" 2>/dev/null || status=$?
    ! grep -q '"step":2,"eval' "$run/metrics.jsonl" || fail "the evaluation was over before SIG$signal"
}

for count in 0 3; do
    stop_in_evaluation "$work/term-$count" TERM $count
    [ "$status" = 75 ] || fail "status $status, not 75, after SIGTERM in an evaluation"
    expect_same "checkpoints" "newest step-000002" \
        "$(ls "$work/term-$count/checkpoints" | grep -v attempt | tr '\n' ' ' | sed 's/ $//')"
    expect_status 0 ranks $count "${train[@]}" --run "$work/term-$count" --resume
    expect_said "train 2: held out: "
    same_end "$work/term-$count"
done

# Killed in an evaluation: the update is not lost; and metrics that are there are not made again.
stop_in_evaluation "$work/killed" KILL 0
[ -d "$work/killed/checkpoints/step-000002" ] || fail "no checkpoint"
grep '"step":2,"eval' "$work/whole/metrics.jsonl" >>"$work/killed/metrics.jsonl"
expect_status 0 "${train[@]}" --run "$work/killed" --resume
! grep -q "train 2: held out" "$work/err" || fail "metrics that are recorded were made again"
same_end "$work/killed"

# Nothing is left to do but the last evaluation.
cp -r "$work/whole" "$work/last"
sed -i '/"step":4,"eval/d' "$work/last/metrics.jsonl"
expect_status 0 "${train[@]}" --run "$work/last" --resume
expect_said "train 4: held out: "
same_end "$work/last"

# sft on 2 learners: the best is the lowest loss.
sft=("$regard" sft "${settings[@]}" --set data.valid=synthetic:1:$held_out_sft:200 --set sft.updates=6
    --set sft.lr=3e-2 --set roles.learners=2)
expect_status 0 ranks 2 "${sft[@]}" --run "$work/sft"
expect_said "sft 0: held out: valid_loss " "sft 6: ends; the best checkpoint is step "
expect_same best "$(best_step "$work/sft/metrics.jsonl" valid_loss min)" "$(linked "$work/sft" best)"

# A signal in the first evaluation, before any update: there is a checkpoint of step 0 to go on from.
run/mpirun -np 2 "${sft[@]}" --run "$work/early" >"$work/out" 2>"$work/err" &
job=$!
until [ -e "$work/early/config.yaml" ]; do
    kill -0 "$job" 2>/dev/null || fail "the run ended before it began"
    sleep 0.02
done
kill -TERM "$job"
status=0
wait "$job" || status=$?
[ "$status" = 75 ] || fail "status $status, not 75, after SIGTERM at the beginning"
if [ "$(linked "$work/early" newest)" = step-000000 ]; then
    expect_said "sft 0: ends without an update; checkpoints/newest is step 0"
fi
expect_status 0 ranks 2 "${sft[@]}" --run "$work/early" --resume
expect_said "going on from $work/early/checkpoints/step-0"
expect_equal_metrics "$work/sft/metrics.jsonl" "$work/early/metrics.jsonl"
