/* eval: the held-out metrics as JSON (the replies too, beside the gold ones), and two such files
 * side by side. */
#include "mpi/data.h"
#include "mpi/evaluators.h"
#include "src/base/file.h"
#include "src/base/log.h"
#include "src/evaluate/evaluation_write.h"
#include "tools/regard/command.h"
#include "tools/regard/evaluation_file.h"
#include "tools/regard/reward_model.h"

#include <math.h>
#include <string.h>

const char eval_formats[] =
    "--data: dialogues, a JSON line each, or a set that is made (synthetic:SEED:COUNT).\n"
    "The metrics are printed; --out (-: in their place): a JSON object, a number a metric, and "
    "by_dialogue: sum and count of each metric that "
    "is a\n"
    "mean, a row a dialogue, which --compare takes its errors from where both files are of the "
    "same lines\n(lines_sha256) and of 5 dialogues or more.\n"
    "--samples: a JSON line a reply, as regard score --help has it, with "
    "line (of --data) and gold.\n"
    "Of a reward model (regard reward): --data has pairs (prompt or messages, chosen, rejected) "
    "or,\nof rm.objective: on_topic, dialogues; read as it was trained, a teacher's two replies at "
    "once;\n--out accuracy, nll, ece, bins and what length alone comes to;\n--samples a JSON line "
    "a pair: line, right, wrong (scores), right_tokens, "
    "wrong_tokens.\n--set rm.inspect=true: also attention_right_1 .. 5 and attention_wrong_1 .. 5, "
    "where the last\nlayer attends, by fifth of what is read and whether the pair is decided "
    "rightly, "
    "and masked_0 .. 90,\naccuracy without the first percent of it.\n";

static void coherence_say(const struct evaluate_settings *settings,
                          const struct evaluation *evaluation)
{
    const double *states = evaluation->value + evaluation_first(settings, GROUP_STATES);
    const double *replies = evaluation->value + evaluation_first(settings, GROUP_REPLY);
    log_line(LOG_INFO,
             "coherence %.4f = (BLEU/100 %.4f + BERTScore F1 %.4f, not rescaled) / 2; of random "
             "replies %.4f",
             states[EVAL_COHERENCE], replies[EVAL_BLEU] / 100, states[EVAL_BERT_SCORE],
             states[EVAL_COHERENCE_FLOOR]);
}

static void consistency_say(const struct evaluate_settings *settings,
                            const struct evaluation *evaluation)
{
    const double *topic = evaluation->value + evaluation_first(settings, GROUP_ON_TOPIC);
    log_line(LOG_INFO,
             "consistency %.4f; of the data's replies %.4f, of random replies %.4f: the reward "
             "model is right of %.4f of these two",
             topic[EVAL_CONSISTENCY], topic[EVAL_CONSISTENCY_GOLD], topic[EVAL_CONSISTENCY_RANDOM],
             topic[EVAL_ON_TOPIC_ACCURACY]);
}

status verb_eval(struct command *command)
{
    if (command->before) {
        return evaluation_files_compare(command->before, command->after,
                                        evaluate_settings_of(&command->config));
    }
    if (!command->model || !command->data || !command->out)
        FAIL(STATUS_USAGE, "eval needs --model, --data and --out (or --compare); see regard eval "
                           "--help");
    struct dataset *data;
    if (model_folder_is_value(command->model)) return reward_model_eval(command);
    TRY(data_read(&command->config, command->data, DATASET_TRAIN, &data));
    struct session session;
    struct evaluators by = {.generator = NULL};
    struct file_writer samples = {.stream = NULL};
    status s = session_open(command, false, &session);
    if (!s) {
        struct evaluation evaluation = {.parts = NULL};
        struct evaluate_settings settings = evaluate_settings_of(&command->config);
        s = evaluate_settings_fit(&settings, &command->config, model_shape(session.model),
                                  session.language->tokenizer);
        if (!s) s = session_check_tokens(&session, data);
        if (!s) s = sources_check(session.sources, data);
        if (!s) s = evaluators_open(&command->config, session.queue, &by);
        if (!s) s = evaluators_prepare(&command->config, command->data, &by);
        by.generator = session.generator;
        by.sources = session.sources;
        if (!s && command->samples) s = file_begin(&samples, command->samples);
        if (!s)
            s = evaluate(&by, &settings, session.language, data, 0, samples.stream, NULL,
                         &evaluation);
        if (!s) evaluation_warn(&evaluation, data);
        if (!s && settings.sampling.cot.block && isfinite(evaluation.reasoning_ms))
            log_line(LOG_INFO, "a sampled token took %.3g ms, replies side by side",
                     evaluation.reasoning_ms);
        if (!s && by.encoder) coherence_say(&settings, &evaluation);
        if (!s && by.on_topic) consistency_say(&settings, &evaluation);
        if (!s && samples.stream) s = file_commit(&samples);
        if (!s) s = evaluation_write(command->out, -1, &settings, &by, &evaluation, data);
        if (!s && strcmp(command->out, "-") != 0) evaluation_print(&settings, &evaluation);
        evaluation_free(&evaluation);
        file_abandon(&samples);
        evaluators_close(&by);
        session_close(&session);
    }
    dataset_free(data);
    return s;
}
