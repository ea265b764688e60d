/* The sizes of a model.  What every family has is named here; a family's own struct begins with
 * this one, and its table of rows says where each number lies, what it is called in settings and
 * in a checkpoint's shape.json, and what it may be. */
#ifndef REGARD_MODEL_SHAPE_H
#define REGARD_MODEL_SHAPE_H

#include "src/base/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct model_family;

enum { SHAPE_MORE_ENDS = 3 };

struct model_shape {
    const struct model_family *family;
    int64_t vocabulary;
    int64_t width; /* of a hidden row */
    /* Layers and heads whose attention over a history can be captured; layers 0: a model without
     * replies (a critic's; a causal one keeps its layers and is headless). */
    int64_t layers, heads;
    int32_t pad, end;  /* ids */
    int32_t start;     /* the id that a reply's first token stands behind; not of causal families */
    int64_t more_ends; /* other ids that end a reply, at most SHAPE_MORE_ENDS */
    int32_t more_end[SHAPE_MORE_ENDS];
    bool headless; /* no output matrix: a critic's */
    bool valued;   /* a value head behind it: a critic, a reward model */
};

/* Whether a reply ends with this token. */
bool model_shape_is_end(const struct model_shape *shape, int32_t token);
/* All such tokens; how many there are. */
int64_t model_shape_ends(const struct model_shape *shape, int32_t end[1 + SHAPE_MORE_ENDS]);

enum shape_kind {
    SHAPE_INTEGER,
    SHAPE_ID,
    SHAPE_FLAG,
    SHAPE_REAL,
    SHAPE_LATER
}; /* int64_t, int32_t, bool, float;
    * int64_t that older shape.json files do not have: it stands there where it is not `absent` */
struct shape_row {
    const char *name; /* NULL: behind the last row */
    size_t offset;    /* in the family's struct */
    enum shape_kind kind;
    double low, high;       /* of an integer or, above low, a real; ids lie in the vocabulary */
    const char *config_key; /* Hugging Face's; NULL: the family reads it otherwise */
    double absent;          /* where a config.json or the settings do not say */
};

/* Whether history and reply are one sequence: family.h. */
bool model_shape_is_causal(const struct model_shape *shape);
/* Makes it the shape of a value model (value_model.h): without what replies alone need. */
void model_shape_value(struct model_shape *shape);
/* The most tokens that a history and its reply may have together; INT64_MAX: any number. */
int64_t model_shape_sequence_max(const struct model_shape *shape);
/* A number by its row's name; 0 where the family has none of that name. */
double model_shape_number(const struct model_shape *shape, const char *name);
/* Rows' bounds, then what the family asks for; the error names the number. */
status model_shape_check(const struct model_shape *shape);
/* Freed with free(). */
struct model_shape *model_shape_copy(const struct model_shape *shape);

/* From named numbers, as settings give them; names that the family has not are passed over, rows
 * not named take their value where absent.  model_type: as in a config.json.  Freed with free(). */
struct model_setting {
    const char *name;
    double value;
};
status model_shape_from_settings(const char *model_type, const struct model_setting *settings,
                                 int64_t count, struct model_shape **out);

/* A checkpoint's shape.json: "family" (absent: the first), every row, and "value_head": true of a
 * value model.  The text is freed with
 * free(); so is the shape. */
char *model_shape_to_json(const struct model_shape *shape);
status model_shape_from_json(const json_t *json, const char *where, struct model_shape **out);
/* One line for people; freed with free(). */
char *model_shape_describe(const struct model_shape *shape);

/* For families: a shape of the family's size, rows at their value where absent; a row's value. */
struct model_shape *shape_new(const struct model_family *family);
double shape_row_get(const struct model_shape *shape, const struct shape_row *row);
void shape_row_set(struct model_shape *shape, const struct shape_row *row, double value);

#endif
