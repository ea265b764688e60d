/* Batched generation with attention capture: see generate.h.  Histories are encoded once, their
 * candidates share cross-attention keys and values, rows that ended leave the batch.
 * Where the queue has graphs, the device is never waited for between steps: a step is one launch of
 * a recorded graph, the host sees which rows have ended while later steps run already, and there
 * are few numbers of rows (size_bucket).  Rows that have ended, and rows beyond the last reply that
 * fill a number up, go on as others do: they write to places of their own, which nobody reads. */
#include "src/rollout/generator.h"

#include "src/base/heartbeat.h"
#include "src/base/log.h"
#include "src/base/memory.h"
#include "src/base/progress.h"
#include "src/rollout/marker.h"
#include "src/rollout/reencode.h"

#include <stdlib.h>
#include <string.h>

/* How many steps pass between two polls of which rows have ended. */
enum { POLL_EVERY = 2, POLL_EVERY_RECORDED = 4 };

status generator_create(struct model *model, const struct statistic_table *statistics,
                        struct generator **out)
{
    struct generator *g = memory_allocate(sizeof *g);
    struct queue *q = model_queue(model);
    g->model = model;
    g->graphs = q->op->graph_begin != NULL;
    capture_create(&g->capture, q, model_shape_is_causal(model_shape(model)),
                   statistics_have_heads(statistics));
    heads_create(&g->heads, q, model_shape(model), statistics);
    received_create(&g->received, q);
    results_create(&g->results, q, statistics);
    block_rows_create(&g->blocks, q);
    step_graphs_create(&g->recorded, q);
    status s = model_shape(model)->layers ? model_decoder_create(model, &g->decoder) : NULL;
    if (!s) s = model_run_create(model, &g->run);
    if (s) {
        generator_destroy(g);
        return s;
    }
    *out = g;
    return NULL;
}

void generator_destroy(struct generator *g)
{
    if (!g) return;
    struct queue *q = model_queue(g->model);
    step_graphs_destroy(&g->recorded);
    struct buffer *all[] = {&g->key_begin, &g->history, &g->step, &g->forced};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) buffer_release(q, all[i]);
    for (int i = 0; i < 2; i++) host_buffer_release(q, &g->polled[i]);
    capture_destroy(&g->capture);
    heads_destroy(&g->heads);
    received_destroy(&g->received);
    results_destroy(&g->results);
    block_rows_destroy(&g->blocks);
    if (g->decoder) model_decoder_destroy(g->decoder);
    if (g->run) model_run_destroy(g->run);
    free(g);
}

void generator_use_graphs(struct generator *g, bool graphs)
{
    g->graphs = graphs && model_queue(g->model)->op->graph_begin;
}

status generator_check(const struct generator *g, const struct rollout_settings *settings)
{
    const int64_t layers = model_shape(g->model)->layers;
    if (settings->layers > layers)
        FAIL(STATUS_INPUT,
             "attention.layers is %lld but the model's decoder has %lld layers; lower it",
             (long long)settings->layers, (long long)layers);
    return NULL;
}

struct statistic_sizes generator_sizes(const struct generator *g,
                                       const struct rollout_settings *settings, int64_t turns)
{
    return statistics_sizes(g->results.table, model_shape(g->model), settings->layers, turns);
}

const struct statistic_table *generator_statistics(const struct generator *g)
{
    return g->results.table;
}

void packed_prompts_make(struct packed_prompts *packed, const struct prompt *prompts,
                         const struct reply_row *rows, int64_t row_count)
{
    packed->first = rows[0].prompt;
    packed->count = rows[row_count - 1].prompt - packed->first + 1;
    const size_t n = (size_t)packed->count + 1;
    packed->begin = memory_allocate(n * sizeof *packed->begin);
    packed->cut_begin = memory_allocate(n * sizeof *packed->cut_begin);
    for (int64_t p = 0; p < packed->count; p++) {
        const struct prompt *prompt = &prompts[packed->first + p];
        packed->begin[p + 1] = packed->begin[p] + (int32_t)prompt->count;
        packed->cut_begin[p + 1] = packed->cut_begin[p] + (int32_t)prompt->cut_count;
    }
    packed->tokens =
        memory_allocate((size_t)packed->begin[packed->count] * sizeof *packed->tokens + 4);
    packed->cuts =
        memory_allocate((size_t)packed->cut_begin[packed->count] * sizeof *packed->cuts + 4);
    for (int64_t p = 0; p < packed->count; p++) {
        const struct prompt *prompt = &prompts[packed->first + p];
        memcpy(packed->tokens + packed->begin[p], prompt->tokens,
               (size_t)prompt->count * sizeof *packed->tokens);
        if (prompt->cut_count)
            memcpy(packed->cuts + packed->cut_begin[p], prompt->cuts,
                   (size_t)prompt->cut_count * sizeof *packed->cuts);
    }
}

