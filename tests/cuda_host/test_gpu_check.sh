# tools/gpu_check on the CUDA sources through the shim: test_gpu_check.sh BUILD.  Every check that
# needs no GPU passes, what comes back is what docs/gpu.md says, and a failure is one.
set -euo pipefail
build=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "FAILED: $*"
    cat "$work/said" 2>/dev/null
    exit 1
}

tools/gpu_check --host --build "$build" "$work/out" >"$work/said" 2>&1 || fail "status $?"
grep -q ' error' "$work/said" && fail "the script itself is wrong"
for file in summary.txt summary.json log.txt bench-bf16.json; do
    [ -s "$work/out/$file" ] || fail "no $file"
done
[ "$(find "$work/out" -type f | wc -l)" -le 8 ] || fail "more files than come back"
grep -qE '^1[5-9] passed, 0 failed, [0-9]+ skipped$' "$work/out/summary.txt" || fail "other counts"
# A check is a line of the JSON, and of the text.
[ "$(grep -c '"check"' "$work/out/summary.json")" = \
    "$(grep -cE '^(passed|skipped) ' "$work/out/summary.txt")" ] || fail "summaries differ"
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

mkdir "$work/empty"
if GOLDEN_FOLDER=$work/empty tools/gpu_check --host --build "$build" --only golden "$work/bad" \
    >"$work/said" 2>&1; then
    fail "golden models that are not there passed"
fi
grep -q '^failed  *golden models: fp32 .*holds no golden model' "$work/bad/summary.txt" ||
    fail "the summary does not say what failed"
