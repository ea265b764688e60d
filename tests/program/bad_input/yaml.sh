# Configuration files: name, line and key.
section yaml

yaml() { # NAME PATTERN TEXT: of bad.yaml, in printf's escapes
    printf -- "$3" >bad.yaml
    refuses "$1" 1 "$2" train --config bad.yaml --run run
}

yaml "a tab indents" 'bad.yaml:2: bad YAML: .*cannot start any token' 'policy:\n\tlr: 1\n'
yaml "a quote is not closed" 'bad.yaml:[23]: bad YAML: .*quoted scalar' 'seed: 1\nscorer: "live\n'
yaml "a bracket is not closed" 'bad.yaml:[0-9]+: bad YAML: ' 'seed: 1\nturns:\n  lambda: [1, 2\n'
yaml "a wrong indentation" 'bad.yaml:3: bad YAML: ' 'policy:\n  lr: 1\n clip_norm: 1\n'
yaml "not UTF-8" 'bad.yaml:2: bad YAML: .*UTF-8' 'seed: 1\nscorer: li\377ve\n'
yaml "a control character" 'bad.yaml:2: bad YAML: .*control char' 'seed: 1\nscorer: \001\n'
yaml "a zero byte" 'bad.yaml:2: ' 'seed: 1\nscorer: li\000ve\n'
yaml "an escaped zero byte" 'bad.yaml:2: a zero byte' 'seed: 1\nscorer: "li\\0ve"\n'
yaml "an alias" 'bad.yaml:2: YAML aliases are not supported' 'seed: &one 1\nthreads: *one\n'
yaml "two documents" 'bad.yaml:2: more than one YAML document' 'seed: 1\n---\nseed: 2\n'
yaml "a list at the top" 'bad.yaml:1: expected keys and values' '- seed: 1\n'
yaml "a word" 'bad.yaml:1: expected keys and values' 'seed\n'
yaml "a key is a list" 'bad.yaml:1: a key must be a name' '[seed]: 1\n'
yaml "an unknown key" 'bad.yaml:2: unknown key policy.leraning_rate' 'policy:\n  leraning_rate: 1\n'
yaml "a key nearly right" 'bad.yaml:2: unknown key policy.clip_nrom; did you mean policy.clip_norm' \
    'policy:\n  clip_nrom: 1\n'
yaml "an unknown section" 'bad.yaml:1: unknown key polcy' 'polcy:\n  lr: 1\n'
yaml "a key twice" 'bad.yaml:3: duplicate key seed \(first on line 1\)' 'seed: 1\n\nseed: 2\n'
yaml "a section twice" 'bad.yaml:3: duplicate key policy \(first on line 1\)' \
    'policy:\n  lr: 1\npolicy:\n  warmup: 1\n'
yaml "a section is a number" 'bad.yaml:1: policy holds keys' 'policy: 1\n'
yaml "a value is a map" 'bad.yaml:2: seed must be one value, not a map' 'seed:\n  a: 1\n'
yaml "a value is a list" 'bad.yaml:1: seed must be one value, not a list' 'seed: [1]\n'
yaml "a word for an integer" 'bad.yaml:1: seed must be an integer, not "soon"' 'seed: soon\n'
yaml "a quoted integer" 'bad.yaml:1: seed must be an integer, not "1"' 'seed: "1"\n'
yaml "a fraction for an integer" 'bad.yaml:1: threads must be an integer' 'threads: 1.5\n'
yaml "an integer beyond 64 bits" 'bad.yaml:1: seed must be between' 'seed: 99999999999999999999\n'
yaml "NaN" 'bad.yaml:2: policy.lr must be a number, not ".nan"' 'policy:\n  lr: .nan\n'
yaml "an endless number" 'bad.yaml:2: policy.lr must be a number, not "1e999"' 'policy:\n  lr: 1e999\n'
yaml "a rate of the timed stub without it" 'sleep.flops does nothing without device: sleep' 'sleep:\n  flops: 1e9\n'
yaml "no lines of metrics" 'bad.yaml:2: log.metrics_every must be between .* not 0' 'log:\n  metrics_every: 0\n'
yaml "a guard that cannot be kept" 'bad.yaml:2: guard.max_skips must be between .* not -1' 'guard:\n  max_skips: -1\n'
yaml "no number for a bound of rewards" 'bad.yaml:2: guard.reward_max must be a number' 'guard:\n  reward_max: much\n'
yaml "no number of checks" 'bad.yaml:2: guard.replica_check must be between .* not -1' 'guard:\n  replica_check: -1\n'
yaml "a gradient shorter than nothing" 'bad.yaml:2: guard.gradient_norm_max must be between .* not -1' \
    'guard:\n  gradient_norm_max: -1\n'
