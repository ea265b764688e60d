# Checkpoints written behind training's back (checkpoint.background): the files of those that training
# waits for; training goes on meanwhile; a kill, a signal or a broken disk at that time costs what
# was not published, and nothing that was.
set -euo pipefail
source tests/program/common.sh

updates=12
last=step-000012
settings=(--config $tiny --set threads=1 --set train.updates=$updates --set checkpoint.every=3
    --set checkpoint.keep=9 --set eval.every=3 --set eval.dialogues=2)
train=("$regard" train "${settings[@]}")
slow=500
if [ "$sanitized" ]; then slow=1200; fi
waiting='waits for that of update'
slow_disk

# What lies in a run's checkpoints, but for state.h5 and the manifest with its hash: that holds the key
# itself.
contents() {
    (cd "$1/checkpoints" && find step-?????? -type f ! -name state.h5 ! -name manifest.json | sort |
        xargs sha256sum && readlink best newest)
}

expect_same_run() { # WANTED RUN
    expect_equal_metrics "$1/metrics.jsonl" "$2/metrics.jsonl"
    expect_same "checkpoints of $2" "$(contents "$1")" "$(contents "$2")"
    expect_same "what is left in $2" "$(ls "$1/checkpoints" | grep -v attempt)" \
        "$(ls "$2/checkpoints" | grep -v attempt)"
    diff -r "$1/samples" "$2/samples" || fail "samples of $2 differ"
}

expect_status 0 "${train[@]}" --set checkpoint.background=false --run "$work/waits"
expect_status 0 "${train[@]}" --run "$work/behind"
expect_same_run "$work/waits" "$work/behind"
for background in false true; do
    expect_status 0 ranks 4 "${train[@]}" --set roles.learners=2 --set pipeline.lag=1 \
        --set checkpoint.background=$background --run "$work/ranks-$background"
done
expect_same_run "$work/ranks-false" "$work/ranks-true"

# A step that comes before the checkpoint's thread has copied anything copies by itself what it changes:
# the policy, the critic, moments, a reference that moves.
moving=(--set kl.coef=1 --set reference.every=1)
late=(--set roles.learners=2 --set pipeline.lag=1 "${moving[@]}")
expect_status 0 "${train[@]}" "${moving[@]}" --set checkpoint.background=false --run "$work/moving"
expect_status 0 "${disk[@]}" FAULT_LATE=200 "${train[@]}" "${moving[@]}" --run "$work/late"
expect_same_run "$work/moving" "$work/late"
expect_status 0 ranks 4 "${disk[@]}" FAULT_LATE=200 "${train[@]}" "${late[@]}" --run "$work/ranks-late"
expect_status 0 ranks 4 "${train[@]}" "${late[@]}" --set checkpoint.background=false --run "$work/ranks-moving"
expect_same_run "$work/ranks-moving" "$work/ranks-late"
# There the reference is the policy, and state.h5 has its hash.
for run in moving late ranks-late; do
    hash=$("$regard" inspect "$work/$run/checkpoints/$last" | sed -n 's/^parameters sha256 //p')
    grep -aq "$hash" "$work/$run/checkpoints/$last/state.h5" || fail "not the reference's hash in $run"
done

# A disk that is slower than training: saves wait for each other, which is said once.
expect_status 0 "${disk[@]}" FAULT_SLOW=$((slow / 3)) "${train[@]}" --set checkpoint.every=1 --set train.updates=4 --run "$work/each"
[ "$(grep -c "$waiting" "$work/err")" = 1 ] || fail "waiting was not said once"
[ "$(ls -d "$work"/each/checkpoints/step-?????? | wc -l)" = 4 ] || fail "not every checkpoint is there"