struct model_batch packed_prompts_batch(const struct packed_prompts *packed)
{
    return (struct model_batch){.histories = packed->count,
                                .history_begin = packed->begin,
                                .history_tokens = packed->tokens,
                                .cut_begin = packed->cut_begin,
                                .cuts = packed->cuts};
}

void packed_prompts_free(struct packed_prompts *packed)
{
    free(packed->begin);
    free(packed->tokens);
    free(packed->cut_begin);
    free(packed->cuts);
}

int64_t generator_histories(const struct rollout_settings *settings, int64_t candidates)
{
    const int64_t rows = settings->batch, most = rows / candidates + 2;
    return most < rows ? most : rows;
}

/* Lays out for `need`.  Where steps are recorded the limits only grow; `more`: to the next bucket,
 * so that it happens seldom. */
static status limits_set(struct generator *g, const struct rollout_settings *settings,
                         const struct generator_limits *need, bool more)
{
    const struct generator_limits *now = &g->limits;
    struct generator_limits limits = *need;
    if (model_queue(g->model)->op->graph_begin)
        limits =
            (struct generator_limits){.tokens = size_grown(now->tokens, need->tokens, more),
                                      .rows = size_grown(now->rows, need->rows, true),
                                      .steps = size_grown(now->steps, need->steps, false),
                                      .turns = size_grown(now->turns, need->turns, more),
                                      .longest = size_grown(now->longest, need->longest, more)};
    TRY(capture_reserve(&g->capture, limits.tokens, limits.rows));
    const struct statistic_sizes sizes = generator_sizes(g, settings, limits.turns);
    TRY(results_reserve(&g->results, limits.rows * limits.steps, &sizes));
    TRY(heads_reserve(&g->heads, limits.rows, limits.rows, limits.longest));
    TRY(received_reserve(&g->received, settings->received, limits.rows, limits.longest));
    if (settings->cot.marker_count)
        TRY(buffer_reserve(model_queue(g->model), &g->forced,
                           (size_t)limits.rows * sizeof(int32_t)));
    for (int i = 0; i < 2; i++)
        TRY(host_buffer_reserve(model_queue(g->model), &g->polled[i],
                                (size_t)(limits.rows * limits.steps) * sizeof(int32_t)));
    const void *laid[GENERATOR_SHARED] = {g->capture.inputs.data, g->results.device.data,
                                          g->heads.rows.data,     g->heads.kept.data,
                                          g->heads.ended.data,    g->forced.data,
                                          g->received.sums.data,  g->received.ended.data};
    if (memcmp(laid, g->laid, sizeof laid) != 0 || memcmp(&limits, &g->limits, sizeof limits) != 0)
        g->layout++;
    memcpy(g->laid, laid, sizeof laid);
    g->limits = limits;
    return NULL;
}

status generator_reserve(struct generator *g, const struct rollout_settings *settings,
                         int64_t candidates)
{
    const int64_t rows = g->graphs ? size_bucket(settings->batch) : settings->batch;
    const int64_t longest = rollout_longest_history(settings);
    const int64_t histories =
        generator_histories(settings, settings->cot.reencode ? 1 : candidates);
    const int64_t tokens = histories * (longest + rollout_cut_tokens(settings));
    const struct model_decoder_limits decoder = {.histories = histories,
                                                 .history_tokens = tokens,
                                                 .longest_history = longest,
                                                 .rows = rows,
                                                 .steps = settings->max_new_tokens,
                                                 .capture_layers = settings->layers,
                                                 .cuts = 2 * settings->max_turns,
                                                 .summary_slots = settings->summary_slots,
                                                 .cache_tokens = settings->cache_tokens};
    const struct generator_limits limits = {.tokens = tokens,
                                            .rows = rows,
                                            .steps = settings->max_new_tokens,
                                            .turns = settings->max_turns,
                                            .longest = longest};
    TRY(generator_check(g, settings));
    TRY(model_decoder_reserve(g->decoder, &decoder));
    return limits_set(g, settings, &limits, false);
}

