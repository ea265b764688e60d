# rollout.steal: what a slow actor has not begun moves to a fast one, and nothing moves without it.  Whether
# results keep their bits is the matrix's to say (tests/faults/matrix); here time is a stub's.
set -euo pipefail
source tests/program/common.sh

# Rank 2 generates eight times as slowly as rank 1.
uneven() { # NAME SETTINGS...
    local command=("$regard" train --config $tiny --set threads=1 --set device=sleep --set train.updates=4
        --set eval.every=0 --set checkpoint.every=0 --set rollout.dialogues=16 --set rollout.candidates=2
        --set infer.batch=4 --set sleep.bandwidth=1e15 --set sleep.launch=0 --run "$work/$1")
    local setting
    for setting in "${@:2}"; do command+=(--set "$setting"); done
    REGARD_LOG=debug expect_status 0 mpirun --bind-to none --oversubscribe -x REGARD_LOG \
        -np 1 "${command[@]}" --set sleep.flops=1e15 : -np 1 "${command[@]}" --set sleep.flops=4e9 : \
        -np 1 "${command[@]}" --set sleep.flops=5e8
    mapfile -t taken < <(sed -n 's/.*rollout.steal: took \([0-9]*\) .* gave \([0-9]*\)$/\1 \2/p' "$work/err" | sort -nr)
}

uneven moves
[ ${#taken[@]} = 2 ] || fail "two actors did not say what moved"
read -r fast_took fast_gave <<<"${taken[0]}"
read -r slow_took slow_gave <<<"${taken[1]}"
[ "$fast_took" -ge 8 ] || fail "the fast actor took $fast_took dialogues of 32"
[ "$fast_took $fast_gave" = "$slow_gave $slow_took" ] || fail "taken and given differ: ${taken[*]}"

uneven off rollout.steal=false
[ ${#taken[@]} = 0 ] || fail "something moved without rollout.steal"
uneven whole infer.batch=16
[ ${#taken[@]} = 0 ] || fail "slices of one part were asked for"
