/* Adapters: gradients against finite differences, the bits of decoding and of recomputed layers,
 * the base untouched, merging, and what is refused. */
#include "src/model/adapted.h"
#include "src/model/merge.h"
#include "src/model/value_model.h"
#include "tests/model/model_test.h"

enum { M = 22 }; /* reply tokens of the tiny batch */

static struct adapter_settings settings_of(const char *targets)
{
    struct adapter_settings settings = {.rank = 3, .alpha = 6};
    snprintf(settings.targets, sizeof settings.targets, "%s", targets);
    return settings;
}

/* B far from zero: what adapters add is as large as what the layers give. */
static void adapters_stir(struct model *model)
{
    struct parameters *p = model_trained(model);
    CHECK(model_adapted_initialize(model, 3));
    float *host = host_of(model_queue(model), p->values, p->size);
    for (int64_t i = 0; i < p->count; i++)
        for (int64_t e = 0; e < p->list[i].count; e++) {
            const int64_t at = p->list[i].offset + e;
            if (!strstr(p->list[i].name, "lora_A"))
                host[at] = 0.4f * (uniform_at(21, (uint32_t)at) - 0.5f);
        }
    CHECK(parameters_upload(p, host));
    free(host);
    CHECK(model_refresh(model));
}

/* A tiny model with stirred adapters that owns its base. */
static struct model *adapted_new(struct queue *q, bool gated_untied, const char *targets)
{
    const struct adapter_settings settings = settings_of(targets);
    struct model *model, *base = tiny_model(q, gated_untied);
    CHECK(model_create_adapted(base, &settings, true, &model));
    model_own_base(model);
    adapters_stir(model);
    return model;
}

static double token_weight(int64_t i)
{
    return uniform_at(3, (uint32_t)i) - 0.3;
}

struct problem {
    struct model *model;
    struct model_run *run;
    struct tiny_batch tiny;
};

static void problem_open(struct problem *p, struct model *model)
{
    p->model = model;
    CHECK(model_run_create(model, &p->run));
    tiny_batch_fill(&p->tiny);
}

static void problem_close(struct problem *p)
{
    struct queue *q = model_queue(p->model);
    model_run_destroy(p->run);
    model_destroy(p->model);
    q->op->destroy(q);
}

/* The logits of the tiny batch, on the host. */
static float *logits_of(struct problem *p)
{
    float *logits;
    CHECK(model_forward(p->run, &p->tiny.batch, MODEL_KEEP_NOTHING, 0));
    CHECK(model_run_logits(p->run, &logits));
    return host_of(model_queue(p->model), logits, M * 23);
}

/* Sum over reply tokens of weight * log-probability. */
static double loss_now(void *context)
{
    struct problem *p = context;
    CHECK(model_refresh(p->model));
    float *logits = logits_of(p);
    double loss = 0;
    for (int64_t i = 0; i < M; i++) {
        const float *row = logits + i * 23;
        double sum = 0;
        for (int v = 0; v < 23; v++) sum += exp((double)row[v]);
        loss += token_weight(i) * (row[p->tiny.reply_tokens[i]] - log(sum));
    }
    free(logits);
    return loss;
}

/* That loss's gradient, laid out as what is trained. */
static void backward_run(struct problem *p, enum model_keep keep, float *gradients,
                         const struct model_watermark *watermark)
{
    struct queue *q = model_queue(p->model);
    float weights[M];
    for (int64_t i = 0; i < M; i++) weights[i] = (float)token_weight(i);
    float *device = device_new(q, 3 * M * sizeof(float)), *lse = device + M, *dlogp = lse + M;
    q->op->upload(q, dlogp, weights, sizeof weights);
    CHECK(model_forward(p->run, &p->tiny.batch, keep, 0));
    CHECK(model_run_logp(p->run, 1.0f, device, NULL, NULL, lse));
    real *dlogits = model_run_dlogits(p->run);
    q->op->softmax_loss_backward(q, dlogits, model_run_head_forward(p->run, 0, M), lse,
                                 model_run_targets(p->run), dlogp, 1.0f, 0.0f, NULL, M, 23);
    CHECK(model_run_head_backward(p->run, 0, M, dlogits, gradients));
    CHECK(model_backward(p->run, NULL, gradients, watermark));
    CHECK(q->op->synchronize(q));
    q->op->release(q, device);
}

