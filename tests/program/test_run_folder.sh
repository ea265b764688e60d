# The run folder: one that hosts do not share is found at the start, also in a dry run; one that is
# deleted while a run writes to it is named as such.
source "$(dirname "$0")/common.sh" "$1"
config=$(realpath $tiny)

# Two ranks for which the same path is not the same folder.
mkdir "$work/a" "$work/b"
apart() {
    local train=("$regard" train --config "$config" --run runs/here "$@")
    run/mpirun -np 1 --wdir "$work/a" "${train[@]}" : -np 1 --wdir "$work/b" "${train[@]}"
}
for option in --dry-run --resume=auto; do
    expect_status 1 apart $option
    expect_said_once "regard: rank 1: --run runs/here: host $(hostname) does not see ./.regard-trial-"
    [ -z "$(find "$work/a" "$work/b" -mindepth 1)" ] || fail "left behind: $(find "$work/a" "$work/b")"
done
expect_status 0 "$regard" train --config $tiny --dry-run --run "$work/new/run"
[ ! -e "$work/new" ] || fail "a dry run left $(find "$work/new")"

# deleted NAME TEXT: the job ends with a line that holds TEXT once NAME was removed from its folder.
deleted() {
    local status=0 job
    rm -rf "$work/run"
    "$regard" train --config $tiny --set train.updates=100000 --set eval.every=0 --run "$work/run" \
        --set checkpoint.every=20 >"$work/out" 2>"$work/err" &
    job=$!
    until [ -e "$work/run/checkpoints/attempt-000001" ] && [ -s "$work/run/metrics.jsonl" ]; do
        kill -0 $job 2>/dev/null || fail "the job ended"
        sleep 0.01
    done
    rm -rf "${work:?}/run$1"
    wait $job || status=$?
    expect_same "status without run$1" 1 $status
    expect_said_once "$2"
}
deleted "" "regard: $work/run was deleted or moved while this run wrote to it"
deleted /checkpoints/attempt-000001 "regard: $work/run/checkpoints/attempt-000001 was deleted"