/* Rows that are decoded together.  `all` of them: the replies' and, where steps are recorded, some
 * more behind them. */
struct chunk {
    const struct rollout_settings *settings;
    enum random_purpose purpose;
    int64_t replies, all, steps;
    int32_t *prompt;   /* [all] its prompt among the chunk's */
    uint32_t *counter; /* [all, 3] */
    bool *ended;       /* [all] */
    int32_t *limit;    /* [all] tokens after which a reply is cut; 0: none */
    int32_t *active;   /* [active_count] rows still in the batch, ascending */
    int64_t active_count;
    /* cot.reason_tokens: lists of struct sampling's `forced`, one of none and one a token of the
     * marker: [1 + marker tokens][all]; NULL: the marker is put nowhere. */
    int32_t *forced;
};

static void chunk_make(struct chunk *chunk, const struct generator *g,
                       const struct rollout_settings *settings, enum random_purpose purpose,
                       const struct reply_row *rows, int64_t count, int64_t first_prompt)
{
    const int64_t all = g->graphs ? size_bucket(count) : count;
    *chunk = (struct chunk){.settings = settings,
                            .purpose = purpose,
                            .replies = count,
                            .all = all,
                            .steps = settings->max_new_tokens,
                            .active_count = all};
    chunk->prompt = memory_allocate((size_t)all * sizeof *chunk->prompt);
    chunk->counter = memory_allocate((size_t)all * 3 * sizeof *chunk->counter);
    chunk->ended = memory_allocate((size_t)all * sizeof *chunk->ended);
    chunk->limit = memory_allocate((size_t)all * sizeof *chunk->limit);
    chunk->active = memory_allocate((size_t)all * sizeof *chunk->active);
    const size_t lists = (size_t)settings->cot.marker_count + 1;
    if (settings->cot.marker_count) {
        chunk->forced = memory_allocate(lists * (size_t)all * sizeof *chunk->forced);
        for (size_t i = 0; i < lists * (size_t)all; i++) chunk->forced[i] = -1;
    }
    for (int64_t r = 0; r < all; r++) {
        const struct reply_row *row = &rows[r < count ? r : count - 1];
        chunk->prompt[r] = row->prompt - (int32_t)first_prompt;
        memcpy(chunk->counter + 3 * r, row->counter, sizeof row->counter);
        chunk->ended[r] = r >= count;
        chunk->limit[r] = row->limit;
        chunk->active[r] = (int32_t)r;
    }
}

static void chunk_free(struct chunk *chunk)
{
    free(chunk->prompt);
    free(chunk->counter);
    free(chunk->ended);
    free(chunk->limit);
    free(chunk->active);
    free(chunk->forced);
}

/* A step's calls, without counting it. */
static void step_calls(struct generator *g, const struct chunk *chunk)
{
    struct queue *q = model_queue(g->model);
    const struct rollout_settings *settings = chunk->settings;
    const struct model_shape *shape = model_shape(g->model);
    const int64_t rows = model_decoder_rows(g->decoder);
    const int64_t layers = settings->layers; /* 0: capture off, asked by bench alone */
    const struct result_places at = {model_decoder_slot_of_row(g->decoder), g->limits.steps};
    model_decoder_calls(g->decoder);
    struct attention_summary summary = {.rows = rows};
    if (layers > 0) {
        summary =
            (struct attention_summary){.rows = rows,
                                       .weight = 1.0f / (float)(layers * shape->heads),
                                       .history_of_row = model_decoder_history_of_row(g->decoder),
                                       .key_begin = model_decoder_key_begin(g->decoder),
                                       .key_end = model_decoder_key_end(g->decoder),
                                       .step = model_decoder_step_of_row(g->decoder),
                                       .at = at};
        summary.capture = model_decoder_capture(g->decoder, &summary.capture_stride);
        capture_reduce(&g->capture, settings, &g->results, &summary);
    }
    const struct sampling sampling = {.rows = rows,
                                      .vocabulary = shape->vocabulary,
                                      .logits = model_decoder_logits(g->decoder),
                                      .temperature = (float)settings->temperature,
                                      .top_k = settings->top_k,
                                      .top_p = (float)settings->top_p,
                                      .key = {(uint32_t)settings->seed, (uint32_t)chunk->purpose},
                                      .counter = g->capture.counter,
                                      .step = model_decoder_step_of_row(g->decoder),
                                      .token = model_decoder_input(g->decoder),
                                      .at = at,
                                      .forced = chunk->forced ? g->forced.data : NULL,
                                      .token_record = g->results.token,
                                      .logp = g->results.logp,
                                      .token_entropy = g->results.token_entropy,
                                      .self_certainty = results_self_certainty(&g->results)};
    q->op->sample(q, &sampling);
    heads_sampled(&g->heads, sampling.token, rows);
    if (layers > 0)
        received_step(&g->received, summary.capture, summary.capture_stride, summary.weight,
                      sampling.token, rows);
}

