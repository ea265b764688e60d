# A run ends in the same parameters whatever its ranks, learners and threads.
set -euo pipefail
source tests/program/common.sh

number=0
# hash_of RANKS SETTINGS...: sets $hash.
hash_of() {
    local count=$1 settings=()
    shift
    for setting in "$@"; do settings+=(--set "$setting"); done
    number=$((number + 1))
    expect_status 0 ranks "$count" "$regard" train --config $tiny --set train.updates=4 \
        --set eval.every=0 "${settings[@]}" --run "$work/$number"
    hash=$(parameters_hash "$(newest "$work/$number")")
    rm -r "${work:?}/$number"
}

# same NAME WANTED RANKS SETTINGS...
same() {
    local name=$1 wanted=$2
    shift 2
    hash_of "$@"
    expect_same "$name" "$wanted" "$hash"
}

hash_of 0 threads=1
alone=$hash
same "3 ranks" "$alone" 3 threads=1
same "4 ranks, 2 learners" "$alone" 4 threads=1 roles.learners=2
same "5 ranks, 4 learners" "$alone" 5 threads=1 roles.learners=4
same "2 ranks, both learners" "$alone" 2 threads=1 roles.learners=2
same "2 threads" "$alone" 0 threads=2

hash_of 0 threads=1 pipeline.lag=1
lagging=$hash
[ "$lagging" != "$alone" ] || fail "pipeline.lag=1 changes nothing"
same "lag, 3 ranks" "$lagging" 3 threads=1 pipeline.lag=1
same "lag, 4 ranks, 2 learners" "$lagging" 4 threads=1 pipeline.lag=1 roles.learners=2

best=(threads=1 rollout.continue=best rollout.user=rule)
hash_of 0 "${best[@]}"
ruled=$hash
[ "$ruled" != "$alone" ] || fail "rollout.continue=best with rollout.user=rule changes nothing"
same "best continued, 3 ranks" "$ruled" 3 "${best[@]}"
same "best continued, 4 ranks, 2 learners" "$ruled" 4 "${best[@]}" roles.learners=2
