/* Recorded decode steps, by all that their arguments depend on beside what lies on the device. */
#ifndef REGARD_ROLLOUT_STEP_GRAPHS_H
#define REGARD_ROLLOUT_STEP_GRAPHS_H

#include "src/model/decoder.h"

/* Without gaps between members: keys are compared byte by byte. */
struct step_key {
    struct model_decoder_shape decoder;
    int64_t layout; /* of the generator's arrays */
    int64_t seed, purpose, top_k, floor_form, shuffle, self_certainty, received, forced;
    double temperature, top_p;
};

struct step_graph {
    struct step_key key;
    struct graph *graph;     /* NULL: not recorded yet */
    bool refused;            /* recording it failed: it is not tried again */
    int64_t met, last_asked; /* how often asked for; when last; 0: not in use */
};

enum { STEP_GRAPHS_MAX = 24 };

struct step_graphs {
    struct queue *queue;
    struct step_graph entry[STEP_GRAPHS_MAX];
    int64_t asked, recordings; /* so far */
};

void step_graphs_create(struct step_graphs *graphs, struct queue *queue);
void step_graphs_destroy(struct step_graphs *graphs);
/* The entry of a key; a new one takes the place of the one not asked for the longest.  A graph that
 * can be launched no more is gone from it. */
struct step_graph *step_graphs_find(struct step_graphs *graphs, const struct step_key *key);
/* Drops those of other layouts than the key's: none of them will be asked for again. */
void step_graphs_keep_layout(struct step_graphs *graphs, const struct step_key *key);

#endif