/* All that step_calls reads on the host. */
static struct step_key step_key_of(const struct generator *g, const struct chunk *chunk)
{
    const struct rollout_settings *settings = chunk->settings;
    return (struct step_key){.decoder = model_decoder_shape(g->decoder),
                             .layout = g->layout,
                             .seed = settings->seed,
                             .purpose = chunk->purpose,
                             .top_k = settings->top_k,
                             .floor_form = settings->reward.floor_form,
                             .shuffle = settings->shuffled,
                             .self_certainty = settings->self_certainty,
                             .received = settings->received,
                             .forced = chunk->forced != NULL,
                             .temperature = settings->temperature,
                             .top_p = settings->top_p};
}

/* A kind of step that cannot be recorded is run call by call; others are not concerned. */
static status step_record(struct generator *g, const struct chunk *chunk, struct step_graph *entry)
{
    struct queue *q = model_queue(g->model);
    TRY(q->op->synchronize(q)); /* what failed before has nothing to do with it */
    q->op->graph_begin(q);
    step_calls(g, chunk);
    status s = q->op->graph_end(q, &entry->graph);
    if (s) {
        log_line(LOG_WARNING, "decode steps of %lld rows run call by call, which is slower: %s",
                 (long long)chunk->active_count, status_message(s));
        status_free(s);
        entry->graph = NULL;
        entry->refused = true;
    } else {
        g->recorded.recordings++;
    }
    return NULL;
}

/* The first step of a kind is not recorded: working space may grow and algorithms may be looked for
 * then. */
static status step_run(struct generator *g, const struct chunk *chunk)
{
    struct queue *q = model_queue(g->model);
    TRY(model_decoder_count(g->decoder));
    struct step_graph *entry = NULL;
    heartbeat_note();
    if (g->graphs) {
        const struct step_key key = step_key_of(g, chunk);
        entry = step_graphs_find(&g->recorded, &key);
        if (!entry->graph && !entry->refused && entry->met > 1) TRY(step_record(g, chunk, entry));
    }
    if (entry && entry->graph)
        q->op->graph_launch(q, entry->graph);
    else
        step_calls(g, chunk);
    return NULL;
}

/* Which rows have come to cot.reason_tokens without the marker, into the lists. */
static status forced_choose(struct generator *g, struct chunk *chunk)
{
    struct queue *q = model_queue(g->model);
    const struct cot_settings *cot = &chunk->settings->cot;
    const int64_t stride = g->limits.steps;
    int32_t *tokens = memory_allocate((size_t)(chunk->all * stride) * sizeof *tokens);
    q->op->download(q, tokens, g->results.token, (size_t)(chunk->all * stride) * sizeof *tokens);
    status s = q->op->synchronize(q);
    for (int64_t i = 0; !s && i < chunk->active_count; i++) {
        const int32_t row = chunk->active[i];
        bool due = true;
        for (int64_t t = 0; due && t < cot->reason_tokens; t++)
            due = !model_shape_is_end(model_shape(g->model), tokens[row * stride + t]);
        if (due) s = marker_is_due(cot, tokens + row * stride, &due);
        for (int64_t k = 0; due && k < cot->marker_count; k++)
            chunk->forced[(k + 1) * chunk->all + row] = cot->marker[k];
    }
    free(tokens);
    return s;
}

/* Before step t, from 0: the list that holds for it, where it is another than the last one's. */
static status forced_set(struct generator *g, struct chunk *chunk, int64_t t)
{
    struct queue *q = model_queue(g->model);
    const struct cot_settings *cot = &chunk->settings->cot;
    if (!chunk->forced) return NULL;
    const int64_t token = t - cot->reason_tokens;
    if (t && (token < 0 || token > cot->marker_count)) return NULL;
    if (token == 0) TRY(forced_choose(g, chunk));
    const int64_t list = token < 0 || token == cot->marker_count ? 0 : token + 1;
    q->op->upload(q, g->forced.data, chunk->forced + list * chunk->all,
                  (size_t)chunk->all * sizeof(int32_t));
    return NULL;
}

