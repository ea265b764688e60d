/* Decoder-only models against what Transformers makes of them in fp32: logits, log-probabilities,
 * attention, losses and every gradient, the histories cut where others begin alike, so that the
 * forest is in it. */
#include <dirent.h>

#include "src/base/file.h"
#include "src/model/folder.h"
#include "src/model/safetensors.h"
#include "tests/model/model_test.h"

enum { MOST_CASES = 16, MOST_CUTS = 8 };
static const double tolerance = 1e-4;

struct golden {
    const char *folder;
    struct queue *q;
    struct model *model;
    struct model_run *run;
    struct safetensors *expected;
    int cases;
    int name[MOST_CASES]; /* the number of a case */
    int32_t history_begin[MOST_CASES + 1], reply_begin[MOST_CASES + 1], reply_history[MOST_CASES];
    int32_t cut_begin[MOST_CASES + 1], cuts[MOST_CASES * MOST_CUTS];
    int32_t *history_tokens, *reply_tokens;
};

static const struct tensor *find(const struct golden *g, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static const struct tensor *find(const struct golden *g, const char *format, ...)
{
    char name[160];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    const struct tensor *tensor = safetensors_find(g->expected, name);
    if (!tensor) fail_msg("%s: expected.safetensors has no %s", g->folder, name);
    return tensor;
}

static void check_tensor(const struct golden *g, const float *x, const struct tensor *tensor)
{
    float *want = malloc((size_t)tensor->count * sizeof(float) + 1);
    assert_non_null(want);
    CHECK(tensor_floats(tensor, want));
    double off = 0, length = 0;
    for (int64_t i = 0; i < tensor->count; i++) {
        off += ((double)x[i] - want[i]) * ((double)x[i] - want[i]);
        length += (double)want[i] * want[i];
    }
    free(want);
    if (!(sqrt(off) <= tolerance * sqrt(length) + 2e-6))
        fail_msg("%s: %s is off by %.3g of its length %.3g", g->folder, tensor->name,
                 sqrt(off / length), sqrt(length));
}

static int32_t append_tokens(const struct tensor *tensor, int32_t **tokens, int32_t at)
{
    int64_t *wide = malloc((size_t)tensor->count * sizeof(int64_t) + 1);
    *tokens = realloc(*tokens, (size_t)(at + tensor->count) * sizeof(int32_t) + 1);
    assert_true(wide && *tokens);
    CHECK(tensor_integers(tensor, wide));
    for (int64_t i = 0; i < tensor->count; i++) (*tokens)[at + i] = (int32_t)wide[i];
    free(wide);
    return (int32_t)(at + tensor->count);
}

static int32_t length_of(const struct golden *g, int c)
{
    return g->history_begin[c + 1] - g->history_begin[c];
}

static int32_t common_prefix(const struct golden *g, int a, int b)
{
    const int32_t *x = g->history_tokens + g->history_begin[a],
                  *y = g->history_tokens + g->history_begin[b];
    const int32_t count = length_of(g, a) < length_of(g, b) ? length_of(g, a) : length_of(g, b);
    int32_t same = 0;
    while (same < count && x[same] == y[same]) same++;
    return same;
}

/* Every history is cut where another one goes on otherwise. */
static void cut_everywhere(struct golden *g)
{
    for (int c = 0; c < g->cases; c++) {
        int32_t at = g->cut_begin[c];
        for (int32_t cut = 1; cut + 1 < length_of(g, c); cut++)
            for (int other = 0; other < g->cases; other++)
                if (other != c && common_prefix(g, c, other) == cut) {
                    assert_true(at - g->cut_begin[c] < MOST_CUTS);
                    g->cuts[at++] = cut;
                    break;
                }
        g->cut_begin[c + 1] = at;
    }
}

static void golden_open(struct golden *g, const char *folder)
{
    char path[1024];
    struct model_shape *shape;
    *g = (struct golden){.folder = folder, .q = queue_new(2)};
    snprintf(path, sizeof path, "%s/model", folder);
    CHECK(model_folder_shape(path, &shape));
    assert_true(model_shape_is_causal(shape));
    CHECK(model_create(g->q, shape, true, &g->model));
    free(shape);
    CHECK(model_folder_load(path, g->model));
    CHECK(model_run_create(g->model, &g->run));
    snprintf(path, sizeof path, "%s/expected.safetensors", folder);
    CHECK(safetensors_open(path, &g->expected));
    for (int name = 0; name < MOST_CASES; name++) {
        const int c = g->cases;
        snprintf(path, sizeof path, "case%d.reply_tokens", name);
        if (!safetensors_find(g->expected, path)) continue; /* an empty reply */
        g->cases++;
        g->name[c] = name;
        g->history_begin[c + 1] = append_tokens(find(g, "case%d.history_tokens", name),
                                                &g->history_tokens, g->history_begin[c]);
        g->reply_begin[c + 1] = append_tokens(find(g, "case%d.reply_tokens", name),
                                              &g->reply_tokens, g->reply_begin[c]);
        g->reply_history[c] = c;
    }
    assert_true(g->cases > 1);
    cut_everywhere(g);
}

static void golden_close(struct golden *g)
{
    safetensors_close(g->expected);
    model_run_destroy(g->run);
    model_destroy(g->model);
    g->q->op->destroy(g->q);
    free(g->history_tokens);
    free(g->reply_tokens);
}

static void case_matches(const struct golden *g, int c)
{
    const struct model_shape *shape = model_shape(g->model);
    const int32_t n = length_of(g, c), m = g->reply_begin[c + 1] - g->reply_begin[c];
    const int32_t history_begin[2] = {0, n}, reply_begin[2] = {0, m}, reply_history[1] = {0};
    const struct model_batch batch = {.histories = 1,
                                      .history_begin = history_begin,
                                      .history_tokens = g->history_tokens + g->history_begin[c],
                                      .replies = 1,
                                      .reply_begin = reply_begin,
                                      .reply_tokens = g->reply_tokens + g->reply_begin[c],
                                      .reply_history = reply_history};
    model_run_keep_maps(g->run, true);
    CHECK(model_forward(g->run, &batch, MODEL_KEEP_NOTHING, 0));
    float *device_logits;
    CHECK(model_run_logits(g->run, &device_logits));
    float *logits = host_of(g->q, device_logits, m * shape->vocabulary);
    check_tensor(g, logits, find(g, "case%d.logits", g->name[c]));
    const struct tensor *tensor = find(g, "case%d.attention", g->name[c]);
    const int32_t keys = n + m - 1;
    assert_int_equal(tensor->count, shape->layers * shape->heads * m * keys);
    float *maps = malloc((size_t)tensor->count * sizeof(float));
    assert_non_null(maps);
    for (int64_t i = 0; i < shape->layers * shape->heads; i++)
        CHECK(model_run_map(g->run, i / shape->heads, i % shape->heads, maps + i * m * keys));
    check_tensor(g, maps, tensor);
    free(logits);
    free(maps);
    model_run_keep_maps(g->run, false);
}

/* The mean loss of the cases [first, last), and every gradient; `prefix` names the tensors. */
static void gradients_match(const struct golden *g, int first, int last, const char *prefix)
{
    const int32_t from = g->reply_begin[first], m = g->reply_begin[last] - from;
    int32_t history_begin[MOST_CASES + 1], reply_begin[MOST_CASES + 1], cut_begin[MOST_CASES + 1];
    for (int c = first; c <= last; c++) {
        history_begin[c - first] = g->history_begin[c] - g->history_begin[first];
        reply_begin[c - first] = g->reply_begin[c] - from;
        cut_begin[c - first] = g->cut_begin[c] - g->cut_begin[first];
    }
    const struct model_batch batch = {.histories = last - first,
                                      .history_begin = history_begin,
                                      .history_tokens = g->history_tokens + g->history_begin[first],
                                      .cut_begin = cut_begin,
                                      .cuts = g->cuts + g->cut_begin[first],
                                      .replies = last - first,
                                      .reply_begin = reply_begin,
                                      .reply_tokens = g->reply_tokens + from,
                                      .reply_history = g->reply_history};
    const struct model_shape *shape = model_shape(g->model);
    const struct parameters *parameters = model_parameters(g->model);
    struct queue *q = g->q;
    const size_t row = (size_t)m * sizeof(float);
    float *logp = device_new(q, row), *lse = device_new(q, row), *dlogp = device_new(q, row);
    float *gradients = device_new(q, (size_t)parameters->size * sizeof(float));
    float *weights = malloc(row);
    assert_non_null(weights);
    CHECK(model_forward(g->run, &batch, MODEL_KEEP_ALL, 0));
    CHECK(model_run_logp(g->run, 1.0f, logp, NULL, NULL, lse));
    float *host_logp = host_of(q, logp, m);
    float loss = 0;
    for (int32_t i = 0; i < m; i++) {
        loss -= host_logp[i] / (float)m;
        weights[i] = -1.0f / (float)m;
    }
    check_tensor(g, &loss, find(g, "%sloss", prefix));
    q->op->upload(q, dlogp, weights, row);
    real *dlogits = model_run_dlogits(g->run);
    q->op->softmax_loss_backward(q, dlogits, model_run_head_forward(g->run, 0, m), lse,
                                 model_run_targets(g->run), dlogp, 1.0f, 0.0f, NULL, m,
                                 shape->vocabulary);
    CHECK(model_run_head_backward(g->run, 0, m, dlogits, gradients));
    CHECK(model_backward(g->run, NULL, gradients, NULL));
    float *host = host_of(q, gradients, parameters->size);
    for (int64_t i = 0; i < parameters->count; i++)
        check_tensor(g, host + parameters->list[i].offset,
                     find(g, "%sgrad.%s", prefix, parameters->list[i].name));
    free(host);
    free(host_logp);
    free(weights);
    q->op->release(q, logp);
    q->op->release(q, lse);
    q->op->release(q, dlogp);
    q->op->release(q, gradients);
}

/* Whether the model's window leaves all of its cases alone: what it would cut is refused. */
static bool cases_fit(const struct golden *g)
{
    const double window = model_shape_number(model_shape(g->model), "window");
    for (int c = 0; window > 0 && c < g->cases; c++)
        if (length_of(g, c) + g->reply_begin[c + 1] - g->reply_begin[c] - 1 > window) return false;
    return true;
}

static void window_is_refused(const struct golden *g)
{
    const struct model_batch batch = {.histories = g->cases,
                                      .history_begin = g->history_begin,
                                      .history_tokens = g->history_tokens,
                                      .replies = g->cases,
                                      .reply_begin = g->reply_begin,
                                      .reply_tokens = g->reply_tokens,
                                      .reply_history = g->reply_history};
    status s = model_forward(g->run, &batch, MODEL_KEEP_NOTHING, 0);
    assert_non_null(s);
    assert_non_null(strstr(status_message(s), "sliding_window"));
    status_free(s);
}

static int for_each_folder(const char *root)
{
    int found = 0;
    DIR *directory = opendir(root);
    if (!directory) return 0;
    struct dirent *entry;
    while ((entry = readdir(directory))) {
        char folder[700], path[800];
        if (entry->d_name[0] == '.') continue;
        snprintf(folder, sizeof folder, "%s/%s", root, entry->d_name);
        snprintf(path, sizeof path, "%s/expected.safetensors", folder);
        if (!file_exists(path)) continue;
        struct golden g;
        golden_open(&g, folder);
        if (cases_fit(&g)) {
            for (int c = 0; c < g.cases; c++) case_matches(&g, c);
            gradients_match(&g, 0, g.cases, "");
            for (int c = 0; c < g.cases; c++) {
                char prefix[32];
                snprintf(prefix, sizeof prefix, "case%d.grad.model.norm.weight", g.name[c]);
                if (!safetensors_find(g.expected, prefix)) continue;
                snprintf(prefix, sizeof prefix, "case%d.", g.name[c]);
                gradients_match(&g, c, c + 1, prefix);
            }
        } else {
            window_is_refused(&g);
        }
        golden_close(&g);
        print_message("%s agrees\n", folder);
        found++;
    }
    closedir(directory);
    return found;
}

static void models_agree_with_transformers(void **state)
{
    (void)state;
    if (!for_each_folder("tests/golden/causal"))
        fail_msg("no tests/golden/causal here; run it in the sources");
    if (!for_each_folder("../shared/golden-causal"))
        print_message("no ../shared/golden-causal here\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(models_agree_with_transformers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
