# What the system refuses to one rank while ranks connect: a thread ends the run with one line, and nobody
# waits for that rank; memory that a host's ranks would share is done without, which a warning says.
source "$(dirname "$0")/common.sh" "$1"
expect_status 0 run/mpirun -np 3 "$regard" train --dry-run --config $tiny --run "$work/dry"
grep -qE "^# weights on their way to the actors: [0-9.]+ MB of each host's /dev/shm \\([0-9.]+ MB are free here" \
    "$work/out" || fail "the dry run does not say what weights take: $(grep '^#' "$work/out")"

# The preload does not live beside a sanitizer.
if [ "$sanitized" ]; then exit 0; fi
mpicc -std=gnu11 -O1 -Wall -Wextra -Werror -D_GNU_SOURCE -shared -fPIC -o "$work/refuse.so" tests/faults/refuse.c -ldl
train=("$regard" train --config $tiny --set threads=1 --set eval.every=0 --set train.updates=2
    --set checkpoint.every=2)
# refused STATUS WHAT RANK NAME
refused() {
    expect_status "$1" timeout 50 run/mpirun -np 3 -x LD_PRELOAD="$work/refuse.so" -x FAULT_WHAT="$2" \
        -x FAULT_RANK="$3" "${train[@]}" --run "$work/$4"
}

refused 0 nothing 0 good
if grep -q "/dev/shm" "$work/err"; then fail "a warning about /dev/shm, which has room"; fi
refused 0 memory 0 alone
expect_said "/dev/shm of $(hostname) has no " " MB for weights on their way (No space left on device; " \
    "each rank of every host holds" "or lower pipeline.lag"
[ "$(grep -c "/dev/shm" "$work/err")" = 1 ] || fail "not one warning: $(grep "/dev/shm" "$work/err")"
expect_same parameters "$(parameters_hash "$work/good/checkpoints/step-000002")" \
    "$(parameters_hash "$work/alone/checkpoints/step-000002")"

train+=(--set rollout.dialogues=16 --set rollout.candidates=2 --set infer.batch=4)
refused 70 thread 2 thread
expect_said_once "regard: rank 2: rollout.steal: no thread to answer with: "
