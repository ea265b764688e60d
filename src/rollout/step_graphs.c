/* Recorded decode steps; see step_graphs.h. */
#include "src/rollout/step_graphs.h"

#include <string.h>

void step_graphs_create(struct step_graphs *graphs, struct queue *queue)
{
    *graphs = (struct step_graphs){.queue = queue};
}

static void entry_clear(struct step_graphs *graphs, struct step_graph *entry)
{
    if (entry->graph) graphs->queue->op->graph_destroy(graphs->queue, entry->graph);
    memset(entry, 0, sizeof *entry);
}

void step_graphs_destroy(struct step_graphs *graphs)
{
    for (int i = 0; i < STEP_GRAPHS_MAX; i++) entry_clear(graphs, &graphs->entry[i]);
}

struct step_graph *step_graphs_find(struct step_graphs *graphs, const struct step_key *key)
{
    struct queue *q = graphs->queue;
    struct step_graph *found = &graphs->entry[0];
    for (int i = 0; i < STEP_GRAPHS_MAX; i++) {
        struct step_graph *entry = &graphs->entry[i];
        if (entry->last_asked > 0 && memcmp(&entry->key, key, sizeof *key) == 0) {
            found = entry;
            break;
        }
        if (entry->last_asked < found->last_asked) found = entry;
    }
    if (found->last_asked == 0 || memcmp(&found->key, key, sizeof *key) != 0) {
        entry_clear(graphs, found);
        found->key = *key;
    }
    if (found->graph && !q->op->graph_is_current(q, found->graph)) {
        q->op->graph_destroy(q, found->graph);
        found->graph = NULL;
    }
    found->met++;
    found->last_asked = ++graphs->asked;
    return found;
}

void step_graphs_keep_layout(struct step_graphs *graphs, const struct step_key *key)
{
    for (int i = 0; i < STEP_GRAPHS_MAX; i++) {
        struct step_graph *entry = &graphs->entry[i];
        if (entry->key.layout != key->layout || entry->key.decoder.layout != key->decoder.layout)
            entry_clear(graphs, entry);
    }
}
