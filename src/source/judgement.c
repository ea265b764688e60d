/* The form in which a line's replies are judged; see judgement.h. */
#include "src/source/judgement.h"

#include "src/base/memory.h"

status judgement_open(const struct source_settings *settings, void **state)
{
    struct judgement *judgement = memory_allocate(sizeof *judgement);
    *judgement = (struct judgement){(enum verify_form)settings->verify_form,
                                    (enum answer_extract)settings->verify_extract};
    *state = judgement;
    return NULL;
}

enum verify_form judgement_form(const struct judgement *judgement, const struct dialogue *line)
{
    if (judgement->form != VERIFY_AUTO) return judgement->form;
    if (line->verify != VERIFY_AUTO) return line->verify;
    if (line->slots) return VERIFY_SLOTS;
    return line->answer && answer_is_number(line->answer) ? VERIFY_EXACT : VERIFY_MATCH;
}
