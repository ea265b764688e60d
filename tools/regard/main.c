/* regard: reads the command line, runs a verb, prints the one line of an error. */
#include "mpi/transport.h"
#include "src/base/log.h"
#include "src/base/memory.h"
#include "src/checkpoint/find.h"
#include "tools/regard/command.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct verb verbs[] = {
    {"tokenizer", "train a SentencePiece model and the idf table; encode and decode text",
     "--data --out", "--config --set --model --spm", .run = verb_tokenizer,
     .more = tokenizer_usage},
    {"sft", "supervised fine-tuning, from scratch or from a model folder", "--run",
     "--config --set --resume --change --dry-run --role --profile --trace", .run = verb_sft},
    {"train", "the reinforcement loop", "--run",
     "--config --set --resume --change --dry-run --profile --trace", .run = verb_train},
    {"reward", "a reward model from preferences, or from dialogues (rm.objective)", "--run",
     "--config --set --resume --change --dry-run --profile --trace", .run = verb_reward,
     .more = reward_formats},
    {"update", "one PPO update from replies, log-probabilities and advantages",
     "--model --data --out", "--config --set --profile", .run = verb_update},
    {"score", "token log-probabilities and reward terms of given replies", "--model --data --out",
     "--config --set --maps --profile", .run = verb_score, .more = score_formats},
    {"generate", "replies to histories", "--model --data --out",
     "--config --set --best --text --profile", .run = verb_generate, .more = generate_formats},
    {"chat", "a conversation with a model, line by line", "--model", "--config --set",
     .run = verb_chat, .more = chat_formats},
    {"eval", "a model on a held-out set; --compare BEFORE AFTER prints two tables side by side", "",
     "--model --data --out --samples --config --set --compare --profile", .run = verb_eval,
     .more = eval_formats},
    {"probe", "what every source of reward has to climb here, before any training",
     "--model --data --out", "--fit --config --set --profile", .run = verb_probe,
     .more = probe_formats},
    {"import-data",
     "other programs' dialogues (ShareGPT, prompt and completion, ...) to JSON Lines",
     "--data --out", "--keep-system", .run = verb_import_data, .more = import_data_formats},
    {"pairs", "preferences between a model's replies, made by a rule", "--model --data --out",
     "--config --set --profile", .run = verb_pairs, .more = pairs_formats},
    {"doctor", "what this machine and this launch offer, and what is wrong, before a run", "",
     "--run --config --set --json --out", .run = verb_doctor, .more = doctor_formats},
    {"split", "the lines of a data set into train.jsonl, valid.jsonl and test.jsonl",
     "--data --out", "--config --set", .run = verb_split, .more = split_formats},
    {"import", "a Hugging Face folder to a model folder", "--model --out", "--config --set",
     .run = verb_import},
    {"export", "a model to a Hugging Face folder; adapters to PEFT's, or merged", "--model --out",
     "--merge --config --set", .run = verb_export},
    {"inspect", "what is in a model folder or checkpoint, verified", "DIR", "--config --set",
     .run = verb_inspect, .what = "a model folder, a checkpoint or a run"},
    {"report",
     "what runs wrote as one page: settings, curves, where reward and quality part, samples", "RUN",
     "--out --watch", .run = verb_report, .what = "a run's folder; several stand side by side",
     .more = report_formats},
    {"plan", "what a run would do on a cluster: throughput, memory, the best roles, lag, saves",
     "--cluster", "--config --set --bench --json", .run = verb_plan, .more = plan_formats},
    {"bench", "figures as JSON: kernels, generate, decode, update, ... or all", "",
     "WHAT --shape --rounds --profile --config --set --model", verb_bench,
     .what =
         "kernels, generate, decode, update, weights, exact, of decoder-only models prefill and "
         "turns, or all (the default)"},
};
const int verb_count = sizeof verbs / sizeof *verbs;

/* Of the first of these variables that is set; -1: none is. */
static long launched_number(const char *const names[])
{
    for (int i = 0; names[i]; i++)
        if (getenv(names[i])) return strtol(getenv(names[i]), NULL, 10);
    return -1;
}

long launched_rank(void)
{
    static const char *const ranks[] = {"OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK", NULL};
    return launched_number(ranks);
}

/* A verb that knows no ranks would be run whole by each of them.  REGARD_COMMAND: it is of
 * reward.command, whose environment is a rank's. */
