# A run that was killed or stopped ends as one that was not; what cannot go on is refused.
set -euo pipefail
source tests/program/common.sh

updates=16
last=step-0000$updates
before_last=step-0000$((updates - 1))
settings=(--config $tiny --set threads=1 --set train.updates=$updates --set checkpoint.every=3
    --set eval.every=4 --set eval.dialogues=2)
train=("$regard" train "${settings[@]}")
slow_disk

# Waits for a checkpoint of the run $1, begun in the background.
wait_for_checkpoint() {
    for _ in $(seq 1200); do
        if ls -d "$1"/checkpoints/step-?????? >"$work/ls" 2>&1; then return; fi
        kill -0 "$job" 2>/dev/null || fail "the run ended before its first checkpoint"
        sleep 0.05
    done
    fail "no checkpoint appeared"
}

# The last process of the program that has --run $1.
last_rank() {
    local pid
    for pid in $(pgrep -x "$(basename "$regard")"); do
        if tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF -- "--run $1 "; then echo "$pid"; fi
    done | tail -1
}

# Begins the run $1 on $2 ranks, whose disk is slow, sends signal $3 to run/mpirun or to the last rank ($4: rank);
# sets $status.
interrupt() {
    local run=$1 count=$2 signal=$3 whom=${4:-launcher} target
    run/mpirun -np "$count" "${disk[@]}" FAULT_SLOW=150 "${train[@]}" --run "$run" >"$work/out" 2>"$work/err" &
    job=$!
    wait_for_checkpoint "$run"
    target=$job
    if [ "$whom" = rank ]; then target=$(last_rank "$run"); fi
    kill "-$signal" "$target" || fail "nobody to send SIG$signal to"
    status=0
    wait "$job" || status=$?
    [ ! -d "$run/checkpoints/$last" ] || fail "the run was over before SIG$signal"
}

# The run $2 ended as the run $1.
expect_same_end() {
    expect_same "parameters of $2" "$(parameters_hash "$1/checkpoints/$last")" \
        "$(parameters_hash "$2/checkpoints/$last")"
    expect_equal_metrics "$1/metrics.jsonl" "$2/metrics.jsonl"
    [ -n "$(ls "$1/samples")" ] || fail "$1 has no samples"
    diff -r "$1/samples" "$2/samples" || fail "samples of $2 differ"
}

expect_status 0 ranks 3 "${train[@]}" --run "$work/whole"

interrupt "$work/killed" 3 KILL rank
[ "$status" != 0 ] || fail "a killed rank, and mpirun is content"
cp -r "$work/killed" "$work/other"
cp -r "$work/killed" "$work/used"
expect_status 0 ranks 3 "$regard" train --run "$work/killed" --resume # with the run's own settings
expect_same_end "$work/whole" "$work/killed"

expect_status 0 ranks 4 "${train[@]}" --set roles.learners=2 --set threads=2 \
    --run "$work/other" --resume=auto
expect_said "going on from"
expect_same_end "$work/whole" "$work/other"

for signal in USR1 TERM; do
    interrupt "$work/$signal" 3 $signal
    [ "$status" = 75 ] || fail "status $status, not 75, after SIG$signal"
    expect_said_once "stopped by a signal after a checkpoint"
    expect_status 0 ranks 3 "${train[@]}" --run "$work/$signal" --resume
    expect_same_end "$work/whole" "$work/$signal"
done

# Refusals; all ranks refuse, one of them says so.
expect_status 1 ranks 3 "${train[@]}" --set reward.gama=1 --run "$work/none"
expect_said_once reward.gama
expect_status 2 ranks 3 "${train[@]}" --wings 2 --run "$work/none"
expect_said_once --wings
expect_status 1 run/mpirun -np 1 "${train[@]}" --run "$work/none" : \
    -np 2 "${train[@]}" --set reward.gama=1 --run "$work/none"
expect_said_once "rank 1: --set reward.gama"
[ ! -e "$work/none" ] || fail "a refused run left a folder"
expect_status 1 "${train[@]}" --run "$work/used"
expect_said "--resume"
expect_status 1 "${train[@]}" --set reward.alpha=0.25 --run "$work/used" --resume
expect_said reward.alpha
expect_status 1 "${train[@]}" --run "$work/nothing" --resume
expect_said "holds no checkpoint"

# A flipped byte in the newest checkpoint: the one before it is used.
cp -r "$work/whole" "$work/damaged"
model="$work/damaged/checkpoints/$last/model.h5"
byte=$(od -An -tu1 -j100000 -N1 "$model" | tr -d ' ')
printf "\\x$(printf %x $((byte ^ 1)))" | dd of="$model" bs=1 seek=100000 conv=notrunc status=none
expect_status 1 "$regard" inspect "$work/damaged/checkpoints/$last"
expect_status 0 "${train[@]}" --run "$work/damaged" --resume
expect_said "going on from $work/damaged/checkpoints/$before_last"
expect_same_end "$work/whole" "$work/damaged"

# An empty folder.
mkdir "$work/empty"
expect_status 0 "${train[@]}" --run "$work/empty" --resume=auto
expect_said "starting at the beginning"
expect_same_end "$work/whole" "$work/empty"
