# score --maps: whole attention maps as HDF5, a dataset a reply; beside it the same lines as without.
set -euo pipefail
source tests/program/common.sh

small=(--config $tiny --set threads=1 --set rollout.max_new_tokens=8)
expect_status 0 "$regard" train "${small[@]}" --set train.updates=1 --set eval.every=0 --run "$work/run"
model=$(newest "$work/run")
expect_status 0 "$regard" generate "${small[@]}" --set rollout.candidates=2 --model "$model" --data synthetic:9:2 --out "$work/replies.jsonl"
head -1 "$work/replies.jsonl" | sed -E 's/"(reply_tokens|logp)":\[[^]]*\]/"\1":[]/g' >>"$work/replies.jsonl"
expect_status 0 "$regard" score "${small[@]}" --model "$model" --data "$work/replies.jsonl" --out "$work/plain.jsonl"
expect_status 0 "$regard" score "${small[@]}" --model "$model" --data "$work/replies.jsonl" --out "$work/scored.jsonl" \
    --maps "$work/maps.h5" --set attention.layers=2
expect_said "attention maps of 4 of 5 replies" "$work/maps.h5"
[ ! -e "$work/maps.h5.tmp" ] || fail "the temporary file is still there"
expect_status 0 "$regard" score "${small[@]}" --model "$model" --data "$work/replies.jsonl" --out "$work/with.jsonl" --maps "$work/maps.h5"
expect_equal_files "$work/plain.jsonl" "$work/with.jsonl"
for name in map history reply; do
    for number in 1 2 3 4; do
        grep -qa "${name}_00000$number" "$work/maps.h5" || fail "no ${name}_00000$number"
    done
    ! grep -qa "${name}_000005" "$work/maps.h5" || fail "a reply without tokens has ${name}_000005"
done

# Nothing is left of what fails.
expect_status 1 "$regard" score "${small[@]}" --model "$model" --data "$work/replies.jsonl" --out "$work/none.jsonl" --maps "$work/absent/maps.h5"
expect_line "$work/absent/maps.h5"
[ ! -e "$work/none.jsonl" ] || fail "lines without their maps"
expect_status 1 "$regard" score "${small[@]}" --set cot.history=reencode --set task=reasoning --model "$model" --data "$work/replies.jsonl" \
    --out "$work/none.jsonl" --maps "$work/none.h5"
expect_line "--maps" "cot.history=joint"
[ ! -e "$work/none.h5" ] || fail "maps of what is refused"
