/* The device's teacher-forced pass against the CPU's fp32: logits and every parameter's gradient,
 * for heads of 16 and 64 and both kinds of feed-forward layers, activations kept and computed
 * again. The device and its type are the environment's (model_test.h); without one it is the CPU
 * itself.
 *
 * Tolerances, of a tensor's length.  fp32: sums in another order, 1e-7 each, some hundred of them.
 * bf16: weights and activations are rounded to 8 bits, up to 2^-9 relative and 1.1e-3 in the mean;
 * some 40 such roundings lie behind one another on the way to the logits, and as they are
 * independent add up to sqrt(40) of one, 0.7%; the way back is as long again and multiplies by
 * activations that are off themselves.  Units of a ReLU that fall on the other side of its corner
 * have another gradient altogether: with pre-activations off by 0.4% of their spread that is some
 * 0.3% of them, sqrt(0.003) = 5.5% of the gradient before the activation.  A wrong formula leaves
 * more than that.  Parameters are bf16 numbers, so that both sides have the same. */
#include "tests/model/model_test.h"

enum { HISTORIES = 3, REPLIES = 4, N = 90, M = 47, VOCABULARY = 61 };

static const struct {
    const char *name;
    bool gated;
    int64_t d_kv, heads;
} models[] = {{"ReLU, heads of 16", false, 16, 4},
              {"ReLU, heads of 64", false, 64, 2},
              {"gated, heads of 16", true, 16, 4},
              {"gated, heads of 64", true, 64, 2}};

static const struct tolerances {
    double logits, gradient, corner; /* corner: before a ReLU */
} fp32 = {1e-5, 1e-4, 1e-4}, bf16 = {2e-2, 5e-2, 8e-2};

/* A ReLU's matrix and the norm before it. */
static bool before_corner(int index, const char *name)
{
    return !models[index].gated &&
           (strstr(name, "wi.weight") || strstr(name, "layer.2.layer_norm") ||
            (strstr(name, "encoder") && strstr(name, "layer.1.layer_norm")));
}

/* To bf16 numbers, so that matrices are the same in both types. */
static void parameters_narrow(struct parameters *p)
{
    float *host = host_of(p->queue, p->values, p->size);
    for (int64_t i = 0; i < p->size; i++) {
        uint32_t bits;
        memcpy(&bits, host + i, sizeof bits);
        bits = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000u;
        memcpy(host + i, &bits, sizeof bits);
    }
    CHECK(parameters_upload(p, host));
    free(host);
}

static struct model *model_new(struct queue *q, int index)
{
    const struct t5_shape shape = {.common = {.family = &family_t5,
                                              .vocabulary = VOCABULARY,
                                              .width = 64,
                                              .layers = 2,
                                              .heads = models[index].heads,
                                              .end = 1},
                                   .d_kv = models[index].d_kv,
                                   .d_ff = 160,
                                   .encoder_layers = 2,
                                   .buckets = 16,
                                   .max_distance = 64,
                                   .gated = models[index].gated,
                                   .tied = !models[index].gated,
                                   .scale_logits = !models[index].gated,
                                   .eps = 1e-6f};
    struct model *model;
    CHECK(model_create(q, &shape.common, true, &model));
    CHECK(model_initialize(model, 3));
    parameters_narrow(model_parameters(model));
    CHECK(model_refresh(model));
    return model;
}

/* Histories of 5, 61 and 24 tokens; replies of 20, 1, 17 and 9, two of them to the second. */
static void batch_fill(struct model_batch *batch)
{
    static const int32_t history_begin[] = {0, 5, 66, N}, reply_begin[] = {0, 20, 21, 38, M};
    static const int32_t reply_history[] = {0, 1, 1, 2};
    static int32_t history_tokens[N], reply_tokens[M];
    for (uint32_t i = 0; i < N; i++) history_tokens[i] = (int32_t)(uniform_at(1, i) * VOCABULARY);
    for (uint32_t i = 0; i < M; i++) reply_tokens[i] = (int32_t)(uniform_at(2, i) * VOCABULARY);
    *batch = (struct model_batch){.histories = HISTORIES,
                                  .history_begin = history_begin,
                                  .history_tokens = history_tokens,
                                  .replies = REPLIES,
                                  .reply_begin = reply_begin,
                                  .reply_tokens = reply_tokens,
                                  .reply_history = reply_history};
}

