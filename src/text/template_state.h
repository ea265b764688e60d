/* A template while it is rendered, for the files of template.h. */
#ifndef REGARD_TEXT_TEMPLATE_STATE_H
#define REGARD_TEXT_TEMPLATE_STATE_H

#include "src/base/json.h"
#include "src/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TEMPLATE_SCOPES = 16, TEMPLATE_DEPTH = 64, TEMPLATE_ARGUMENTS = 8, TEMPLATE_NAME = 64 };
enum { TEMPLATE_BYTES = 256 }; /* of text that cost as much as an operation */

/* Values are borrowed from `kept`; undefined is NULL. */
struct template_run {
    json_t *kept; /* all values that were made */
    json_t *scopes[TEMPLATE_SCOPES];
    int scope_count;
    status failed;  /* the first error */
    int64_t budget; /* of operations: no template runs for ever */
    int depth;      /* of brackets and blocks, at most TEMPLATE_DEPTH */
};

enum block_kind { BLOCK_TEXT, BLOCK_EXPRESSION, BLOCK_STATEMENT };

/* A piece of the source; of an expression or statement what is between its marks. */
struct template_block {
    enum block_kind kind;
    const char *text;
    size_t size;
};
struct template_blocks {
    struct template_block *list;
    int64_t count, capacity;
};
/* White space is trimmed where the tags want it; a tag without an end is an error of the run. */
void template_split(struct template_run *run, const char *source, size_t size,
                    struct template_blocks *out);

/* An expression that is read and evaluated in one go. */
struct template_expression {
    struct template_run *run;
    const char *at, *end;
    bool dry; /* read only: everything is undefined and nothing fails */
};

/* What stands between the brackets of a call. */
struct template_call {
    char name[TEMPLATE_NAME];
    json_t *values[TEMPLATE_ARGUMENTS];
    char keys[TEMPLATE_ARGUMENTS][TEMPLATE_NAME]; /* empty: by place */
    int count;
};

/* Keeps the first error; NULL. */
json_t *template_fail(struct template_run *run, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A bracket or block more, or less; false after an error. */
bool template_enter(struct template_run *run);
void template_leave(struct template_run *run);
json_t *template_keep(struct template_run *run, json_t *made); /* takes it over */
json_t *template_text(struct template_run *run, const char *text, size_t size);
json_t *template_truth(struct template_run *run, bool value);
bool template_true(const json_t *value);
bool template_equal(const json_t *a, const json_t *b);
/* one in all: of a text, a list or an object's names. */
bool template_contains(const json_t *all, const json_t *one);
/* As it is printed; NULL after an error. */
const char *template_string(struct template_run *run, json_t *value);

json_t *template_variable(const struct template_run *run, const char *name);
/* The value of the expression, to whose end it was read. */
json_t *template_evaluate(struct template_run *run, const char *text, size_t size);

/* value | name(...), value.name(...), value is name(...), name(...) */
json_t *template_filter(struct template_run *run, json_t *value, const struct template_call *call);
json_t *template_method(struct template_run *run, json_t *value, const struct template_call *call);
bool template_test(struct template_run *run, json_t *value, const struct template_call *call);
json_t *template_function(struct template_run *run, const struct template_call *call);
/* left OPERATOR right: + - * / // % ~ == != < <= > >= in */
json_t *template_operate(struct template_run *run, const char *operator, json_t * left,
                         json_t *right);

#endif