yaml "a watchdog without patience" 'bad.yaml:2: watchdog.seconds must be between 1 and .* not 0' 'watchdog:\n  seconds: 0\n'
yaml "a memory of the timed stub that does not move" 'bad.yaml:2: sleep.bandwidth must be between .* not 0' \
    'sleep:\n  bandwidth: 0\n'
yaml "a launch that takes too long" 'bad.yaml:2: sleep.launch must be between .* not 2' 'sleep:\n  launch: 2\n'
yaml "a launch of the timed stub without it" 'sleep.launch does nothing without device: sleep' 'sleep:\n  launch: 1e-3\n'
yaml "a jitter of the timed stub beyond all bounds" 'bad.yaml:2: sleep.jitter must be between 0 and 2, not 3' \
    'sleep:\n  jitter: 3\n'
yaml "a jitter of the timed stub without it" 'sleep.jitter does nothing without device: sleep' 'sleep:\n  jitter: 0.5\n'
yaml "a lag too great" 'bad.yaml:2: pipeline.lag must be between 0 and 4, not 5' 'pipeline:\n  lag: 5\n'
yaml "a cap of zero" 'bad.yaml:2: ppo.lag_cap must be between .* not 0' 'ppo:\n  lag_cap: 0\n'
yaml "above a bound" 'bad.yaml:2: rollout.top_p must be between .* not 7' 'rollout:\n  top_p: 7\n'
yaml "below a bound" 'bad.yaml:2: rollout.candidates must be between .* not -1' \
    'rollout:\n  candidates: -1\n'
yaml "an unknown choice" 'bad.yaml:1: scorer must be one of live\|frozen, not "dead"' 'scorer: dead\n'
yaml "neither true nor false" 'bad.yaml:2: ppo.whiten must be true or false, not "perhaps"' \
    'ppo:\n  whiten: perhaps\n'
yaml "a word in a list" 'bad.yaml:2: turns.lambda must be a number, not "x"' \
    'turns:\n  lambda: [1, x]\n'
yaml "a list too long" 'bad.yaml:2: turns.lambda has more than 64 values' \
    "turns:\n  lambda: [$(seq -s, 65)]\n"
yaml "a list in a list" 'bad.yaml:2: turns.lambda must be a list of numbers' \
    'turns:\n  lambda: [1, [2]]\n'
yaml "a text too long" 'bad.yaml:2: data.train is longer than' \
    "data:\n  train: $(head -c 2000 /dev/zero | tr '\0' x)\n"
yaml "a name too long" 'bad.yaml:1: unknown key xxxxx' "$(head -c 500 /dev/zero | tr '\0' x): 1\n"
yaml "brackets without end" 'bad.yaml:1: seed must be one value, not a list' "seed: $(head -c 5000 /dev/zero | tr '\0' '[')"
refuses "a model for a configuration" 1 '.*model.safetensors:1: bad YAML' \
    train --config "$golden/bf16/model/model.safetensors" --run run
refuses "a folder for a configuration" 1 'cannot read .*: it is a directory' \
    train --config "$golden" --run run
refuses "no configuration" 1 'cannot read absent.yaml: No such file' \
    train --config absent.yaml --run run

