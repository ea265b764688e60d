/* The turn loop of a batch of dialogues; see dialogues.h. */
#include "src/rollout/dialogues.h"

#include "src/base/memory.h"
#include "src/base/timeline.h"
#include "src/data/simulator.h"
#include "src/reward/salience_control.h"
#include "src/reward/terms.h"
#include "src/rollout/blocks.h"
#include "src/rollout/experience_spans.h"
#include "src/rollout/judge.h"
#include "src/task/history_walk.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One conversation: with `each` a candidate's own, with `best` a dialogue's. */
struct conversation {
    struct history *history;
    const struct dialogue *source;
    int64_t id;    /* the dialogue's */
    int64_t place; /* its index in the batch */
    int32_t first; /* first candidate it answers for */
    int32_t count; /* how many candidates it samples a turn */
    bool over;
};

struct turn_work {
    struct prompt *prompts;
    struct reply_row *rows;
    struct reply *replies;
    struct reply *scored;      /* what the reference says of them; NULL: it is not asked */
    double (*terms)[TERM_MAX]; /* that sources give */
    struct given_spans *cuts;  /* into which they cut a reply */
    int64_t *owner;            /* conversation of a row */
    int64_t prompt_count, row_count;
};

struct experience_format rollout_format(const struct rollout *rollout)
{
    const struct statistic_sizes sizes = generator_sizes(rollout->policy, rollout->settings, 0);
    return (struct experience_format){.statistics = generator_statistics(rollout->policy),
                                      .reward = &rollout->settings->reward,
                                      .layers = sizes.layers,
                                      .heads = sizes.heads,
                                      .interruption = rollout->settings->interruption};
}

static void turn_blocks(const struct reply *reply, struct experience_turn *turn)
{
    experience_turn_cut(turn, reply->blocks.begin, reply->blocks.count);
    memcpy(turn->marks, reply->blocks.marks, (size_t)reply->count);
    turn->answered = reply->blocks.answered;
    turn->unbalanced = reply->blocks.unbalanced;
}

status experience_turn_fill(const struct experience_format *format, int64_t dialogue,
                            int32_t candidate, const struct prompt *prompt,
                            const struct reply *reply, const double *given,
                            struct experience_turn *turn)
{
    turn->cut_count = (int32_t)prompt->cut_count;
    experience_turn_allocate(format, turn, (int32_t)prompt->count, (int32_t)reply->count,
                             reply->statistics.sizes.turns);
    turn->candidate = candidate;
    turn->turn = prompt->turn - 1;
    turn->ended = reply->ended;
    turn->interrupted = reply->interrupted;
    turn->visible_count = (int32_t)prompt->visible_count;
    turn->salient_count = (int32_t)prompt->salient_count;
    turn->dropped = (int32_t)prompt->dropped;
    turn->pruned = (int32_t)prompt->pruned;
    turn->whole = (int32_t)prompt->whole;
    const size_t history = (size_t)prompt->count, n = (size_t)reply->count;
    if (history) {
        memcpy(turn->history_tokens, prompt->tokens, history * sizeof *prompt->tokens);
        memcpy(turn->salient, prompt->salient, history);
        memcpy(turn->visible, prompt->visible, history);
        memcpy(turn->turn_of, prompt->turn_of, history);
        memcpy(turn->part, prompt->part, history);
        if (prompt->names[0][0]) {
            turn->speaker = memory_allocate(history);
            memcpy(turn->speaker, prompt->speaker, history);
            memcpy(turn->names, prompt->names, sizeof turn->names);
        }
    }
    if (prompt->cut_count)
        memcpy(turn->cuts, prompt->cuts, (size_t)prompt->cut_count * sizeof *prompt->cuts);
    if (n) {
        memcpy(turn->reply_tokens, reply->tokens, n * sizeof *reply->tokens);
        memcpy(turn->logp, reply->logp, n * sizeof *reply->logp);
        memcpy(turn->token_entropy, reply->token_entropy, n * sizeof *reply->token_entropy);
    }
    statistics_copy_rounded(&turn->statistics, &reply->statistics);
    if (given) memcpy(turn->terms, given, sizeof turn->terms);
    const struct turn_key key = {dialogue, prompt->turn, candidate, 0};
    if (reply->blocks.count) {
        turn_blocks(reply, turn);
        TRY(reply_block_terms(format->reward, key, prompt, reply, turn->terms, turn->spans->terms,
                              sizeof *turn->spans));
    } else {
        TRY(reply_terms(format->reward, key, prompt, reply, turn->terms));
    }
    turn->reward = reward_combine(format->reward, turn->terms, NULL, reply->count);
    return NULL;
}

