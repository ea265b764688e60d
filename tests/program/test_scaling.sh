# tools/scaling, on the timed stub: points, what they come to, what is not made again, what is refused.
set -euo pipefail
source tests/program/common.sh
command -v python3 >/dev/null || { echo "no python3: skipped"; exit 77; }
export REGARD=$regard
out=$work/out1
scaling=(tools/scaling --config configs/scaling.yaml --set sleep.launch=1e-6 --set sleep.flops=1e13
    --set rollout.max_new_tokens=4 --repeats 1 --updates 3 --warm 1)
expect_status 0 "${scaling[@]}" --weak --over both --ranks 1,2 --lag 0,1 --out "$out"
for name in json md html; do [ -s "$out/scaling.$name" ] || fail "no scaling.$name"; done
expect_equal_files "$work/out" "$out/scaling.md"
grep -q "device: sleep" "$out/scaling.md" || fail "the report does not say that nothing was computed"
grep -q "<svg" "$out/scaling.html" || fail "no curves"
if grep -qE "https?://" "$out/scaling.html"; then fail "the page asks the network"; fi
expect_status 0 python3 - "$out" <<'END'
import json, math, sys
report = json.load(open(sys.argv[1] + "/scaling.json"))
points = {(p["over"], p["lag"], p["n"]): p for p in report["points"]}
assert len(points) == 4 and report["stub"], points.keys()
assert [points["both", 1, n][k] for n in (1, 2) for k in ("ranks", "learners", "dialogues")] == [1, 1, 4, 2, 1, 8]
for (over, lag, n), p in points.items():
    lines = [json.loads(l) for l in open(f"{sys.argv[1]}/runs/weak-{over}-lag{lag}-{n}.1/metrics.jsonl")]
    counted = [l for l in lines if "seconds" in l][1:]
    assert len(counted) == 2
    seconds = sum(v for l in counted for k, v in l.items() if k.startswith("time_") and not k.endswith(("_max", "_rank", "slowest"))) / 2
    seconds += sum(l.get("time_wait_slowest", 0) for l in counted) / 2
    assert math.isclose(p["seconds"]["median"], seconds, rel_tol=1e-9), (p, seconds)
    assert math.isclose(p["dialogues_s"]["median"], p["dialogues"] / seconds, rel_tol=1e-9)
    first = points[over, lag, 1]["dialogues_s"]["median"]
    assert math.isclose(p["efficiency"]["median"], p["dialogues_s"]["median"] / n / first, rel_tol=1e-9)
    assert math.isclose(sum(p["shares"].values()), 1, rel_tol=1e-9)
    assert ("weights" in p["bytes"]) == (p["ranks"] > 1)
END

grep -qE "^\| weak \| both \| 2 \| 1 \| [0-9.]+ \|$" "$out/scaling.md" || fail "no lag 1 over lag 0"

# Again: nothing is made, and one point more is.
expect_status 0 "${scaling[@]}" --weak --over both --ranks 1,2 --lag 0,1 --out "$out"
[ ! -s "$work/err" ] || fail "points were made again"
expect_status 0 "${scaling[@]}" --weak --over actors --ranks 2 --out "$out"
expect_said "weak-actors-lag1-2.1: 3 ranks, 1 of them learners, 8 dialogues"
expect_status 0 "${scaling[@]}" --strong --ranks 2 --out "$out"
expect_said "strong-together-lag1-2.1: 2 ranks, 2 of them learners, 4 dialogues"

expect_status 1 "${scaling[@]}" --ranks 1 --set seed=2 --out "$out"
expect_said "was made with other settings"
expect_status 1 "${scaling[@]}" --ranks 1 --over here --out "$work/none"
expect_said "--over here is none of"
expect_status 1 "${scaling[@]}" --ranks 1 --warm 3 --out "$work/none"
expect_said "--warm 3 leaves none of 3 updates to count"
expect_status 1 "${scaling[@]}" --ranks 8 --strong --out "$work/none"
expect_said "strong-together-lag1-8.1: regard: rank 0: roles.learners (8) must divide learn.microbatches (4)"
