/* Looking into the attention of a pass: what is added to dq and dk reaches the parameters (finite
 * differences), looking changes no bit, and rows are those of their tokens. */
#include "src/model/causal/shape.h"
#include "src/model/family.h"
#include "tests/model/model_test.h"

enum { VOCABULARY = 23, WATCHED = 2, PARTS = 2 /* q and k */ };

/* A trunk: what reads histories alone. */
static struct model *trunk_new(struct queue *q, int kind)
{
    static const char *const types[] = {"llama", "qwen3"};
    const struct model_setting settings[] = {{"vocabulary", VOCABULARY},
                                             {"d_model", 12},
                                             {"d_kv", 6},
                                             {"d_ff", 20},
                                             {"heads", 4},
                                             {"kv_heads", 2},
                                             {"decoder_layers", 3},
                                             {"context", 64}};
    const struct t5_shape t5 = tiny_shape(false);
    struct model_shape *shape;
    struct model *model;
    if (kind < 2)
        CHECK(model_shape_from_settings(types[kind], settings, 8, &shape));
    else
        shape = model_shape_copy(&t5.common);
    shape->family->shape_without_replies(shape);
    CHECK(model_create(q, shape, true, &model));
    free(shape);
    CHECK(model_initialize(model, 7));
    struct parameters *p = model_parameters(model);
    float *host = host_of(q, p->values, p->size);
    for (int64_t i = 0; i < p->count; i++)
        for (int64_t e = p->list[i].offset; e < p->list[i].offset + p->list[i].count; e++)
            host[e] =
                p->list[i].rank == 1 ? host[e] + uniform_at(5, (uint32_t)e) - 0.5f : 3 * host[e];
    CHECK(parameters_upload(p, host));
    free(host);
    CHECK(model_refresh(model));
    return model;
}
enum { KINDS = 3 };

/* Two histories that are the same, one of a token, and one that begins like the first. */
struct histories {
    int32_t begin[5], tokens[40], cut_begin[5], cuts[4], rows[40];
    struct model_batch batch;
};

static void histories_fill(struct histories *h)
{
    static const int32_t lengths[4] = {9, 9, 1, 12};
    *h = (struct histories){.cut_begin = {0, 1, 2, 2, 3}, .cuts = {5, 5, 5}};
    for (int i = 0; i < 4; i++) {
        h->begin[i + 1] = h->begin[i] + lengths[i];
        for (int32_t t = 0; t < lengths[i]; t++)
            h->tokens[h->begin[i] + t] =
                (int32_t)(uniform_at(i == 3 && t >= 5 ? 4 : 3, (uint32_t)t) * (float)VOCABULARY);
    }
    h->batch = (struct model_batch){.histories = 4,
                                    .history_begin = h->begin,
                                    .history_tokens = h->tokens,
                                    .cut_begin = h->cut_begin,
                                    .cuts = h->cuts,
                                    .apart = true};
}

/* What a watch sees: of each layer q and k as rows of every token, [tokens, width]. */
struct seen {
    struct queue *q;
    const struct histories *histories;
    float *rows[WATCHED][PARTS];
    int64_t width[PARTS];
    int forward, backward;
};

/* Device rows of a strided part, to the host. */
static float *part_of(struct queue *q, const real *from, int64_t rows, int64_t stride,
                      int64_t width)
{
    return host_of(q, from, (rows - 1) * stride + width);
}

static void see_forward(void *context, int64_t layer, const struct attention *a)
{
    struct seen *seen = context;
    const int64_t tokens = seen->histories->begin[4];
    const real *from[PARTS] = {a->q, a->k};
    const int64_t stride[PARTS] = {a->q_stride, a->k_stride};
    const int64_t width[PARTS] = {a->heads * a->head_dim, a->kv_heads * a->head_dim};
    assert_true(layer < WATCHED);
    seen->forward++;
    for (int p = 0; p < PARTS; p++) {
        float *host = part_of(seen->q, from[p], a->query_rows, stride[p], width[p]);
        free(seen->rows[layer][p]);
        seen->width[p] = width[p];
        seen->rows[layer][p] = malloc((size_t)(tokens * width[p]) * sizeof(float));
        for (int64_t t = 0; t < tokens; t++)
            memcpy(seen->rows[layer][p] + t * width[p], host + seen->histories->rows[t] * stride[p],
                   (size_t)width[p] * sizeof(float));
        free(host);
    }
}

