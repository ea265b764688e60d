# Where the time goes, in metrics.jsonl and the log: every update's line has every rank's seconds by
# kind, by the rank's role; they add up to the time on the clock; and clocks alone differ by ranks.
# With log.metrics_every a line is of all updates since the line before.
set -euo pipefail
source tests/program/common.sh

settings=(--config $tiny --set threads=1 --set train.updates=6 --set log.every=2
    --set log.metrics_every=2 --set checkpoint.every=2)

# of FILE STEP KIND RANK: a rank's seconds; 0 where the kind is left out.
of() {
    grep "^{\"step\":$2,\"reward\"" "$1" | grep -o "\"$3\":\[[^]]*\]" | sed 's/.*\[//; s/\]//' |
        cut -d, -f$(($4 + 1)) | grep . || echo 0
}
positive() { awk "BEGIN { exit !($1 > 0) }"; }
zero() { awk "BEGIN { exit !($1 == 0) }"; }

for lag in 0 1; do
    run=$work/three-$lag
    expect_status 0 ranks 3 "$regard" train "${settings[@]}" --set pipeline.lag=$lag --run "$run"
    file=$run/metrics.jsonl
    for step in 2 4 6; do
        positive "$(of "$file" $step learn 0)" || fail "rank 0 spent no time learning in update $step"
        positive "$(of "$file" $step read 0)" || fail "rank 0 spent no time reading in update $step"
        zero "$(of "$file" $step generate 0)" || fail "rank 0 does not generate"
        for rank in 1 2; do
            positive "$(of "$file" $step generate $rank)" || fail "rank $rank did not generate in update $step"
            zero "$(of "$file" $step learn $rank)" || fail "rank $rank does not learn"
            # At lag 1 batch 2 follows batch 1 without an agreement between.
            [ $step$lag = 21 ] || positive "$(of "$file" $step wait_slowest $rank)" ||
                fail "rank $rank waited for nobody in update $step"
        done
    done
    positive "$(of "$file" 4 save 0)" || fail "what was saved after update 2, in a line of 3 and 4"
    grep -qE 'train 4/6 .*s left; [a-z_]+ [0-9]+%(, [a-z_]+ [0-9]+%){0,2}$' "$work/err" ||
        fail "the log's line of an update does not say where the time went"
    expect_said "train 6: where the time went: "
done

# One rank: its kinds add up to the time between two updates, in which nothing is saved or evaluated.
expect_status 0 "$regard" train "${settings[@]}" --set log.metrics_every=1 --set checkpoint.every=0 \
    --set eval.every=0 --run "$work/one"
expect_status 0 awk -F '"seconds":' '/"reward"/ {
    line = $2; seconds = line + 0; sum = 0
    while (match(line, /"time_[a-z_]*":[0-9.e-]+/)) {
        one = substr(line, RSTART, RLENGTH); line = substr(line, RSTART + RLENGTH)
        if (one ~ /_max/) continue
        sub(/.*:/, "", one); sum += one }
    if (NR > 1 && (sum < seconds - 1e-3 || sum > seconds + 0.05)) { print seconds, sum; exit 1 } }' \
    "$work/one/metrics.jsonl"

# Supervised runs have it too.
expect_status 0 ranks 2 "$regard" sft --config $tiny --set threads=1 --set sft.updates=2 --run "$work/sft"
for rank in 0 1; do
    seconds=$(grep '^{"step":2,"loss"' "$work/sft/metrics.jsonl" | grep -o '"exchange":\[[^]]*\]' |
        sed 's/.*\[//; s/\]//' | cut -d, -f$((rank + 1)))
    positive "$seconds" || fail "sft: rank $rank exchanged nothing"
done

# What came to ranks from others in the two updates of a line: two learners swap halves, two actors get all weights.
expect_status 0 "$regard" train "${settings[@]}" --set advantage=group --dry-run --run "$work/none"
parameters=$(sed -n 's/^# parameters: \([0-9]*\);.*/\1/p' "$work/out")
expect_status 0 ranks 4 "$regard" train "${settings[@]}" --set advantage=group --set roles.learners=2 --set ppo.epochs=1 \
    --set eval.every=0 --run "$work/four"
expect_status 0 awk -v floats=$((2 * 4 * parameters)) '
    function of(kind) { return match($0, "\"bytes_" kind "\":[0-9]+") ? substr($0, RSTART + 9 + length(kind), RLENGTH) + 0 : 0 }
    /"reward"/ {
        lines++
        if (of("gradients") != floats || of("parameters") != floats || of("experience") < 1000) { print; exit 1 }
        if (of("weights") < 2 * floats || of("weights") > 2 * floats + 2000) { print; exit 1 }
    }
    END { if (!lines || !floats) exit 1 }' "$work/four/metrics.jsonl"
if grep -q '"bytes_' "$work/one/metrics.jsonl"; then fail "bytes came to a rank that is alone"; fi
