# bench: every part gives the figures that docs/gpu.md and tools/peers/table.py read, on the CPU
# with a tiny model; what can be counted by hand is.
source tests/program/common.sh
tiny=(--shape tiny --set device=cpu)

# figures NAME PART KEY...: the last JSON has the part, and each key once a line with a number.
figures() {
    local part=$1 key
    shift
    grep -q "\"$part\": {" "$work/out" || fail "bench gives no $part"
    sed -n "/\"$part\": {/,/^  }/p" "$work/out" >"$work/part"
    for key in "$@"; do
        grep -qE "\"$key\": -?[0-9]" "$work/part" || fail "$part has no number $key"
    done
}
# value KEY: of the part that figures looked at last.
value() { sed -n "s/.*\"$1\": \([^,]*\),*$/\1/p" "$work/part"; }

expect_status 0 "$regard" bench all "${tiny[@]}"
figures peaks matmul_gflops copy_gb_s
figures peaks_after matmul_gflops copy_gb_s
figures generate turn_ms turn_ms_capture_off steps_ms tokens_s_capture_on on_over_off
figures decode step_ms step_ms_capture_off floor_gb_s share_of_copy capture_on_over_off
# 2 layers x (6 projections of 32 x 32, 2 of 32 x 64) and a head of 64 x 32, in fp32; 2 histories of
# 16 tokens, 6 replies with 3 on average, each 2 layers x 2 x 32 numbers.
expect_same "bytes of the weights" $((4 * (2 * (6 * 32 * 32 + 2 * 32 * 64) + 64 * 32))) \
    "$(value floor_bytes_weights)"
expect_same "bytes of the histories" $((4 * 2 * 16 * 2 * 2 * 32)) "$(value floor_bytes_histories)"
expect_same "bytes of the replies" $((4 * 6 * 3 * 2 * 2 * 32)) "$(value floor_bytes_replies)"
figures update tflop seconds model_gflops share_of_matmul_peak
# 3 x (2 x (20480 weights x 32 history tokens + 22528 x 16 reply tokens) + 206848 of attention).
expect_same "operations of an update" 6.715e-6 "$(value tflop)"
figures weights pass_ms copy_ms pass_over_copy
figures exact turn_ms_fast turn_ms_exact exact_over_fast compared
expect_same "replies that depend on the batch" 0 "$(value mismatches)"
expect_same "replies compared" $((1 + 2 + 3 + 4 + 5)) "$(value compared)"
figures memory weights activations bytes
grep -q '"kernel": "attention' "$work/out" || fail "kernels has no attention"

# Decoder-only models: what more there is, and what is counted otherwise.
expect_status 0 "$regard" bench all --shape tiny-causal --set device=cpu --rounds 2
figures generate turn_ms tokens_s_capture_on on_over_off on_over_off_from on_over_off_to
figures prefill tokens_s share_of_matmul_peak
figures turns kept_ms anew_ms anew_over_kept share_of_the_ratio_of_tokens
# 2 histories of 16, 4 and 5 tokens, of which the last is left to the first step.
expect_same "tokens read anew" $((2 * 24)) "$(value tokens_anew)"
expect_same "tokens read where the first turn is kept" $((2 * 5)) "$(value tokens_kept)"
figures decode step_ms share_of_read
# 2 layers x (4 + 2 + 2 heads of 8 and 32 back, by 32; 3 of 64 x 32) and a head of 64 x 32.
expect_same "bytes of the weights" $((4 * (2 * (64 * 32 + 32 * 32 + 3 * 64 * 32) + 64 * 32))) \
    "$(value floor_bytes_weights)"
figures update tflop
# 3 x (2 x (10240 weights x 32 history tokens + 20480 x 16 reply tokens) + 145408 of attention).
expect_same "operations of an update" 4.368e-6 "$(value tflop)"
figures exact compared
expect_same "replies that depend on the batch" 0 "$(value mismatches)"

# Where the time goes: every part of a step by its operation, and what is no operation.
expect_status 0 "$regard" bench update --shape tiny-causal --set device=cpu --rounds 2 --profile
expect_said "update: " " matmul_weight_gradient" " attention_backward" " adamw" "outside of operations"
awk '/outside of operations/ { share += $2; exit !(share > 99 && share < 101) }
     NR > 2 { share += $2 }' "$work/err" || fail "shares are not the whole: $(cat "$work/err")"
expect_status 0 "$regard" train --config configs/tiny.yaml --set train.updates=1 --run "$work/run" --profile
expect_said "where the time of rank 0 went: " " sample" " matmul"
expect_status 2 "$regard" bench update --profile=yes
expect_line "--profile takes no value"

# One part alone.
expect_status 0 "$regard" bench weights "${tiny[@]}"
figures weights pass_over_copy
grep -q '"decode"' "$work/out" && fail "bench weights measured decode too"

expect_status 2 "$regard" bench all --shape huge
expect_line "--shape is tiny, small, large, causal or tiny-causal, not huge"
expect_status 2 "$regard" bench all --rounds 0
expect_line "--rounds is a number from 1 to 64, not 0"
expect_status 1 "$regard" bench turns "${tiny[@]}"
expect_line "bench turns is of decoder-only models"
expect_status 1 "$regard" bench generate "${tiny[@]}" --config configs/reasoning.yaml --set cot.history=reencode
expect_line "bench measures whole replies" "; add --set task=dialogue"
