/* The settings of a run: one struct, filled from one typed table of keys (config_keys.c:
 * name, type, bounds, default, help), which also gives --set, --help and the printout.
 * Key "a.b" is the member a.b; what a key chooses among is an enumeration of choices.h. */
#ifndef REGARD_BASE_CONFIG_H
#define REGARD_BASE_CONFIG_H

#include "src/base/choices.h"
#include "src/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
    CONFIG_TEXT_MAX = 1024,
    CONFIG_PROMPT_MAX = 16384,
    CONFIG_LIST_MAX = 64,
    CONFIG_WEIGHTS_MAX = 16,
    CONFIG_KEY_MAX = 256,
    PIPELINE_LAG_MAX = 4
};

/* Names with their weights, by their index among a key's choices; those not listed are 0. */
struct config_weights {
    double weight[CONFIG_WEIGHTS_MAX];
    bool listed[CONFIG_WEIGHTS_MAX];
};

struct config {
    int64_t seed, threads;
    char instructions[32]; /* of the CPU: auto, avx512, avx2 or c */
    int device, precision, rounding, task, scorer, control;
    bool exact, tune;      /* of products on CUDA */
    bool history_coverage; /* key history_coverage */
    struct {
        char path[CONFIG_TEXT_MAX];           /* a model folder; empty: from the shape keys below */
        char user_path[CONFIG_TEXT_MAX];      /* model.user_path: for rollout.user: model */
        char reference_path[CONFIG_TEXT_MAX]; /* empty: the model that the run begins with */
        char family[CONFIG_TEXT_MAX];         /* model_type of a new model */
        int64_t d_model, d_ff, d_kv, heads, encoder_layers, decoder_layers;
        int64_t kv_heads, context;
        bool gated, tied;
        int64_t vocabulary; /* 0: the tokenizer's */
    } model;
    struct {
        int64_t rank; /* 0: no adapters, unless a path is given */
        double alpha;
        char targets[CONFIG_TEXT_MAX]; /* "q,v"; empty: the family's choice */
        char path[CONFIG_TEXT_MAX];    /* adapter.path: adapters to begin with */
    } adapter;
    struct {
        char path[CONFIG_TEXT_MAX]; /* tokenizer.path: folder with the tokenizer; "bytes": none */
        int64_t vocabulary;         /* of `tokenizer train` */
        int64_t extra_ids;
    } tokenizer;
    struct {
        char user_marker[CONFIG_TEXT_MAX], assistant_marker[CONFIG_TEXT_MAX];
        char chat[64];                  /* auto, or a chat format's name */
        char system[CONFIG_PROMPT_MAX]; /* empty: the chat format's own */
    } text;
    struct {
        char train[CONFIG_TEXT_MAX]; /* a JSONL file, or src/base/data_name.h's */
        char valid[CONFIG_TEXT_MAX];
    } data;
    struct {
        int64_t updates;
    } train;
    struct {
        int64_t every, metrics_every;
    } log;
    struct {
        int64_t every, keep;
        bool background;
    } checkpoint;
    struct {
        int64_t every, dialogues; /* eval.dialogues: of the held-out set, 0 all */
        double temperature;       /* 0: greedy */
        int history;
        char encoder[CONFIG_TEXT_MAX];                                  /* empty: none */
        int64_t encoder_layer;                                          /* -1: the last */
        char on_topic[CONFIG_TEXT_MAX], on_topic_data[CONFIG_TEXT_MAX]; /* empty: none */
    } eval;
    struct {
        int64_t histories, candidates; /* histories: 0 all */
        char by[CONFIG_TEXT_MAX], kind[CONFIG_TEXT_MAX], columns[CONFIG_TEXT_MAX];
        bool shuffled;
    } probe;
    struct {
        double train, valid, test;
        char by[CONFIG_TEXT_MAX];
    } split;
    struct {
        int heuristic; /* enum pairs_heuristic */
        double margin;
        int64_t per_history, histories; /* histories: 0 all */
    } pairs;
    struct {
        int64_t every; /* updates; 0: none */
        int judge;     /* enum reward_source */
        int action;
    } audit;
    struct {
        int64_t batch;
    } infer;
    struct {
        int64_t updates, batch, patience; /* sft.batch: dialogue turns an update */
        double lr, label_smoothing;
        char role[32]; /* assistant | user */
    } sft;
    struct {
        int objective;
        int64_t updates, batch, patience; /* rm.batch: pairs an update */
        int64_t pairs;                    /* of the training data; 0: all */
        double lr, margin, center, smoothing;
        bool inspect;
        struct {
            double weight;
            int form; /* enum alignment_form of kernels/ops.h */
            int control;
            int64_t layers;
            char teacher[CONFIG_TEXT_MAX];
        } align;
    } rm;
    struct {
        int64_t dialogues, turns, candidates, max_new_tokens, top_k, cache_tokens;
        bool steal;
        double temperature, top_p;
        int continue_with, user; /* keys rollout.continue, rollout.user */
        double interrupt;        /* probability; 0: nobody is */
    } rollout;
    struct {
        int64_t max_tokens;
        int prune, summary; /* keys history.prune, history.summary */
        int64_t summary_slots;
    } history;
    struct {
        int64_t layers;
        bool all_heads, speakers, exclude_special, exclude_first;
    } attention;
    struct {
        int form;
    } coverage, focus, credit;
    struct {
        int form;
        double delta0, kappa;
    } floor;
    struct {
        int64_t n;
    } repetition;
    struct {
        double alpha, beta, gamma, gamma_self;
        double overlong; /* share of rollout.max_new_tokens; 0: no penalty */
        int scale;
        char format[CONFIG_TEXT_MAX];  /* a regular expression */
        struct config_weights sources; /* by enum reward_source; none listed: attention, 1 */
        char plugin[CONFIG_TEXT_MAX], command[CONFIG_TEXT_MAX];
        double command_seconds;
        char fit[CONFIG_TEXT_MAX];   /* of the source fitted */
        char model[CONFIG_TEXT_MAX]; /* of the source model: a reward model's folder */
    } reward;
    struct {
        int form, extract;
    } verifier;
    struct {
        double idf_quantile;
        char keywords[CONFIG_TEXT_MAX];
        bool entities;
    } salience;
    struct {
        double lambda[CONFIG_LIST_MAX];
        int64_t lambda_count; /* 0: all 1; the last value goes on */
        double discount;
    } turns;
    struct {
        int64_t block;
        char answer_marker[CONFIG_TEXT_MAX];
        double self_weight, lambda_final;
        double depth_lambda[CONFIG_LIST_MAX];
        int64_t depth_lambda_count;       /* 0: tags are text like any other */
        int history, block_form, return_; /* key cot.return */
        int64_t reason_tokens;
    } cot;
    int advantage;
    struct {
        double lambda;
    } gae;
    struct {
        bool center;
    } returns;
    struct {
        int context;
    } single_turn;
    struct {
        int form;
        bool filter;
    } group;
    struct {
        int64_t epochs;
        double clip, clip_high; /* clip_high 0: as clip */
        bool whiten;
        int loss, ratio, form, lag_correction;
        double lag_cap;
    } ppo;
    struct {
        double coef;
    } entropy;
    struct {
        int64_t every; /* 0: the reference stays */
    } reference;
    struct {
        double coef, clamp;
        int in, estimator;
    } kl;
    struct {
        double lr, clip_norm;
        int64_t warmup;
        int schedule;
    } policy;
    struct {
        double lr;
        int64_t warmup; /* so many updates move only the critic */
        int target;
    } critic;
    struct {
        int64_t microbatches;                 /* a power of two, a multiple of roles.learners */
        int64_t reply_tokens, history_tokens; /* of one pass */
        bool recompute;
    } learn;
    struct {
        int64_t learners;
    } roles;
    struct {
        int64_t lag; /* up to PIPELINE_LAG_MAX */
    } pipeline;
    struct {
        int64_t patience; /* 0: off */
        char metric[64];
        int64_t replica_check, max_skips;     /* 0: never */
        double gradient_norm_max, reward_max; /* 0: none */
    } guard;
    struct {
        double seconds; /* no wait is longer */
    } watchdog;
    struct {
        double flops, bandwidth; /* per second; bandwidth in bytes */
        double launch;           /* seconds of an operation */
        double jitter;           /* of a batch: the sigma of a log-normal factor */
    } sleep;                     /* the device that `device: sleep` takes the time of */
    /* Not a key: which keys were given, in the order of their table. */
    bool given[CONFIG_KEY_MAX];
};

