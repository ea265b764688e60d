# Keys of interaction distillation.
section align

align() { # NAME PATTERN OPTIONS...
    local name=$1 pattern=$2
    shift 2
    refuses "$name" 1 "$pattern" reward --config "$tiny" --set data.train=evidence:1:40:80 --set data.valid= \
        --run run "$@"
}

align "an unknown objective" '.*rm.objective must be one of .*interaction' --set rm.objective=distil
align "a weight of another objective" 'rm.align.weight is of rm.objective: interaction' --set rm.align.weight=2
align "a teacher of another objective" 'rm.align.teacher is of rm.objective: interaction' \
    --set rm.align.teacher=none
align "no teacher" 'rm.objective: interaction needs rm.align.teacher' --set rm.objective=interaction
align "a teacher that is not there" '.*nothing-there' --set rm.objective=interaction --set model.family=llama \
    --set rm.align.teacher=nothing-there
align "a teacher of equal weights" 'rm.align.teacher does nothing with rm.align.control: uniform' \
    --set rm.objective=interaction --set rm.align.control=uniform --set rm.align.teacher=none
align "layers of no attention" 'rm.align.layers does nothing with rm.align.control: probability' \
    --set rm.objective=interaction --set rm.align.control=probability --set rm.align.layers=2
align "no layer" '.*rm.align.layers must be between 1' --set rm.align.layers=0
align "a weight below 0" '.*rm.align.weight must be between 0' --set rm.align.weight=-1
align "a margin of a teacher" 'rm.margin does nothing with rm.objective: pair' --set rm.objective=pair \
    --set rm.margin=1
align "a cue of 0" '.*evidence:1:5:0: there is no CUE 0' --set data.train=evidence:1:5:0
align "no cue" '.*write evidence:SEED:COUNT:CUE' --set data.train=evidence:1:5
align "patience without evaluations" 'rm.patience needs eval.every and data.valid' --set rm.patience=1 --set eval.every=0
refuses "patience of sft without evaluations" 1 'sft.patience needs eval.every and data.valid' sft --config "$tiny" \
    --set data.valid= --set sft.patience=1 --run run
align "a metric of another verb" 'eval.encoder does nothing in reward' --set eval.encoder=/nowhere
align "a look of another verb" 'rm.inspect is of regard eval' --set rm.inspect=true
