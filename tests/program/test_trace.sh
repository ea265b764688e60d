# --trace: every rank's spans, on one clock though the ranks' own differ and drift; the file is JSON;
# nothing else changes by it.
set -euo pipefail
source tests/program/common.sh

settings=(--config $tiny --set threads=1 --set train.updates=4 --set eval.every=0 --set checkpoint.every=2)
preload=()
if [ -z "$sanitized" ]; then
    mpicc -std=gnu11 -O1 -Wall -Wextra -Werror -D_GNU_SOURCE -shared -fPIC -o "$work/skew.so" tests/faults/skew.c -ldl
    preload=(-x LD_PRELOAD="$work/skew.so")
fi
expect_status 0 ranks 3 "${preload[@]}" "$regard" train "${settings[@]}" --trace --run "$work/traced"
file=$work/traced/trace.json
expect_said "$file: for https://ui.perfetto.dev"
expect_same "the file begins" '{"displayTimeUnit":"ms","traceEvents":[' "$(head -1 "$file")"
for name in "rank 1 ($(hostname))" learner actor checkpoint; do
    grep -q "_name\",\"args\":{\"name\":\"$name\"}}" "$file" || fail "no track of $name"
done
# Complete events, one a line; rank 0's of every kind that it has, with the step.
[ "$(grep -vc '^{"ph":"[MX]".*},$' "$file")" = 2 ] || fail "lines that are no events"
for kind in learn read wait_experience wait_slowest save; do
    grep -q "\"pid\":0,.*\"name\":\"$kind\",.*\"step\":[1-4]," "$file" || fail "no $kind"
done
grep -q '"pid":2,"tid":0,"name":"generate"' "$file" || fail "rank 2 does not generate"
grep -q '"pid":0,.*"name":"wait_experience",.*"bytes":[1-9]' "$file" || fail "no bytes of experience"
# Every agreement ends on all ranks at once, to the wait's sleep of a millisecond and a busy machine:
# the last one's.  A clock that is 1000 s ahead would be elsewhere; so would its drift of 2 ms or more.
last() { sed -nE "s/^.*\"pid\":$1,\"tid\":0,\"name\":\"wait_slowest\",\"ts\":([-0-9.]+),\"dur\":([0-9.]+),.*/\1 \2/p" "$file" |
    awk '{ if ($1 + $2 > end) end = $1 + $2 } END { printf "%.0f\n", end }'; }
ends=("$(last 0)" "$(last 1)" "$(last 2)")
for rank in 1 2; do
    off=$((ends[rank] - ends[0]))
    [ ${off#-} -lt 200000 ] || fail "rank $rank's last agreement ends $off us after rank 0's"
done
[ "${ends[0]}" -gt 0 ] && [ "${ends[0]}" -lt 600000000 ] || fail "the run ends at ${ends[0]} us"

# The same run without.
expect_status 0 ranks 3 "$regard" train "${settings[@]}" --run "$work/plain"
expect_equal_metrics "$work/plain/metrics.jsonl" "$work/traced/metrics.jsonl"
[ ! -e "$work/plain/trace.json" ] || fail "a trace that nobody asked for"

# One process, supervised.
expect_status 0 "$regard" sft --config $tiny --set threads=1 --set sft.updates=2 --trace --run "$work/sft"
grep -q '"pid":0,"tid":0,"name":"learn"' "$work/sft/trace.json" || fail "sft: no spans"
