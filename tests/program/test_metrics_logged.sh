# metrics.jsonl says of every update and evaluation what every run must log (the reward's
# specification, "Controls"), and each value is a number.
set -euo pipefail
source tests/program/common.sh

# Each term raw, scaled, and its share of variance within a history's candidates.
terms="coverage focus rep_hist rep_self"
updates="reward reward_scaled within_share_reward"
for term in $terms; do updates="$updates $term ${term}_scaled within_share_$term"; done
# |I| / |V|, turns without a salient token, what exclude_special removed; replies.
updates="$updates salient_share salient_empty reply_length end_rate distinct_2
    rollout_tokens_computed rollout_tokens_pairs"
# The row's mass by turns back, and its entropy before and after the floor.
updates="$updates mass_turn_back_0 mass_turn_back_1 attention_entropy attention_entropy_floored"
# KL by the loss's estimator and of the sampled tokens; the policy's step.
updates="$updates kl kl_behaviour token_entropy clip_fraction loss gradient_norm skipped
    ratio_deviation_first advantage_deviation learning_rate seconds tokens_per_second"
critic="critic_learning_rate explained_variance critic_loss critic_gradient_norm"

# expect_numbers FILE STEP FIRST NAMES...: the line of that step which begins with FIRST has each
# name, and a number behind it (NaN and infinities are written as null).
expect_numbers() {
    local file=$1 step=$2 first=$3 line name
    shift 3
    line=$(grep "^{\"step\": *$step,\"$first\":" "$file") || fail "$file: no line of step $step with $first first"
    [ "$(wc -l <<<"$line")" = 1 ] || fail "$file: two lines of step $step"
    for name in "$@"; do
        grep -qE "[{,]\"$name\": *-?[0-9][-+0-9.e]*[,}]" <<<"$line" ||
            fail "$file, step $step: no number for \"$name\" in $line"
    done
}

settings=(--config $tiny --set threads=1 --set train.updates=2 --set eval.every=1 --set eval.dialogues=2)
held_out=(eval_reward eval_coverage eval_focus eval_rep_hist eval_rep_self eval_bleu eval_rouge_l
    eval_distinct_1 eval_distinct_2 eval_slot_carry_over eval_perplexity eval_reply_length
    eval_end_rate)
for kind in "turn none" "gae none" "group length"; do
    read -r advantage control <<<"$kind"
    run=$work/$advantage
    expect_status 0 "$regard" train "${settings[@]}" --set advantage=$advantage \
        --set control=$control --run "$run"
    # Before the first update too: where the run comes from.
    expect_numbers "$run/metrics.jsonl" 0 eval_reward "${held_out[@]}"
    for step in 1 2; do
        expect_numbers "$run/metrics.jsonl" $step reward $updates sink_mass
        [ $advantage = group ] || expect_numbers "$run/metrics.jsonl" $step reward $critic
        expect_numbers "$run/metrics.jsonl" $step eval_reward "${held_out[@]}"
    done
    # Nothing is logged that is not a number.
    ! grep -n null "$run/metrics.jsonl" || fail "not a number"
done

# Batches of older weights: how old, and what corrects for it; none of it before update 1.
expect_status 0 "$regard" train "${settings[@]}" --set eval.every=0 --set pipeline.lag=2 --run "$work/lag"
for step in 1 2; do
    expect_numbers "$work/lag/metrics.jsonl" $step reward staleness lag_weight_mean lag_weight_max \
        lag_truncated lag_effective
done
grep -q '"staleness":0.0,"lag_weight_mean":1.0[0-9]*,"lag_weight_max":1.0,"lag_truncated":0.0,' \
    "$work/lag/metrics.jsonl" || fail "the first batch is of the weights that it is learned with"
grep '^{"step":2,' "$work/lag/metrics.jsonl" | grep -q '"staleness":1.0,"lag_weight_mean":0.' ||
    fail "no weight moved in the second update"

# A decoder-only model: where a row's mass lies, which adds to 1.
expect_status 0 "$regard" train --config $tiny --set threads=1 --set train.updates=1 \
    --set eval.every=0 --set model.family=llama --set model.kv_heads=2 --run "$work/causal"
masses="first_mass special_mass history_mass reply_mass"
expect_numbers "$work/causal/metrics.jsonl" 1 reward $updates $masses
sum=0
for mass in $masses; do
    sum="$sum + $(sed -nE "s/.*\"$mass\": *([-0-9.e]+).*/\1/p" "$work/causal/metrics.jsonl")"
done
awk "BEGIN { off = $sum - 1; exit !(off < 1e-5 && off > -1e-5) }" || fail "masses add to $sum"

# What a floor adds: nothing below every row's entropy, all that is missing above it.
floored() { # SETTINGS...: both entropies of the first update
    rm -rf "$work/floor"
    expect_status 0 "$regard" train --config $tiny --set threads=1 --set train.updates=1 --set eval.every=0 \
        "$@" --run "$work/floor"
    sed -nE 's/.*"attention_entropy": *([-0-9.e]+),"attention_entropy_floored": *([-0-9.e]+),.*/\1 \2/p' \
        "$work/floor/metrics.jsonl"
}
read -r before after <<<"$(floored --set floor.delta0=0 --set floor.kappa=0)"
[ -n "$before" ] && [ "$before" = "$after" ] || fail "no floor, and entropy goes from $before to $after"
for form in value mix; do
    read -r low high <<<"$(floored --set floor.delta0=100 --set floor.form=$form)"
    expect_same "entropy before the floor" "$before" "$low"
    awk "BEGIN { exit !($high > $low + 0.01) }" || fail "floor.form: $form lifts entropy from $low to $high"
done

# Interrupted replies are reported apart; a run without has none of it.  Untrained, few replies end.
expect_status 0 "$regard" train --config $tiny --set threads=1 --set train.updates=1 --set eval.every=1 \
    --set eval.dialogues=1 --set rollout.interrupt=1 --run "$work/interrupted"
expect_numbers "$work/interrupted/metrics.jsonl" 1 reward interrupted reward_interrupted \
    reply_length_interrupted coverage_interrupted focus_interrupted rep_hist_interrupted
line=$(grep '^{"step": *1,"reward"' "$work/interrupted/metrics.jsonl")
value() { sed -nE "s/.*[{,]\"$1\": *([-0-9.e]+)[,}].*/\1/p" <<<"$line"; }
awk "BEGIN { exit !($(value interrupted) > 0.8 && $(value interrupted) <= 1) }" || fail "share: $line"
awk "BEGIN { exit !($(value reply_length_interrupted) > 1 && $(value reply_length_interrupted) < 11) }" ||
    fail "length: $line"
count() { { grep -o "$1" "$work/interrupted/samples/"*.jsonl || true; } | wc -l; }
[ "$(count '"ended":false,"interrupted":true')" -gt 0 ] || fail "samples do not say who was interrupted"
[ "$(count '"interrupted":true')" = "$(count '"ended":false,"interrupted":true')" ] || fail "ended and cut"
! grep -q interrupted "$work/turn/metrics.jsonl" || fail "nobody was interrupted"

# A run without KL in its loss says how far it went all the same.
expect_status 0 "$regard" train "${settings[@]}" --set kl.coef=0 --run "$work/free"
for name in kl kl_behaviour; do
    expect_numbers "$work/free/metrics.jsonl" 2 reward $name
    line=$(grep '^{"step": *2,"reward"' "$work/free/metrics.jsonl")
    ! grep -qE "\"$name\": *-?0(\.0)?[,}]" <<<"$line" || fail "kl.coef 0, and $name is 0 after an update"
done
