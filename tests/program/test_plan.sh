# plan: its seconds are those of a run on the timed stub, it says the same twice, takes lengths and
# times from runs, does 16,384 ranks, and refuses what it cannot read.
set -euo pipefail
source tests/program/common.sh
command -v python3 >/dev/null || { echo "no python3: skipped"; exit 77; }

number() { # number FILE SECTION KEY: in what --json printed
    python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]][sys.argv[3]])' "$@"
}

# The same code on the same device: what the stub worked in a run, and what was reckoned.
rates=(--set sleep.flops=1e10 --set sleep.bandwidth=1e10 --set sleep.launch=1e-6)
cat >"$work/one.yaml" <<'END'
ranks: 1
device: {flops: 1e10, bandwidth: 1e10, launch: 1e-6}
END
for family in t5 llama; do
    settings=(--config $tiny --set model.family=$family --set precision=fp32)
    expect_status 0 "$regard" train "${settings[@]}" --set device=sleep "${rates[@]}" \
        --set train.updates=6 --set eval.every=6 --set checkpoint.every=6 --run "$work/$family"
    expect_status 0 "$regard" plan "${settings[@]}" --cluster "$work/one.yaml" --json
    cp "$work/out" "$work/$family.json"
    step=$(number "$work/$family.json" configured step_s)
    awk -F'"timed_stub_seconds":' -v step="$step" -v family="$family" '
        NF == 2 { split($2, a, ","); sum += a[1]; count++ }
        END {
            print family ": the stub worked", sum / count, "s an update, planned are", step
            exit !(count == 6 && step > 0.9 * sum / count && step < 1.1 * sum / count)
        }' "$work/$family/metrics.jsonl" || fail "$family: planned seconds"
done
expect_status 0 "$regard" plan "${settings[@]}" --cluster "$work/one.yaml" --json
expect_same "a second plan" "$(grep -v planned_in_s "$work/llama.json")" \
    "$(grep -v planned_in_s "$work/out")"

# A run's replies and a run's times: of full length, and about what the stub's rates give.
cat >"$work/from.yaml" <<END
ranks: 1
device: {flops: 1e10, bandwidth: 1e10, launch: 1e-6}
replies: {from: $work/llama}
from_run: $work/llama
END
expect_status 0 "$regard" plan "${settings[@]}" --cluster "$work/from.yaml"
grep -q "scaled by $work/llama: generating" "$work/out" || fail "nothing is scaled"
expect_status 0 "$regard" plan "${settings[@]}" --cluster "$work/from.yaml" --json
[ "$(number "$work/out" configured both_roles)" = True ] || fail "roles of one rank"
python3 - "$work/out" <<'END' || fail "scales"
import json, sys
plan = json.load(open(sys.argv[1]))
assert plan["generate_scale"] > 0.8 and plan["learn_scale"] > 0.8, plan
END

# 16,384 ranks.
printf 'hosts: 2048\nranks: 8\nreplies: {median: 6, sigma: 0.5}\n' >"$work/large.yaml"
expect_status 0 "$regard" plan --config $tiny --cluster "$work/large.yaml" \
    --set data.train=synthetic:1:16384 --set rollout.dialogues=16384 --set learn.microbatches=4096 \
    --set roles.learners=4096
grep -q '^16384 ranks on 2048 hosts' "$work/out" || fail "not 16,384 ranks"
grep -qE '^  configured +4096 learners, 12288 actors, lag 0 ' "$work/out" || fail "configured roles"
grep -qE '^  recommended +[0-9]+ (learners|ranks)' "$work/out" || fail "no recommendation"

# Refused.
expect_status 2 "$regard" plan --config $tiny
expect_said "plan needs --cluster"
expect_status 1 "$regard" plan --config $tiny --cluster "$work/none.yaml"
expect_line "none.yaml"
printf 'rank: 1\n' >"$work/bad.yaml"
expect_status 1 "$regard" plan --config $tiny --cluster "$work/bad.yaml"
expect_line "bad.yaml:1: unknown key rank; did you mean ranks?"
printf 'cores: 2\nsharing: {compute: [1, 1.5]}\n' >"$work/bad.yaml"
expect_status 1 "$regard" plan --config $tiny --cluster "$work/bad.yaml"
expect_line "bad.yaml:2: sharing.compute"
printf 'from_run: %s\n' "$work" >"$work/bad.yaml"
expect_status 1 "$regard" plan --config $tiny --cluster "$work/bad.yaml"
expect_line "$work/config.yaml"
printf 'replies: {from: %s}\n' "$work" >"$work/bad.yaml"
expect_status 1 "$regard" plan --config $tiny --cluster "$work/bad.yaml"
expect_line "has no samples with replies"
printf '{}\n' >"$work/bench.json"
expect_status 1 "$regard" plan --config $tiny --cluster "$work/one.yaml" --bench "$work/bench.json"
expect_line "bench.json: no peaks with matmul_gflops and copy_gb_s"
printf '{"peaks": {"matmul_gflops": 10.0, "copy_gb_s": 10.0}}\n' >"$work/bench.json"
expect_status 0 "$regard" plan --config $tiny --set model.family=llama --set precision=fp32 \
    --cluster <(printf 'ranks: 1\ndevice: {launch: 1e-6}\n') --bench "$work/bench.json" --json
expect_same "rates of bench" "$step" "$(number "$work/out" configured step_s)"
