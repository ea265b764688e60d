#include "src/model/parts.h"

#include "src/base/memory.h"
#include "src/model/model_state.h"

#include <stdlib.h>
#include <string.h>

static const char weight_end[] = ".weight";

int part_path_length(const struct parameter *one)
{
    const size_t length = strlen(one->name), end = sizeof weight_end - 1;
    const bool is_weight = length > end && !strcmp(one->name + length - end, weight_end);
    return (int)(is_weight ? length - end : length);
}

/* The last word of that path: a part's name. */
static const char *part_name(const struct parameter *one, int *length)
{
    const int end = part_path_length(one);
    int begin = end;
    while (begin > 0 && one->name[begin - 1] != '.') begin--;
    *length = end - begin;
    return one->name + begin;
}

void parts_visit(const struct model *model, part_visit visit, void *context)
{
    const struct parameters *p = &model->parameters;
    int64_t at = 0;
    for (int64_t i = 0; i < model->linear_count; i++) {
        struct linear *w = model->linears[i];
        if (w == &model->head || (model->base && !w->frozen)) continue;
        while (at < p->count && p->list[at].offset < w->offset) at++;
        for (; at < p->count && p->list[at].offset < w->offset + w->n * w->k; at++)
            visit(context, w, &p->list[at]);
    }
}

/* The next name of a list "q,v"; NULL: none. */
static const char *name_next(const char **list, int *length)
{
    static const char between[] = ", ";
    const char *begin = *list + strspn(*list, between);
    *length = (int)strcspn(begin, between);
    *list = begin + *length;
    return *length ? begin : NULL;
}

/* Whether a target is a module's path or the end of one. */
static bool is_target(const struct parameter *part, const char *target, int length)
{
    const int end = part_path_length(part), begin = end - length;
    return begin >= 0 && !strncmp(part->name + begin, target, (size_t)length) &&
           (begin == 0 || part->name[begin - 1] == '.');
}

bool part_is_chosen(const struct parameter *part, const char *targets)
{
    int length;
    for (const char *name; (name = name_next(&targets, &length));)
        if (is_target(part, name, length)) return true;
    return false;
}

struct name_list {
    char text[ADAPTER_TARGETS_MAX];
};

static bool list_has(const char *list, const char *name, int length)
{
    int other;
    for (const char *one; (one = name_next(&list, &other));)
        if (other == length && !strncmp(one, name, (size_t)length)) return true;
    return false;
}

static void name_add(void *context, struct linear *w, const struct parameter *part)
{
    struct name_list *list = context;
    const size_t used = strlen(list->text);
    int length;
    const char *name = part_name(part, &length);
    (void)w;
    if (list_has(list->text, name, length)) return;
    snprintf(list->text + used, sizeof list->text - used, "%s%.*s", used ? ", " : "", length, name);
}

char *parts_names(const struct model *model)
{
    struct name_list list = {""};
    parts_visit(model, name_add, &list);
    return memory_text(list.text);
}

struct target_search {
    const char *target;
    int length;
    bool found;
};

static void target_look(void *context, struct linear *w, const struct parameter *part)
{
    struct target_search *search = context;
    (void)w;
    search->found = search->found || is_target(part, search->target, search->length);
}

status parts_check_targets(const struct model *model, const char *targets)
{
    int length;
    for (const char *name; (name = name_next(&targets, &length));) {
        struct target_search search = {name, length, false};
        parts_visit(model, target_look, &search);
        if (search.found) continue;
        char *parts = parts_names(model);
        status s = ERROR(STATUS_INPUT, "adapter.targets: the model has no part %.*s; it has %s",
                         length, name, parts);
        free(parts);
        return s;
    }
    return NULL;
}
