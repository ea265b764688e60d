# The command line: status 2 where its form is wrong, 1 where a value is.
section command

wrong() { refuses "$1" 2 "$2.*--help" "${@:3}"; }

wrong "no verb" 'no verb given'
wrong "an unknown verb" 'unknown verb fly' fly
wrong "an empty verb" 'unknown verb ' ""
wrong "an unknown option" 'train does not know --wings' train --wings 2
wrong "an option of another verb" 'train does not know --data' train --run r --data x
wrong "an option's beginning" 'train does not know --conf' train --conf x --run r
wrong "a missing option" 'score needs --model' score --data x --out y
wrong "a missing run" 'train needs --run' train --config x
wrong "a missing folder" 'inspect needs DIR' inspect
wrong "a missing value" '--run wants a value' train --run
wrong "an empty value" '--run wants a value' train --run ""
wrong "an empty output" '--out wants a value' score --model m --data d --out=
wrong "an option twice" '--run is given twice' train --run a --run b
wrong "a stray word" 'train: what is there' train there --run a
wrong "settings without --config" 'train: what is tiny.yaml.*A file of settings stands behind --config' train tiny.yaml
wrong "an unknown kind of resume" '--resume=never' train --run r --resume=never
wrong "a dry run with a value" '--dry-run takes no value' train --run r --dry-run=no
wrong "a comparison of one" '--compare wants two files' eval --compare one
wrong "a tokenizer's unknown verb" 'tokenizer wants train, encode or decode' \
    tokenizer taste --data d --out o
wrong "two tokenizers" 'tokenizer encode needs --model or --spm' tokenizer encode --model m --spm s \
    --data d --out o
wrong "no tokenizer" 'tokenizer encode needs --model or --spm' tokenizer encode --data d --out o
wrong "an unknown bench" 'bench does kernels, .* not speed' bench speed
wrong "an evaluation of nothing" 'eval needs --model, --data and --out' eval
many=()
for i in $(seq 257); do many+=(--set "seed=$i"); done
wrong "257 settings" 'more than 256 --set' train "${many[@]}" --run r
refuses "a setting without a value" 2 '--set seed: expected key=value' train --set seed --run r
refuses "a setting without a key" 2 '--set =1: expected key=value' train --set =1 --run r

set_to() { refuses "$1" 1 "$2" train --config "$tiny" --set "$3" --run r; }
set_to "an unknown key set" '--set sede=1: unknown key sede; did you mean seed' sede=1
set_to "a section set" '--set policy=1: unknown key policy' policy=1
set_to "a word set" '--set seed=soon: seed must be an integer' seed=soon
set_to "a part of a number" '--set seed=1e-3: seed must be an integer' seed=1e-3
set_to "a number beyond 53 bits" '--set seed=1e17: seed must be an integer' seed=1e17
set_to "a set that is nearly one" '.*cannot read syntetic:1:20: there is no such file; did you mean synthetic:1:20' \
    data.train=syntetic:1:20
refuses "a command that nobody knows" 1 '.*reward.command .nosuch -x.: the shell finds no nosuch that can be run' train \
    --config "$tiny" --set reward.sources=command --set 'reward.command=nosuch -x' --run r
refuses "pairs that are none" 1 '.*synthetic:1:200: no "chosen"; a reward model is trained on pairs .*regard pairs makes' \
    reward --config "$tiny" --run r
set_to "an unknown source" '--set .*reward.sources has no "constan"; did you mean constant' reward.sources=constan
set_to "a source like none" '--set .*reward.sources has no "zzzzzzzz"; it is a list of attention' \
    reward.sources=zzzzzzzz
set_to "a source twice" '--set .*reward.sources names random twice' reward.sources=random,constant,random:2
set_to "a weight that is none" '--set .*the weight of random must be a number .* not "much"' \
    reward.sources=random:much
set_to "a weight too large" '--set .*the weight of random must be a number .* not "1e7"' reward.sources=random:1e7
set_to "no source between commas" '--set .*reward.sources has no ""' reward.sources=random,,constant
set_to "a format that is none" '.*source format looks for reward.format' reward.sources=format
set_to "a format of nobody" 'reward.format is of the source format' reward.format=x
refuses "a majority of one" 1 '.*source majority needs rollout.candidates' train --config "$tiny" \
    --set reward.sources=majority --set rollout.candidates=1 --run r
refuses "a verifier without answers" 1 '.*:1: the source verifier finds no "answer"' train \
    --config "$tiny" --set reward.sources=verifier --set "data.train=$dialogues" --run r
refuses "a bad regular expression" 1 'reward.format: .*at byte 2 of a[(]' train --config "$tiny" \
    --set reward.sources=format --set 'reward.format=a(' --run r
refuses "speakers that nobody names" 1 '.*attention.speakers does nothing: synthetic.* has no dialogue in which two' \
    train --config "$tiny" --set attention.speakers=true --run r
refuses "speakers of one question" 1 '.*attention.speakers does nothing in task: reasoning' train \
    --config "$tiny" --set attention.speakers=true --set task=reasoning --set rollout.turns=1 --run r
refuses "permuted names of nobody" 1 '.*control: permuted_names needs dialogues in which two users' train \
    --config "$tiny" --set control=permuted_names --run r
refuses "permuted names of preferences" 1 \
    'preferences:1:20: control: permuted_names changes names in dialogues, not in preferences; leave it out' \
    reward --config "$tiny" --set data.train=preferences:1:20 --set control=permuted_names --run r
