# --run: what lies there already, and what --resume finds.
section run_folder

again=(--config "$made/run/config.yaml")
renew_run() { rm -rf run && cp -r "$made/run" run; }
renew_run
refuses "a run is there" 1 '--run run holds a run already' train "${again[@]}" --run run
mkdir started
cp run/config.yaml started
refuses "a run without a checkpoint is there" 1 '.*started holds a run already, one without a checkpoint; add --resume=auto' \
    train "${again[@]}" --run started
echo >file
refuses "the run is a file" 1 'cannot create the folder file: File exists' train --config "$tiny" --run file
refuses "the run is under a file" 1 'cannot create the folder file: File exists' train --config "$tiny" --run file/run
refuses "nothing to go on with" 1 '--resume: absent holds no checkpoint' train "${again[@]}" \
    --run absent --resume
refuses "a folder that takes no file" 1 '--run /proc/run: cannot write /proc/' train --config "$tiny" --run /proc/run
mkdir empty
refuses "an empty folder to go on with" 1 '--resume: empty holds no checkpoint' train "${again[@]}" \
    --run empty --resume

export REGARD_LOG=error
refuses "a model into a run's folder" 1 '--out run holds a run already' export --model "$checkpoint" --out run
mkdir peft
echo '{}' >peft/adapter_config.json
refuses "a model beside adapters" 1 '--out peft holds a model already .adapter_config.json' export \
    --model "$checkpoint" --out peft
# other NAME PATTERN ARGUMENTS...: resume refused
other() { refuses "$1" 1 "$2" "${@:3}" --run run --resume; }
other "another seed" '.*step-000002: key seed differs' train "${again[@]}" --set seed=2
other "another reward" '.*step-000002: key reward.alpha differs' train "${again[@]}" --set reward.alpha=2
other "another corpus" '.*step-000002: key data.train differs' train "${again[@]}" \
    --set data.train=synthetic:2:200
other "another verb" '.*step-000002 is a checkpoint of .train., not of .sft.' sft "${again[@]}"
other "another model" '.*(model.path|reference differs)' train "${again[@]}" --set train.updates=3 \
    --set model.path="$checkpoint"
other "another shape" '.*key model.d_model differs' train "${again[@]}" --set model.d_model=64

echo 'not JSON' >>run/metrics.jsonl
other "metrics of another program" '.*run/metrics.jsonl:[0-9]+: bad JSON' train "${again[@]}" --set train.updates=3
renew_run
echo '{"loss":1}' >>run/metrics.jsonl
other "metrics without a step" '.*run/metrics.jsonl:[0-9]+: "step" is missing' train "${again[@]}" \
    --set train.updates=3
renew_run
rm -r run/checkpoints && echo >run/checkpoints
other "checkpoints are a file" '.*run/checkpoints.*(Not a directory|a file)|.*no checkpoint' train "${again[@]}"
renew_run

# Damaged checkpoints are set aside, by name; when none is left the run does not start over.
for step in run/checkpoints/step-*; do patch $step/model.h5 50000 X; done
got=0
REGARD_LOG=warning "$regard" train "${again[@]}" --set train.updates=3 --run run --resume=auto \
    >"$work/stdout" 2>"$work/err" || got=$?
cases=$((cases + 1))
for step in 1 2; do
    grep -q "step-00000$step/model.h5 does not have the SHA-256.*set aside as .*step-00000$step.bad" \
        "$work/err" || show "all damaged: step $step is not set aside"
    [ -d run/checkpoints/step-00000$step.bad ] || show "all damaged: no step-00000$step.bad"
done
sed -i '/ warning: /d' "$work/err"
judge "all damaged" 1 "$got" 'run/checkpoints: 2 checkpoints, none of which verifies' || true
other "damaged before" 'run/checkpoints: 2 checkpoints, none of which verifies' train "${again[@]}"
unset REGARD_LOG