/* Before step t, from 0: replies that are cut there. */
static void cuts_set(const struct generator *g, const struct chunk *chunk, int64_t t)
{
    for (int64_t r = 0; r < chunk->replies; r++)
        if (t && chunk->limit[r] == t) {
            heads_cut(&g->heads, r);
            received_cut(&g->received, r);
        }
}

/* Marks the rows whose tokens of steps [from, to) hold an end token or their reply's last one. */
static void ends_mark(const struct generator *g, struct chunk *chunk, const int32_t *tokens,
                      int64_t from, int64_t to)
{
    const struct model_shape *shape = model_shape(g->model);
    for (int64_t i = 0; i < chunk->active_count; i++) {
        const int32_t row = chunk->active[i];
        if (chunk->limit[row] && chunk->limit[row] <= to) chunk->ended[row] = true;
        for (int64_t t = from; t < to; t++)
            if (model_shape_is_end(shape, tokens[row * g->limits.steps + t]))
                chunk->ended[row] = true;
    }
}

/* Which of the active rows stay, so many in all: those that have not ended, then others of their
 * prompts, whose keys are read anyway, then any.  kept [active_count]. */
static void kept_choose(const struct chunk *chunk, int64_t stay, bool *kept)
{
    bool *read = memory_allocate((size_t)chunk->prompt[chunk->all - 1] + 1);
    for (int64_t i = 0; i < chunk->active_count; i++) {
        const int32_t row = chunk->active[i];
        kept[i] = !chunk->ended[row];
        stay -= kept[i];
        if (kept[i]) read[chunk->prompt[row]] = true;
    }
    for (int any = 0; any < 2; any++)
        for (int64_t i = 0; i < chunk->active_count && stay > 0; i++)
            if (!kept[i] && (any || read[chunk->prompt[chunk->active[i]]])) {
                kept[i] = true;
                stay--;
            }
    free(read);
}

/* Drops rows that have ended: where steps are recorded, as many as leave a number that is. */
static status rows_drop(struct generator *g, struct chunk *chunk)
{
    int64_t live = 0;
    for (int64_t i = 0; i < chunk->active_count; i++) live += !chunk->ended[chunk->active[i]];
    const int64_t stay = g->graphs && live ? size_bucket(live) : live;
    if (stay >= chunk->active_count) return NULL;
    bool *kept = memory_allocate((size_t)chunk->active_count * sizeof *kept);
    int32_t *rows = memory_allocate((size_t)stay * sizeof *rows + 1);
    int64_t count = 0;
    if (stay) kept_choose(chunk, stay, kept);
    for (int64_t i = 0; i < chunk->active_count; i++) {
        if (!kept[i]) continue;
        chunk->active[count] = chunk->active[i];
        rows[count++] = (int32_t)i;
    }
    chunk->active_count = count;
    status s = model_decoder_keep(g->decoder, rows, count);
    free(kept);
    free(rows);
    return s;
}

/* A poll takes the tokens so far to the host.  Where steps are recorded it is used one poll later,
 * when the device has more steps to do. */
static status steps_run(struct generator *g, struct chunk *chunk)
{
    struct queue *q = model_queue(g->model);
    const int64_t every = g->graphs ? POLL_EVERY_RECORDED : POLL_EVERY, late = g->graphs ? 1 : 0;
    const size_t bytes = (size_t)(chunk->all * g->limits.steps) * sizeof(int32_t);
    int64_t polls = 0;
    for (int64_t step = 1; step <= chunk->steps && chunk->active_count; step++) {
        progress_poll();
        TRY(forced_set(g, chunk, step - 1));
        cuts_set(g, chunk, step - 1);
        TRY(step_run(g, chunk));
        if (step % every != 0 || step == chunk->steps) continue;
        q->op->download(q, g->polled[polls % 2].data, g->results.token, bytes);
        q->op->mark(q, MARK_POLL + (int)(polls % 2));
        const int64_t used = polls++ - late;
        if (used < 0) continue;
        q->op->mark_wait(q, MARK_POLL + (int)(used % 2));
        ends_mark(g, chunk, g->polled[used % 2].data, used * every, (used + 1) * every);
        TRY(rows_drop(g, chunk));
    }
    return NULL;
}

/* A reply ends at its first end token, or where it is cut.  Where the model can go on from what it
 * computed, that is kept. */
