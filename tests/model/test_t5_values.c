/* A model that takes another's values computes that one's bits, and reads no matrix but the packed
 * ones: the others in its parameters stay what they were, here NaN. */
#include "tests/model/model_test.h"

static float *logits_of(struct model *model, const struct tiny_batch *tiny)
{
    struct model_run *run;
    float *logits;
    CHECK(model_run_create(model, &run));
    CHECK(model_forward(run, &tiny->batch, false, 2));
    CHECK(model_run_logits(run, &logits));
    float *host = host_of(model_queue(model), logits, tiny->reply_begin[5] * 23);
    model_run_destroy(run);
    return host;
}

/* The first step of every row. */
static float *step_logits_of(struct model *model, const struct tiny_batch *tiny)
{
    struct model_decoder *decoder;
    CHECK(model_decoder_create(model, &decoder));
    CHECK(model_decoder_begin(decoder, &tiny->batch, 5, tiny->reply_history, 2, 2));
    CHECK(model_decoder_step(decoder));
    float *host = host_of(model_queue(model), model_decoder_logits(decoder), 5 * 23);
    model_decoder_destroy(decoder);
    return host;
}

static void a_model_with_taken_values_has_the_others_bits(void **state)
{
    (void)state;
    struct queue *q = queue_new(1);
    struct tiny_batch tiny;
    tiny_batch_fill(&tiny);
    for (int untied = 0; untied < 2; untied++) {
        struct model *from = tiny_model(q, untied), *to;
        const struct t5_shape shape = tiny_shape(untied);
        CHECK(model_create(q, &shape.common, false, &to));
        model_round_stochastically(from, 3); /* what is rounded at all, by version */
        model_round_stochastically(to, 3);
        struct parameters *p = model_parameters(to);
        float *host = malloc((size_t)p->size * sizeof *host);
        assert_non_null(host);
        for (int64_t i = 0; i < p->size; i++) host[i] = NAN;
        CHECK(parameters_upload(p, host));
        free(host);
        for (int again = 0; again < 2; again++) { /* newer values after a use */
            if (again) parameters_stir(model_parameters(from), 6);
            CHECK(model_refresh_update(from, again));
            model_take_values(to, model_parameters(from)->values, again);
            float *want = logits_of(from, &tiny), *got = logits_of(to, &tiny);
            check_bits(got, want, tiny.reply_begin[5] * 23, "logits", again);
            free(want);
            free(got);
            want = step_logits_of(from, &tiny);
            got = step_logits_of(to, &tiny);
            check_bits(got, want, 5 * 23, "logits of a decode step", again);
            free(want);
            free(got);
        }
        host = host_of(q, p->values, p->size);
        for (int64_t i = 0; i < p->count; i++) {
            const struct parameter *one = &p->list[i];
            const bool matrix = strstr(one->name, ".weight") && !strstr(one->name, "layer_norm") &&
                                !strstr(one->name, "relative") && !strstr(one->name, "shared");
            for (int64_t e = 0; e < one->count; e++)
                if (isnan(host[one->offset + e]) != matrix)
                    fail_msg("%s, entry %lld: %g", one->name, (long long)e,
                             (double)host[one->offset + e]);
        }
        free(host);
        model_destroy(from);
        model_destroy(to);
    }
    q->op->destroy(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_with_taken_values_has_the_others_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