static status one_rank_check(const struct verb *verb)
{
    static const char *const sizes[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", NULL};
    const long rank = launched_rank();
    long size = launched_number(sizes);
    if (size < 0 && rank >= 0 && getenv("SLURM_STEP_NUM_TASKS"))
        size = strtol(getenv("SLURM_STEP_NUM_TASKS"), NULL, 10);
    if (size <= 1 || getenv("REGARD_COMMAND")) return NULL;
    if (rank > 0) FAIL(STATUS_USAGE, "%s", ""); /* rank 0 speaks for all */
    FAIL(
        STATUS_USAGE,
        "%s works in one process and was launched as %ld: start it without mpirun or srun, or with "
        "one rank (--set threads=N takes more processors)",
        verb->name, size);
}

static enum log_level log_level_wanted(void)
{
    const char *level = getenv("REGARD_LOG");
    if (!level) return LOG_INFO;
    return !strcmp(level, "debug")     ? LOG_DEBUG
           : !strcmp(level, "warning") ? LOG_WARNING
           : !strcmp(level, "error")   ? LOG_ERROR
                                       : LOG_INFO;
}

void error_print(status s)
{
    if (!s || !status_message(s)[0]) return;
    fprintf(stderr, "regard: %s\n", status_message(s));
    if (log_level_wanted() == LOG_DEBUG)
        fprintf(stderr, "regard: raised at %s\n", status_origin(s));
}

/* What was printed must have arrived: a full disk behind > is an error like any other. */
static status output_flush(void)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout)) return NULL;
    FAIL(STATUS_INPUT, "cannot write standard output: %s", strerror(errno ? errno : EIO));
}

/* Host memory ran out, on any thread: mpirun ends the other ranks, since this one left without
 * MPI_Finalize.  _Exit, since what runs at exit may need memory. */
static void memory_out(const char *message)
{
    fprintf(stderr, "regard: %s\n", message);
    _Exit(STATUS_INTERNAL);
}

/* MPI waited too long in a call of its own (signals.h). */
static void blocked_too_long(int number)
{
    static const char text[] =
        "regard: MPI took too long to start, to connect or to end the ranks: "
        "another rank is dead, stopped or cut off\n";
    (void)number;
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    _exit(STATUS_INTERNAL);
}

/* A verb of one process is stopped: half a file is of no use. */
static void stopped(int number)
{
    file_abandon_all();
    signal(number, SIG_DFL);
    raise(number);
}

/* A run in a folder's place: the checkpoint that is meant. */
static status run_resolve(const char **named)
{
    static char folder[CHECKPOINT_PATH_MAX];
    if (!*named || !checkpoint_is_run(*named)) return NULL;
    TRY(checkpoint_of_run(*named, folder));
    *named = folder;
    return NULL;
}

int main(int argc, char **argv)
{
    memory_on_exhausted(memory_out);
    signal(SIGALRM, blocked_too_long);
    signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is an error of the write, not a death */
    /* Freed pages stay ours: handing them back and forth cost two thirds of the time. */
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    log_setup(log_level_wanted(), 0);
    static struct command command;
    const struct verb *verb = NULL;
    status s = command_parse(argc, argv, &command, &verb);
    /* These run even for a wrong line: under mpirun one rank then speaks for all. */
    const bool on_ranks = verb && (verb->run == verb_train || verb->run == verb_sft ||
                                   verb->run == verb_reward || verb->run == verb_doctor);
    if (verb && !on_ranks && !s) s = one_rank_check(verb);
    const bool inspects = verb && verb->run == verb_inspect;
    if (!s && !on_ranks) s = run_resolve(inspects ? &command.what : &command.model);
    if (!on_ranks) {
        /* One that whoever started this has switched off stays so. */
        if (signal(SIGINT, stopped) == SIG_IGN) signal(SIGINT, SIG_IGN);
        if (signal(SIGTERM, stopped) == SIG_IGN) signal(SIGTERM, SIG_IGN);
    }
    if (on_ranks || (verb && !s)) {
        command.refused = s;
        s = verb->run(&command);
    }
    if (!s) s = output_flush();
    const int code = status_code(s);
    error_print(s);
    status_free(s);
    transport_end(code); /* where others still wait for this rank */
    return code;
}