/* The loss's derivative by entry e of a token's q or k. */
static float push(int64_t layer, int part, int64_t token, int64_t e)
{
    return uniform_at((uint32_t)(60 + 2 * layer + part), (uint32_t)(token * 100 + e)) - 0.5f;
}

static void push_backward(void *context, int64_t layer, const struct attention *a, real *dq,
                          real *dk)
{
    struct seen *seen = context;
    real *to[PARTS] = {dq, dk};
    const int64_t stride[PARTS] = {a->q_stride, a->k_stride};
    const int64_t width[PARTS] = {a->heads * a->head_dim, a->kv_heads * a->head_dim};
    seen->backward++;
    for (int p = 0; p < PARTS; p++) {
        float *host = part_of(seen->q, to[p], a->query_rows, stride[p], width[p]);
        for (int64_t t = 0; t < seen->histories->begin[4]; t++)
            for (int64_t e = 0; e < width[p]; e++)
                host[seen->histories->rows[t] * stride[p] + e] += push(layer, p, t, e);
        seen->q->op->upload(seen->q, to[p], host,
                            (size_t)((a->query_rows - 1) * stride[p] + width[p]) * sizeof(float));
        CHECK(seen->q->op->synchronize(seen->q));
        free(host);
    }
}

struct problem {
    struct queue *q;
    struct model *model;
    struct model_run *run;
    struct histories histories;
    struct seen seen;
    struct attention_watch watch;
    int64_t hidden; /* entries of it */
    float *dhidden;
};

static void problem_open(struct problem *p, int kind)
{
    *p = (struct problem){.q = queue_new(2)};
    p->model = trunk_new(p->q, kind);
    histories_fill(&p->histories);
    model_token_rows(p->model, &p->histories.batch, p->histories.rows);
    CHECK(model_run_create(p->model, &p->run));
    p->seen = (struct seen){.q = p->q, .histories = &p->histories};
    p->watch = (struct attention_watch){
        .layers = WATCHED, .forward = see_forward, .backward = push_backward, .context = &p->seen};
    p->hidden = (kind < 2 ? 4 : p->histories.begin[4]) * model_shape(p->model)->width;
    p->dhidden = device_new(p->q, (size_t)p->hidden * sizeof(float));
    float *host = malloc((size_t)p->hidden * sizeof(float));
    for (int64_t i = 0; i < p->hidden; i++) host[i] = uniform_at(50, (uint32_t)i) - 0.5f;
    p->q->op->upload(p->q, p->dhidden, host, (size_t)p->hidden * sizeof(float));
    CHECK(p->q->op->synchronize(p->q));
    free(host);
}

static void problem_close(struct problem *p)
{
    for (int l = 0; l < WATCHED; l++)
        for (int part = 0; part < PARTS; part++) free(p->seen.rows[l][part]);
    p->q->op->release(p->q, p->dhidden);
    model_run_destroy(p->run);
    model_destroy(p->model);
    p->q->op->destroy(p->q);
}

static double loss_now(void *context)
{
    struct problem *p = context;
    double loss = 0;
    CHECK(model_refresh(p->model));
    CHECK(model_forward(p->run, &p->histories.batch, MODEL_KEEP_NOTHING, 0));
    float *hidden = host_of(p->q, model_run_hidden(p->run), p->hidden);
    for (int64_t i = 0; i < p->hidden; i++)
        loss += (double)hidden[i] * ((double)uniform_at(50, (uint32_t)i) - 0.5);
    free(hidden);
    for (int64_t l = 0; l < WATCHED; l++)
        for (int part = 0; part < PARTS; part++)
            for (int64_t t = 0; t < p->histories.begin[4]; t++)
                for (int64_t e = 0; e < p->seen.width[part]; e++)
                    loss += (double)push(l, part, t, e) *
                            (double)p->seen.rows[l][part][t * p->seen.width[part] + e];
    return loss;
}

