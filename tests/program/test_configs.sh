# Every configuration that is shipped passes train --dry-run, with files of ours where it names files
# that are made first, and README names it; the papers' have nothing of ours.
set -euo pipefail
source tests/program/common.sh

expect_status 0 "$regard" sft --config $tiny --set sft.updates=1 --set eval.every=0 --run "$work/model"
printf '{"messages":[{"role":"user","content":"Is it open on %d?"},{"role":"assistant","content":"Yes."}]}\n' \
    $(seq 40) >"$work/data.jsonl"
for config in configs/*.yaml; do
    [[ $config != */cluster-example.yaml ]] || continue # of plan
    given=()
    ! grep -q '^  d_model:' "$config" && given+=(--set model.path="$work/model")
    ! grep -q '^  path: runs/' "$config" || given+=(--set tokenizer.path=bytes)
    [[ $config != */reward-model.yaml ]] || given+=(--set tokenizer.path=bytes) # as its commands have it
    ! grep -qE '^  train: [a-z/._-]*jsonl' "$config" ||
        given+=(--set data.train="$work/data.jsonl" --set data.valid="$work/data.jsonl")
    verb=train
    ! grep -q '^rm:' "$config" || verb=reward
    expect_status 0 "$regard" $verb --config "$config" "${given[@]}" --dry-run --run "$work/none"
    cp "$work/out" "$work/$(basename "$config")"
    grep -qF "(configs/$(basename "$config"))" README.md || fail "README's list has no $config"
done
[ ! -e "$work/none" ] || fail "a dry run left a folder"

# setting CONFIG SECTION KEY VALUE: in what was resolved.
setting() {
    awk -v section="$2:" -v line="  $3: $4" '
        /^[a-z]/ { inside = $1 == section }
        inside && $0 == line { found = 1 }
        END { exit !found }' "$work/$1" || fail "$1 has another $2.$3 than $4"
}
for config in paper-dialogue.yaml paper-reasoning.yaml; do
    grep -q '^advantage: turn$' "$work/$config" || fail "$config: advantage"
    grep -q '^scorer: live$' "$work/$config" || fail "$config: scorer"
    while read -r section key value; do setting $config "$section" "$key" "$value"; done <<'END'
reward scale none
reward overlong 0.0
ppo whiten false
ppo loss sequence
ppo clip_high 0.0
kl coef 0.0
entropy coef 0.0
returns center false
credit form uniform
floor form value
coverage form paper
focus form paper
attention exclude_special false
critic target best
critic warmup 0
policy warmup 0
rollout candidates 8
END
done
setting paper-dialogue.yaml rollout continue best
setting paper-reasoning.yaml cot reason_tokens 20
setting paper-reasoning.yaml cot block 5
setting paper-reasoning.yaml cot lambda_final 2.0