refuses "a probe of nobody's names" 1 'synthetic:1:4: control: permuted_names needs dialogues in which two users' probe \
    --config "$tiny" --model none --data synthetic:1:4 --out r --set control=permuted_names
refuses "a control of another source" 1 'control: .*the source attention' train --config "$tiny" \
    --set reward.sources=random --set control=shuffled --run r
set_to "slots of no summary" 'history.summary_slots does nothing' history.summary_slots=2
set_to "a summary that is none" '--set .*history.summary must be one of none|mean|learned' history.summary=best
set_to "a way of pruning that is none" '--set .*history.prune must be one of none|idf|mass' history.prune=tfidf
set_to "slots that nobody learned" 'history.summary: learned: the model has learned no slots' \
    history.summary=learned
refuses "a summary for a decoder-only model" 1 'history.summary is for encoder-decoders' train \
    --config "$tiny" --set model.family=qwen2 --set history.summary=mean --run r
refuses "a prompt that is pruned" 1 'history.prune does nothing with single_turn.context: prompt' train \
    --config "$tiny" --set task=single_turn --set single_turn.context=prompt --set history.prune=idf --run r
set_to "a bound passed" '--set rollout.top_p=2: rollout.top_p must be between' rollout.top_p=2
set_to "bad YAML set" '--set turns.lambda=\[1: bad YAML' 'turns.lambda=[1'
set_to "two lines set" '--set seed=1 .*threads: 2: ' $'seed=1\nthreads: 2'
set_to "bytes set" '--set scorer=.*bad YAML' $'scorer=\xff\xfe\xff'
refuses "a role of nobody" 1 'sft.role must be assistant or user, not "waiter"' \
    sft --config "$tiny" --role waiter --run r

long=$(head -c 3000 /dev/zero | tr '\0' x)
too_long() { # NAME OPTION ARGUMENTS...
    refuses "$1" 1 "$2 xxxx.*: 3000 bytes are too long for a name" "${@:3}"
}
too_long "an output's name" --out score --model "$checkpoint" --data "$line" --out "$long"
too_long "a run's name" --run train --config "$tiny" --run "$long"
too_long "a model's name" --model score --model "$long" --data "$line" --out out
too_long "a data file's name" --data score --model "$checkpoint" --data "$long" --out o
too_long "a configuration's name" --config train --config "$long" --run run
refuses "a folder's name" 1 '.*xxxx: no such model folder' inspect "${long:0:600}"
refuses "more learners than ranks" 1 'roles.learners.*2.*1 rank' train --config "$tiny" \
    --set roles.learners=2 --run r
refuses "more learners than ranks, sft" 1 'roles.learners.*4.*1 rank' sft --config "$tiny" \
    --set roles.learners=4 --run r

refuses "a model that no machine holds" 1 'memory: .*the weights and moments of 1 rank are .* GB, and .* are all' train \
    --config "$tiny" --set model.d_model=16384 --set model.d_ff=65536 --set model.encoder_layers=96 --run r

# Under mpirun, which adds lines of its own: one rank speaks for all.
wanted=1
on_ranks() { # NAME RANKS PATTERN ARGUMENTS...: ends with $wanted
    local got=0 before
    cases=$((cases + 1))
    before=$(state)
    "$root/run/mpirun" -np "$2" "$regard" "${@:4}" >"$work/stdout" 2>"$work/mpirun" || got=$?
    grep '^regard' "$work/mpirun" >"$work/err" || true
    judge "$1" "$wanted" "$got" "$3" || true
    unchanged "$1" "$before"
}
on_ranks "more learners than two ranks" 2 '.*roles.learners: 4 .* at most the 2 ranks' train \
    --config "$tiny" --set roles.learners=4 --run r
on_ranks "a bad line, on two ranks" 2 '.*absent.jsonl: No such file' train --config "$tiny" \
    --set data.train=absent.jsonl --run r
wanted=2 on_ranks "a verb of one process, on two ranks" 2 'inspect works in one process and was launched as 2' \
    inspect "$checkpoint"
set_to "a number for a switch" '--set .*rollout.steal must be true or false, not "2"' rollout.steal=2
set_to "no switch" '--set .*checkpoint.background must be true or false, not "later"' checkpoint.background=later
set_to "an audit of too few" 'audit.every x rollout.dialogues is 4' audit.every=1
set_to "a judge without audits" 'audit.judge does nothing without audit.every' audit.judge=gold
set_to "an end by no audit" 'audit.action does nothing without audit.every' audit.action=stop
set_to "an audit after the end" 'audit.every: 21 does nothing within train.updates: 20' audit.every=21
refuses "an audit by a constant" 1 'audit.judge: constant says the same of every reply' train --config "$tiny" \
    --set audit.every=5 --set audit.judge=constant --run r
refuses "an audit by attention" 1 'audit.judge: attention is no judge' train --config "$tiny" \
    --set audit.every=5 --set audit.judge=attention --run r
refuses "an audit by a command of nobody" 1 'audit.judge has command, which needs reward.command' train \
    --config "$tiny" --set audit.every=5 --set audit.judge=command --run r
refuses "an audit without answers" 1 '.*:1: the source verifier finds no "answer"' train \
    --config "$tiny" --set audit.every=5 --set "data.train=$dialogues" --run r
refuses "gold that nobody has" 1 'the source gold compares with the data' train --config "$tiny" \
    --set reward.sources=gold --set rollout.user=rule --run r
