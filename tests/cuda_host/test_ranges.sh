# NVTX's ranges of a run on the CUDA sources: test_ranges.sh PROGRAM, with the module in
# REGARD_CUDA_MODULE.  Each thread pops what it pushed, and the names are the timeline's kinds.
set -euo pipefail
regard=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
CUDA_HOST_RANGES=$work/ranges REGARD_LOG=warning "$regard" train --config configs/tiny.yaml \
    --set device=cuda --set eval.every=1 --set eval.dialogues=2 --set rollout.dialogues=2 \
    --set rollout.turns=1 --set learn.microbatches=2 --set train.updates=1 --run "$work/run"
awk '$2 == "push" { depth[$1]++ }
     $2 == "pop" && --depth[$1] < 0 { print "thread " $1 " pops what it never pushed"; bad = 1; exit }
     END { for (thread in depth) if (depth[thread]) { print "thread " thread " ends at depth " depth[thread]; bad = 1 }
           exit bad }' "$work/ranges"
known=" $(sed -n 's/.*\[TIME_[A-Z_]*\] = "\([a-z_]*\)".*/\1/p' src/base/timeline.c | tr '\n' ' ')"
names=" $(awk '$2 == "push" { print $3 }' "$work/ranges" | sort -u | tr '\n' ' ')"
for name in $names; do
    [[ $known == *" $name "* ]] || { echo "FAILED: $name is no kind of the timeline:$known"; exit 1; }
done
for name in generate read reward learn save evaluate; do
    [[ $names == *" $name "* ]] || { echo "FAILED: no range is named $name:$names"; exit 1; }
done
