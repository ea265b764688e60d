#include "mpi/teacher.h"

#include "kernels/plan.h"
#include "mpi/reward_words.h"
#include "src/checkpoint/model_folder.h"
#include "src/checkpoint/value_folder.h"
#include "src/text/tokenizer.h"

static status tokenizer_check(const char *folder, struct value_model *teacher,
                              const struct language *language)
{
    struct tokenizer *own;
    bool same = false;
    TRY(tokenizer_open(model_words_folder(folder, value_model_trunk(teacher)), &own));
    status s = NULL;
    if (own && language->tokenizer) s = tokenizer_same(own, language->tokenizer, &same);
    if (own) tokenizer_close(own);
    TRY(s);
    if (!same)
        FAIL(STATUS_INPUT,
             "rm.align.teacher: %s has another tokenizer than this run; teacher and student read "
             "the "
             "same tokens: train both with one tokenizer.path",
             folder);
    return NULL;
}

static status objective_check(const char *folder)
{
    struct config own;
    TRY(reward_words_load(folder, &own));
    if (own.rm.objective != RM_PAIR)
        FAIL(STATUS_INPUT,
             "rm.align.teacher: %s was not trained by rm.objective: pair, which reads both replies "
             "at once",
             folder);
    return NULL;
}

status teacher_open(const struct config *config, struct queue *queue,
                    const struct language *language, struct value_model **out)
{
    const char *folder = config->rm.align.teacher;
    *out = NULL;
    if (config->rm.objective != RM_INTERACTION || config->rm.align.weight == 0 || !folder[0])
        return NULL;
    TRY(status_context(value_folder_open(folder, queue, false, out), "rm.align.teacher"));
    struct model *trunk = value_model_trunk(*out);
    status s = NULL;
    if (language->history.chat)
        s = ERROR(STATUS_INPUT,
                  "rm.objective: interaction with a chat format (text.chat, or the model's chat "
                  "template): a teacher reads histories with markers, and both must read the same "
                  "tokens; set text.chat: auto and tokenizer.path to a folder without a chat "
                  "template");
    if (!s && model_shape_is_causal(model_shape(trunk)))
        s = ERROR(STATUS_INPUT,
                  "rm.align.teacher: %s is a decoder-only model; a teacher is trained by "
                  "rm.objective: pair, on a T5",
                  folder);
    if (!s) s = objective_check(folder);
    if (!s) s = tokenizer_check(folder, *out, language);
    if (!s && config->rm.align.control == ALIGN_UNTRAINED && !queue_is_plan(queue))
        s = model_initialize(trunk, config->seed);
    if (!s) return NULL;
    value_model_destroy(*out);
    *out = NULL;
    return s;
}