static void turn_work_free(struct turn_work *work)
{
    for (int64_t p = 0; p < work->prompt_count; p++) prompt_free(&work->prompts[p]);
    for (int64_t r = 0; r < work->row_count; r++) {
        reply_free(&work->replies[r]);
        if (work->scored) reply_free(&work->scored[r]);
        free(work->cuts[r].list);
    }
    free(work->prompts);
    free(work->rows);
    free(work->replies);
    free(work->scored);
    free(work->terms);
    free(work->cuts);
    free(work->owner);
    memset(work, 0, sizeof *work);
}

/* Prompts and rows of all conversations that go on.  In the first turn the candidates of a
 * dialogue have one history: it is encoded once. */
static status turn_prepare(const struct rollout *rollout, struct conversation *conversations,
                           int64_t count, struct turn_work *work)
{
    const struct rollout_settings *settings = rollout->settings;
    int64_t rows = 0;
    for (int64_t c = 0; c < count; c++)
        if (!conversations[c].over) rows += conversations[c].count;
    memset(work, 0, sizeof *work);
    const size_t n = (size_t)rows + 1;
    work->prompts = memory_allocate(n * sizeof *work->prompts);
    work->rows = memory_allocate(n * sizeof *work->rows);
    work->replies = memory_allocate(n * sizeof *work->replies);
    work->terms = memory_allocate(n * sizeof *work->terms);
    work->cuts = memory_allocate(n * sizeof *work->cuts);
    work->owner = memory_allocate(n * sizeof *work->owner);
    for (int64_t c = 0; c < count; c++) {
        const struct conversation *talk = &conversations[c];
        if (talk->over) continue;
        const bool shared = c > 0 && !conversations[c - 1].over && talk->first > 0 &&
                            conversations[c - 1].place == talk->place &&
                            history_turn(talk->history) == 1;
        if (!shared) {
            struct prompt *prompt = &work->prompts[work->prompt_count++];
            TRY(prompt_from_history(talk->history, settings, prompt));
            if (settings->random_salience)
                TRY(salience_randomize(
                    settings->seed, talk->id, prompt->turn, prompt->visible + prompt->slots,
                    prompt->salient + prompt->slots, prompt->count - prompt->slots));
        }
        for (int32_t k = 0; k < talk->count; k++) {
            struct reply_row *row = &work->rows[work->row_count];
            row->prompt = (int32_t)work->prompt_count - 1;
            row->counter[0] = (uint32_t)talk->id;
            row->counter[1] = (uint32_t)work->prompts[row->prompt].turn;
            row->counter[2] = (uint32_t)(talk->first + k);
            const struct turn_key key = {talk->id, work->prompts[row->prompt].turn,
                                         (int32_t)row->counter[2], 0};
            row->limit = (int32_t)interruption_limit(&settings->interruption, &key);
            work->owner[work->row_count++] = c;
        }
    }
    return NULL;
}

/* What the user says next, NULL when there is nothing more; the caller frees *said. */
static status user_says(struct rollout *rollout, const struct conversation *talk, int64_t turn,
                        char **said)
{
    *said = NULL;
    const int64_t spoken = history_message_count(talk->history);
    if (rollout->settings->user == USER_REPLAY) {
        if (spoken < talk->source->message_count - 1)
            *said = memory_text(talk->source->messages[spoken].content);
        return NULL;
    }
    if (rollout->settings->user == USER_RULE) {
        struct message *messages = history_messages(talk->history);
        status s = simulator_reply(talk->source, messages, spoken, turn, said);
        free(messages);
        return s;
    }
    const struct rollout_settings *settings = rollout->user_settings;
    struct prompt prompt;
    TRY(prompt_from_history(talk->history, settings, &prompt));
    const struct reply_row row = {
        0, {(uint32_t)talk->id, (uint32_t)turn, (uint32_t)talk->first}, 0};
    struct reply reply = {0};
    status s =
        generate_replies(rollout->user, settings, RANDOM_SIMULATOR, &prompt, &row, 1, &reply);
    prompt_free(&prompt);
    if (!s)
        s = tokenizer_decode(rollout->history->tokenizer, reply.tokens, reply.count, true, said);
    reply_free(&reply);
    if (!s && *said && !(*said)[strspn(*said, " \t\n")]) {
        free(*said);
        *said = NULL;
    }
    return s;
}

