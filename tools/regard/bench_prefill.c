/* How fast histories of a decoder-only model are read: several at once, beside the matrix rate; and
 * those of a second turn, which begin with what the first one has computed, beside reading them
 * anew. */
#include "src/base/clock.h"
#include "src/base/memory.h"
#include "src/model/decoder.h"
#include "tools/regard/bench.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_WORD = 17 };

/* Histories of one length, with the cuts of a second turn behind a reply or none. */
struct histories {
    int64_t count, length;
    int32_t *begin, *tokens, *cut_begin, *cuts, *rows;
};

static void histories_make(struct histories *h, int64_t count, int64_t length)
{
    *h = (struct histories){.count = count, .length = length};
    h->begin = memory_allocate((size_t)(count + 1) * sizeof *h->begin);
    h->cut_begin = memory_allocate((size_t)(count + 1) * sizeof *h->cut_begin);
    h->rows = memory_allocate((size_t)count * sizeof *h->rows);
    h->tokens = memory_allocate((size_t)(count * length) * sizeof *h->tokens);
    h->cuts = memory_allocate((size_t)(2 * count) * sizeof *h->cuts);
    for (int64_t i = 0; i <= count; i++) h->begin[i] = (int32_t)(i * length);
    for (int64_t i = 0; i < count; i++) h->rows[i] = (int32_t)i;
}

static void histories_free(struct histories *h)
{
    free(h->begin);
    free(h->cut_begin);
    free(h->rows);
    free(h->tokens);
    free(h->cuts);
}

/* The reply's tokens stand at [n, n + reply): the history of that turn ended before n, what
 * sampling the reply has computed before its last token. */
static void histories_cut(struct histories *h, int64_t n, int64_t reply)
{
    for (int64_t i = 0; i < h->count; i++) {
        h->cuts[2 * i] = (int32_t)(n - 1);
        h->cuts[2 * i + 1] = (int32_t)(n + reply - 1);
        h->cut_begin[i + 1] = (int32_t)(2 * (i + 1));
    }
}

/* Reads them; seconds with the device's work done. */
static status histories_read(struct model_decoder *decoder, const struct histories *h,
                             int64_t steps, struct queue *q, double *seconds)
{
    const struct model_batch batch = {.histories = h->count,
                                      .history_begin = h->begin,
                                      .history_tokens = h->tokens,
                                      .cut_begin = h->cut_begin,
                                      .cuts = h->cuts};
    const double start = seconds_now();
    TRY(model_decoder_begin(decoder, &batch, h->count, h->rows, steps, 0));
    TRY(q->op->synchronize(q));
    *seconds = seconds_now() - start;
    return NULL;
}

/* Operations of reading histories without anything in common: all tokens but the last. */
static double prefill_flops(struct model *model, const struct histories *h)
{
    const struct model_shape *shape = model_shape(model);
    const struct bench_weights_count weights = bench_weights_of(model);
    const double tokens = (double)(h->length - 1);
    const double layers = (double)(shape->layers - 1) / (double)shape->layers;
    return (double)h->count * (2 * (weights.history - weights.history_unread) * tokens +
                               layers * bench_history_attention(shape, tokens));
}

static status prefill_measure(const struct bench *b, struct model *model,
                              struct model_decoder *decoder, json_t *out)
{
    struct histories h;
    double times[BENCH_ROUNDS_MAX], warm;
    const int64_t vocabulary = model_shape(model)->vocabulary;
    histories_make(&h, b->scale->prefill_histories, b->scale->history_tokens);
    status s = NULL;
    for (int i = -1; !s && i < b->rounds; i++) {
        bench_ids(h.tokens, h.count * h.length, FIRST_WORD, (int32_t)vocabulary,
                  100 + (uint32_t)(i + 1));
        s = histories_read(decoder, &h, 1, b->queue, i < 0 ? &warm : &times[i]);
    }
    const double flops = prefill_flops(model, &h), tokens = (double)(h.count * h.length);
    histories_free(&h);
    if (s) return s;
    const double seconds = bench_median(times, b->rounds);
    json_t *line = json_object();
    json_object_set_new(out, "prefill", line);
    json_object_set_new(line, "histories", json_integer(b->scale->prefill_histories));
    json_object_set_new(line, "history_tokens", json_integer(b->scale->history_tokens));
    json_object_set_new(line, "rounds", json_integer(b->rounds));
    json_object_set_new(line, "milliseconds", json_real(seconds * 1e3));
    json_object_set_new(line, "tokens_s", json_real(tokens / seconds));
    json_object_set_new(line, "tflop", json_real(flops * 1e-12));
    json_object_set_new(
        line, "tflop_of",
        json_string("2 x weights x tokens, of the last layer those of keys and values; 4 x width x "
                    "query-key pairs; a history's last token is left to the first step"));
    json_object_set_new(line, "gflops", json_real(flops / seconds * 1e-9));
    json_object_set_new(line, "share_of_matmul_peak", json_real(flops / seconds / b->peaks.flops));
    return NULL;
}

/* Sampled replies, as far as a decoder sees them: so many steps with these tokens as inputs. */
static status replies_step(struct model_decoder *decoder, struct queue *q, int64_t rows,
                           const int32_t *replies, int64_t steps)
{
    int32_t *input = memory_allocate((size_t)rows * sizeof *input);
    status s = NULL;
    for (int64_t t = 0; !s && t < steps; t++) {
        if (t > 0) {
            for (int64_t r = 0; r < rows; r++) input[r] = replies[r * steps + t - 1];
            q->op->upload(q, model_decoder_input(decoder), input, (size_t)rows * sizeof *input);
            s = q->op->synchronize(q);
        }
        if (!s) s = model_decoder_step(decoder);
    }
    for (int64_t r = 0; !s && r < rows; r++)
        model_decoder_retain(decoder, r, replies + r * steps, steps);
    free(input);
    return s;
}