static void gradients_match(bool gated_untied, const char *targets)
{
    struct problem p;
    struct queue *q = queue_new(2);
    problem_open(&p, adapted_new(q, gated_untied, targets));
    struct parameters *trained = model_trained(p.model);
    const size_t bytes = (size_t)trained->size * sizeof(float);
    float *gradients[2] = {device_new(q, bytes), device_new(q, bytes)}, *host[2];
    backward_run(&p, MODEL_KEEP_ALL, gradients[0], NULL);
    backward_run(&p, MODEL_KEEP_INPUTS, gradients[1], NULL);
    for (int i = 0; i < 2; i++) host[i] = host_of(q, gradients[i], trained->size);
    check_bits(host[1], host[0], trained->size, "a gradient with layers run again", 0);
    check_gradient(trained, host[0], loss_now, &p);
    for (int i = 0; i < 2; i++) {
        free(host[i]);
        q->op->release(q, gradients[i]);
    }
    problem_close(&p);
}

static void gradients_of_adapters_of_all_parts_match_finite_differences(void **state)
{
    (void)state;
    gradients_match(false, "q,k,v,o,wi,wo");
    gradients_match(true, "q,k,v,o,wi_0,wi_1,wo");
}

/* Queries and values of a fused layer without its keys; parts by the ends of their paths. */
static void gradients_of_adapters_of_some_parts_match_finite_differences(void **state)
{
    (void)state;
    gradients_match(true, "q, v");
    gradients_match(false, "EncDecAttention.k,decoder.block.1.layer.0.SelfAttention.v,wo");
}

static void a_family_has_a_choice_of_its_own(void **state)
{
    (void)state;
    struct queue *q = queue_new(1);
    struct model *model = adapted_new(q, true, "");
    assert_string_equal(model_adapter(model)->targets, "q,v");
    const struct parameters *trained = model_trained(model);
    /* An encoder's layer has two parts, a decoder's four; each an A and a B. */
    assert_int_equal(trained->count, 2 * (1 * 2 + 3 * 4));
    const struct parameter *a =
        parameters_find(trained, "decoder.block.2.layer.1.EncDecAttention.v.lora_A.weight");
    const struct parameter *b =
        parameters_find(trained, "encoder.block.0.layer.0.SelfAttention.q.lora_B.weight");
    assert_true(a && a->shape[0] == 3 && a->shape[1] == 16);
    assert_true(b && b->shape[0] == 12 && b->shape[1] == 3);
    model_destroy(model);
    q->op->destroy(q);
}

static void new_adapters_change_nothing_and_stand_on_the_base_alone(void **state)
{
    (void)state;
    struct problem p, of_base;
    struct queue *q = queue_new(1);
    const struct adapter_settings settings = settings_of("q,k,v,o,wi,wo");
    struct model *base = tiny_model(q, false), *model;
    char before[65], after[65];
    CHECK(parameters_hash(model_parameters(base), before));
    CHECK(model_create_adapted(base, &settings, true, &model));
    CHECK(model_adapted_initialize(model, 3));
    assert_ptr_equal(model_parameters(model)->values, model_parameters(base)->values);
    problem_open(&p, model);
    problem_open(&of_base, base);
    float *same = logits_of(&p), *want = logits_of(&of_base);
    for (int i = 0; i < M * 23; i++) assert_true(same[i] == want[i]);
    /* A is uniform within 1 / sqrt(k), both halves of it used; B is zero. */
    const struct parameters *trained = model_trained(model);
    float *host = host_of(q, trained->values, trained->size);
    for (int64_t i = 0; i < trained->count; i++) {
        const struct parameter *one = &trained->list[i];
        float least = 0, most = 0;
        for (int64_t e = 0; e < one->count; e++) {
            least = fminf(least, host[one->offset + e]);
            most = fmaxf(most, host[one->offset + e]);
        }
        const float bound = strstr(one->name, "lora_A") ? 1.0f / sqrtf((float)one->shape[1]) : 0;
        assert_true(least >= -bound && most <= bound);
        if (bound > 0) assert_true(least < -0.8f * bound && most > 0.8f * bound);
    }
    free(host);
    /* Moved, they change the model and leave the base. */
    adapters_stir(model);
    float *moved = logits_of(&p), *still = logits_of(&of_base);
    double distance = 0;
    for (int i = 0; i < M * 23; i++) distance += fabs((double)(moved[i] - want[i]));
    assert_true(distance > 1.0);
    check_bits(still, want, M * 23, "the base's logits", 0);
    CHECK(parameters_hash(model_parameters(base), after));
    assert_string_equal(before, after);
    free(same);
    free(want);
    free(moved);
    free(still);
    model_run_destroy(p.run);
    model_destroy(model);
    problem_close(&of_base);
}

