/* A new model's first loss is near log(vocabulary): it knows nothing, and claims to know nothing.
 */
#include "src/model/causal/shape.h"
#include "tests/model/model_test.h"

enum { REPLIES = 8, LENGTH = 32 };

/* Mean of -logp of random replies to random histories. */
static double first_loss(const struct model_shape *shape, int64_t seed)
{
    struct queue *q = queue_new(1);
    struct model *model;
    struct model_run *run;
    int32_t begin[REPLIES + 1], history[REPLIES * LENGTH], reply[REPLIES * LENGTH], owner[REPLIES];
    const uint32_t vocabulary = (uint32_t)shape->vocabulary;
    for (int32_t r = 0; r <= REPLIES; r++) begin[r] = r * LENGTH;
    for (int32_t r = 0; r < REPLIES; r++) owner[r] = r;
    for (uint32_t t = 0; t < REPLIES * LENGTH; t++) {
        history[t] = (int32_t)(uniform_at(1, t) * (float)vocabulary);
        reply[t] = (int32_t)(uniform_at(2, t) * (float)vocabulary);
    }
    CHECK(model_create(q, shape, false, &model));
    CHECK(model_initialize(model, seed));
    CHECK(model_run_create(model, &run));
    const struct model_batch batch = {.histories = REPLIES,
                                      .history_begin = begin,
                                      .history_tokens = history,
                                      .replies = REPLIES,
                                      .reply_begin = begin,
                                      .reply_tokens = reply,
                                      .reply_history = owner};
    CHECK(model_forward(run, &batch, MODEL_KEEP_NOTHING, 0));
    float *logp = device_new(q, REPLIES * LENGTH * sizeof(float));
    CHECK(model_run_logp(run, 1.0f, logp, NULL, NULL, NULL));
    float *host = host_of(q, logp, REPLIES * LENGTH);
    double loss = 0;
    for (int t = 0; t < REPLIES * LENGTH; t++) loss -= host[t] / (REPLIES * LENGTH);
    free(host);
    q->op->release(q, logp);
    model_run_destroy(run);
    model_destroy(model);
    q->op->destroy(q);
    return loss;
}

/* What the initialization promises (src/model/t5/weights.c): logits of variance 1 cost 1/2; where
 * the head is the embedding, the token just read has as much weight as all others at most: log(2).
 * The rest is the sample's: 256 tokens' logits have a mean of deviation 1/16. */
static void every_kind_begins_near_uniform(void **state)
{
    (void)state;
    static const int64_t widths[] = {16, 64, 256};
    for (int kind = 0; kind < 8; kind++)
        for (size_t w = 0; w < 3; w++) {
            const bool tied = kind & 1, gated = kind & 2, scaled = kind & 4;
            struct t5_shape shape = tiny_shape(true);
            shape.common.vocabulary = 384;
            shape.common.width = widths[w];
            shape.common.layers = 1; /* the fewer layers, the more of the embedding in their sum */
            shape.common.heads = 2;
            shape.d_kv = 16;
            shape.d_ff = 2 * widths[w];
            shape.tied = tied;
            shape.gated = gated;
            shape.scale_logits = scaled;
            const double uniform = log(384), margin = 0.5 + (tied ? log(2) : 0) + 3.0 / 16;
            const double loss = first_loss(&shape.common, 3);
            if (!(loss > uniform - 3.0 / 16 && loss < uniform + margin))
                fail_msg("%s, %s, %s, width %lld: a first loss of %.3f, uniform is %.3f",
                         tied ? "tied" : "untied", gated ? "gated" : "ReLU",
                         scaled ? "scaled" : "unscaled", (long long)widths[w], loss, uniform);
        }
}

/* src/model/causal/weights.c: logits vary by 0.64 at most, which costs 0.2. */
static void decoder_only_models_begin_near_uniform(void **state)
{
    (void)state;
    static const char *const types[] = {"llama", "mistral", "qwen2", "qwen3"};
    for (int kind = 0; kind < 8; kind++) {
        const struct model_setting settings[] = {
            {"vocabulary", 384}, {"d_model", kind & 1 ? 16 : 256},
            {"d_kv", 16},        {"d_ff", 64},
            {"heads", 4},        {"kv_heads", 2},
            {"tied", kind & 1},  {"decoder_layers", 2}};
        struct model_shape *shape;
        CHECK(model_shape_from_settings(types[kind / 2], settings, 8, &shape));
        assert_int_equal(((struct causal_shape *)shape)->kind, kind / 2);
        const double uniform = log(384), loss = first_loss(shape, 3);
        if (!(loss > uniform - 3.0 / 16 && loss < uniform + 0.2 + 3.0 / 16))
            fail_msg("%s: a first loss of %.3f, uniform is %.3f", types[kind / 2], loss, uniform);
        free(shape);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_kind_begins_near_uniform),
                                       cmocka_unit_test(decoder_only_models_begin_near_uniform)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