/* The candidate to go on with: highest scaled reward, ties to the lowest. */
static int64_t best_candidate(const struct rollout *rollout, struct experience_turn *turns,
                              int64_t count)
{
    const struct reward_settings *reward = &rollout->settings->reward;
    double divisors[TERM_MAX];
    running_divisors(reward, &rollout->statistics, divisors);
    int64_t best = 0;
    double best_reward = -INFINITY;
    for (int64_t k = 0; k < count; k++) {
        const double scaled =
            reward_combine(reward, turns[k].terms, divisors, turns[k].reply_length);
        if (scaled > best_reward) {
            best_reward = scaled;
            best = k;
        }
    }
    return best;
}

/* A list of a dialogue's turns while it grows. */
struct turn_list {
    struct experience_turn *turns;
    int64_t count, capacity;
};

static struct experience_turn *turn_list_add(struct turn_list *list)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? list->capacity * 2 : 8;
        list->turns = memory_resize(list->turns, (size_t)list->capacity * sizeof *list->turns);
    }
    struct experience_turn *turn = &list->turns[list->count++];
    memset(turn, 0, sizeof *turn);
    return turn;
}

/* Who speaks next, whoever makes the words: as the data have it, and beyond them their first user.
 */
static const char *who_says(const struct conversation *talk)
{
    const int64_t spoken = history_message_count(talk->history);
    const struct dialogue *source = talk->source;
    int64_t m = spoken < source->message_count ? spoken : 0;
    while (m < source->message_count && source->messages[m].role != ROLE_USER) m++;
    return m < source->message_count ? source->messages[m].name : NULL;
}

/* The reply enters the history; then the user speaks, or the conversation is over. */
static status conversation_go_on(struct rollout *rollout, struct conversation *talk,
                                 const struct reply *reply, int64_t turn)
{
    char *said = NULL;
    talk->over = true;
    if (turn == rollout->settings->turns) return NULL;
    if (reply->received) TRY(history_attend(talk->history, reply->received));
    TRY(history_add_tokens(talk->history, ROLE_ASSISTANT, reply->tokens, reply->count,
                           reply->ended));
    TRY(user_says(rollout, talk, turn, &said));
    if (!said) return NULL;
    bool fits; /* what a model says can be too long to be answered */
    const char *name = who_says(talk);
    status s = history_said_fits(talk->history, ROLE_USER, name, said, &fits);
    if (!s && fits) s = history_add_said(talk->history, ROLE_USER, name, said);
    talk->over = !fits;
    free(said);
    return s;
}

static bool same_spans(const struct given_spans *cut, const struct experience_turn *turn)
{
    bool same = cut->count == turn->span_count;
    for (int32_t i = 0; same && i < cut->count; i++)
        same = cut->list[i].begin == turn->spans[i].begin;
    return same;
}

/* Cuts a turn as its sources did; the terms that they give are each span's own. */
static status turn_cut(const struct reward_settings *reward, int64_t dialogue,
                       const struct given_spans *cut, struct experience_turn *turn)
{
    if (!cut->list) return NULL;
    if (turn->span_count && !same_spans(cut, turn))
        FAIL(STATUS_INPUT,
             "dialogue %lld, candidate %d: the source %s cuts the reply into other spans than the "
             "blocks of task: reasoning",
             (long long)dialogue, turn->candidate, cut->by);
    int32_t *begin = memory_allocate((size_t)cut->count * sizeof *begin);
    for (int32_t i = 0; i < cut->count; i++) begin[i] = cut->list[i].begin;
    if (!turn->span_count) experience_turn_cut(turn, begin, cut->count);
    free(begin);
    for (int32_t i = 0; i < cut->count; i++)
        for (int64_t t = 0; t < reward->term_count; t++)
            if (reward_term_given(reward, t)) turn->spans[i].terms[t] = cut->list[i].terms[t];
    return NULL;
}

