# shellcheck shell=bash disable=SC2154
# The steps of tools/experiments, which sources this with its settings, corpus() and cell(): each makes one thing that
# a table wants, whole or not at all, or goes on with it.

changes() { # SETTING...: as options
    local setting
    for setting in "$@"; do printf -- '--set\n%s\n' "$setting"; done
}

quietly() { # LOG COMMAND...: one line of what went wrong
    local log=$1
    shift
    "$@" >>"$log" 2>&1 || die "$(grep '^regard' "$log" | tail -1 || tail -1 "$log") ($log)"
}

# FOLDER/NAME.jsonl is made of a model's replies to the histories; a policy is measured in whole dialogues, and by the
# true salience.
measure() { # MODEL FOLDER NAME SETTING...
    local of=$1 to=$2 values=$3 options instead=reward replies=$sampled
    shift 3
    [[ "$* " != *rollout.temperature=0\ * ]] || replies=1 # greedy ones are all alike
    # generate's replies are to no message of the line, so that these two have nothing to compare them with
    case "$* " in
    *reward.sources=gold[\ ,]*) instead=ROUGE-L ;;
    *"reward.sources=verifier "*) [ "$target" = verifier ] || instead=slots ;;
    esac
    mapfile -t options < <(changes "$@")
    quietly "$to/log" "$regard" generate --model "$of" --data "$histories" "${settings[@]}" \
        "${options[@]}" "${extra[@]}" --set seed=1 --set control=none --set single_turn.context=full \
        --set rollout.candidates="$replies" --out "$to/replies.jsonl"
    python3 "$studies/lines.py" measure "$histories" "$to/replies.jsonl" "$to/$values.tmp" $instead
    mv "$to/$values.tmp" "$to/$values.jsonl"
    rm "$to/replies.jsonl"
}

