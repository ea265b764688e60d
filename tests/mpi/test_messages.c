/* Damaged, repeated, stale and foreign messages between ranks: the real senders and receivers
 * (experience.c, inbox.c, running_exchange.c) over the transport's double.  Each must be refused
 * with its sender in the one line, and nothing but what was sent may ever be handed on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/mpi/transport_double.h"

#include "mpi/experience.h"
#include "mpi/inbox.h"
#include "mpi/running_exchange.h"
#include "src/base/config.h"
#include "src/base/file.h"
#include "src/base/slices.h"
#include "src/rollout/experience_spans.h"

#include <math.h>
#include <stdio.h>

enum {
    RANKS = 5,
    LEARNERS = 2,
    DIALOGUES = 8,
    BATCHES = 3,
    MESSAGES = DIALOGUES * BATCHES,
    LAG = 1,
    TRIALS = 1000
};
static struct reward_settings reward;
static const struct inbox_rules rules = {.dialogues = DIALOGUES,
                                         .lag = LAG,
                                         .turns = 2,
                                         .candidates = 2,
                                         .vocabulary = 50,
                                         .format = {&statistics_standard, &reward, 1, 1}};

static uint64_t draw(uint64_t *state) /* SplitMix64 */
{
    uint64_t x = *state += 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

static int64_t draw_below(uint64_t *state, int64_t limit)
{
    return (int64_t)(draw(state) % (uint64_t)limit);
}

static float *floats(struct experience_turn *turn, int statistic)
{
    return turn->statistics.array[statistic];
}

/* As an actor computes them. */
static void terms_make(int64_t id, struct experience_turn *t)
{
    const struct reward_turn turn = {.key = {id, t->turn + 1, t->candidate, 0},
                                     .entropy_floored = floats(t, STATISTIC_ENTROPY_FLOORED),
                                     .salient_mass = floats(t, STATISTIC_SALIENT_MASS),
                                     .visible = t->visible_count,
                                     .salient = t->salient_count,
                                     .reply = t->reply_tokens,
                                     .reply_count = t->reply_length,
                                     .history = t->history_tokens,
                                     .history_count = t->history_length};
    assert_null(reward_terms_compute(&reward, &turn, t->terms));
    t->reward = reward_combine(&reward, t->terms, NULL, t->reply_length);
}

/* What an actor generates: sizes and contents by the id alone. */
static struct experience *dialogue_make(int64_t id)
{
    uint64_t state = (uint64_t)id * 77 + 1;
    const int64_t batch = id / DIALOGUES, turns = 1 + draw_below(&state, 4);
    struct experience *e =
        experience_create(&rules.format, id, batch > LAG ? batch - LAG : 0, turns);
    e->prompt = id;
    for (int k = 0; k < turns; k++) {
        struct experience_turn *t = &e->turns[k];
        const int32_t history = (int32_t)(3 + draw_below(&state, 20));
        experience_turn_allocate(&rules.format, t, history, (int32_t)(1 + draw_below(&state, 6)),
                                 2);
        t->turn = k / 2;
        t->candidate = k % 2;
        t->chosen = t->ended = k % 2 == 0;
        for (int i = 0; i < t->history_length; i++) {
            t->history_tokens[i] = (int32_t)draw_below(&state, rules.vocabulary);
            t->visible[i] = (uint8_t)(draw(&state) % 2);
            t->salient[i] = t->visible[i] && draw(&state) % 2;
            t->visible_count += t->visible[i];
            t->salient_count += t->salient[i];
        }
        for (int i = 0; i < t->reply_length; i++) {
            t->reply_tokens[i] = (int32_t)draw_below(&state, rules.vocabulary);
            t->logp[i] = -0.125f * (float)i;
            floats(t, STATISTIC_ENTROPY_FLOORED)[i] = (float)draw_below(&state, 1000) / 300;
            floats(t, STATISTIC_SALIENT_MASS)[i] = (float)draw_below(&state, 1000) / 1000;
        }
        terms_make(id, t);
        if (t->reply_length > 1) experience_turn_cut(t, (const int32_t[]){0, 1}, 2);
    }
    return e;
}

enum kind { NONE, FLIP, CUT, REPEAT, STALE, CHANGE };

/* What happens to which of the MESSAGES (by dialogue) or broadcasts. */
struct fault {
    int kind;
    int64_t target;
    uint64_t state;
    void (*change)(struct experience *e, uint64_t *state); /* CHANGE, before it is packed */
    void (*rewrite)(uint8_t *data, uint64_t *state);       /* CHANGE, after; sealed anew */
    int64_t version;                                       /* STALE: instead of the right one */
    int hits;
};

static void data_flip(struct net_message *message, uint64_t *state)
{
    uint8_t *before = memory_allocate(message->size);
    memcpy(before, message->data, message->size);
    do /* one to four bits; not the same one twice over */
        for (int64_t n = 1 + draw_below(state, 4); n; n--)
            message->data[draw_below(state, (int64_t)message->size)] ^=
                (uint8_t)(1u << draw_below(state, 8));
    while (!memcmp(before, message->data, message->size));
    free(before);
}

static void message_spoil(struct net *net, struct net_message *message, struct fault *fault)
{
    if (fault->kind == FLIP) data_flip(message, &fault->state);
    if (fault->kind == CUT)
        net_cut(message, (size_t)draw_below(&fault->state, (int64_t)message->size));
    if (fault->kind == REPEAT)
        net_append(net, message->from, message->to, message->tag, message->data, message->size);
}

static void experience_seal(uint8_t *data, size_t size)
{
    memset(data + 16, 0, 4);
    const uint32_t sum = crc32c(0, data, size);
    memcpy(data + 16, &sum, 4);
}

static void experience_tamper(struct net *net, struct net_message *message, void *context)
{
    struct fault *fault = context;
    int64_t id;
    memcpy(&id, message->data + 24, sizeof id);
    if (id != fault->target || fault->kind == STALE || fault->change) return;
    fault->hits++;
    message_spoil(net, message, fault);
    if (fault->kind == CHANGE && fault->rewrite) {
        fault->rewrite(message->data, &fault->state);
        experience_seal(message->data, message->size);
    }
}

/* Actors send batch by batch, one dialogue each in turn, in an order by the fault's draws. */
static void batch_send(struct net *net, int64_t batch, struct fault *fault)
{
    int64_t next[RANKS], left = DIALOGUES;
    for (int r = LEARNERS; r < RANKS; r++)
        next[r] = slice_first(r - LEARNERS, DIALOGUES, RANKS - LEARNERS);
    while (left) {
        const int r = LEARNERS + (int)draw_below(&fault->state, RANKS - LEARNERS);
        if (next[r] == slice_first(r - LEARNERS + 1, DIALOGUES, RANKS - LEARNERS)) continue;
        const int64_t place = next[r]++, id = batch * DIALOGUES + place;
        struct experience *e = dialogue_make(id);
        if (id == fault->target && fault->kind == STALE) e->weight_version = fault->version;
        if (id == fault->target && fault->change) fault->change(e, &fault->state);
        if (id == fault->target && (fault->kind == STALE || fault->change)) fault->hits++;
        struct experience_outbox *outbox = experience_outbox_create(&net->ranks[r]);
        assert_null(experience_outbox_add(outbox, e, (int)slice_owner(place, DIALOGUES, LEARNERS)));
        assert_null(experience_outbox_finish(outbox));
        experience_outbox_destroy(outbox);
        experience_destroy(e);
        left--;
    }
}

static void expect_as_made(const struct experience *got, int64_t id)
{
    struct experience *made = dialogue_make(id);
    void *one, *two;
    size_t one_size, two_size;
    assert_null(experience_pack(made, &one, &one_size));
    assert_null(experience_pack(got, &two, &two_size));
    assert_int_equal(one_size, two_size);
    assert_memory_equal(one, two, one_size);
    free(one);
    free(two);
    experience_destroy(made);
}

static status batch_take(struct inbox *inbox, int learner, int64_t batch)
{
    struct experience *slots[DIALOGUES];
    status s = inbox_receive(inbox, slots);
    for (int64_t i = 0; i < inbox_count(inbox); i++) {
        assert_true(!s == (slots[i] != NULL));
        if (!slots[i]) continue;
        expect_as_made(slots[i], batch * DIALOGUES + slice_first(learner, DIALOGUES, LEARNERS) + i);
        experience_destroy(slots[i]);
    }
    return s;
}

/* Three batches at lag 1: a batch is on its way while the one before is received. */
static status experience_run(struct fault *fault)
{
    struct net *net = net_create(RANKS, LEARNERS);
    net->tamper = experience_tamper;
    net->context = fault;
    struct inbox *inbox[LEARNERS];
    for (int l = 0; l < LEARNERS; l++) inbox[l] = inbox_create(&net->ranks[l], &rules, 0);
    status s = NULL;
    batch_send(net, 0, fault);
    for (int64_t batch = 0; !s && batch < BATCHES; batch++) {
        if (batch + 1 < BATCHES) batch_send(net, batch + 1, fault);
        for (int l = 0; !s && l < LEARNERS; l++) s = batch_take(inbox[l], l, batch);
    }
    for (int l = 0; l < LEARNERS; l++) inbox_destroy(inbox[l]);
    net_destroy(net);
    return s;
}

/* A run that ends after batch 0: of batch 1 one dialogue has been taken in with it, whichever it
 * is, the others are still on their way. */
static void what_is_left_at_the_end_is_dropped(void **unused)
{
    (void)unused;
    for (uint64_t trial = 0; trial < TRIALS; trial++) {
        struct fault none = {.kind = NONE, .target = -1, .state = trial};
        struct net *net = net_create(RANKS, LEARNERS);
        struct inbox *inbox[LEARNERS];
        for (int64_t batch = 0; batch < 2; batch++) batch_send(net, batch, &none);
        for (int l = 0; l < LEARNERS; l++) {
            /* The last message comes first. */
            struct net_message **last = &net->queue[l], *first = net->queue[l], *moved;
            while ((*last)->next) last = &(*last)->next;
            moved = *last;
            *last = NULL;
            moved->next = first;
            net->queue[l] = moved;
            inbox[l] = inbox_create(&net->ranks[l], &rules, 0);
            assert_null(batch_take(inbox[l], l, 0));
            assert_non_null(net->queue[l]);
            assert_null(inbox_drain(inbox[l], 2 * inbox_count(inbox[l])));
            assert_null(net->queue[l]);
            inbox_destroy(inbox[l]);
        }
        net_destroy(net);
    }
}

static int sender_of(int64_t id)
{
    return LEARNERS + (int)slice_owner(id % DIALOGUES, DIALOGUES, RANKS - LEARNERS);
}

/* Refused by the owner, with the sender and these words. */
static void expect_refused(struct fault *fault, const char *one, const char *two)
{
    char sender[64];
    snprintf(sender, sizeof sender, ": rank %d: ", sender_of(fault->target));
    status s = experience_run(fault);
    assert_int_equal(fault->hits, 1);
    if (!s) fail_msg("a bad message of dialogue %d was accepted", (int)fault->target);
    const char *said = status_message(s);
    if (strncmp(said, "learner ", 8) || !strstr(said, sender) || !strstr(said, one) ||
        !strstr(said, two) || strchr(said, '\n') || strstr(said, "nothing came"))
        fail_msg("\"%s\" does not say \"%s\", \"%s\", \"%s\"", said, sender, one, two);
    assert_int_equal(status_code(s), STATUS_INTERNAL);
    status_free(s);
}

static void batches_arrive_whole_in_any_order(void **unused)
{
    (void)unused;
    for (uint64_t trial = 0; trial < TRIALS; trial++) {
        struct fault none = {.kind = NONE, .target = -1, .state = trial};
        status s = experience_run(&none);
        if (s) fail_msg("trial %d: %s", (int)trial, status_message(s));
    }
}

static void no_flipped_experience_is_accepted(void **unused)
{
    (void)unused;
    for (uint64_t trial = 0; trial < TRIALS; trial++)
        expect_refused(
            &(struct fault){.kind = FLIP, .target = (int64_t)trial % MESSAGES, .state = trial}, "",
            "");
}

static void no_cut_experience_is_accepted(void **unused)
{
    (void)unused;
    for (uint64_t trial = 0; trial < TRIALS; trial++)
        expect_refused(
            &(struct fault){.kind = CUT, .target = (int64_t)trial % MESSAGES, .state = trial},
            "bytes", "");
}

/* Of all batches but the last: what comes after the last complete batch is never received. */
static void no_repeated_experience_is_accepted(void **unused)
{
    (void)unused;
    for (uint64_t trial = 0; trial < TRIALS; trial++) {
        const int64_t target = (int64_t)trial % (MESSAGES - DIALOGUES);
        char dialogue[64];
        snprintf(dialogue, sizeof dialogue, "dialogue %d ", (int)target);
        expect_refused(&(struct fault){.kind = REPEAT, .target = target, .state = trial}, dialogue,
                       "");
    }
}

static void no_experience_of_other_weights_is_accepted(void **unused)
{
    (void)unused;
    for (uint64_t trial = 0; trial < TRIALS; trial++) {
        struct fault fault = {.kind = STALE, .target = (int64_t)trial % MESSAGES, .state = trial};
        const int64_t batch = fault.target / DIALOGUES, right = batch > LAG ? batch - LAG : 0;
        do fault.version = draw_below(&fault.state, 2 * BATCHES) - 2;
        while (fault.version == right);
        char dialogue[64], versions[64];
        snprintf(dialogue, sizeof dialogue, "dialogue %d ", (int)fault.target);
        snprintf(versions, sizeof versions, "update %d, not %d", (int)fault.version, (int)right);
        expect_refused(&fault, dialogue, versions);
    }
}

/* ---- messages with a right checksum that say what cannot be ---- */

/* Offsets in a message: the header's fields, then the first turn's. */
/* The tables, 36 bytes a row, lie between the header and the turns. */
enum {
    AT_VERSION = 4,
    AT_SIZE = 8,
    AT_HEADER_SIZE = 20,
    AT_TURN_COUNT = 48,
    AT_SIZES = 72 + 36 * (STATISTICS_STANDARD + 4) + 10
};

static void other_format(uint8_t *data, uint64_t *state)
{
    data[AT_VERSION] = (uint8_t)(EXPERIENCE_VERSION + 1 + draw_below(state, 200));
}

static void other_size(uint8_t *data, uint64_t *state)
{
    static const uint64_t sizes[] = {0, 1, 71, 72, UINT64_MAX, (uint64_t)1 << 63, UINT32_MAX};
    memcpy(data + AT_SIZE, &sizes[draw_below(state, 7)], 8);
}

static void other_header_size(uint8_t *data, uint64_t *state)
{
    data[AT_HEADER_SIZE] ^= (uint8_t)(1 + draw_below(state, 255));
}

static void other_turn_count(uint8_t *data, uint64_t *state)
{
    int64_t count, before;
    memcpy(&before, data + AT_TURN_COUNT, 8);
    do {
        static const int64_t counts[] = {
            0, 1, 2, 3, 4, 5, -1, INT64_MAX, INT64_MIN, 1 << 20, (1 << 20) + 1, (int64_t)1 << 58};
        count = counts[draw_below(state, 12)];
    } while (count == before);
    memcpy(data + AT_TURN_COUNT, &count, 8);
}

/* One of history_length, reply_length, turns, visible_count, salient_count. */
static void other_turn_size(uint8_t *data, uint64_t *state)
{
    static const int32_t sizes[] = {
        -1,        0,         1,  2,  1 << 16, (1 << 16) + 1, 1 << 24, (1 << 24) + 1, 1 << 30,
        INT32_MAX, INT32_MIN, 64, 65, 7};
    uint8_t *at = data + AT_SIZES + 4 * draw_below(state, 5);
    int32_t before, size;
    memcpy(&before, at, 4);
    do size = sizes[draw_below(state, sizeof sizes / sizeof *sizes)];
    while (size == before);
    memcpy(at, &size, 4);
}

static void sealed_messages_that_contradict_themselves_are_refused(void **unused)
{
    (void)unused;
    static void (*const rewrites[])(uint8_t *, uint64_t *) = {
        other_format,    other_size,      other_header_size, other_turn_count,
        other_turn_size, other_turn_size, other_turn_size,   other_turn_size};
    for (uint64_t trial = 0; trial < TRIALS; trial++)
        expect_refused(&(struct fault){.kind = CHANGE,
                                       .target = (int64_t)(trial * 7) % MESSAGES,
                                       .state = trial,
                                       .rewrite = rewrites[trial % 8]},
                       "", "");
}

static void token_too_large(struct experience *e, uint64_t *state)
{
    struct experience_turn *t = &e->turns[draw_below(state, e->turn_count)];
    t->reply_tokens[draw_below(state, t->reply_length)] = (int32_t)rules.vocabulary;
}
static void history_token_too_large(struct experience *e, uint64_t *state)
{
    struct experience_turn *t = &e->turns[draw_below(state, e->turn_count)];
    t->history_tokens[draw_below(state, t->history_length)] = INT32_MAX;
}
static void turn_too_late(struct experience *e, uint64_t *state)
{
    e->turns[e->turn_count - 1].turn = (int32_t)(2 + draw_below(state, 1000));
}
static void candidate_too_many(struct experience *e, uint64_t *state)
{
    e->turns[e->turn_count - 1].candidate = (int32_t)(2 + draw_below(state, 1000));
}
static void turns_in_another_order(struct experience *e, uint64_t *state)
{
    const int64_t last = e->turn_count - 1;
    (void)state;
    e->turns[0].turn = 1;
    e->turns[0].candidate = 1;
    if (!last) e->turns[0].turn = 2;
}
static void position_after_the_history(struct experience *e, uint64_t *state)
{
    struct experience_turn *t = &e->turns[draw_below(state, e->turn_count)];
    int32_t *position = t->statistics.array[STATISTIC_TOP_POSITION];
    position[draw_below(state, (int64_t)t->reply_length * STATISTICS_TOP)] = t->history_length;
}
static void other_count_of_salient(struct experience *e, uint64_t *state)
{
    struct experience_turn *t = &e->turns[draw_below(state, e->turn_count)];
    t->salient_count = t->salient_count ? t->salient_count - 1 : 1;
}

static void turns_that_no_rollout_makes_are_refused(void **unused)
{
    (void)unused;
    static void (*const changes[])(struct experience *, uint64_t *) = {
        token_too_large,        history_token_too_large, turn_too_late,
        candidate_too_many,     turns_in_another_order,  position_after_the_history,
        other_count_of_salient,
    };
    const int kinds = sizeof changes / sizeof *changes;
    for (uint64_t trial = 0; trial < TRIALS; trial++) {
        char dialogue[64];
        const int64_t target = (int64_t)(trial * 5) % MESSAGES;
        snprintf(dialogue, sizeof dialogue, "dialogue %d", (int)target);
        expect_refused(&(struct fault){.kind = CHANGE,
                                       .target = target,
                                       .state = trial,
                                       .change = changes[trial % (uint64_t)kinds]},
                       dialogue, "turn");
    }
}

/* What a forger can change while sizes and sums still fit. */
static void forged_term(struct experience *e, uint64_t *state)
{
    struct experience_turn *t = &e->turns[draw_below(state, e->turn_count)];
    t->terms[draw_below(state, reward.term_count)] += 1e-6;
}
static void forged_span(struct experience *e, uint64_t *state)
{
    struct experience_turn *t = &e->turns[draw_below(state, e->turn_count)];
    *(t->span_count ? t->spans[1].terms : t->terms) += 1e-6;
}
static void forged_reward(struct experience *e, uint64_t *state)
{
    e->turns[draw_below(state, e->turn_count)].reward += 1e-6;
}
static void term_that_is_no_number(struct experience *e, uint64_t *state)
{
    e->turns[draw_below(state, e->turn_count)].terms[0] = NAN;
}
static void forged_entropy(struct experience *e, uint64_t *state)
{
    floats(&e->turns[draw_below(state, e->turn_count)], STATISTIC_ENTROPY_FLOORED)[0] += 0.01f;
}
static void forged_mass(struct experience *e, uint64_t *state)
{
    floats(&e->turns[draw_below(state, e->turn_count)], STATISTIC_SALIENT_MASS)[0] += 0.01f;
}

static bool has_marks(const struct experience *e)
{
    for (int64_t k = 0; k < e->turn_count; k++)
        if (e->turns[k].salient_count < 2) return false;
    return true;
}

static void terms_that_the_message_does_not_give_are_refused(void **unused)
{
    (void)unused;
    static const struct {
        void (*change)(struct experience *, uint64_t *);
        const char *words;
    } table[] = {{forged_term, "in the message and"},
                 {forged_span, "in the message and"},
                 {forged_reward, "the reward is"},
                 {term_that_is_no_number, "coverage is nan in the message"},
                 {forged_entropy, "focus is"},
                 {forged_mass, "coverage is"}};
    const uint64_t kinds = sizeof table / sizeof *table;
    for (uint64_t trial = 0; trial < 20 * kinds; trial++) {
        char dialogue[64];
        const int64_t target = (int64_t)(trial / kinds * 7) % MESSAGES;
        struct experience *made = dialogue_make(target);
        const bool marked = has_marks(made);
        experience_destroy(made);
        if (!marked) continue; /* without salient tokens coverage is 0 whatever their mass */
        snprintf(dialogue, sizeof dialogue, "dialogue %d, turn ", (int)target);
        expect_refused(&(struct fault){.kind = CHANGE,
                                       .target = target,
                                       .state = trial,
                                       .change = table[trial % kinds].change},
                       dialogue, table[trial % kinds].words);
    }
}

/* A well-formed message under another id, to learner 0 while batch 2 of lag 1 is due. */
static void dialogues_that_are_not_due_are_refused(void **unused)
{
    (void)unused;
    static const struct {
        int64_t id;
        const char *words;
    } table[] = {
        {1 * DIALOGUES, "dialogue 8 is of batch 1, due are 2 to 3"},
        {2 * DIALOGUES - 1, "is of batch 1, due are 2 to 3"},
        {4 * DIALOGUES, "dialogue 32 is of batch 4, due are 2 to 3"},
        {0, "dialogue 0 is of batch 0"},
        {-1, "dialogue -1 is of batch"},
        {INT64_MIN, "is of batch"},
        {INT64_MAX, "is of batch"},
        {2 * DIALOGUES + DIALOGUES / 2, "dialogue 20 is learner 1's and came to learner 0"},
        {4 * DIALOGUES - 1, "dialogue 31 is learner 1's"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct net *net = net_create(RANKS, LEARNERS);
        struct inbox *inbox = inbox_create(&net->ranks[0], &rules, 2);
        struct experience *e = dialogue_make(table[i].id & 31), *slots[DIALOGUES];
        e->dialogue = table[i].id;
        struct experience_outbox *outbox = experience_outbox_create(&net->ranks[4]);
        assert_null(experience_outbox_add(outbox, e, 0));
        assert_null(experience_outbox_finish(outbox));
        status s = inbox_receive(inbox, slots);
        if (!s || !strstr(status_message(s), table[i].words) ||
            !strstr(status_message(s), "learner 0, batch 2: rank 4: "))
            fail_msg("\"%s\" does not say \"%s\"", status_message(s), table[i].words);
        status_free(s);
        experience_outbox_destroy(outbox);
        experience_destroy(e);
        inbox_destroy(inbox);
        net_destroy(net);
    }
}

/* By going through them: the reference of the closed form. */
static void slices_tile_and_each_place_has_its_owner(void **unused)
{
    (void)unused;
    for (int64_t parts = 1; parts <= 17; parts++)
        for (int64_t total = 1; total <= 70; total++) {
            assert_int_equal(slice_first(0, total, parts), 0);
            assert_int_equal(slice_first(parts, total, parts), total);
            for (int64_t p = 0; p < parts; p++)
                for (int64_t place = slice_first(p, total, parts);
                     place < slice_first(p + 1, total, parts); place++)
                    assert_int_equal(slice_owner(place, total, parts), p);
        }
}

/* ---- running statistics ---- */

enum { STATISTICS = 300, EXCHANGES = 3 };

static void statistics_make(double *values, int64_t version)
{
    for (int i = 0; i < STATISTICS; i++) values[i] = (double)(i + 1) * (double)(version + 1) * 0.25;
}

/* target: a broadcast to rank 3, counted from 0: header, values, header, values ... */
static void statistics_tamper(struct net *net, struct net_message *message, void *context)
{
    struct fault *fault = context;
    if (message->to != 3 || fault->target < 0) return;
    if (fault->target-- != 0) return;
    fault->hits++;
    message_spoil(net, message, fault);
}

/* The first error of rank 3; the other actors must have none and learner 0's values. */
static status statistics_run(struct fault *fault, int64_t stale_at)
{
    struct net *net = net_create(RANKS, LEARNERS);
    net->tamper = statistics_tamper;
    net->context = fault;
    status s = NULL;
    for (int64_t version = 0; !s && version < EXCHANGES; version++) {
        double sent[STATISTICS], got[STATISTICS];
        statistics_make(sent, version);
        const bool stale = version == stale_at;
        fault->hits += stale;
        assert_null(
            running_exchange(&net->ranks[0], sent, STATISTICS, stale ? fault->version : version));
        memset(got, 0xff, sizeof got);
        assert_null(running_exchange(&net->ranks[1], got, STATISTICS, version)); /* takes no part */
        for (int r = LEARNERS; !s && r < RANKS; r++) {
            memset(got, 0xff, sizeof got);
            status one = running_exchange(&net->ranks[r], got, STATISTICS, version);
            if (r == 3)
                s = one;
            else if (!stale)
                assert_null(one);
            if (!one) assert_memory_equal(got, sent, sizeof got);
            if (r != 3) status_free(one);
        }
    }
    net_destroy(net);
    return s;
}

static void expect_statistics_refused(struct fault *fault, int64_t stale_at, const char *words)
{
    status s = statistics_run(fault, stale_at);
    assert_int_equal(fault->hits, 1);
    if (!s) fail_msg("bad statistics were accepted (trial %d)", (int)fault->state);
    const char *said = status_message(s);
    if (strncmp(said, "rank 3: ", 8) || !strstr(said, "rank 0") || !strstr(said, words) ||
        strstr(said, "nothing came") || strchr(said, '\n'))
        fail_msg("\"%s\" does not say \"%s\"", said, words);
    status_free(s);
}

static void no_flipped_cut_or_repeated_statistics_are_accepted(void **unused)
{
    (void)unused;
    struct fault none = {.kind = NONE, .target = -1};
    assert_null(statistics_run(&none, -1));
    for (uint64_t trial = 0; trial < TRIALS; trial++) {
        const int64_t target = (int64_t)trial % (2 * EXCHANGES);
        expect_statistics_refused(&(struct fault){.kind = FLIP, .target = target, .state = trial},
                                  -1, "");
        expect_statistics_refused(&(struct fault){.kind = CUT, .target = target, .state = trial},
                                  -1, "");
        /* A repeated header or repeated values; the last values are followed by nothing. */
        expect_statistics_refused(&(struct fault){.kind = REPEAT,
                                                  .target = (int64_t)trial % (2 * EXCHANGES - 1),
                                                  .state = trial},
                                  -1, "");
    }
}

static void no_statistics_of_another_update_are_accepted(void **unused)
{
    (void)unused;
    for (uint64_t trial = 0; trial < TRIALS; trial++) {
        struct fault fault = {.kind = STALE, .target = -1, .state = trial};
        const int64_t at = (int64_t)trial % EXCHANGES;
        do fault.version = draw_below(&fault.state, 8) - 2;
        while (fault.version == at);
        char words[64];
        snprintf(words, sizeof words, "of update %d, %d was due", (int)fault.version, (int)at);
        expect_statistics_refused(&fault, at, words);
    }
}

/* Header and values together once more: the exchange after it gets the ones before. */
static void a_whole_exchange_that_comes_again_is_refused(void **unused)
{
    (void)unused;
    struct net *net = net_create(RANKS, LEARNERS);
    double sent[STATISTICS], got[STATISTICS];
    statistics_make(sent, 5);
    assert_null(running_exchange(&net->ranks[0], sent, STATISTICS, 5));
    assert_null(running_exchange(&net->ranks[0], sent, STATISTICS, 5));
    assert_null(running_exchange(&net->ranks[2], got, STATISTICS, 5));
    status s = running_exchange(&net->ranks[2], got, STATISTICS, 6);
    assert_non_null(s);
    assert_string_equal(status_message(s),
                        "rank 2: rank 0 sent running statistics of update 5, 6 was due");
    status_free(s);
    net_destroy(net);
}

static void statistics_of_another_size_are_refused_before_their_values(void **unused)
{
    (void)unused;
    struct net *net = net_create(RANKS, LEARNERS);
    double sent[STATISTICS], got[STATISTICS];
    statistics_make(sent, 5);
    memset(got, 0, sizeof got);
    assert_null(running_exchange(&net->ranks[0], sent, STATISTICS, 5));
    status s = running_exchange(&net->ranks[4], got, STATISTICS - 1, 5);
    assert_non_null(s);
    assert_string_equal(status_message(s),
                        "rank 4: rank 0 sent 300 running statistics, this run has 299");
    for (int i = 0; i < STATISTICS; i++) assert_true(got[i] == 0);
    status_free(s);
    net_destroy(net);
}

int main(void)
{
    struct config config;
    config_defaults(&config);
    reward = reward_settings_of(&config);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_tile_and_each_place_has_its_owner),
        cmocka_unit_test(batches_arrive_whole_in_any_order),
        cmocka_unit_test(what_is_left_at_the_end_is_dropped),
        cmocka_unit_test(no_flipped_experience_is_accepted),
        cmocka_unit_test(no_cut_experience_is_accepted),
        cmocka_unit_test(no_repeated_experience_is_accepted),
        cmocka_unit_test(no_experience_of_other_weights_is_accepted),
        cmocka_unit_test(sealed_messages_that_contradict_themselves_are_refused),
        cmocka_unit_test(turns_that_no_rollout_makes_are_refused),
        cmocka_unit_test(terms_that_the_message_does_not_give_are_refused),
        cmocka_unit_test(dialogues_that_are_not_due_are_refused),
        cmocka_unit_test(no_flipped_cut_or_repeated_statistics_are_accepted),
        cmocka_unit_test(no_statistics_of_another_update_are_accepted),
        cmocka_unit_test(a_whole_exchange_that_comes_again_is_refused),
        cmocka_unit_test(statistics_of_another_size_are_refused_before_their_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