/* The replies of a turn become experience; each conversation goes on with one of its own. */
static status turn_finish(struct rollout *rollout, struct conversation *conversations,
                          struct turn_work *work, int64_t turn, struct turn_list *lists)
{
    const struct experience_format format = rollout_format(rollout);
    for (int64_t r = 0; r < work->row_count;) {
        struct conversation *talk = &conversations[work->owner[r]];
        struct turn_list *list = &lists[talk->place];
        const int64_t begin = list->count;
        for (int32_t k = 0; k < talk->count; k++) {
            struct experience_turn *one = turn_list_add(list);
            TRY(experience_turn_fill(&format, talk->id, talk->first + k,
                                     &work->prompts[work->rows[r + k].prompt],
                                     &work->replies[r + k], work->terms[r + k], one));
            TRY(turn_cut(format.reward, talk->id, &work->cuts[r + k], one));
        }
        const int64_t best = rollout->settings->continue_best
                                 ? best_candidate(rollout, list->turns + begin, talk->count)
                                 : 0;
        list->turns[begin + best].chosen = true;
        TRY(conversation_go_on(rollout, talk, &work->replies[r + best], turn));
        r += talk->count;
    }
    return NULL;
}

/* By turn, then candidate. */
static int turn_compare(const void *a, const void *b)
{
    const struct experience_turn *x = a, *y = b;
    if (x->turn != y->turn) return x->turn < y->turn ? -1 : 1;
    return x->candidate < y->candidate ? -1 : x->candidate > y->candidate;
}

static const struct dialogue *source_of(const struct rollout *rollout, int64_t id, int64_t *index)
{
    const int64_t size = rollout->data->count;
    *index = prompt_order(rollout->settings->seed, id / size, id % size, size);
    return &rollout->data->dialogues[*index];
}

static status conversations_open(struct rollout *rollout, const int64_t *ids, int64_t count,
                                 struct conversation *conversations, int64_t *made)
{
    const bool best = rollout->settings->continue_best;
    const int64_t candidates = rollout->settings->candidates;
    const int64_t a_dialogue = best ? 1 : candidates;
    *made = 0;
    for (int64_t d = 0; d < count; d++) {
        int64_t index;
        const struct dialogue *source = source_of(rollout, ids[d], &index);
        char name[64];
        snprintf(name, sizeof name, "dialogue %lld (line %lld)", (long long)ids[d],
                 (long long)source->line);
        for (int64_t k = 0; k < a_dialogue; k++) {
            struct conversation *talk = &conversations[(*made)++];
            *talk = (struct conversation){.source = source,
                                          .id = ids[d],
                                          .place = d,
                                          .first = (int32_t)k,
                                          .count = best ? (int32_t)candidates : 1};
            talk->history = history_create(rollout->history, name);
            history_give(talk->history, dialogue_given_turns(source));
            for (int64_t m = 0; m < dialogue_start(source); m++)
                TRY(history_add_said(talk->history, source->messages[m].role,
                                     source->messages[m].name, source->messages[m].content));
        }
    }
    return NULL;
}

/* scorer: frozen.  The reference reads the replies; log-probabilities and the softmax's entropies
 * stay the policy's, the reference's are kept for the sources. */
static status statistics_read(struct rollout *rollout, struct turn_work *work)
{
    const size_t n = (size_t)work->row_count;
    struct given_reply *given = memory_allocate(n * sizeof *given);
    work->scored = memory_allocate(n * sizeof *work->scored);
    const bool blocks = rollout->settings->cot.block > 0;
    status s = NULL;
    for (size_t r = 0; !s && r < n; r++) {
        struct reply *reply = &work->replies[r];
        if (blocks) s = blocks_find(rollout->settings, rollout->history, reply);
        given[r] = (struct given_reply){.tokens = reply->tokens,
                                        .count = reply->count,
                                        .ended = reply->ended,
                                        .blocks = blocks ? &reply->blocks : NULL};
    }
    if (!s)
        s = score_replies(rollout->scorer, rollout->settings, work->prompts, work->rows,
                          work->row_count, given, work->scored);
    for (size_t r = 0; !s && r < n; r++) {
        const struct statistics own = work->replies[r].statistics;
        work->replies[r].statistics = work->scored[r].statistics;
        work->scored[r].statistics = own;
    }
    free(given);
    return s;
}

/* The gold reply to what was said so far, -1: the data has none there. */
static int64_t gold_message(const struct dialogue *source, int64_t spoken)
{
    return spoken < source->message_count && source->messages[spoken].role == ROLE_ASSISTANT
               ? spoken
               : -1;
}

