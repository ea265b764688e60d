/* Incremental decoding gives the bits of teacher forcing: logits and captured attention,
 * whatever is in the batch, whichever rows are dropped, however many threads. */
#include "src/model/slots.h"
#include "tests/model/model_test.h"

/* What a teacher-forced pass leaves, on the host. */
struct forced {
    float *logits, *capture;
    int64_t stride;
};

static struct forced forced_of(struct model *model, const struct model_batch *batch, bool keep)
{
    struct queue *q = model_queue(model);
    struct model_run *run;
    struct forced f;
    int64_t m = batch->reply_begin[batch->replies];
    CHECK(model_run_create(model, &run));
    CHECK(model_forward(run, batch, keep, 2));
    float *logits;
    CHECK(model_run_logits(run, &logits));
    f.logits = host_of(q, logits, m * model_shape(model)->vocabulary);
    const float *capture = model_run_capture(run, &f.stride);
    f.capture = host_of(q, capture, m * f.stride);
    model_run_destroy(run);
    return f;
}

static void forced_free(struct forced *f)
{
    free(f->logits);
    free(f->capture);
}

/* Rows of reply r (of `batch` and of `all`'s reply number `of`) agree. */
static void check_reply(const struct model_batch *batch, const struct forced *f, int64_t r,
                        const struct tiny_batch *all, const struct forced *want, int64_t of,
                        const char *what)
{
    int32_t h = all->reply_history[of];
    int64_t keys = all->history_begin[h + 1] - all->history_begin[h];
    for (int32_t t = 0; t < all->reply_begin[of + 1] - all->reply_begin[of]; t++) {
        int64_t row = batch->reply_begin[r] + t, want_row = all->reply_begin[of] + t;
        check_bits(f->logits + row * 23, want->logits + want_row * 23, 23, what, want_row);
        check_bits(f->capture + row * f->stride, want->capture + want_row * want->stride, keys,
                   what, want_row);
    }
}

static void each_reply_alone_matches(struct model *model, const struct tiny_batch *tiny,
                                     const struct forced *want)
{
    for (int r = 0; r < 5; r++) {
        int32_t h = tiny->reply_history[r];
        int32_t history_begin[2] = {0, tiny->history_begin[h + 1] - tiny->history_begin[h]};
        int32_t reply_begin[2] = {0, tiny->reply_begin[r + 1] - tiny->reply_begin[r]};
        int32_t reply_history[1] = {0};
        int32_t cut_begin[2] = {0, tiny->cut_begin[h + 1] - tiny->cut_begin[h]};
        struct model_batch alone = {
            .histories = 1,
            .history_begin = history_begin,
            .history_tokens = tiny->history_tokens + tiny->history_begin[h],
            .cut_begin = cut_begin,
            .cuts = tiny->cuts + tiny->cut_begin[h],
            .replies = 1,
            .reply_begin = reply_begin,
            .reply_tokens = tiny->reply_tokens + tiny->reply_begin[r],
            .reply_history = reply_history,
        };
        struct forced f = forced_of(model, &alone, false);
        check_reply(&alone, &f, 0, tiny, want, r, "a reply alone");
        forced_free(&f);
    }
}

/* Feeds the replies' tokens; a row whose reply is over is dropped, or when `drop` is false
 * stays and is not looked at. */
