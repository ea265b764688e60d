/* One optimizer step's way through microbatches and chunks, with a loss of this test's own that
 * only adds to the gradient: what the exchange hears, when, and that it is final then. */
#include "tests/reward/reward_test.h"

#include "src/base/memory.h"
#include "src/learn/step.h"

#include <stdlib.h>

enum { SIZE = 64, MICROBATCHES = 4, TURNS = 3, CHUNK_TOKENS = 1024 };

/* What the exchange saw of one reduction; the queue is the CPU's, so pointers are the host's. */
struct seen {
    int begun, ready, finished, gathered, chunks, refreshed;
    int64_t final;
    const float *gradient;
    float left[SIZE];
};

static status seen_begin(void *context, float *gradient, int64_t size)
{
    struct seen *seen = context;
    assert_int_equal(size, SIZE);
    seen->begun++;
    seen->final = SIZE;
    seen->gradient = gradient;
    return NULL;
}

static void seen_ready(void *context, int64_t offset)
{
    struct seen *seen = context;
    assert_true(offset <= seen->final);
    for (int64_t i = offset; i < seen->final; i++) seen->left[i] = seen->gradient[i];
    seen->final = offset;
    seen->ready++;
}

static status seen_finish(void *context)
{
    struct seen *seen = context;
    assert_int_equal(seen->final, 0);
    seen->finished++;
    return NULL;
}

static status seen_gather(void *context, float *values, int64_t size)
{
    struct seen *seen = context;
    (void)values;
    assert_int_equal(size, SIZE);
    seen->gathered++;
    return NULL;
}

static status bytes_gather(void *context, const void *mine, size_t bytes, void **all, size_t *total)
{
    (void)context;
    *all = memory_allocate(bytes + 1);
    memcpy(*all, mine, bytes);
    *total = bytes;
    return NULL;
}

/* Chunk c of the step adds 2^c everywhere, from the end to the start, and says so. */
static status adding_chunk(struct learner *l, const struct learn_batch *batch,
                           const struct learn_turn *turns, int64_t n, float *leaf,
                           struct partial *partial)
{
    (void)batch, (void)turns;
    struct seen *seen = l->exchange.context;
    assert_int_equal(n, 1);
    partial->loss += 1;
    for (int64_t at = SIZE - 16; at >= 0; at -= 16) {
        for (int64_t i = at; i < at + 16; i++) leaf[i] += (float)(1 << seen->chunks);
        if (l->watermark.ready) l->watermark.ready(l->watermark.context, at);
    }
    seen->chunks++;
    return NULL;
}

static status nothing_to_refresh(struct learner *l)
{
    ((struct seen *)l->exchange.context)->refreshed++;
    return NULL;
}

static const struct loss adding = {
    .name = "adding", .chunk = adding_chunk, .refresh = nothing_to_refresh};

/* turns: of the last microbatch; the others have three. */
static void step_run(int64_t turns, struct seen *seen, struct step_metrics *metrics)
{
    struct queue *queue;
    assert_done(cpu_queue_create(1, "auto", &queue));
    const struct learner_exchange exchange = {.context = seen,
                                              .count = 1,
                                              .reduce_begin = seen_begin,
                                              .reduce_ready = seen_ready,
                                              .reduce_finish = seen_finish,
                                              .gather_values = seen_gather,
                                              .gather = bytes_gather};
    float values[SIZE] = {0};
    struct parameters parameters = {.queue = queue, .size = SIZE, .values = values};
    struct learner learner = {.settings = {.microbatches = MICROBATCHES},
                              .exchange = exchange,
                              .queue = queue,
                              .policy_parameters = &parameters};
    assert_done(gradient_tree_create(queue, SIZE, MICROBATCHES, &learner.policy_tree));
    assert_done(optimizer_create(queue, SIZE, NULL, 0, &learner.policy_optimizer));
    static const int32_t tokens[CHUNK_TOKENS];
    struct learn_turn turn[MICROBATCHES * TURNS];
    int64_t begin[MICROBATCHES + 1] = {0};
    for (int i = 0; i < MICROBATCHES; i++)
        begin[i + 1] = begin[i] + (i == MICROBATCHES - 1 ? turns : TURNS);
    for (int i = 0; i < MICROBATCHES * TURNS; i++) /* each fills a chunk */
        turn[i] = (struct learn_turn){
            .history = tokens, .reply = tokens, .history_count = 1, .reply_count = CHUNK_TOKENS};
    const struct learn_batch batch = {turn, begin[MICROBATCHES], begin, 1, 1, false};
    assert_done(learner_step(&learner, &adding, &batch, 0.1, metrics));
    assert_int_equal(seen->refreshed, 1);
    assert_null(learner.watermark.ready);
    for (int i = 0; i < SIZE; i++) assert_true(values[i] < 0);
    gradient_tree_free(learner.policy_tree);
    optimizer_free(learner.policy_optimizer);
    queue->op->destroy(queue);
}

static void the_exchange_is_told_by_the_last_chunk_of_the_last_microbatch_alone(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct step_metrics metrics;
    step_run(TURNS, &seen, &metrics);
    assert_int_equal(seen.chunks, MICROBATCHES * TURNS);
    assert_int_equal(seen.begun, 1);
    assert_int_equal(seen.ready, 5); /* four pieces, and the end */
    assert_int_equal(seen.finished, 1);
    assert_int_equal(seen.gathered, 1);
    for (int i = 0; i < SIZE; i++) assert_true(seen.left[i] == (float)((1 << seen.chunks) - 1));
    assert_true(metrics.loss == MICROBATCHES * TURNS);
    assert_close(metrics.gradient_norm, sqrt(SIZE) * ((1 << seen.chunks) - 1));
}

static void an_empty_last_microbatch_sends_the_others_sum(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct step_metrics metrics;
    step_run(0, &seen, &metrics);
    assert_int_equal(seen.chunks, (MICROBATCHES - 1) * TURNS);
    assert_int_equal(seen.ready, 1);
    for (int i = 0; i < SIZE; i++) assert_true(seen.left[i] == (float)((1 << seen.chunks) - 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_exchange_is_told_by_the_last_chunk_of_the_last_microbatch_alone),
        cmocka_unit_test(an_empty_last_microbatch_sends_the_others_sum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