/* What the sources give the replies of a turn. */
static status turn_judge(struct rollout *rollout, const struct conversation *conversations,
                         struct turn_work *work)
{
    const int64_t rows = work->row_count;
    if (!sources_count(rollout->sources)) return NULL;
    struct judged *judged = memory_allocate((size_t)rows * sizeof *judged);
    struct message **messages = memory_allocate((size_t)rows * sizeof *messages);
    for (int64_t r = 0; r < rows; r++) {
        const struct conversation *talk = &conversations[work->owner[r]];
        const struct reply_row *row = &work->rows[r];
        const struct prompt *prompt = &work->prompts[row->prompt];
        const int64_t spoken = history_message_count(talk->history);
        const bool same = r > 0 && work->owner[r - 1] == work->owner[r];
        if (!same) messages[r] = history_messages(talk->history);
        judged[r] = (struct judged){.key = {talk->id, prompt->turn, (int32_t)row->counter[2], 0},
                                    .line = talk->source,
                                    .message = gold_message(talk->source, spoken),
                                    .messages = same ? judged[r - 1].messages : messages[r],
                                    .message_count = spoken,
                                    .prompt = prompt,
                                    .reply = &work->replies[r],
                                    .scored = work->scored ? &work->scored[r] : NULL};
    }
    status s = replies_judge(rollout->sources, rollout->history->tokenizer, judged, rows,
                             work->terms, work->cuts);
    for (int64_t r = 0; r < rows; r++) free(messages[r]);
    free(messages);
    free(judged);
    return s;
}

/* One turn of all conversations that go on; *done where there is none. */
static status turn_run(struct rollout *rollout, struct conversation *conversations, int64_t count,
                       int64_t turn, struct turn_list *lists, bool *done)
{
    struct turn_work work;
    status s = turn_prepare(rollout, conversations, count, &work);
    *done = !work.row_count;
    if (!s && work.row_count) {
        s = generate_replies(rollout->policy, rollout->settings, RANDOM_SAMPLING, work.prompts,
                             work.rows, work.row_count, work.replies);
        timeline_begin(TIME_READ);
        if (!s && rollout->scorer)
            s = statistics_read(rollout, &work);
        else if (!s && rollout->settings->cot.block)
            s = blocks_read(rollout->policy, rollout->settings, rollout->history, work.prompts,
                            work.rows, work.row_count, work.replies);
        timeline_end();
        timeline_begin(TIME_REWARD);
        if (!s) s = turn_judge(rollout, conversations, &work);
        timeline_end();
        if (!s) s = turn_finish(rollout, conversations, &work, turn, lists);
    }
    turn_work_free(&work);
    return s;
}

static struct experience *experience_of(const struct rollout *rollout, int64_t id, int64_t version,
                                        struct turn_list *list)
{
    const struct experience_format format = rollout_format(rollout);
    struct experience *one = experience_create(&format, id, version, list->count);
    source_of(rollout, id, &one->prompt);
    if (!list->count) return one;
    qsort(list->turns, (size_t)list->count, sizeof *list->turns, turn_compare);
    memcpy(one->turns, list->turns, (size_t)list->count * sizeof *list->turns);
    return one;
}

status rollout_dialogues(struct rollout *rollout, const int64_t *ids, int64_t count,
                         int64_t weight_version, struct experience **out)
{
    const struct rollout_settings *settings = rollout->settings;
    const size_t max_talks = (size_t)(count * settings->candidates) + 1;
    struct conversation *conversations = memory_allocate(max_talks * sizeof *conversations);
    struct turn_list *lists = memory_allocate(((size_t)count + 1) * sizeof *lists);
    int64_t talks = 0;
    bool done = false;
    memset(out, 0, (size_t)count * sizeof *out);
    status s = conversations_open(rollout, ids, count, conversations, &talks);
    for (int64_t turn = 1; !s && !done && turn <= settings->turns; turn++)
        s = turn_run(rollout, conversations, talks, turn, lists, &done);
    double milliseconds[TERM_MAX] = {0};
    sources_take_milliseconds(rollout->sources, milliseconds);
    for (int64_t d = 0; d < count; d++) {
        if (!s) {
            out[d] = experience_of(rollout, ids[d], weight_version, &lists[d]);
            for (int t = 0; t < TERM_MAX; t++)
                out[d]->milliseconds[t] = milliseconds[t] / (double)count;
        } else
            for (int64_t k = 0; k < lists[d].count; k++) experience_turn_free(&lists[d].turns[k]);
        free(lists[d].turns);
    }
    for (int64_t c = 0; c < talks; c++) history_free(conversations[c].history);
    free(conversations);
    free(lists);
    return s;
}