/* CONFIG_RESUME: as CONFIG_TRAIN, but for config_check_unused. */
enum config_scope { CONFIG_INFERENCE, CONFIG_SFT, CONFIG_REWARD, CONFIG_TRAIN, CONFIG_RESUME };

void config_defaults(struct config *config);
/* Reads a YAML file over what is there; errors name file, line and key. */
status config_read(struct config *config, const char *path);
/* The same of a text in memory; name stands for the file's in errors. */
status config_read_text(struct config *config, const char *name, const char *text, size_t size);
/* One --set argument, "key=value"; the value is YAML. */
status config_set(struct config *config, const char *assignment);
/* What no single key can tell: keys that contradict each other, for a verb. */
status config_check(const struct config *config, enum config_scope scope);
/* Of `train`: the first key that would do nothing beside others.  A run that began before such a
 * key was refused has to keep it, since a resumed run's keys stay: there it is worth a warning. */
status config_check_unused(const struct config *config);
/* ppo.lag_correction, its auto resolved: whether truncated weights correct for pipeline.lag. */
bool config_lag_truncated(const struct config *config);
/* The resolved configuration as YAML that config_read takes back to the same values. */
status config_print(const struct config *config, FILE *out);
/* Keys with type, bounds, default and help: all (topic NULL), those of a section ("policy";
 * "general": those without one) or one key.  False: there is no such topic, nothing printed. */
bool config_help(FILE *out, const char *topic);
void config_help_topics(FILE *out); /* the sections, a line each */
/* Keys that someone who wrote `name` may have meant: "policy.lr, sft.lr or critic.lr"; false: none
 * is near. */
bool config_suggest(const char *name, char out[256]);

/* Keys that --change names, for a resumed run. */
enum { CONFIG_CHANGES_MAX = 16 };
struct config_changes {
    int key[CONFIG_CHANGES_MAX]; /* in the table */
    int count;
};
/* One --change argument, "key=value": as config_set; refused where no run may change that key. */
status config_change(struct config *config, struct config_changes *changes, const char *assignment);
/* The configuration that a checkpoint holds, of any age: a key that it has not, since there was
 * none, has what runs did then. */
status config_read_saved(struct config *config, const char *name, const char *text, size_t size);
/* On resume: an error that names the first key that differs and may not.  Ranks, threads, devices,
 * paths, limits and how often things happen may; learning rates and the like when --change names
 * them. */
status config_resume_check(const struct config *before, const struct config *now,
                           const struct config_changes *changes);
/* Whether a --change names the key. */
bool config_change_asked(const struct config_changes *changes, const char *name);
/* Of the keys in changes those whose value is another now: *name, and both values as YAML; false
 * where change number i is none. */
bool config_changed(const struct config *before, const struct config *now,
                    const struct config_changes *changes, int i, const char **name, char was[64],
                    char is[64]);

#endif
