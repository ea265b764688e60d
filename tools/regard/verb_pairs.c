/* pairs: preferences between a model's replies, made by a rule. */
#include "mpi/data.h"
#include "src/base/log.h"
#include "src/pairs/pairs.h"
#include "src/source/source.h"
#include "tools/regard/command.h"

const char pairs_formats[] =
    "Generates rollout.candidates replies to every assistant turn of --data (dialogues, a JSON "
    "line\n"
    "each, or a built-in set) and scores them from 0 to 1 by pairs.heuristic:\n"
    "  ngram          words and pairs of words shared with the data's reply (mean of ROUGE-1 and "
    "-2)\n"
    "  steps          steps shared with the data's reply, before cot.answer_marker (F1)\n"
    "  verifier       what the line says is right: an answer, or slots\n"
    "  demonstration  the data's reply over a sampled one, in the order they were sampled; no two\n"
    "                 sampled ones are compared\n"
    "--out, a JSON line a pair whose scores differ by more than pairs.margin, at most "
    "pairs.per_history\n"
    "a history, those that differ most first:\n"
    "  "
    "{\"messages\":[..],\"chosen\":..,\"rejected\":..,\"heuristic\":..,\"chosen_score\":..,"
    "\"chosen_"
    "by\":..,\n"
    "  \"chosen_candidate\":.., the same of rejected, turn, id}\n"
    "Who wrote a reply: model; human, the reply of a data file; program, that of a built-in set.\n";

static status settings_check(const struct config *config)
{
    const bool demonstration = config->pairs.heuristic == PAIRS_DEMONSTRATION;
    if (!demonstration && config->rollout.temperature == 0)
        FAIL(STATUS_INPUT, "pairs needs rollout.temperature above 0: greedy replies are all alike");
    if (!demonstration && config->rollout.candidates < 2)
        FAIL(STATUS_INPUT, "pairs needs rollout.candidates of 2 or more; of one reply there is no "
                           "pair but that of pairs.heuristic: demonstration");
    return NULL;
}

/* The verifier where pairs are made by it; no other source is asked, and no attention is judged:
 * what is left of a control is what it did to the data. */
static void sources_choose(struct config *config)
{
    config->control = CONTROL_NONE;
    config->reward.sources = (struct config_weights){.weight = {0}};
    const int source =
        config->pairs.heuristic == PAIRS_VERIFIER ? SOURCE_VERIFIER : SOURCE_ATTENTION;
    config->reward.sources.listed[source] = true;
    config->reward.sources.weight[source] = 1;
}

static status pairs_write(const struct command *command, struct session *session,
                          const struct dataset *data, FILE *out, struct pairs_counts *counts)
{
    const struct pairs_settings settings =
        pairs_settings_of(&command->config, &session->settings, command->data);
    TRY(session_check_tokens(session, data));
    TRY(sources_check(session->sources, data));
    return pairs_make(session->generator, &settings, session->language, data, session->sources, out,
                      counts);
}

status verb_pairs(struct command *command)
{
    struct dataset *data = NULL;
    struct session session;
    struct file_writer out = {NULL};
    struct pairs_counts counts;
    TRY(settings_check(&command->config));
    TRY(data_read(&command->config, command->data, DATASET_TRAIN, &data));
    sources_choose(&command->config);
    status s = session_open(command, false, &session);
    if (s) {
        dataset_free(data);
        return s;
    }
    s = file_begin(&out, command->out);
    if (!s) s = pairs_write(command, &session, data, out.stream, &counts);
    if (!s) s = file_commit(&out);
    file_abandon(&out);
    session_close(&session);
    dataset_free(data);
    if (!s)
        log_line(LOG_INFO, "%lld pairs of %lld histories; %lld have none, %lld are too long",
                 (long long)counts.pairs, (long long)counts.histories, (long long)counts.without,
                 (long long)counts.overlong);
    return s;
}
