# A rank that stops or hangs in any operation ends the run within watchdog.seconds and a little, with
# one line that names it, its host, the operation and the step; one that is slow does not.
source "$(dirname "$0")/common.sh" "$1"
patience=3
if [ "$sanitized" ]; then patience=10; fi
mpicc -std=gnu11 -D_GNU_SOURCE -O1 -Wall -Wextra -Werror -shared -fPIC -I include -o "$work/stop.so" \
    tests/faults/stop.c -ldl
train=("$regard" train --config $tiny --set threads=1 --set roles.learners=2
    --set watchdog.seconds=$patience --set train.updates=12 --set checkpoint.every=3 --set eval.every=4
    --set reward.sources=plugin:1 --set "reward.plugin=$work/stop.so")

# start NAME VARIABLE...: a job in the background with these variables in its ranks; job_NAME is its pid.
start() {
    local name=$1 variable options=()
    shift
    for variable in "LD_PRELOAD=$work/stop.so" "$@" \
        "ASAN_OPTIONS=$ASAN_OPTIONS:verify_asan_link_order=0"; do options+=(-x "$variable"); done
    (
        status=0
        date +%s.%N >"$work/$name.begun"
        run/mpirun -np 4 "${options[@]}" "${train[@]}" --run "$work/$name" \
            >"$work/$name.out" 2>"$work/$name.err" || status=$?
        echo $status >"$work/$name.status"
    ) &
}

# ended NAME STATUS [WORDS]: one line of regard's, with the words.
ended() {
    cp "$work/$1.err" "$work/err"
    expect_same "status of $1" "$2" "$(cat "$work/$1.status")"
    if [ $# -gt 2 ]; then
        expect_said_once "regard: $3"
    elif grep -q '^regard: ' "$work/err"; then
        fail "$1 ended with an error"
    fi
}
host=$(hostname)

# An actor while it generates; a learner in an update; the one that otherwise speaks for all, while it
# evaluates; one that writes a part of a checkpoint.
start generate FAULT_RANK=2 FAULT_AT=generate FAULT_COUNT=7
start update FAULT_RANK=1 FAULT_AT=update FAULT_COUNT=20
start evaluation FAULT_RANK=0 FAULT_AT=generate FAULT_COUNT=2
train+=(--set checkpoint.background=false)
start save FAULT_RANK=1 FAULT_AT=save FAULT_COUNT=2
# Alive, but it gets nowhere; slow, for longer than anyone's patience in a batch, but it gets on.
start hung FAULT_RANK=2 FAULT_AT=generate FAULT_COUNT=7 FAULT_HOW=hang
train+=(--set train.updates=1 --set eval.every=0)
start slow FAULT_RANK=2 FAULT_AT=generate FAULT_HOW=slow FAULT_SECONDS=$(bc <<<"0.7 * $patience")
wait
gone="nothing heard for $patience s (watchdog.seconds): stopped, dead or cut off"
ended generate 70 "missing: rank 2 ($host; in reward at step 3): $gone"
ended update 70 "missing: rank 1 ($host; in "
ended evaluation 70 "missing: rank 0 ($host; in evaluate at step 4): $gone"
ended save 70 "missing: rank 1 ($host; in save at step "
ended hung 70 "hung: rank 2 ($host; in reward at step 3): alive, but no progress for $patience s (watchdog.seconds)"
ended slow 0