static void replies_fill(struct generator *g, const struct chunk *chunk,
                         const struct prompt *prompts, struct reply *replies)
{
    const struct model_shape *shape = model_shape(g->model);
    for (int64_t r = 0; r < chunk->replies; r++) {
        const int64_t first = r * g->limits.steps;
        const int32_t *tokens = results_tokens(&g->results) + first;
        int64_t count = 0;
        bool ended = false;
        const int64_t most = chunk->limit[r] ? chunk->limit[r] : chunk->steps;
        while (count < most && !ended) ended = model_shape_is_end(shape, tokens[count++]);
        results_reply(&g->results, first, count, prompts[chunk->prompt[r]].turns, &replies[r]);
        replies[r].ended = ended;
        replies[r].interrupted = chunk->limit[r] && !ended;
        received_reply(&g->received, r, prompts[chunk->prompt[r]].count, &replies[r]);
        model_decoder_retain(g->decoder, r, tokens, count);
    }
    progress_add(chunk->replies);
}

/* Places and inputs of a chunk, and its histories' encoder pass. */
static status chunk_begin(struct generator *g, const struct chunk *chunk,
                          const struct prompt *prompts, const struct packed_prompts *packed)
{
    const struct capture_batch batch = {.prompts = prompts + packed->first,
                                        .prompt_count = packed->count,
                                        .prompt_of = chunk->prompt,
                                        .counters = chunk->counter,
                                        .replies = chunk->all};
    const struct generator_limits need = {.tokens = packed->begin[packed->count],
                                          .rows = chunk->all,
                                          .steps = chunk->steps,
                                          .turns = capture_turns(&batch),
                                          .longest = capture_longest(&batch)};
    TRY(limits_set(g, chunk->settings, &need, true));
    TRY(capture_begin(&g->capture, chunk->settings, &batch, g->limits.tokens, g->limits.rows));
    const struct statistic_sizes sizes = generator_sizes(g, chunk->settings, g->limits.turns);
    TRY(results_begin(&g->results, g->limits.rows * g->limits.steps, &sizes,
                      chunk->settings->self_certainty));
    const struct model_batch histories = packed_prompts_batch(packed);
    model_decoder_cache(g->decoder, chunk->settings->cache_tokens);
    TRY(model_decoder_begin(g->decoder, &histories, chunk->all, chunk->prompt, chunk->steps,
                            chunk->settings->layers));
    TRY(heads_begin(&g->heads, &g->capture, &g->results, chunk->prompt, chunk->all));
    const struct result_places at = {model_decoder_slot_of_row(g->decoder), g->limits.steps};
    heads_of_decoder(&g->heads, g->decoder, &at);
    model_decoder_read_heads(g->decoder, heads_call(&g->heads));
    received_begin(&g->received, model_shape(g->model), g->decoder, chunk->all);
    const struct step_key key = step_key_of(g, chunk);
    step_graphs_keep_layout(&g->recorded, &key);
    return NULL;
}

static status chunk_generate(struct generator *g, const struct rollout_settings *settings,
                             enum random_purpose purpose, const struct prompt *prompts,
                             const struct reply_row *rows, int64_t row_count, struct reply *replies)
{
    struct packed_prompts packed;
    struct chunk chunk;
    packed_prompts_make(&packed, prompts, rows, row_count);
    chunk_make(&chunk, g, settings, purpose, rows, row_count, packed.first);
    status s = chunk_begin(g, &chunk, prompts, &packed);
    if (!s) s = steps_run(g, &chunk);
    if (!s) heads_finish(&g->heads);
    if (!s) received_read(&g->received);
    if (!s) s = results_read(&g->results);
    if (!s) replies_fill(g, &chunk, prompts + packed.first, replies);
    chunk_free(&chunk);
    packed_prompts_free(&packed);
    return s;
}

status generate_replies(struct generator *g, const struct rollout_settings *settings,
                        enum random_purpose purpose, const struct prompt *prompts,
                        const struct reply_row *rows, int64_t row_count, struct reply *replies)
{
    TRY(generator_check(g, settings));
    if (settings->cot.reencode)
        return reencode_generate(g, settings, purpose, prompts, rows, row_count, replies);
    memset(replies, 0, (size_t)row_count * sizeof *replies);
    for (int64_t at = 0; at < row_count; at += settings->batch) {
        const int64_t left = row_count - at;
        TRY(chunk_generate(g, settings, purpose, prompts, rows + at,
                           left < settings->batch ? left : settings->batch, replies + at));
    }
    return NULL;
}
