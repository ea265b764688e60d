/* See inbox.h.  While batch b is due, actors can have begun batches up to b + lag, since the
 * weights of the one after it come only after b is learned: so many rows of slots are enough. */
#include "mpi/inbox.h"

#include "mpi/experience.h"
#include "src/base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct slot {
    struct experience *experience; /* NULL: has not come */
    int sender;
};

struct inbox {
    struct world *world;
    struct inbox_rules rules;
    int64_t batch;      /* that is due */
    int64_t received;   /* dialogues, by messages */
    struct slice slice; /* this learner's of a batch */
    struct slot *slots; /* [lag + 1, count]; batch b has row b mod (lag + 1) */
};

struct inbox *inbox_create(struct world *world, const struct inbox_rules *rules, int64_t batch)
{
    struct inbox *inbox = memory_allocate(sizeof *inbox);
    inbox->world = world;
    inbox->rules = *rules;
    inbox->batch = batch;
    inbox->slice = roles_learned(&world->roles, rules->dialogues);
    inbox->slots =
        memory_allocate((size_t)((rules->lag + 1) * inbox->slice.count) * sizeof(struct slot));
    return inbox;
}

void inbox_destroy(struct inbox *inbox)
{
    if (!inbox) return;
    for (int64_t i = 0; i < (inbox->rules.lag + 1) * inbox->slice.count; i++)
        experience_destroy(inbox->slots[i].experience);
    free(inbox->slots);
    free(inbox);
}

int64_t inbox_count(const struct inbox *inbox)
{
    return inbox->slice.count;
}

static struct slot *inbox_row(const struct inbox *inbox, int64_t batch)
{
    return inbox->slots + batch % (inbox->rules.lag + 1) * inbox->slice.count;
}

static bool tokens_fit(const int32_t *tokens, int64_t count, int64_t vocabulary)
{
    for (int64_t i = 0; i < count; i++)
        if (tokens[i] < 0 || tokens[i] >= vocabulary) return false;
    return true;
}

/* By turn, then candidate, each once; the first turn that is not so, or -1. */
static int64_t turn_out_of_place(const struct inbox_rules *rules, const struct experience *one)
{
    int64_t before = -1;
    for (int64_t i = 0; i < one->turn_count; i++) {
        const struct experience_turn *t = &one->turns[i];
        const int64_t place = t->turn * rules->candidates + t->candidate;
        if (t->turn < 0 || t->turn >= rules->turns || t->candidate < 0 ||
            t->candidate >= rules->candidates || place <= before || t->history_length < 1 ||
            !tokens_fit(t->history_tokens, t->history_length, rules->vocabulary) ||
            !tokens_fit(t->reply_tokens, t->reply_length, rules->vocabulary))
            return i;
        before = place;
    }
    return -1;
}

static status experience_check(const struct inbox *inbox, const struct experience *one, int sender)
{
    const struct inbox_rules *rules = &inbox->rules;
    const struct world *world = inbox->world;
    const long long dialogue = one->dialogue;
    const int64_t batch = one->dialogue / rules->dialogues,
                  place = one->dialogue % rules->dialogues;
    if (one->dialogue < 0 || batch < inbox->batch || batch > inbox->batch + rules->lag)
        FAIL(STATUS_INTERNAL, "rank %d: dialogue %lld is of batch %lld, due are %lld to %lld",
             sender, dialogue, (long long)batch, (long long)inbox->batch,
             (long long)(inbox->batch + rules->lag));
    const int owner = roles_owner(&world->roles, place, rules->dialogues);
    if (owner != world->roles.learner)
        FAIL(STATUS_INTERNAL, "rank %d: dialogue %lld is learner %d's and came to learner %d",
             sender, dialogue, owner, world->roles.learner);
    const int64_t version = batch > rules->lag ? batch - rules->lag : 0;
    if (one->weight_version != version)
        FAIL(STATUS_INTERNAL,
             "rank %d: dialogue %lld was generated with the weights of update %lld, not %lld",
             sender, dialogue, (long long)one->weight_version, (long long)version);
    if (one->turn_count < 1)
        FAIL(STATUS_INTERNAL, "rank %d: dialogue %lld has no turns", sender, dialogue);
    const int64_t bad = turn_out_of_place(rules, one);
    if (bad >= 0)
        FAIL(STATUS_INTERNAL, "rank %d: dialogue %lld: its turn number %lld is not one of this run",
             sender, dialogue, (long long)bad + 1);
    const struct slot *slot = inbox_row(inbox, batch) + (place - inbox->slice.first);
    if (slot->experience)
        FAIL(STATUS_INTERNAL, "rank %d: dialogue %lld came twice, before from rank %d", sender,
             dialogue, slot->sender);
    char name[32];
    snprintf(name, sizeof name, "rank %d", sender);
    return experience_verify(one, name);
}

status inbox_put(struct inbox *inbox, struct experience *experience, int sender)
{
    status s = experience_check(inbox, experience, sender);
    if (s) {
        experience_destroy(experience);
        return s;
    }
    const int64_t dialogues = inbox->rules.dialogues;
    struct slot *row = inbox_row(inbox, experience->dialogue / dialogues);
    row[experience->dialogue % dialogues - inbox->slice.first] = (struct slot){experience, sender};
    return NULL;
}

static bool row_full(const struct slot *row, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (!row[i].experience) return false;
    return true;
}

status inbox_receive(struct inbox *inbox, struct experience **slots)
{
    struct slot *row = inbox_row(inbox, inbox->batch);
    memset(slots, 0, (size_t)inbox->slice.count * sizeof *slots);
    while (!row_full(row, inbox->slice.count)) {
        struct experience *next;
        int sender;
        status s = experience_receive(inbox->world, &inbox->rules.format, &next, &sender);
        inbox->received++;
        if (!s) s = inbox_put(inbox, next, sender);
        if (s)
            return status_context(s, "learner %d, batch %lld", inbox->world->roles.learner,
                                  (long long)inbox->batch);
    }
    for (int64_t i = 0; i < inbox->slice.count; i++) slots[i] = row[i].experience;
    memset(row, 0, (size_t)inbox->slice.count * sizeof *row);
    inbox->batch++;
    return NULL;
}

status inbox_drain(struct inbox *inbox, int64_t sent)
{
    for (; inbox->received < sent; inbox->received++) {
        struct experience *dropped;
        int sender;
        TRY(experience_receive(inbox->world, &inbox->rules.format, &dropped, &sender));
        experience_destroy(dropped);
    }
    return NULL;
}