# What all arms of a corpus share: lines, tokenizer, SFT, held-out histories, the start's replies.
step_base() {
    agree_base
    mkdir -p "$base"
    echo "$made_with" >"$base/settings"
    if [ "$name" = dialogues ] && [ ! -e "$base/valid.jsonl" ]; then
        local data=$here/../shared/data
        [ -e "$data/dialogues_train.jsonl" ] || die "--corpus dialogues reads $data/dialogues_train.jsonl: not there"
        python3 "$studies/lines.py" slots "$data/dialogues_train.jsonl" "$base/train.jsonl" 0 3500
        python3 "$studies/lines.py" slots "$data/dialogues_train.jsonl" "$base/labelled.jsonl" 3500 500
        python3 "$studies/lines.py" slots "$data/dialogues_valid.jsonl" "$base/valid.jsonl" 0 500
    fi
    if [ -z "$model" ] && [ ! -e "$tokenizer/idf.tsv" ]; then
        mkdir -p "$tokenizer"
        quietly "$base/log" "$regard" tokenizer train "${settings[@]}" "${extra[@]}" --data "$train" --out "$tokenizer"
    fi
    if [ -z "$model" ] && [ ! -e "$base/sft.done" ]; then
        local options
        mapfile -t options < <(changes "${sft[@]}")
        quietly "$base/log" "$regard" sft "${settings[@]}" "${options[@]}" "${extra[@]}" --set eval.every=200 \
            --set checkpoint.every=200 --set log.every=50 --run "$base/sft" --resume=auto
        touch "$base/sft.done"
    fi
    if [ ! -e "$base/histories.jsonl" ]; then
        echo "$target" >"$base/target"
        if [[ $valid = /* ]]; then # a file is there as it is to be read
            cp "$valid" "$base/lines.jsonl"
        else
            quietly "$base/log" "$regard" import-data --data "$valid" --out "$base/lines.jsonl"
        fi
        python3 "$studies/lines.py" histories "$base/lines.jsonl" "$base/histories.tmp" "$turns" "$held"
        mv "$base/histories.tmp" "$base/histories.jsonl"
    fi
}

# A checker learned from `labels` histories: fit:CORPUS:COLUMNS, or COLUMNS_null on shuffled labels.
step_fit() {
    local columns=${1%_null} shuffled=false
    [ "$1" = "$columns" ] || shuffled=true
    quietly "$base/fit-$1.log" "$regard" probe --model "$start" --data "$labelled" --fit "$target" "${settings[@]}" \
        "${extra[@]}" --set probe.histories="$labels" --set probe.columns="${columns//_/,}" \
        --set probe.shuffled=$shuffled --out "$base/fit-$1"
    echo "$made_with" >"$base/fit-$1/settings"
}

# Held-out lines in two for grid, whose choice is made on the one and reported on the other.
step_halves() {
    # behind $valid, on which sft chose the start; no point of a grid reads $labelled
    local pool=$labelled part set seed count rest
    if [[ $valid != /* ]]; then
        IFS=: read -r set seed count rest <<<"$valid"
        pool=$set:$seed:$((2 * count)):${rest%"${rest##*:}"}$((${rest##*:} + count))
    fi
    quietly "$base/log" "$regard" split --data "$pool" --out "$base/grid" --set split.train=0 --set split.valid=0.5 \
        --set split.test=0.5
    for part in valid test; do
        python3 "$studies/lines.py" histories "$base/grid/$part.jsonl" "$base/grid/tmp" "$turns" "$held_out"
        mv "$base/grid/tmp" "$base/grid/$part-histories.jsonl"
    done
}

# Pairs of one kind, the lines of a dialogue together: 85 in 100 to learn from, the others held out.
step_pairs() { # ngram, steps, verifier, demonstration, or preferred
    local folder=$base/pairs-$1 kind=$1 data
    mkdir -p "$folder"
    echo "$made_with" >"$folder/settings"
    [ "$kind" != preferred ] || kind=$preferred
    data=$kind
    if [[ $kind != *:* ]]; then
        [ -n "$paired" ] || die "no pairs are made for --corpus $name"
        data=$folder/all.jsonl
        quietly "$base/pairs-$1.log" "$regard" pairs --model "$start" --data "$paired" "${settings[@]}" \
            --set seed=1 --set rollout.candidates=8 --set pairs.histories="$asked" "${extra[@]}" \
            --set pairs.heuristic="$kind" --out "$data"
    fi
    quietly "$base/pairs-$1.log" "$regard" split --data "$data" --out "$folder" --set split.by=id \
        --set split.train=0.85 --set split.valid=0.15 --set split.test=0
}

# A reward model, of the start, learned from COUNT pairs: its best checkpoint by those held out.
step_rm() { # KIND COUNT
    local folder=$base/rm-$1_$2 there=0 options
    [ ! -e "$base/pairs-$1/train.jsonl" ] || there=$(wc -l <"$base/pairs-$1/train.jsonl")
    [ "$there" -ge "$2" ] || die "$base/pairs-$1 has $there pairs to learn from, not $2"
    mkdir -p "$folder"
    exec 8>"$folder.lock"
    flock -n 8 || die "reward model $1_$2 is already being made"
    echo "$made_with --rm-updates $rm_updates" >"$folder/settings"
    mapfile -t options < <(changes "${rm[@]}" rm.pairs="$2" rm.updates="$rm_updates" model.path="$start" \
        data.train="$base/pairs-$1/train.jsonl" data.valid="$base/pairs-$1/valid.jsonl" policy.schedule=constant)
    quietly "$folder/log" "$regard" reward "${settings[@]}" "${options[@]}" "${extra[@]}" --set seed=1 \
        --set eval.every=$((rm_updates < 50 ? rm_updates : 50)) --set eval.dialogues=0 --set checkpoint.every=50 \
        --set log.every=50 --run "$folder/run" --resume=auto
    touch "$folder/done"
}

# What whole dialogues are measured by: the first turns of the held-out dialogues, and a model, of the start, that
# learned to tell replies of the training dialogues from others'.  Its checkpoint is taken by lines that are not measured.
step_topic() {
    local folder=$base/topic options
    mkdir -p "$folder"
    exec 8>"$folder.lock"
    flock -n 8 || die "the model of consistency is already being made"
    echo "$made_with --rm-updates $rm_updates" >"$folder/settings"
    python3 "$studies/lines.py" whole "$base/lines.jsonl" "$folder/lines.jsonl" "$turns" "$held"
    mapfile -t options < <(changes "${rm[@]}" rm.objective=on_topic rm.updates="$rm_updates" model.path="$start" \
        data.valid="$labelled" eval.dialogues=0 policy.schedule=constant)
    quietly "$folder/log" "$regard" reward "${settings[@]}" "${options[@]}" "${extra[@]}" --set seed=1 \
        --set eval.every=$((rm_updates < 50 ? rm_updates : 50)) --set checkpoint.every=50 --set log.every=50 \
        --run "$folder/run" --resume=auto
    touch "$folder/done"
}

# The temperature that a row's replies are sampled at: the last that says it counts.
temperature() {
    printf '%s\n' "$(awk '/^[a-z]/ { section = $1 } section == "rollout:" && $1 == "temperature:" { print $2 }' \
        "$here/configs/$config.yaml")" "${own[@]}" "${extra[@]}" |
        sed -nE 's/^(rollout.temperature=)?([0-9.eE+-]+)$/\2/p' | tail -1
}

# The dialogues that a cell's model generates by itself: coherence by the start's states, consistency by the model of
# step_topic.  A row's settings are for its training; alone its temperature counts here.
step_whole() { # ROW SEED
    local of=$start options
    cell "$1" "$2"
    exec 9>"$cell.lock"
    flock -n 9 || die "$1, seed $2, is already being measured"
    agree_cell
    [ "$2" = start ] || of=$cell/run/checkpoints/$(printf 'step-%06d' "$updates")
    mapfile -t options < <(changes eval.history=own eval.temperature="$(temperature)" eval.encoder="$start" \
        eval.on_topic="$base/topic/run" eval.on_topic_data="$labelled" control=none)
    quietly "$cell/log" "$regard" eval --model "$of" --data "$base/topic/lines.jsonl" "${settings[@]}" \
        "${extra[@]}" --set seed=1 "${options[@]}" --out "$cell/whole.json"
}

# One arm with one seed.  start-ROW has the start's own replies by that arm's reward.
step_cell() { # ROW SEED
    local options audit=()
    [ "$updates" -lt 8 ] || audit=(--set audit.every=$((updates / 4)) --set audit.judge="$judge")
    cell "$1" "$2"
    mkdir -p "$cell"
    exec 9>"$cell.lock" # two writers of one run would spoil it
    flock -n 9 || die "$1, seed $2, is already being run"
    agree_cell
    [ ! -e "$cell/values.jsonl" ] || return 0 # another start of this program was first
    echo "$wanted" >"$cell/settings"
    local begun=$SECONDS
    if [ "$2" != start ]; then
        mapfile -t options < <(changes "${common[@]}" "${own[@]}")
        quietly "$cell/log" "$regard" train "${settings[@]}" "${options[@]}" "${extra[@]}" --set seed="$2" \
            --set model.path="$start" --set train.updates="$updates" --set log.every=1 --set eval.every=0 \
            --set checkpoint.every=20 "${audit[@]}" --run "$cell/run" --resume=auto
        measure "$cell/run/checkpoints/$(printf 'step-%06d' "$updates")" "$cell" values "${common[@]}" "${own[@]}"
    else
        measure "$start" "$cell" values "${common[@]}" "${own[@]}"
    fi
    echo "$name: $1, $2: $((SECONDS - begun)) s"
}

# What grid chose, and the start, on the third set.
step_test() { # ROW SEED
    local of=$start
    cell "$1" "$2"
    agree_cell
    [ "$2" = start ] || of=$cell/run/checkpoints/$(printf 'step-%06d' "$updates")
    histories=$base/grid/test-histories.jsonl
    measure "$of" "$cell" test "${common[@]}" "${own[@]}"
}