static float *gradients_of(struct problem *p, const struct attention_watch *watch,
                           enum model_keep keep)
{
    const int64_t size = model_parameters(p->model)->size;
    float *gradients = device_new(p->q, (size_t)size * sizeof(float));
    model_run_watch(p->run, watch);
    CHECK(model_forward(p->run, &p->histories.batch, keep, 0));
    CHECK(model_backward(p->run, p->dhidden, gradients, NULL));
    float *host = host_of(p->q, gradients, size);
    p->q->op->release(p->q, gradients);
    return host;
}

static void what_is_added_to_dq_and_dk_reaches_the_parameters(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        struct problem p;
        problem_open(&p, kind);
        float *gradients = gradients_of(&p, &p.watch, MODEL_KEEP_ALL);
        assert_int_equal(p.seen.forward, WATCHED);
        assert_int_equal(p.seen.backward, WATCHED);
        check_gradient(model_parameters(p.model), gradients, loss_now, &p);
        CHECK(model_refresh(p.model));
        /* Layers that are computed again are not seen again. */
        p.seen.forward = p.seen.backward = 0;
        float *again = gradients_of(&p, &p.watch, MODEL_KEEP_INPUTS);
        assert_int_equal(p.seen.forward, WATCHED);
        assert_int_equal(p.seen.backward, WATCHED);
        check_bits(again, gradients, model_parameters(p.model)->size, "layers computed again", 0);
        free(again);
        free(gradients);
        problem_close(&p);
    }
}

static void looking_changes_nothing(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        struct problem p;
        problem_open(&p, kind);
        const struct attention_watch looking = {
            .layers = WATCHED, .forward = see_forward, .context = &p.seen};
        float *want = gradients_of(&p, NULL, MODEL_KEEP_ALL);
        float *got = gradients_of(&p, &looking, MODEL_KEEP_ALL);
        check_bits(got, want, model_parameters(p.model)->size, "gradients", kind);
        free(got);
        free(want);
        problem_close(&p);
    }
}

/* A history alone has the q and k that it has beside others, in the rows named for its tokens;
 * where segments are shared, its hidden row. */
static void rows_are_those_of_their_tokens(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        struct problem p;
        problem_open(&p, kind);
        model_run_watch(p.run, &p.watch);
        CHECK(model_forward(p.run, &p.histories.batch, MODEL_KEEP_NOTHING, 0));
        struct seen all = p.seen;
        memset(p.seen.rows, 0, sizeof p.seen.rows);
        for (int h = 0; h < 4; h++) {
            const int32_t first = p.histories.begin[h], n = p.histories.begin[h + 1] - first;
            struct histories one = {
                .begin = {0, n, n, n, n}, .cut_begin = {0, h != 2}, .cuts = {5}};
            one.batch = (struct model_batch){.histories = 1,
                                             .history_begin = one.begin,
                                             .history_tokens = p.histories.tokens + first,
                                             .cut_begin = one.cut_begin,
                                             .cuts = one.cuts,
                                             .apart = true};
            model_token_rows(p.model, &one.batch, one.rows);
            p.seen.histories = &one;
            CHECK(model_forward(p.run, &one.batch, MODEL_KEEP_NOTHING, 0));
            for (int l = 0; l < WATCHED; l++)
                for (int part = 0; part < PARTS; part++)
                    check_bits(p.seen.rows[l][part], all.rows[l][part] + first * all.width[part],
                               n * all.width[part], part ? "k alone" : "q alone", h);
        }
        p.seen.histories = &p.histories;
        for (int l = 0; l < WATCHED; l++)
            for (int part = 0; part < PARTS; part++) free(all.rows[l][part]);
        model_run_watch(p.run, NULL);
        CHECK(model_forward(p.run, &p.histories.batch, MODEL_KEEP_NOTHING, 0));
        const int64_t apart = model_run_tokens(p.run);
        float *want = host_of(p.q, model_run_hidden(p.run), p.hidden);
        p.histories.batch.apart = false;
        CHECK(model_forward(p.run, &p.histories.batch, MODEL_KEEP_NOTHING, 0));
        float *got = host_of(p.q, model_run_hidden(p.run), p.hidden);
        check_bits(got, want, p.hidden, "hidden rows where segments are shared", kind);
        if (kind < 2) assert_true(model_run_tokens(p.run) < apart);
        free(got);
        free(want);
        problem_close(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_added_to_dq_and_dk_reaches_the_parameters),
        cmocka_unit_test(looking_changes_nothing),
        cmocka_unit_test(rows_are_those_of_their_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
