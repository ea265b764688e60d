# Interaction distillation: teacher and student have the same bits on any number of ranks and after a
# resume; every control is another run, and weight 0 is bradley_terry's; nothing of the teacher is in
# the student; a teacher that is none, or reads other tokens, is refused.
set -euo pipefail
source tests/program/common.sh
chat="--set model.family=llama --set rm.objective=interaction"
data="--set data.train=evidence:1:200:80 --set data.valid=evidence:1:40:50:200"

# train NAME RANKS OPTIONS...: eight updates of ten pairs.
train() {
    local name=$1 count=$2
    shift 2
    expect_status 0 ranks "$count" "$regard" reward --config $tiny $data --set rm.updates=8 \
        --set eval.every=4 --set rm.lr=3e-3 --set rm.batch=10 --set checkpoint.every=4 \
        --run "$work/$name" "$@"
}

hash_of() { parameters_hash "$work/$1/checkpoints/step-000008"; }

same() { # NAME OTHER: bits and metrics
    expect_same "$2" "$(hash_of "$1")" "$(hash_of "$2")"
    expect_equal_metrics "$work/$1/metrics.jsonl" "$work/$2/metrics.jsonl"
}

train teacher 0 --set rm.objective=pair --set rm.smoothing=0.1
train teacher-2 2 --set rm.objective=pair --set rm.smoothing=0.1
same teacher teacher-2
train teacher-part 2 --set rm.objective=pair --set rm.smoothing=0.1 --set rm.updates=4
train teacher-part 0 --set rm.objective=pair --set rm.smoothing=0.1 --resume
same teacher teacher-part
grep -q '"valid_accuracy":' "$work/teacher/metrics.jsonl" || fail "a teacher's accuracy is not said"

taught="$chat --set rm.align.teacher=$work/teacher"
train student 0 $taught
train student-2 2 $taught
same student student-2
grep -q '"alignment":0\.[0-9]*[1-9]' "$work/student/metrics.jsonl" || fail "no alignment is logged"
train part 4 $taught --set rm.updates=4
train part 0 $taught --resume
same student part
# Layers computed again, a teacher that moved: nothing of it changes a bit.
mv "$work/teacher-2" "$work/elsewhere"
train other 0 $chat --set rm.align.teacher="$work/elsewhere" --set learn.recompute=true
expect_same other "$(hash_of student)" "$(hash_of other)"

