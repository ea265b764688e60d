# TensorBoard's own reader finds in a run's event files the numbers of its metrics.jsonl, over a
# resume too.  Its Python comes from PyPI (tools/reference/reader); where that is out of reach the test
# says so and skips.
set -euo pipefail
source tests/program/common.sh

status=0
python=$(tools/reference/reader) || status=$?
if [ $status = 77 ]; then
    echo "SKIPPED: without TensorBoard's reader there is nothing to read events with"
    exit 77
fi
[ $status = 0 ] || fail "tools/reference/reader: status $status"

read_back() { # FOLDER METRICS
    # Not the sanitizers' settings: they are the program's.
    expect_status 0 "$python" tools/reference/tensorboard_read.py "$1" "$2"
    cat "$work/out"
}
settings=(--config $tiny --set threads=1 --set checkpoint.every=2 --set eval.every=2 --set eval.dialogues=2)
expect_status 0 "$regard" train "${settings[@]}" --set train.updates=3 --run "$work/run"
read_back "$work/run" "$work/run/metrics.jsonl"

# Goes on from update 2, as if the run had been killed after the third: its numbers come again.
rm -r "$work/run/checkpoints/step-000003"
expect_status 0 "$regard" train "${settings[@]}" --set train.updates=4 --run "$work/run" --resume
[ "$(find "$work/run" -maxdepth 1 -name 'events.out.tfevents.*' | wc -l)" = 2 ] || fail "not two event files"
read_back "$work/run" "$work/run/metrics.jsonl"

expect_status 0 "$regard" sft --config $tiny --set threads=1 --set sft.updates=2 --set sft.batch=4 \
    --set eval.every=1 --run "$work/sft"
read_back "$work/sft" "$work/sft/metrics.jsonl"