static void decoding_with_adapters_has_the_bits_of_teacher_forcing(void **state)
{
    (void)state;
    float *want = NULL;
    for (int threads = 1; threads <= 2; threads++) {
        struct problem p;
        struct queue *q = queue_new(threads);
        struct model_decoder *decoder;
        problem_open(&p, adapted_new(q, true, "q,k,v,o,wi_0,wi_1,wo"));
        const struct tiny_batch *tiny = &p.tiny;
        float *forced = logits_of(&p);
        if (want) check_bits(forced, want, M * 23, "logits of two threads", 0);
        CHECK(model_decoder_create(p.model, &decoder));
        CHECK(model_decoder_begin(decoder, &tiny->batch, 5, tiny->reply_history, 8, 0));
        for (int32_t step = 0; step < 8; step++) {
            int32_t input[5] = {0};
            CHECK(model_decoder_step(decoder));
            float *logits = host_of(q, model_decoder_logits(decoder), 5 * 23);
            for (int32_t r = 0; r < 5; r++) {
                const int32_t at = tiny->reply_begin[r] + step;
                if (at >= tiny->reply_begin[r + 1]) continue;
                check_bits(logits + r * 23, forced + at * 23, 23, "logits of a step", at);
                input[r] = tiny->reply_tokens[at];
            }
            free(logits);
            q->op->upload(q, model_decoder_input(decoder), input, sizeof input);
            CHECK(q->op->synchronize(q));
        }
        model_decoder_destroy(decoder);
        problem_close(&p);
        free(want);
        want = forced;
    }
    free(want);
}

/* Wherever a row stands in a batch longer than adapters take at once, its bits are the same. */
static void rows_beyond_what_is_taken_at_once_have_the_same_bits(void **state)
{
    (void)state;
    enum { ROWS = 4096 + 7 };
    struct queue *q = queue_new(2);
    struct adapter adapter = {.n = 5, .k = 4, .rank = 2, .parts = 1, .scale = 0.5f, .b = 16};
    adapter.part[0] = (struct adapter_part){1, 3};
    struct adapter_room room = {0};
    adapter.room = &room;
    CHECK(adapter_create(q, &adapter, true));
    CHECK(adapter_room_create(q, &adapter, 1, true, &room));
    float *values = device_new(q, 32 * sizeof(float)), *x = device_new(q, ROWS * 4 * sizeof *x);
    float *y = device_new(q, ROWS * 5 * sizeof *y), host[32], row[4] = {0.5f, -1, 0.25f, 2};
    for (uint32_t i = 0; i < 32; i++) host[i] = uniform_at(9, i);
    q->op->upload(q, values, host, sizeof host);
    adapter_pack(q, &adapter, values, NULL);
    for (int64_t i = 0; i < ROWS; i++) q->op->upload(q, x + i * 4, row, sizeof row);
    adapter_forward(q, &adapter, y, x, ROWS);
    float *out = host_of(q, y, ROWS * 5);
    for (int64_t i = 0; i < ROWS; i++) check_bits(out + i * 5, out, 5, "a row", i);
    /* Against float64: rows 1 to 3 are scale B (A x), the others nothing. */
    for (int j = 0; j < 5; j++) {
        double sum = 0;
        for (int r = 0; r < 2 && j >= 1 && j <= 3; r++)
            for (int k = 0; k < 4; k++)
                sum += 0.5 * (double)host[16 + (j - 1) * 2 + r] * (double)host[r * 4 + k] *
                       (double)row[k];
        assert_true(fabs(out[j] - sum) < 1e-6); /* two fp32 sums of at most four terms below 2 */
    }
    free(out);
    q->op->release(q, values);
    q->op->release(q, x);
    q->op->release(q, y);
    adapter_room_destroy(q, &room);
    adapter_destroy(q, &adapter);
    q->op->destroy(q);
}

static void a_merged_model_gives_the_logits_within_rounding(void **state)
{
    (void)state;
    struct problem p;
    struct queue *q = queue_new(1);
    problem_open(&p, adapted_new(q, true, "q,k,v,o,wi_0,wi_1,wo"));
    float *want = logits_of(&p);
    model_run_destroy(p.run);
    CHECK(model_merge(&p.model, false));
    assert_null(model_base(p.model));
    CHECK(model_run_create(p.model, &p.run));
    float *merged = logits_of(&p);
    /* fp32's rounding through seven layers of logits below 10. */
    for (int i = 0; i < M * 23; i++) assert_true(fabsf(merged[i] - want[i]) < 2e-4f);
    free(want);
    free(merged);
    problem_close(&p);
}

