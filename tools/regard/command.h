/* The command line: verbs, their options, and what verbs share. */
#ifndef REGARD_TOOLS_COMMAND_H
#define REGARD_TOOLS_COMMAND_H

#include "kernels/profile.h"
#include "src/base/config.h"
#include "src/base/file.h"
#include "src/rollout/generate.h"
#include "src/rollout/language.h"

#include <stdbool.h>

enum { REPORT_RUNS_MAX = 64 };

struct command {
    const char *verb, *subverb;
    const char *config_path, *model, *data, *out, *run, *spm, *samples, *maps, *shape, *fit,
        *before, *after, *what, *cluster, *bench;
    const char *resume; /* NULL, "" or "auto" */
    const char *watch;  /* NULL, "" or seconds */
    const char *runs[REPORT_RUNS_MAX];
    int64_t run_count;
    int64_t rounds; /* 0: not given */
    int64_t best;   /* 0: not given */
    bool json, text, dry_run, merge, keep_system, profile, trace;
    char role[64];                 /* --role ROLE: short for --set sft.role=ROLE */
    struct config config;          /* defaults, --config, then --set in order */
    struct config_changes changes; /* --change */
    char line[2048];               /* the command line, as a shell takes it */
    status refused; /* verbs on ranks: what is wrong with the line, for all ranks to agree on */
};

/* What a verb takes: which options it needs and which it allows. */
struct verb {
    const char *name, *help, *needs, *allows; /* options, blank-separated */
    status (*run)(struct command *command);
    const char *what; /* of the words that are no options: DIR, WHAT or RUN; NULL: there are none */
    const char *more; /* the end of its help: usage, formats of files; lines, or NULL */
};
extern const struct verb verbs[];
extern const int verb_count;
const struct verb *verb_find(const char *name); /* NULL: none */

/* An option of any verb; value: what stands for its value in help, NULL of a flag. */
struct option {
    const char *name, *value, *help;
};
const struct option *option_find(const char *name); /* NULL: none */

void version_print(void);
void verb_help_print(const struct verb *verb);
/* topic: a verb, a section of the settings, a key or a form of the manual; NULL: verbs and topics.
 */
status help_print(const char *topic);
/* man: the manual page; bash, zsh: the shell's completion.  false: it is none of these. */
bool manual_print(const char *topic);

/* STATUS_USAGE for a wrong line; *verb is NULL when it names none, or when help or the version
 * was printed. */
status command_parse(int argc, char **argv, struct command *command, const struct verb **verb);

/* Which of the ranks this is, as Open MPI's mpirun, PMI's launchers and srun --mpi=pmix say; -1: it
 * was not launched as one. */
long launched_rank(void);

/* The one line of an error; nothing where its message is empty. */
void error_print(status s);

/* Ends of verbs' help (struct verb's more). */
extern const char reward_formats[], tokenizer_usage[], import_data_formats[], score_formats[],
    generate_formats[], eval_formats[], probe_formats[], split_formats[], pairs_formats[],
    plan_formats[], doctor_formats[], report_formats[], chat_formats[];

status verb_tokenizer(struct command *command);
status verb_sft(struct command *command);
status verb_train(struct command *command);
status verb_reward(struct command *command);
status verb_update(struct command *command);
status verb_score(struct command *command);
status verb_generate(struct command *command);
status verb_chat(struct command *command);
status verb_eval(struct command *command);
status verb_probe(struct command *command);
status verb_pairs(struct command *command);
status verb_split(struct command *command);
status verb_doctor(struct command *command);
status verb_import(struct command *command);
status verb_import_data(struct command *command);
status verb_export(struct command *command);
status verb_inspect(struct command *command);
status verb_report(struct command *command);
status verb_bench(struct command *command);
status verb_plan(struct command *command);

/* An opened model with its words, for inference. */
struct session {
    struct queue *queue;
    struct profile *profile; /* --profile */
    struct model *model;
    struct language *language;
    struct generator *generator;
    struct rollout_settings settings;
    struct source_set *sources;            /* that give reward */
    struct reward_reader *reward_reader;   /* of the source model; NULL: none */
    struct running_statistics *statistics; /* the checkpoint's, or empty ones */
    struct special_ids special;            /* of token lines that name none; ids owned */
    int64_t expected;   /* replies that will be sampled or read; 0: nobody said */
    double begun, told; /* when it was opened, and last said how far it is; of clock.h */
};
status session_open(const struct command *command, bool with_gradients, struct session *session);
void session_close(struct session *session);
/* Refuses token ids outside the vocabulary, histories that are empty or too long, and lines that a
 * source cannot judge replies to. */
status session_check_tokens(const struct session *session, const struct dataset *data);

/* Refuses an output folder that holds a model. */
status output_free(const char *path);
/* --out as a folder: files are written into writer's temporary one and appear together when
 * output_end is given no error; else nothing is left.  Between the two no other return. */
status output_begin(const char *path, struct folder_writer *writer);
status output_end(struct folder_writer *writer, status s);

#endif
