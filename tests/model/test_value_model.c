/* A value model, here the critic: starts from the policy's encoder at value zero, values do not
 * depend on the batch, gradients match finite differences. */
#include "src/model/value_model.h"
#include "tests/model/model_test.h"

struct problem {
    struct value_model *critic;
    struct tiny_batch tiny;
};

static const float dvalues[4] = {1.0f, -0.5f, 0.75f, 2.0f};

static double loss_now(void *context)
{
    struct problem *p = context;
    float values[4];
    CHECK(value_model_refresh(p->critic));
    CHECK(value_model_forward(p->critic, &p->tiny.batch, MODEL_KEEP_NOTHING, values));
    double loss = 0;
    for (int i = 0; i < 4; i++) loss += (double)dvalues[i] * values[i];
    return loss;
}

static void the_critic_starts_at_zero_and_learns_by_its_gradient(void **state)
{
    (void)state;
    struct queue *q = queue_new(2);
    struct model *policy = tiny_model(q, false);
    struct problem p;
    float values[4];
    tiny_batch_fill(&p.tiny);
    CHECK(value_model_create(q, model_shape(policy), true, &p.critic));
    CHECK(value_model_start_from(p.critic, policy));
    CHECK(value_model_forward(p.critic, &p.tiny.batch, MODEL_KEEP_NOTHING, values));
    for (int i = 0; i < 4; i++) assert_true(values[i] == 0.0f);
    struct parameters *parameters = value_model_parameters(p.critic);
    assert_non_null(parameters_find(parameters, "value_head.weight"));
    assert_null(parameters_find(parameters, "decoder.final_layer_norm.weight"));

    parameters_stir(parameters, 11);
    CHECK(value_model_refresh(p.critic));
    CHECK(value_model_forward(p.critic, &p.tiny.batch, MODEL_KEEP_ALL, values));
    float *gradients = device_new(q, (size_t)parameters->size * sizeof(float));
    CHECK(value_model_backward(p.critic, dvalues, gradients, NULL));
    float *host = host_of(q, gradients, parameters->size);
    check_gradient(parameters, host, loss_now, &p);
    CHECK(value_model_refresh(p.critic));

    for (int h = 0; h < 4; h++) {
        int32_t begin[2] = {0, p.tiny.history_begin[h + 1] - p.tiny.history_begin[h]};
        float alone;
        const struct model_batch one = {.histories = 1,
                                        .history_begin = begin,
                                        .history_tokens =
                                            p.tiny.history_tokens + p.tiny.history_begin[h]};
        CHECK(value_model_forward(p.critic, &one, MODEL_KEEP_NOTHING, &alone));
        check_bits(&alone, &values[h], 1, "a history's value alone", h);
    }
    free(host);
    q->op->release(q, gradients);
    value_model_destroy(p.critic);
    model_destroy(policy);
    q->op->destroy(q);
}

static void a_reserved_critic_allocates_no_more_and_tells_what_is_final(void **state)
{
    (void)state;
    struct queue *q = queue_new(1);
    struct model *policy = tiny_model(q, true);
    struct value_model *critic;
    struct tiny_batch tiny;
    struct counted_queue counted;
    float values[4];
    tiny_batch_fill(&tiny);
    CHECK(value_model_create(q, model_shape(policy), true, &critic));
    CHECK(value_model_start_from(critic, policy));
    struct parameters *parameters = value_model_parameters(critic);
    parameters_stir(parameters, 11);
    CHECK(value_model_refresh(critic));
    float *gradients = device_new(q, (size_t)parameters->size * sizeof(float));
    struct promises promises = {.q = q, .parameters = parameters, .gradients = gradients};
    const struct model_limits limits = {
        .histories = 4, .history_tokens = 21, .longest_history = 11, .keep = MODEL_KEEP_ALL};
    CHECK(value_model_reserve(critic, &limits));
    allocations_count(q, &counted);
    CHECK(value_model_forward(critic, &tiny.batch, MODEL_KEEP_ALL, values));
    CHECK(value_model_backward(critic, dvalues, gradients,
                               &(struct model_watermark){promise_note, &promises}));
    assert_int_equal(allocations_counted(q, &counted), 0);
    /* One layer, the final norm with the head behind it, the embedding. */
    promises_check(&promises, 3);
    q->op->release(q, gradients);
    value_model_destroy(critic);
    model_destroy(policy);
    q->op->destroy(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reserved_critic_allocates_no_more_and_tells_what_is_final),
        cmocka_unit_test(the_critic_starts_at_zero_and_learns_by_its_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
