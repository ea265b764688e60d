/* update: one PPO update from a file, by the code that train uses. */
#include "mpi/data.h"
#include "src/base/json.h"
#include "src/base/memory.h"
#include "src/checkpoint/model_folder.h"
#include "src/learn/step.h"
#include "src/model/adapted.h"
#include "tools/regard/command.h"

#include <stdlib.h>
#include <string.h>

static void step_print(int64_t step, const struct step_metrics *m)
{
    const struct {
        const char *name;
        double value;
    } numbers[] = {{"loss", m->loss},
                   {"gradient_norm", m->gradient_norm},
                   {"kl", m->kl},
                   {"clip_fraction", m->clip_fraction},
                   {"ratio_deviation", m->ratio_deviation}};
    printf("{\"step\":%lld", (long long)step);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        char text[40];
        json_double_text(text, numbers[i].value);
        printf(",\"%s\":%s", numbers[i].name, text);
    }
    printf(",\"skipped\":%s}\n", m->skipped ? "true" : "false");
}

/* A batch of the file's lines: cut into learn.microbatches runs of lines. */
static void batch_make(const struct config *config, const struct dataset *data, float *refs,
                       float *advantages, struct learn_turn *turns, float **logp, int64_t *begin,
                       struct learn_batch *batch)
{
    *batch = (struct learn_batch){
        .turns = turns, .turn_count = data->count, .begin = begin, .all_turns = data->count};
    for (int64_t i = 0; i < data->count; i++) {
        const struct dialogue *line = &data->dialogues[i];
        turns[i] = (struct learn_turn){.history = line->history_tokens,
                                       .history_count = line->history_count,
                                       .cuts = line->cuts,
                                       .cut_count = line->cut_count,
                                       .reply = line->reply_tokens,
                                       .reply_count = line->reply_count,
                                       .logp_old = line->logp,
                                       .logp_ref = refs ? refs + batch->all_tokens : NULL,
                                       .advantage = advantages + batch->all_tokens};
        for (int64_t t = 0; t < line->reply_count; t++)
            advantages[batch->all_tokens + t] = (float)line->advantage;
        logp[i] = turns[i].logp_ref;
        batch->all_tokens += line->reply_count;
    }
    for (int64_t m = 0; m <= config->learn.microbatches; m++)
        begin[m] = microbatch_first(config->learn.microbatches, data->count, m);
}

static status update_run(const struct command *command, const struct session *session,
                         const struct dataset *data, struct model *reference)
{
    const struct config *config = &command->config;
    struct learner_exchange exchange;
    learner_exchange_alone(&exchange);
    struct learner *learner;
    const struct learn_settings settings = learn_settings_of(config);
    TRY(learner_create(&settings, &exchange, session->model, reference, false, &learner));
    int64_t tokens = 0;
    for (int64_t i = 0; i < data->count; i++) tokens += data->dialogues[i].reply_count;
    const size_t n = (size_t)data->count;
    struct learn_turn *turns = memory_allocate(n * sizeof *turns);
    float **logp = memory_allocate(n * sizeof *logp);
    float *advantages = memory_allocate((size_t)tokens * sizeof *advantages + 4);
    float *refs = reference ? memory_allocate((size_t)tokens * sizeof *refs + 4) : NULL;
    int64_t *begin = memory_allocate((size_t)(config->learn.microbatches + 1) * sizeof *begin);
    struct learn_batch batch;
    batch_make(config, data, refs, advantages, turns, logp, begin, &batch);
    status s = NULL;
    if (!batch.all_tokens) s = ERROR(STATUS_INPUT, "%s: no reply tokens to learn from", data->path);
    if (!s && reference)
        s = learner_logp(learner, learner->reference_run, turns, data->count, logp);
    for (int64_t epoch = 0; !s && epoch < config->ppo.epochs; epoch++) {
        struct step_metrics metrics;
        s = learner_step(learner, &loss_ppo, &batch, config->policy.lr, &metrics);
        if (!s) step_print(epoch + 1, &metrics);
    }
    free(turns);
    free(logp);
    free(refs);
    free(advantages);
    free(begin);
    learner_free(learner);
    return s;
}

/* The model before the update.  Adapters have a copy of their own; the base is one. */
static status reference_open(const struct command *command, struct model *model,
                             struct model **reference)
{
    struct model *base = model_base(model);
    if (!base) return model_open(command->model, model_queue(model), false, reference);
    TRY(model_create_adapted(base, model_adapter(model), false, reference));
    model_take_values(*reference, model_trained(model)->values, 0);
    return model_queue(model)->op->synchronize(model_queue(model));
}

status verb_update(struct command *command)
{
    struct dataset *data;
    if (command->config.kl.in == KL_IN_REWARD)
        command->config.kl.coef = 0; /* advantages are taken as they are */
    TRY(output_free(command->out));
    TRY(data_read(&command->config, command->data, DATASET_UPDATE, &data));
    struct session session;
    status s = session_open(command, true, &session);
    if (!s) {
        struct model *reference = NULL;
        s = session_check_tokens(&session, data);
        if (!s) s = reference_open(command, session.model, &reference);
        if (!s) {
            struct folder_writer out;
            s = output_begin(command->out, &out);
            if (!s) s = update_run(command, &session, data, reference);
            if (!s)
                s = model_save_imported(session.model, false,
                                        model_words_folder(command->model, session.model),
                                        out.temporary);
            s = output_end(&out, s);
        }
        if (reference) model_destroy(reference);
        session_close(&session);
    }
    dataset_free(data);
    return s;
}
