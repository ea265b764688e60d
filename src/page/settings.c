/* Settings of any age, flat; see settings.h. */
#include "src/page/settings.h"

#include "src/base/config.h"
#include "src/base/memory.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

void settings_free(struct setting_list *settings)
{
    for (int64_t i = 0; i < settings->count; i++) {
        free(settings->list[i].key);
        free(settings->list[i].value);
    }
    free(settings->list);
    *settings = (struct setting_list){0};
}

static void setting_add(struct setting_list *settings, const char *key, const char *value)
{
    const size_t n = (size_t)settings->count + 1;
    settings->list = memory_resize(settings->list, n * sizeof *settings->list);
    settings->list[settings->count++] =
        (struct setting){.key = memory_text(key), .value = memory_text(value)};
}

/* A list in one line. */
static char *sequence_text(yaml_document_t *document, const yaml_node_t *node)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = memory_stream(&text, &size);
    fputc('[', stream);
    for (const yaml_node_item_t *item = node->data.sequence.items.start;
         item < node->data.sequence.items.top; item++) {
        const yaml_node_t *one = yaml_document_get_node(document, *item);
        fprintf(stream, "%s%s", item > node->data.sequence.items.start ? ", " : "",
                one && one->type == YAML_SCALAR_NODE ? (const char *)one->data.scalar.value : "..");
    }
    fputc(']', stream);
    memory_stream_close(stream);
    return text;
}

/* An alias may stand for a mapping of aliases, and so on: nodes are counted as often as they are
 * met. */
enum { DEPTH_MAX = 8, KEY_BYTES = 256, NODES_MAX = 20000 };

struct walk {
    yaml_document_t *document;
    struct setting_list *out;
    int64_t nodes; /* met so far */
};

static void node_add(struct walk *walk, const yaml_node_t *node, const char *key, int depth)
{
    yaml_document_t *document = walk->document;
    if (++walk->nodes > NODES_MAX) return;
    if (node->type == YAML_SCALAR_NODE) {
        setting_add(walk->out, key, (const char *)node->data.scalar.value);
    } else if (node->type == YAML_SEQUENCE_NODE) {
        char *text = sequence_text(document, node);
        setting_add(walk->out, key, text);
        free(text);
    } else if (node->type == YAML_MAPPING_NODE && depth < DEPTH_MAX) {
        for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
             pair < node->data.mapping.pairs.top && walk->nodes <= NODES_MAX; pair++) {
            const yaml_node_t *name = yaml_document_get_node(document, pair->key);
            const yaml_node_t *value = yaml_document_get_node(document, pair->value);
            char inner[KEY_BYTES];
            if (!name || !value || name->type != YAML_SCALAR_NODE) continue;
            snprintf(inner, sizeof inner, "%s%s%s", key, *key ? "." : "",
                     (const char *)name->data.scalar.value);
            node_add(walk, value, inner, depth + 1);
        }
    }
}

status settings_read(const char *name, const char *text, size_t size, struct setting_list *out)
{
    yaml_parser_t parser;
    yaml_document_t document;
    *out = (struct setting_list){0};
    if (!yaml_parser_initialize(&parser)) memory_exhausted(sizeof parser);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
    status s = NULL;
    if (!yaml_parser_load(&parser, &document)) {
        s = ERROR(STATUS_INPUT, "%s:%zu: %s", name, parser.problem_mark.line + 1,
                  parser.problem ? parser.problem : "no YAML");
    } else {
        const yaml_node_t *root = yaml_document_get_root_node(&document);
        struct walk walk = {.document = &document, .out = out};
        if (root) node_add(&walk, root, "", 0);
        if (walk.nodes > NODES_MAX) {
            settings_free(out);
            s = ERROR(STATUS_INPUT, "%s: more than %d settings, its aliases counted", name,
                      NODES_MAX);
        }
        yaml_document_delete(&document);
    }
    yaml_parser_delete(&parser);
    return s;
}

status settings_default(struct setting_list *out)
{
    struct config *config = memory_allocate(sizeof *config);
    char *text = NULL;
    size_t size = 0;
    config_defaults(config);
    FILE *stream = memory_stream(&text, &size);
    status s = config_print(config, stream);
    memory_stream_close(stream);
    if (!s) s = settings_read("defaults", text, size, out);
    free(text);
    free(config);
    return s;
}