# begin NAME: runs in the background as $job until training is two updates ahead of a checkpoint that
# is being written; the one before it is published.
begin() {
    run=$work/$1
    (cd "$work" && mkdir "$1")
    expect_status 0 "${train[@]}" --set train.updates=3 --run "$run"
    "${disk[@]}" FAULT_SLOW=$slow "${train[@]}" --run "$run" --resume >"$work/out" 2>"$work/err" &
    job=$!
    for _ in $(seq 1200); do
        if grep -q '"step":8,' "$run/metrics.jsonl"; then break; fi
        kill -0 "$job" 2>/dev/null || fail "the run ended before its eighth update"
        sleep 0.02
    done
    [ -d "$run/checkpoints/step-000006.tmp" ] || fail "no checkpoint is being written at update 8"
    [ ! -d "$run/checkpoints/step-000006" ] || fail "the checkpoint was there before the disk could"
}

begin killed
kill -KILL "$job"
wait "$job" 2>/dev/null || true
expect_status 0 "${train[@]}" --run "$run" --resume
expect_said "going on from $run/checkpoints/step-000003"
expect_same_run "$work/waits" "$run"

begin stopped
kill -TERM "$job"
status=0
wait "$job" || status=$?
[ "$status" = 75 ] || fail "status $status, not 75, of a run that was stopped while it wrote"
[ -d "$run/checkpoints/step-000006" ] || fail "the checkpoint that was being written is lost"
stopped=$(newest "$run")
[[ $stopped > $run/checkpoints/step-000006 ]] || fail "no checkpoint of the stop"
expect_status 0 "${train[@]}" --run "$run" --resume
expect_said "going on from $stopped"
if [ "$stopped" != "$run/checkpoints/step-000009" ]; then rm -r "$stopped"; fi
expect_same_run "$work/waits" "$run"

# What cannot be written ends the run by the words of a save that training waits for.
for background in true false; do
    expect_status 70 "${disk[@]}" FAULT_BROKEN=model.h5 "${train[@]}" --set checkpoint.background=$background \
        --run "$work/broken-$background"
    expect_said "checkpoints/step-000003.tmp/model.h5: fsync: Input/output error"
    ! ls -d "$work/broken-$background"/checkpoints/step-* 2>/dev/null || fail "something of it was left"
done
expect_status 70 ranks 4 "${disk[@]}" FAULT_BROKEN=learner-0001-of-0002.h5 "${train[@]}" --set roles.learners=2 --run "$work/broken"
expect_said "learner-0001-of-0002.h5: fsync: Input/output error"
! ls -d "$work"/broken/checkpoints/step-* 2>/dev/null || fail "something of it was left"

# An error while a checkpoint is written.  A learner that is alone says it, and then waits for its
# disk; of several none waits for what will not be published.
cat >"$work/fails.c" <<'EOF'
#include <regard_reward.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
const int32_t regard_reward_version = REGARD_REWARD_VERSION;
int regard_reward(const struct regard_reply *replies, int64_t count, struct regard_answer *answers,
                  char error[REGARD_ERROR_SIZE])
{
    for (int64_t i = 0; i < count; i++) answers[i].reward = (double)(replies[i].token_count % 3);
    if (access(getenv("FAIL_WHEN"), F_OK)) return 0;
    snprintf(error, REGARD_ERROR_SIZE, "a checkpoint is being written");
    return 1;
}
EOF
cc -std=gnu11 -O1 -Wall -Wextra -Werror -shared -fPIC -I include -o "$work/fails.so" "$work/fails.c"
train+=(--set reward.sources=plugin:1 --set "reward.plugin=$work/fails.so")
first=checkpoints/step-000003
expect_status 1 "${disk[@]}" FAULT_SLOW=$slow FAIL_WHEN="$work/error/$first.tmp" "${train[@]}" --run "$work/error"
expect_said "ends by an error once the checkpoint of update 3 is published: "
[ -d "$work/error/$first" ] || fail "the checkpoint of a learner that is alone is lost"
expect_status 1 ranks 2 timeout 50 "${disk[@]}" FAULT_SLOW=90000 FAIL_WHEN="$work/errors/$first.tmp" \
    "${train[@]}" --set roles.learners=2 --run "$work/errors"
expect_said "the checkpoint of update 3, which was being written, is not published"
[ ! -d "$work/errors/$first" ] || fail "a checkpoint that not all had written was published"
