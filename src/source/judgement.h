/* How replies to a data line are judged: what verifier and majority share. */
#ifndef REGARD_SOURCE_JUDGEMENT_H
#define REGARD_SOURCE_JUDGEMENT_H

#include "src/data/dialogue.h"
#include "src/source/settings.h"
#include "src/text/answer.h"

struct judgement {
    enum verify_form form;       /* of every line; VERIFY_AUTO: each line's own */
    enum answer_extract extract; /* of exact */
};

/* An open function of sources: the state is a judgement, to be freed. */
status judgement_open(const struct source_settings *settings, void **state);
/* The form of a line, never VERIFY_AUTO: the settings' where they name one, else that of "verify";
 * else slots where the line has them, exact where its answer is a number, and match. */
enum verify_form judgement_form(const struct judgement *judgement, const struct dialogue *line);

#endif
