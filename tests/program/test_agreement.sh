# Ranks that do not run the same thing refuse, all of them, in one line that names rank, host and what
# differs; what may differ does not stop them.
set -euo pipefail
source tests/program/common.sh

train=("$regard" train --config $tiny --set threads=1 --set train.updates=1 --set eval.every=0)
sft=("$regard" sft --config $tiny --set threads=1 --set sft.updates=1 --set eval.every=0)
here=$(hostname)

# together A... : B...  runs the two commands as ranks 0 and 1 of one job.
together() { run/mpirun -np 1 "$@"; }

# differ WHAT COMMAND...: as rank 1 beside `train`, refused with these words.
differ() {
    local what=$1
    shift
    expect_status 1 together "${train[@]}" --run "$work/run" : -np 1 "$@"
    expect_said_once "rank 1: on $here: $what"
    expect_said "all ranks need the same"
    [ ! -e "$work/run" ] || fail "a refused run left a folder"
}

# Settings, by key.
differ "key policy.lr is 0.25, rank 0 on $here has 0.001" "${train[@]}" --set policy.lr=0.25 --run "$work/run"
differ "key roles.learners is 2, rank 0 on $here has 1" "${train[@]}" --set roles.learners=2 --run "$work/run"
differ "key text.user_marker is" "${train[@]}" --set text.user_marker=x --run "$work/run"
# Options.
differ "--run is $work/other" "${train[@]}" --run "$work/other"
differ "--dry-run is given" "${train[@]}" --run "$work/run" --dry-run
differ "--resume is auto" "${train[@]}" --run "$work/run" --resume=auto
differ "the verb is sft" "${sft[@]}" --run "$work/run"
# Another build of the same version.
cp "$regard" "$work/regard"
printf '\n' >>"$work/regard"
differ "the SHA-256 of the program's file is" "$work/regard" "${train[@]:1}" --run "$work/run"
# Data and keywords, by what lies there.
data() { for i in $(seq "$1"); do
    printf '{"messages":[{"role":"user","content":"is %d open"},{"role":"assistant","content":"it is"}]}\n' "$i"
done; }
data 8 >"$work/a.jsonl"
data 9 >"$work/b.jsonl"
train+=(--set data.train="$work/a.jsonl")
differ "what data.train names has the hash" "${train[@]}" --set data.train="$work/b.jsonl" --run "$work/run"
differ "what data.valid names has the hash" "${train[@]}" --set data.valid="$work/b.jsonl" --run "$work/run"
echo open >"$work/keywords"
differ "what salience.keywords names has the hash" "${train[@]}" --set salience.keywords="$work/keywords" --run "$work/run"

# Models and their idf tables: a run's checkpoint with another beside it.
expect_status 0 "${train[@]}" --run "$work/model"
expect_status 0 "${train[@]}" --set seed=2 --run "$work/model2"
train+=(--set model.path="$work/model")
differ "what model.path names has the hash" "${train[@]}" --set model.path="$work/model2" --run "$work/run"
mkdir "$work/idf"
cp "$work/model/checkpoints/newest/idf.tsv" "$work/idf"
sed -i '1d' "$work/idf/idf.tsv"
differ "what tokenizer.path names has the hash" "${train[@]}" --set tokenizer.path="$work/idf" --run "$work/run"
train+=(--set eval.encoder="$work/model")
differ "what eval.encoder names has the hash" "${train[@]}" --set eval.encoder="$work/model2" --run "$work/run"
cp -r "$work/model" "$work/model3"

# The same under another path, and what is each rank's own.
cp "$work/a.jsonl" "$work/c.jsonl"
expect_status 0 together "${train[@]}" --run "$work/run" : -np 1 "${train[@]}" --run "$work/run" \
    --set data.train="$work/c.jsonl" --set eval.encoder="$work/model3" --set threads=2 --set instructions=c
