/* The words of a run: tokenizer, idf table and the options that turn dialogues into histories;
 * from a model folder, and from the training data where the folder has no idf table. */
#ifndef REGARD_ROLLOUT_LANGUAGE_H
#define REGARD_ROLLOUT_LANGUAGE_H

#include "src/data/dialogue.h"
#include "src/model/model.h"
#include "src/rollout/settings.h"
#include "src/text/chat_recognise.h"
#include "src/text/history.h"
#include "src/text/idf.h"

struct language {
    struct tokenizer *tokenizer; /* NULL: a folder for token lines only */
    struct idf_table *idf;       /* NULL: salience by keywords and entities alone */
    struct keyword_set *keywords;
    struct language_settings settings;  /* whose texts history points to */
    struct chat_template chat_template; /* the folder's, or of text.chat, for folders we write */
    char *chat_system, *chat_refused;   /* what history points to */
    struct history_options history;
};

/* The tokenizer is tokenizer.path ("bytes": none) where set, else the folder's; the chat format is
 * text.chat where set, else that of the chat template beside the tokenizer or the model.  A
 * template that is not known, or a tokenizer without an end, refuses histories, not token lines.
 * data: builds the idf table where none lies beside the tokenizer; may be NULL. */
status language_open(const struct language_settings *settings, const char *model_folder,
                     const struct dataset *data, struct language **out);
void language_close(struct language *language);
/* Histories in a chat format end messages with its token: a model whose own files do not name it
 * would talk on. */
status language_ends(const struct language *language, struct model *model);
/* Whether the model has a row for each of the tokenizer's ids. */
status language_fits(const struct language *language, int64_t vocabulary);
/* Tokenizer, idf table and chat template into a folder, as language_open reads them. */
status language_save(const struct language *language, const char *folder);
/* The idf table of a data set's dialogues. */
struct idf_table *language_count_words(const struct dataset *data);

#endif
