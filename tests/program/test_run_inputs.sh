# What a run is made from: it does not go on with other data, tokenizer or keywords unless that is asked
# for; a run's folder serves as a model; a dry run plans what no machine could hold.
set -euo pipefail
source tests/program/common.sh

data() { for i in $(seq "$1"); do
    printf '{"messages":[{"role":"user","content":"is %d open"},{"role":"assistant","content":"it is %d"}]}\n' "$i" "$i"
done; }
data 12 >"$work/train.jsonl"
data 3 >"$work/valid.jsonl"
echo open >"$work/keywords"
train=("$regard" train --config $tiny --set threads=1 --set eval.every=1 --set eval.dialogues=2
    --set checkpoint.every=1 --set data.train="$work/train.jsonl" --set data.valid="$work/valid.jsonl"
    --set salience.keywords="$work/keywords")
expect_status 0 "${train[@]}" --set train.updates=2 --run "$work/run"

# refused KEY: the run does not go on, says which key, and nothing of it is changed.
refused() {
    cp -r "$work/run" "$work/copy"
    expect_status 1 "${train[@]}" --set train.updates=3 --run "$work/copy" --resume
    expect_said_once "the contents of $1 are not what this run began with"
    diff -r "$work/run" "$work/copy" || fail "a refused resume changed the run"
    rm -r "$work/copy"
}
for name in train.jsonl valid.jsonl keywords; do
    cp "$work/$name" "$work/before"
    case $name in
    keywords)
        echo closed >>"$work/$name"
        refused salience.keywords
        ;;
    *)
        sed -i '2s/open/shut/' "$work/$name" # as many bytes and lines as before
        refused "data.${name%.jsonl}"
        ;;
    esac
    cp "$work/before" "$work/$name"
done
# Moved, it is the same; and another one is taken when that is asked for, and stays so.
mv "$work/train.jsonl" "$work/moved.jsonl"
expect_status 0 "${train[@]}" --set data.train="$work/moved.jsonl" --set train.updates=3 --run "$work/run" --resume
data 11 >"$work/train.jsonl"
expect_status 1 "${train[@]}" --set train.updates=4 --run "$work/run" --resume
expect_said "ask for it: --change data.train=FILE"
expect_status 0 "${train[@]}" --change data.train="$work/train.jsonl" --set train.updates=4 --run "$work/run" --resume
expect_said "data.train has other contents from update 4 on, as asked"
expect_status 0 "${train[@]}" --set train.updates=5 --run "$work/run" --resume

# A run as a model: its best checkpoint, else its newest.
best=$(readlink "$work/run/checkpoints/best")
ask=("$regard" score --config $tiny --model)
echo '{"messages":[{"role":"user","content":"is it open"},{"role":"assistant","content":"it is"}]}' >"$work/ask.jsonl"
expect_status 0 "${ask[@]}" "$work/run" --data "$work/ask.jsonl" --out "$work/by-run"
expect_said "$work/run is a run: its best checkpoint is taken, $work/run/checkpoints/$best"
expect_status 0 "${ask[@]}" "$work/run/checkpoints/best" --data "$work/ask.jsonl" --out "$work/by-link"
expect_equal_files "$work/by-run" "$work/by-link"
expect_status 0 "$regard" inspect "$work/run"
grep -qx "folder $work/run/checkpoints/$best" "$work/out" || fail "inspect of a run shows another folder than its best checkpoint"
expect_status 0 "${train[@]}" --set model.path="$work/run" --set train.updates=1 --run "$work/next"
expect_said "$work/run/checkpoints/$best"
grep -q "path: \"*$work/run/checkpoints/$best" "$work/next/config.yaml" || fail "config.yaml does not say which checkpoint"
# The run that began with it stays with it, whatever is the best by now.
cp -r "$work/run" "$work/later"
rm "$work/run/checkpoints/best"
expect_status 0 "${train[@]}" --set model.path="$work/run" --set train.updates=2 --run "$work/next" --resume
expect_status 0 "${ask[@]}" "$work/run" --data "$work/ask.jsonl" --out "$work/by-newest"
expect_said "its newest checkpoint is taken, $work/run/checkpoints/step-000005"
mkdir -p "$work/empty/checkpoints"
expect_status 1 "${ask[@]}" "$work/empty" --data "$work/ask.jsonl" --out "$work/none"
expect_said "$work/empty is a run without a checkpoint"

# 386 thousand million parameters: planned, not allocated.
for verb in train sft; do
    expect_status 0 "$regard" $verb --config $tiny --set model.d_model=16384 --set model.d_ff=65536 \
        --set model.heads=128 --set model.d_kv=128 --set model.encoder_layers=40 \
        --set model.decoder_layers=40 --run "$work/large" --dry-run
    grep -q '^# .*386562957312' "$work/out" || fail "$verb: no count of parameters: $(tail -3 "$work/out")"
    grep -q '^# rank 0 ' "$work/out" || fail "$verb: no plan"
    [ ! -e "$work/large" ] || fail "a dry run left a folder"
done