/* A first turn's histories and replies, and a second's, which go on with next_tokens more. */
struct two_turns {
    struct histories first, second;
    int32_t *replies; /* [count, reply] */
    int64_t reply;
};

static void two_turns_make(struct two_turns *t, const struct bench *b)
{
    const struct bench_scale *scale = b->scale;
    t->reply = scale->new_tokens;
    t->replies = memory_allocate((size_t)(scale->histories * t->reply) * sizeof *t->replies);
    histories_make(&t->first, scale->histories, scale->history_tokens);
    histories_make(&t->second, scale->histories,
                   scale->history_tokens + t->reply + scale->next_tokens);
    histories_cut(&t->second, scale->history_tokens, t->reply);
}

static void two_turns_free(struct two_turns *t)
{
    free(t->replies);
    histories_free(&t->first);
    histories_free(&t->second);
}

static void two_turns_fill(struct two_turns *t, int64_t vocabulary, uint32_t stream)
{
    const int64_t n = t->first.length;
    bench_ids(t->second.tokens, t->second.count * t->second.length, FIRST_WORD, (int32_t)vocabulary,
              stream);
    for (int64_t h = 0; h < t->first.count; h++) {
        const int32_t *all = t->second.tokens + h * t->second.length;
        memcpy(t->first.tokens + h * n, all, (size_t)n * sizeof *all);
        memcpy(t->replies + h * t->reply, all + n, (size_t)t->reply * sizeof *all);
    }
}

/* The second turn behind the first, and by another decoder, which has not seen it: seconds and
 * tokens read [kept, anew]. */
static status second_turn(struct two_turns *t, struct model_decoder *decoders[2], struct queue *q,
                          double seconds[2], int64_t tokens[2])
{
    double first;
    TRY(histories_read(decoders[0], &t->first, t->reply, q, &first));
    TRY(replies_step(decoders[0], q, t->first.count, t->replies, t->reply));
    TRY(q->op->synchronize(q));
    for (int i = 0; i < 2; i++) {
        const int64_t before = model_decoder_counts(decoders[i]).prefilled;
        TRY(histories_read(decoders[i], &t->second, 1, q, &seconds[i]));
        tokens[i] = model_decoder_counts(decoders[i]).prefilled - before;
    }
    return NULL;
}

static status turns_measure(const struct bench *b, struct model *model,
                            struct model_decoder *decoders[2], json_t *out)
{
    struct two_turns t;
    double times[2][BENCH_ROUNDS_MAX], ratio[BENCH_ROUNDS_MAX];
    int64_t tokens[2] = {0, 0};
    two_turns_make(&t, b);
    status s = NULL;
    for (int i = -1; !s && i < b->rounds; i++) {
        double seconds[2];
        two_turns_fill(&t, model_shape(model)->vocabulary, 200 + (uint32_t)(i + 1));
        s = second_turn(&t, decoders, b->queue, seconds, tokens);
        if (i < 0) continue;
        for (int k = 0; k < 2; k++) times[k][i] = seconds[k];
        ratio[i] = seconds[1] / seconds[0];
    }
    two_turns_free(&t);
    if (s) return s;
    const double fewer = (double)tokens[1] / (double)tokens[0];
    const double faster = bench_median(ratio, b->rounds);
    json_t *line = json_object();
    json_object_set_new(out, "turns", line);
    json_object_set_new(line, "histories", json_integer(b->scale->histories));
    json_object_set_new(line, "first_tokens", json_integer(b->scale->history_tokens));
    json_object_set_new(line, "reply_tokens", json_integer(b->scale->new_tokens));
    json_object_set_new(line, "next_tokens", json_integer(b->scale->next_tokens));
    json_object_set_new(line, "rounds", json_integer(b->rounds));
    json_object_set_new(line, "kept_ms", json_real(bench_median(times[0], b->rounds) * 1e3));
    json_object_set_new(line, "anew_ms", json_real(bench_median(times[1], b->rounds) * 1e3));
    json_object_set_new(line, "tokens_kept", json_integer(tokens[0]));
    json_object_set_new(line, "tokens_anew", json_integer(tokens[1]));
    json_object_set_new(line, "anew_over_kept", json_real(faster));
    json_object_set_new(line, "tokens_anew_over_kept", json_real(fewer));
    json_object_set_new(line, "share_of_the_ratio_of_tokens", json_real(faster / fewer));
    return NULL;
}

status bench_prefill(const struct bench *b, json_t *out)
{
    struct model *model;
    struct model_decoder *decoder = NULL;
    TRY(bench_model(b, b->queue, false, &model));
    status s = model_decoder_create(model, &decoder);
    if (!s) s = prefill_measure(b, model, decoder, out);
    if (decoder) model_decoder_destroy(decoder);
    model_destroy(model);
    return s;
}

status bench_turns(const struct bench *b, json_t *out)
{
    struct model *model;
    struct model_decoder *decoders[2] = {NULL, NULL};
    TRY(bench_model(b, b->queue, false, &model));
    status s = NULL;
    for (int i = 0; !s && i < 2; i++) s = model_decoder_create(model, &decoders[i]);
    if (!s) s = turns_measure(b, model, decoders, out);
    for (int i = 0; i < 2; i++)
        if (decoders[i]) model_decoder_destroy(decoders[i]);
    model_destroy(model);
    return s;
}
