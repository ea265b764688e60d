/* Added tokens of tokenizer.json: cut out of a text before it is split into words, the leftmost
 * first and of those that begin together the longest. */
#ifndef REGARD_TEXT_BPE_ADDED_H
#define REGARD_TEXT_BPE_ADDED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bpe_added {
    char *text;
    size_t size;
    char *pattern; /* what is looked for: the text, normalised where `normalized` */
    size_t pattern_size;
    int32_t id;
    bool special;        /* not looked for in plain text; skipped where special tokens are */
    bool normalized;     /* looked for after normalisation, in the text as it is then */
    bool lstrip, rstrip; /* white space before, behind it belongs to it */
};

/* Those that are looked for in one pass, by their first byte. */
struct added_set {
    const struct bpe_added **list; /* longer ones first */
    size_t count;
    uint32_t first[257]; /* list[first[b] .. first[b + 1]) begin with byte b */
};
/* The tokens stay where they are. */
void added_set_make(struct added_set *set, const struct bpe_added *tokens, size_t count,
                    bool normalized);
void added_set_free(struct added_set *set);

/* A part of a text: an added token with the white space that it swallows, or what is between two.
 */
struct added_part {
    const struct bpe_added *token; /* NULL: text */
    size_t begin, end;
};
/* Goes through text; a zeroed struct begins. */
struct added_scan {
    size_t at;   /* where to look on */
    size_t done; /* bytes that parts were given for */
    bool held;   /* whether `token` waits behind the text before it */
    struct added_part token;
};
/* The next part, false at the end; without_special: special tokens are not found. */
bool added_next(const struct added_set *set, const char *text, size_t size, bool without_special,
                struct added_scan *scan, struct added_part *part);

#endif