struct result {
    float *logits, *gradients; /* host */
};

/* The loss: a weighted sum of log-probabilities, of either sign like PPO's. */
static struct result pass_run(struct model *model, enum model_keep keep)
{
    struct queue *q = model_queue(model);
    struct model_run *run;
    struct model_batch batch;
    const size_t size = (size_t)model_parameters(model)->size;
    float weights[M], *device = device_new(q, 3 * M * sizeof(float));
    float *logp = device, *lse = device + M, *dlogp = device + 2 * M, *logits;
    float *gradients = device_new(q, size * sizeof(float));
    batch_fill(&batch);
    for (uint32_t i = 0; i < M; i++) weights[i] = uniform_at(3, i) - 0.3f;
    q->op->upload(q, dlogp, weights, sizeof weights);
    CHECK(model_run_create(model, &run));
    model_run_limit_head(run, 32);
    CHECK(model_forward(run, &batch, keep, 0));
    CHECK(model_run_logits(run, &logits));
    struct result result = {.logits = host_of(q, logits, M * VOCABULARY)};
    CHECK(model_run_logp(run, 0.9f, logp, NULL, NULL, lse));
    for (int64_t first = 0; first < M; first += 32) {
        const int64_t rows = M - first < 32 ? M - first : 32;
        real *dlogits = model_run_dlogits(run);
        q->op->softmax_loss_backward(q, dlogits, model_run_head_forward(run, first, rows),
                                     lse + first, model_run_targets(run) + first, dlogp + first,
                                     0.9f, 0.0f, NULL, rows, VOCABULARY);
        CHECK(model_run_head_backward(run, first, rows, dlogits, gradients));
    }
    CHECK(model_backward(run, NULL, gradients, NULL));
    result.gradients = host_of(q, gradients, (int64_t)size);
    model_run_destroy(run);
    q->op->release(q, device);
    q->op->release(q, gradients);
    return result;
}

static void result_free(struct result *result)
{
    free(result->logits);
    free(result->gradients);
}

/* ||x - want|| / ||want|| */
static double distance(const float *x, const float *want, int64_t count)
{
    double off = 0, length = 0;
    for (int64_t i = 0; i < count; i++) {
        off += ((double)x[i] - want[i]) * ((double)x[i] - want[i]);
        length += (double)want[i] * want[i];
    }
    return sqrt(off / length);
}

static void model_matches(int index, const struct tolerances *tolerances)
{
    struct queue *q = queue_new(1), *cpu;
    CHECK(cpu_queue_create(2, "auto", &cpu));
    struct model *model = model_new(q, index), *reference = model_new(cpu, index);
    struct result want = pass_run(reference, MODEL_KEEP_ALL), got = pass_run(model, MODEL_KEEP_ALL);
    struct result again = pass_run(model, MODEL_KEEP_INPUTS);
    const struct parameters *parameters = model_parameters(model);
    const double off = distance(got.logits, want.logits, M * VOCABULARY);
    double largest = 0;
    const char *where = "";
    if (!(off <= tolerances->logits))
        fail_msg("%s: logits are off by %.3g", models[index].name, off);
    for (int64_t i = 0; i < parameters->count; i++) {
        const struct parameter *one = &parameters->list[i];
        const double apart =
            distance(got.gradients + one->offset, want.gradients + one->offset, one->count);
        if (!(apart <=
              (before_corner(index, one->name) ? tolerances->corner : tolerances->gradient)))
            fail_msg("%s: the gradient of %s is off by %.3g", models[index].name, one->name, apart);
        if (apart > largest) {
            largest = apart;
            where = one->name;
        }
    }
    print_message("%s: logits off by %.2g, gradients by up to %.2g (%s)\n", models[index].name, off,
                  largest, where);
    check_bits(again.logits, got.logits, M * VOCABULARY, "logits again", 0);
    check_bits(again.gradients, got.gradients, parameters->size, "gradients again", 0);
    result_free(&want);
    result_free(&got);
    result_free(&again);
    model_destroy(model);
    model_destroy(reference);
    q->op->destroy(q);
    cpu->op->destroy(cpu);
}

static void logits_and_gradients_are_the_cpus(void **state)
{
    (void)state;
    for (int i = 0; i < (int)(sizeof models / sizeof *models); i++)
        model_matches(i, real_is_bf16() ? &bf16 : &fp32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_and_gradients_are_the_cpus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