train two 0 $taught --set rm.align.layers=2 --set rm.align.form=mse
train untrained 0 $taught --set rm.align.control=untrained
train permuted 0 $taught --set rm.align.control=permuted
train uniform 0 $chat --set rm.align.control=uniform
train probability 0 $taught --set rm.align.control=probability
train none 0 $chat --set rm.align.weight=0
all=(student two untrained permuted uniform probability none)
[ "$(for name in "${all[@]}"; do hash_of "$name"; done | sort -u | wc -l)" = ${#all[@]} ] ||
    fail "two of ${all[*]} are the same"
train plain 0 $chat --set rm.objective=bradley_terry
expect_same "weight 0" "$(hash_of plain)" "$(hash_of none)"

# The student's folder is a student's alone: it reads without its teacher.
expect_same "what the folders hold" "$(ls "$work/plain/checkpoints/step-000008")" \
    "$(ls "$work/student/checkpoints/step-000008")"
expect_same "parameters" "$(stat -c %s "$work/plain/checkpoints/step-000008/model.h5")" \
    "$(stat -c %s "$work/student/checkpoints/step-000008/model.h5")"

# Measured by eval as the run measured it, the teacher too; what rm.inspect adds.
accuracy_of() { sed -n "s/.*\"$1\": \([0-9.e-]*\).*/\1/p" "$work/table.json"; }
for name in teacher student; do
    objective=interaction
    [ $name != teacher ] || objective=pair
    expect_status 0 "$regard" eval --model "$work/$name/checkpoints/step-000008" --data evidence:1:40:50:200 \
        --set rm.objective=$objective --set rm.inspect=true --out "$work/table.json"
    expect_same "accuracy of $name" \
        "$(sed -n 's/.*"valid_accuracy":\([0-9.]*\).*/\1/p' "$work/$name/metrics.jsonl" | tail -1)" \
        "$(accuracy_of accuracy)"
    expect_same "accuracy of $name, nothing masked" "$(accuracy_of accuracy)" "$(accuracy_of masked_0)"
    [ "$(grep -c '"masked_[0-9]*0*": [0-9.]*' "$work/table.json")" = 10 ] || fail "not ten shares are masked"
    awk -F'[":,} ]+' '/attention_/ { sum[substr($2, 1, 15)] += $3; n++ }
        END { for (s in sum) if (sum[s] < 0.999999 || sum[s] > 1.000001) exit 1; exit !(n == 10 || n == 5) }' \
        "$work/table.json" || fail "attention by fifth does not add to 1"
done

refused() { # TEXT OPTIONS...
    local text=$1
    shift
    expect_status 1 "$regard" reward --config $tiny $data --run "$work/wrong" "$@"
    expect_said "$text"
    [ ! -e "$work/wrong" ] || fail "a run folder was made"
}
refused "rm.objective: interaction needs rm.align.teacher" $chat
refused "is a decoder-only model; a teacher is trained by rm.objective: pair" $chat \
    --set rm.align.teacher="$work/plain"
train single 0 --set rm.updates=8
refused "was not trained by rm.objective: pair" $chat --set rm.align.teacher="$work/single"
refused "has another tokenizer than this run" $taught --set tokenizer.path=tests/text/fixtures/small
refused "interaction with a chat format" $taught --set text.chat=plain
refused "has 4 heads, into which the 10 elements" $taught --set model.heads=5 --set model.d_kv=2
refused "has 4 heads, into which all of the student's heads are cut: 260 elements each, at most 256" $taught \
    --set model.d_kv=260
refused "rm.align.control: uniform: the student has heads of 260 elements; at most 256" $chat \
    --set rm.align.control=uniform --set model.d_kv=260
refused "rm.align.layers: 3, but the student has 2" $taught --set rm.align.layers=3
refused "rm.objective: interaction reads each reply with a decoder-only model" \
    --set rm.objective=interaction --set rm.align.teacher="$work/teacher"
refused "rm.objective: pair reads both replies with full attention" --set rm.objective=pair \
    --set model.family=llama

# A teacher has no score of one reply, and only on_topic knows who belongs to what.
pair="was trained by rm.objective: pair: it reads two replies at once"
expect_status 1 "$regard" score --model "$work/teacher" --data synthetic:1:2 --out "$work/wrong"
expect_said "$pair"
expect_status 1 "$regard" train --config $tiny --set reward.sources=model:1 --set reward.model="$work/teacher" --run "$work/wrong"
expect_said "reward.model: " "$pair"
for name in teacher single; do
    expect_status 1 "$regard" train --config $tiny --set eval.on_topic="$work/$name" --run "$work/wrong"
    expect_said "eval.on_topic: " "was not trained by rm.objective: on_topic"
done
expect_status 0 "$regard" eval --model "$work/teacher" --data evidence:1:40:50:200 --out "$work/table.json"
expect_same "a teacher's accuracy, unasked" \
    "$(sed -n 's/.*"valid_accuracy":\([0-9.]*\).*/\1/p' "$work/teacher/metrics.jsonl" | tail -1)" "$(accuracy_of accuracy)"

# A teacher with other contents is not the one that the run began with.
train third 0 --set rm.objective=pair --set seed=3
expect_status 1 "$regard" reward --config "$work/part/config.yaml" --set rm.updates=12 \
    --set rm.align.teacher="$work/third" --run "$work/part" --resume
expect_said "the contents of rm.align.teacher are not what this run began with"