static void gradients_of_adapters_are_final_in_the_order_of_layers(void **state)
{
    (void)state;
    struct problem p;
    struct queue *q = queue_new(1);
    problem_open(&p, adapted_new(q, true, "k,wo"));
    const struct parameters *trained = model_trained(p.model);
    float *gradients = device_new(q, (size_t)trained->size * sizeof(float));
    struct promises promises = {.q = q, .parameters = trained, .gradients = gradients};
    backward_run(&p, MODEL_KEEP_ALL, gradients, &(struct model_watermark){promise_note, &promises});
    promises_check(&promises, 4); /* layers: three of the decoder, one of the encoder */
    q->op->release(q, gradients);
    problem_close(&p);
}

static void parts_that_are_not_there_are_refused_by_name(void **state)
{
    (void)state;
    struct queue *q = queue_new(1);
    struct model *base = tiny_model(q, true), *model;
    const struct adapter_settings settings = settings_of("q,q_proj");
    status s = model_create_adapted(base, &settings, true, &model);
    assert_int_equal(status_code(s), STATUS_INPUT);
    assert_non_null(strstr(status_message(s), "no part q_proj; it has q, k, v, o, wi_0, wi_1, wo"));
    status_free(s);
    model_destroy(base);
    q->op->destroy(q);
}

/* ---- the critic on the policy's base ---- */

static const float dvalues[4] = {1.0f, -0.5f, 0.75f, 2.0f};

struct critic_problem {
    struct value_model *critic;
    struct tiny_batch tiny;
};

static double value_loss_now(void *context)
{
    struct critic_problem *p = context;
    float values[4];
    CHECK(value_model_refresh(p->critic));
    CHECK(value_model_forward(p->critic, &p->tiny.batch, MODEL_KEEP_NOTHING, values));
    double loss = 0;
    for (int i = 0; i < 4; i++) loss += (double)dvalues[i] * values[i];
    return loss;
}

static void a_critic_on_the_base_starts_at_zero_and_learns_by_its_gradient(void **state)
{
    (void)state;
    struct queue *q = queue_new(2);
    struct model *policy = adapted_new(q, false, "q,v,wo");
    struct critic_problem p;
    float values[4];
    tiny_batch_fill(&p.tiny);
    CHECK(value_model_create_adapted(policy, &p.critic));
    CHECK(value_model_start_from(p.critic, policy));
    CHECK(value_model_forward(p.critic, &p.tiny.batch, MODEL_KEEP_NOTHING, values));
    for (int i = 0; i < 4; i++) assert_true(values[i] == 0.0f);
    struct parameters *parameters = value_model_parameters(p.critic);
    /* Two layers of three adapters, each an A and a B, and the head. */
    assert_int_equal(parameters->count, 2 * 3 * 2 + 2);
    const struct parameter *mine =
        parameters_find(parameters, "encoder.block.1.layer.0.SelfAttention.v.lora_B.weight");
    const struct parameter *theirs = parameters_find(
        model_trained(policy), "encoder.block.1.layer.0.SelfAttention.v.lora_B.weight");
    float *copy = host_of(q, parameters->values + mine->offset, mine->count);
    float *from = host_of(q, model_trained(policy)->values + theirs->offset, theirs->count);
    check_bits(copy, from, mine->count, "the policy's adapter in the critic", 0);
    free(copy);
    free(from);

    parameters_stir(parameters, 11);
    CHECK(value_model_refresh(p.critic));
    CHECK(value_model_forward(p.critic, &p.tiny.batch, MODEL_KEEP_ALL, values));
    float *gradients = device_new(q, (size_t)parameters->size * sizeof(float));
    CHECK(value_model_backward(p.critic, dvalues, gradients, NULL));
    float *host = host_of(q, gradients, parameters->size);
    check_gradient(parameters, host, value_loss_now, &p);
    free(host);
    q->op->release(q, gradients);
    value_model_destroy(p.critic);
    model_destroy(policy);
    q->op->destroy(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_of_adapters_of_all_parts_match_finite_differences),
        cmocka_unit_test(gradients_of_adapters_of_some_parts_match_finite_differences),
        cmocka_unit_test(a_family_has_a_choice_of_its_own),
        cmocka_unit_test(new_adapters_change_nothing_and_stand_on_the_base_alone),
        cmocka_unit_test(decoding_with_adapters_has_the_bits_of_teacher_forcing),
        cmocka_unit_test(rows_beyond_what_is_taken_at_once_have_the_same_bits),
        cmocka_unit_test(a_merged_model_gives_the_logits_within_rounding),
        cmocka_unit_test(gradients_of_adapters_are_final_in_the_order_of_layers),
        cmocka_unit_test(parts_that_are_not_there_are_refused_by_name),
        cmocka_unit_test(a_critic_on_the_base_starts_at_zero_and_learns_by_its_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