# Keys that contradict each other.
against() { # NAME PATTERN SETTINGS...
    local name=$1 pattern=$2 setting settings=()
    shift 2
    for setting in "$@"; do settings+=(--set "$setting"); done
    refuses "$name" 1 "$pattern" train --config "$tiny" "${settings[@]}" --run run
}
against "a group of one" 'advantage: group needs rollout.candidates' advantage=group \
    rollout.candidates=1
against "within one" 'reward.scale: within needs rollout.candidates' reward.scale=within \
    rollout.candidates=1
against "lag and best" 'pipeline.lag with rollout.continue: best needs reward.scale: none' \
    pipeline.lag=1 rollout.continue=best
against "weights of nothing" 'ppo.lag_correction: truncated does nothing with pipeline.lag: 0' \
    ppo.lag_correction=truncated
against "weights of replies" 'ppo.ratio: sequence has no truncated weights' pipeline.lag=2 ppo.ratio=sequence
against "a cap of nothing" 'ppo.lag_cap does nothing' pipeline.lag=1 ppo.lag_cap=3
against "k1 in the loss" 'kl.estimator: k1 with kl.in: loss' kl.estimator=k1
against "three microbatches" 'learn.microbatches must be a power of two, not 3' learn.microbatches=3
against "more learners than microbatches" 'roles.learners \(8\) must divide learn.microbatches \(4\): 1, 2 or 4' \
    roles.learners=8
against "a filter of rewards that are never equal" 'group.filter does nothing with the source attention' \
    advantage=group group.filter=true
against "a key of a source that is not listed" 'reward.alpha is of the source attention' \
    reward.sources=random reward.alpha=2
against "a reference that never moves" 'reference.every: 20 does nothing within train.updates: 20' \
    reference.every=20 train.updates=20
against "an interruption nobody answers" 'rollout.interrupt does nothing to a dialogue with rollout.turns: 1' \
    rollout.interrupt=0.5 rollout.turns=1
against "an interruption of single turns" 'rollout.interrupt needs task: dialogue' \
    rollout.interrupt=0.5 task=single_turn
against "an interruption of reasoning" 'rollout.interrupt needs task: dialogue' \
    rollout.interrupt=0.5 task=reasoning rollout.turns=1
against "sub-blocks of a dialogue" 'keys of cot do nothing without task: reasoning' cot.depth_lambda=[1,2]
against "sub-blocks of a group" 'cot.depth_lambda does nothing with advantage: group' \
    task=reasoning rollout.turns=1 advantage=group cot.lambda_final=1 cot.depth_lambda=[1,2]
against "greedy exploration" 'train needs rollout.temperature above 0' rollout.temperature=0
against "no user model" 'rollout.user: model needs model.user_path' rollout.user=model
against "no data" 'train needs data: give data.train' data.train=
against "no model" 'train needs a model: give model.path' model.d_model=0
against "a guard without evaluations" 'guard.patience needs eval.every' guard.patience=1 eval.every=0
against "a guard of an unknown metric" 'guard.metric is "beauty"' guard.metric=beauty
against "data of no reward model" 'eval.on_topic_data does nothing without eval.on_topic' eval.on_topic_data=synthetic:1:5
against "a reward model that is not there" 'eval.on_topic: absent: no such model folder' eval.on_topic=absent
against "a layer of no encoder" 'eval.encoder_layer does nothing without eval.encoder' eval.encoder_layer=1
against "an encoder that is not there" 'eval.encoder: absent: no such model folder' eval.encoder=absent
against "a source without its reward model" 'reward.sources has model, which needs reward.model' \
    reward.sources=model:1
against "a reward model that nobody asks" 'reward.model is given, but reward.sources has no model' \
    reward.model=absent
against "a reward model that is not there" 'reward.model: absent: no such model folder' \
    reward.sources=model:1 reward.model=absent
against "an unknown objective" '.*rm.objective must be one of' rm.objective=taste
against "labels that are mostly wrong" '.*rm.smoothing must be between 0 and 0.5' rm.smoothing=0.6
against "a negative margin" '.*rm.margin must be between 0 and' rm.margin=-1
against "no such device" 'device: cuda: ' device=cuda
