# The commands of README and of configs/reward-model.yaml about reward models run as they stand, with short
# runs, small data and folders of ours in place of MODEL; a tokenizer that is not the model's is said.
set -euo pipefail
source tests/program/common.sh

expect_status 0 "$regard" sft --config $tiny --set tokenizer.path=tests/text/fixtures/small --set sft.updates=1 \
    --set eval.every=0 --run "$work/sft"
expect_status 0 "$regard" export --model "$work/sft" --out "$work/model"
awk 'BEGIN { for (i = 0; i < 40; i++)
    printf "{\"prompt\":\"Is it open on %d?\",\"chosen\":\"Yes, on %d.\",\"rejected\":\"No.\"}\n", i, i }' >"$work/pairs.jsonl"
printf '{"messages":[{"role":"user","content":"Is it open on %d?"},{"role":"assistant","content":"Yes."}]}\n' \
    $(seq 40) >"$work/dialogues.jsonl"

# commands FILE: a line a command, continuations joined, remarks behind it gone.
commands() {
    sed -nE 's/^(#  |   ) +(build\/regard )/\2/;/^build\/regard (reward|eval|score|train) /{:join;/\\$/{N;s/\\\n#? +//;b join};s/   #.*//;p}' "$1" |
        grep -E 'reward-model\.yaml|runs/(reward|by-model)'
}

count=0
run_commands() { # FILE
    local line
    while read -r line; do
        line=${line//build\/regard/$regard} line=${line//MODEL/$work/model} line=${line//runs\//$work/}
        line=${line//synthetic:1:2000/synthetic:1:20} line=${line//preferences:1:500:/preferences:1:5:}
        line=${line//train.jsonl/$work/pairs.jsonl} line=${line//valid.jsonl/$work/pairs.jsonl}
        line=${line//test.jsonl/$work/pairs.jsonl} line=${line//replies.jsonl/$work/dialogues.jsonl}
        line=${line//--out table.json/--out $work/table.json} line=${line//--out scored.jsonl/--out $work/scored.jsonl}
        case $line in
        *' reward '*)
            line+=" --set rm.updates=2 --set rm.batch=4 --set eval.every=0 --set rm.pairs=8"
            [[ $line = *data.train=* ]] || line+=" --set data.train=preferences:1:20"
            [[ $line = *data.valid=* ]] || line+=" --set data.valid="
            rm -rf "$(sed 's/.*--run \([^ ]*\).*/\1/' <<<"$line")" # the yaml's of the same name
            ;;
        *' train '*) line+=" --set data.train=$work/dialogues.jsonl --set data.valid=$work/dialogues.jsonl --dry-run" ;;
        esac
        # shellcheck disable=SC2086
        expect_status 0 $line
        ! grep -q 'another tokenizer' "$work/err" || fail "another tokenizer than the model's: $line"
        count=$((count + 1))
    done < <(commands "$1")
}
run_commands configs/reward-model.yaml
[ $count = 8 ] || fail "$count commands in configs/reward-model.yaml, not 8"
run_commands README.md
[ $count -ge 14 ] || fail "only $count commands in all"

# Bytes through the trunk of a model of another tokenizer: a warning says so.
expect_status 0 "$regard" reward --config configs/reward-model.yaml --set model.path="$work/sft" --set tokenizer.path=bytes \
    --dry-run --run "$work/none"
expect_said "tokenizer.path (bytes) is another tokenizer than that of model.path"