static void decoding_matches(struct model_decoder *decoder, struct model *model,
                             const struct tiny_batch *tiny, const struct forced *want, bool drop)
{
    struct queue *q = model_queue(model);
    int32_t reply[5] = {0, 1, 2, 3, 4}, input[5] = {0};
    CHECK(model_decoder_begin(decoder, &tiny->batch, 5, tiny->reply_history, 9, 2));
    for (int32_t step = 0; step < 8; step++) {
        CHECK(model_decoder_step(decoder));
        int64_t rows = model_decoder_rows(decoder), stride;
        const float *device = model_decoder_capture(decoder, &stride);
        float *capture = host_of(q, device, rows * stride);
        float *logits = host_of(q, model_decoder_logits(decoder), rows * 23);
        int32_t keep[5], kept = 0, steps[5], histories[5];
        q->op->download(q, steps, model_decoder_step_of_row(decoder),
                        (size_t)rows * sizeof(int32_t));
        q->op->download(q, histories, model_decoder_history_of_row(decoder),
                        (size_t)rows * sizeof(int32_t));
        for (int32_t row = 0; row < rows; row++) {
            int32_t r = reply[row], length = tiny->reply_begin[r + 1] - tiny->reply_begin[r];
            int32_t h = tiny->reply_history[r];
            assert_int_equal(steps[row], step);
            assert_int_equal(histories[row], h);
            if (step < length) {
                int64_t at = tiny->reply_begin[r] + step;
                check_bits(logits + row * 23, want->logits + at * 23, 23, "logits", at);
                check_bits(capture + row * stride, want->capture + at * want->stride,
                           tiny->history_begin[h + 1] - tiny->history_begin[h], "capture", at);
                input[row] = tiny->reply_tokens[at];
            }
            if (!drop || step + 1 < length) keep[kept++] = row;
        }
        free(logits);
        free(capture);
        q->op->upload(q, model_decoder_input(decoder), input, (size_t)rows * sizeof(int32_t));
        CHECK(q->op->synchronize(q));
        CHECK(model_decoder_keep(decoder, keep, kept));
        for (int32_t i = 0; i < kept; i++) reply[i] = reply[keep[i]];
    }
    assert_int_equal(model_decoder_rows(decoder), drop ? 0 : 5);
}

static void decoding_has_the_bits_of_teacher_forcing(void **state)
{
    (void)state;
    struct tiny_batch tiny;
    tiny_batch_fill(&tiny);
    for (int form = 0; form < 4; form++) { /* tied, gated; with turns that were cut, learned */
        const bool gated_untied = form > 0;
        if (form > 1) tiny_batch_summarize(&tiny, form == 3 ? 3 : 0);
        struct forced want = {0};
        for (int threads = 1; threads <= 2; threads++) {
            struct queue *q = queue_new(threads);
            struct model *model = tiny_model(q, gated_untied);
            if (form == 3) CHECK(model_add_slots(&model, 3, true, 5));
            if (threads == 1) want = forced_of(model, &tiny.batch, false);
            for (int keep = 0; keep < 2; keep++) {
                struct forced again = forced_of(model, &tiny.batch, keep);
                for (int r = 0; r < 5; r++)
                    check_reply(&tiny.batch, &again, r, &tiny, &want, r, "the batch again");
                forced_free(&again);
            }
            each_reply_alone_matches(model, &tiny, &want);
            struct model_decoder *decoder;
            CHECK(model_decoder_create(model, &decoder));
            decoding_matches(decoder, model, &tiny, &want, false);
            decoding_matches(decoder, model, &tiny, &want, true);
            model_decoder_destroy(decoder);
            model_destroy(model);
            q->op->destroy(q);
        }
        forced_free(&want);
    }
}

static void captured_rows_are_the_sum_of_the_last_layers_maps(void **state)
{
    (void)state;
    struct queue *q = queue_new(1);
    struct model *model = tiny_model(q, true); /* 3 layers, 3 heads */
    struct tiny_batch tiny;
    tiny_batch_fill(&tiny);
    struct model_run *run;
    CHECK(model_run_create(model, &run));
    model_run_keep_maps(run, true);
    CHECK(model_forward(run, &tiny.batch, false, 2));
    int64_t stride;
    const float *device = model_run_capture(run, &stride);
    float *capture = host_of(q, device, 4 * stride);
    double sum[20] = {0}; /* reply 0: 4 tokens, 5 keys */
    for (int layer = 1; layer < 3; layer++)
        for (int head = 0; head < 3; head++) {
            float map[20];
            CHECK(model_run_map(run, layer, head, map));
            for (int i = 0; i < 20; i++) sum[i] += map[i];
        }
    /* Six fp32 additions of numbers below 1. */
    for (int i = 0; i < 20; i++)
        if (!(fabs(capture[i / 5 * stride + i % 5] - sum[i]) < 2e-6))
            fail_msg("capture %d is %.9g, its maps add to %.9g", i, capture[i / 5 * stride + i % 5],
                     sum[i]);
    free(capture);
    model_run_destroy(run);
    model_destroy(model);
    q->op->destroy(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoding_has_the_bits_of_teacher_forcing),
        cmocka_unit_test(captured_rows_are_the_sum_of_the_last_layers_maps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
