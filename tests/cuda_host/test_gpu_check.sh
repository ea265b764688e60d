# tools/gpu_check on the CUDA sources through the shim: test_gpu_check.sh BUILD.  The two commands'
# order runs, every check that needs no GPU passes, what comes back is what docs/gpu.md says; a
# failure is one, and so is a run in which nothing passed.
set -euo pipefail
build=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "FAILED: $*"
    cat "$work/said" 2>/dev/null
    exit 1
}

# Time enough on a busy machine: nothing of it is waited for.
GPU_CHECK_SECONDS=1500 tools/gpu_check --host --build "$build" "$work/out" >"$work/said" 2>&1 ||
    fail "status $?"
grep -q ' error' "$work/said" && fail "the script itself is wrong"
for file in summary.txt summary.json log.txt bench-bf16.json report.txt; do
    [ -s "$work/out/$file" ] || fail "no $file"
done
[ "$(find "$work/out" -type f | wc -l)" -le 8 ] || fail "more files than come back"
grep -qE '^1[4-9] passed, 0 failed, [0-9]+ skipped$' "$work/out/summary.txt" || fail "other counts"
# A check is a line of the JSON, and of the text.
[ "$(grep -c '"check"' "$work/out/summary.json")" = \
    "$(grep -cE '^(ready|passed|skipped) ' "$work/out/summary.txt")" ] || fail "summaries differ"
# The parts of both commands, in their order, compiled PyTorch last.
order=$(sed -n 's/^[a-z]*  *\([a-z]*\)[: ].*/\1/p' "$work/out/summary.txt" |
    grep -E '^(operations|golden|exact|memcheck|bench|peers)$' | uniq | tr '\n' ' ')
[ "$order" = "operations golden exact memcheck bench peers " ] || fail "the order is $order"
tail -3 "$work/out/summary.txt" | head -1 | grep -q "PyTorch's update, compiled" ||
    fail "compiled PyTorch is not last"
# What was chosen for each product, exact mode's blocks of 128 rows, and a time for each node.
grep -q '^product .* x .* x .*: ascending; [0-9]* calls$' "$work/out/report.txt" ||
    fail "no algorithm of a product"
grep -qE '^passed +exact: a step.*[0-9]+ of [0-9]+ shapes fall back' "$work/out/summary.txt" ||
    fail "no count of the shapes that fall back"
grep -qE '^ +[0-9]+ +[0-9.]+ us  advance_kernel$' "$work/out/report.txt" || fail "no time of a node"
if command -v python3 >/dev/null; then
    for file in summary.json bench-bf16.json; do
        python3 -m json.tool "$work/out/$file" >"$work/json" || fail "$file is not JSON"
    done
    # What the shim can measure stands in the table; the peers' rows are open.
    grep -q '| decode step.*| [0-9.]*%.*GB/s' "$work/out/table.md" || fail "the table has no decode step"
    grep -q '| replies that depend on the batch.*| 0 of 15 ' "$work/out/table.md" ||
        fail "the table has no mismatches"
    grep -q "against Transformers' .* | not measured |" "$work/out/table.md" ||
        fail "the table made up a peer"
fi

# fails SAYS VARIABLE=VALUE... OPTIONS...: status 1, and the summary says so.
fails() {
    local says=$1 status=0
    shift
    env "$1" tools/gpu_check --host --build "$build" "${@:2}" "$work/bad" >"$work/said" 2>&1 || status=$?
    [ $status = 1 ] || fail "status $status: $*"
    grep -q "$says" "$work/bad/summary.txt" || fail "the summary does not say: $says"
}
mkdir "$work/empty"
fails '^failed  *golden models: fp32 .*holds no golden model' GOLDEN_FOLDER="$work/empty" --only golden
fails '^0 passed, 0 failed, .* skipped: no check passed$' GPU_CHECK_SECONDS=0
# What is ready for checks is none: all that was asked for needs a GPU.
fails '^0 passed, 0 failed, 1 skipped: no check passed$' GPU_CHECK_SECONDS=60 --only memcheck
# No time is kept for parts that nobody asked for.
GPU_CHECK_SECONDS=100 tools/gpu_check --host --build "$build" --only golden "$work/little" \
    >"$work/said" 2>&1 || fail "100 s are not enough for the golden models alone"
grep -q '^3 passed, 0 failed, 0 skipped$' "$work/little/summary.txt" || fail "other counts"
