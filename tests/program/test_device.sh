# device: cuda where there is no module, no driver or no GPU is one line and status 1; auto is the
# CPU then; the program itself links no CUDA library; and the module, here the shim's, is used.
set -euo pipefail
source tests/program/common.sh
folder=$(dirname "$regard")
run=(train --config $tiny --set train.updates=1 --set eval.every=0 --set rollout.turns=1)

refused() { # TEXT ENVIRONMENT...: device: cuda under that environment is refused
    expect_status 1 env "${@:2}" "$regard" "${run[@]}" --set device=cuda --run "$work/refused"
    expect_line "device: cuda" "$1"
}
refused "there is no /nowhere/regard_cuda.so" REGARD_CUDA_MODULE=/nowhere/regard_cuda.so
echo "no library" >"$work/text.so"
refused "$work/text.so" REGARD_CUDA_MODULE="$work/text.so"
refused "is not regard's CUDA module" \
    REGARD_CUDA_MODULE="$(ldd "$regard" | sed -n 's/.*=> \(.*libm.so.6\) .*/\1/p')"
cp "$regard" "$work/regard" # no module lies beside this one
expect_status 1 "$work/regard" "${run[@]}" --set device=cuda --run "$work/refused"
expect_line "device: cuda" "there is no $work/regard_cuda.so"
if [ -f "$folder/regard_cuda.so" ]; then
    # With a driver: no GPU is visible.  Without: the module is asked all the same.
    refused "device: cuda" REGARD_CUDA_MODULE="$folder/regard_cuda.so" CUDA_VISIBLE_DEVICES=
    cp "$folder/regard_cuda.so" "$work/"
    if ! ldconfig -p | grep -q libcuda.so.1; then
        expect_status 1 "$work/regard" "${run[@]}" --set device=cuda --run "$work/refused"
        expect_line "device: cuda" "no NVIDIA driver"
    fi
fi

# auto: the CPU, with a line in the log.
expect_status 0 env REGARD_CUDA_MODULE=/nowhere/regard_cuda.so "$regard" "${run[@]}" \
    --set device=auto --run "$work/auto"
expect_said "running on the CPU"
expect_status 0 env REGARD_CUDA_MODULE=/nowhere/regard_cuda.so "$regard" "${run[@]}" \
    --set device=cpu --run "$work/cpu"
grep -q "running on the CPU" "$work/err" && fail "device: cpu looked for CUDA"
expect_same "parameters" "$(parameters_hash "$(newest "$work/cpu")")" \
    "$(parameters_hash "$(newest "$work/auto")")"

# bf16 is CUDA's; fp16 is refused with a word why.  One line each, before anything is written.
expect_status 1 "$regard" "${run[@]}" --set device=cpu --set precision=bf16 --run "$work/refused"
expect_line "precision: bf16 needs device: cuda"
expect_status 1 env REGARD_CUDA_MODULE=/nowhere/regard_cuda.so "$regard" "${run[@]}" \
    --set device=auto --set precision=bf16 --run "$work/refused"
expect_line "there is no /nowhere/regard_cuda.so" "precision: bf16 needs device: cuda"
expect_status 1 "$regard" "${run[@]}" --set precision=fp16 --run "$work/refused"
expect_line "--set precision=fp16" "activations overflow in fp16; take bf16"
[ ! -e "$work/refused" ] || fail "a refused run left something behind"

# The program links none of it.
if readelf -d "$regard" | grep -Ei 'NEEDED.*(cuda|cublas|nccl|nvrtc)'; then
    fail "the program links a CUDA library"
fi

# With a module there, cuda and auto use it: the shim's, whose launches are counted.
module=$folder/regard_cuda_host.so
if [ -f "$module" ]; then
    for device in cuda auto; do
        rm -f "$work/launches"
        expect_status 0 env REGARD_CUDA_MODULE="$module" CUDA_HOST_LAUNCHES="$work/launches" \
            "$regard" score --model tests/golden/relu-tied/model --out "$work/score" \
            --data tests/golden/relu-tied/score.jsonl --set device=$device
        grep -q '^attention' "$work/launches" || fail "device: $device ran no kernel of attention"
    done
    # More than the device has is one line that says what to do.
    expect_status 70 env REGARD_CUDA_MODULE="$module" CUDA_HOST_MEMORY=100000 \
        "$regard" score --model tests/golden/relu-tied/model --out "$work/score" \
        --data tests/golden/relu-tied/score.jsonl --set device=cuda
    expect_line "GPU memory: " "for weights" " are free; take a smaller model"
    # What a run will hold is counted before anything is allocated: one table, or one line.
    small=("${run[@]}" --set device=cuda)
    expect_status 0 env REGARD_CUDA_MODULE="$module" "$regard" "${small[@]}" --dry-run \
        --run "$work/planned"
    grep '^# at most, MB .*activations .*optimizer .*total$' "$work/out" || fail "no table of memory"
    needed=$(sed -n 's/^# rank 0  .* \([0-9.]*\)$/\1/p' "$work/out")
    [ "$needed" ] || fail "the table has no total"
    bytes=$(awk "BEGIN { printf \"%d\", $needed * 1.01 * 1e6 }")
    expect_status 1 env REGARD_CUDA_MODULE="$module" CUDA_HOST_MEMORY=$((bytes * 9 / 10)) \
        REGARD_LOG=warning "$regard" "${small[@]}" --run "$work/planned"
    expect_line "GPU memory: needed are $needed MB (activations " ", scratch " " MB are free; " \
        "lower learn.reply_tokens"
    [ ! -e "$work/planned" ] || fail "a run that does not fit left something behind"
    # And what was counted is what is allocated: not a block more, neither at first nor later.
    all_counted() { # ARGUMENT...: a run of two updates
        expect_status 0 env REGARD_CUDA_MODULE="$module" CUDA_HOST_MEMORY="$bytes" \
            REGARD_LOG=debug "$regard" "$@" --set device=cuda --set train.updates=2 \
            --set rollout.dialogues=2 --set learn.microbatches=2 --run "$work/planned"
        sed -n 's/.* \([0-9]* allocations of GPU memory.*\)/\1/p' "$work/err" >"$work/allocations"
        [ "$(wc -l <"$work/allocations")" = 3 ] || fail "not three lines about allocations"
        [ "$(sort -u "$work/allocations" | wc -l)" = 1 ] || fail "an update allocated GPU memory"
        expect_said "allocations of GPU memory, 0.0 MB beyond what was reserved"
        rm -rf "$work/planned"
    }
    all_counted "${run[@]}"
    # Blocks of reasoning are read in a pass of their own, with the decoder's rows over itself:
    # replies as long as histories, or the room for these would hide what is missing.
    bytes=1000000000
    for form in rows steps; do
        all_counted train --config configs/reasoning.yaml --set eval.every=0 --set advantage=group \
            --set tokenizer.path=bytes --set reward.sources=attention:1,verifier:0 --set cot.block_form=$form --set rollout.candidates=2 \
            --set rollout.max_new_tokens=250 --set history.max_tokens=128 --set infer.batch=4 \
            --set ppo.epochs=1 --set model.d_model=16 --set model.heads=2 --set model.d_ff=16 \
            --set model.encoder_layers=1 --set model.decoder_layers=1
    done
fi
