/* The turn loop of a batch of dialogues; see dialogues.h. */
#include "src/rollout/dialogues.h"

#include "src/base/memory.h"
#include "src/data/simulator.h"
#include "src/reward/salience_control.h"
#include "src/reward/terms.h"

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
    int64_t *owner; /* conversation of a row */
    int64_t prompt_count, row_count;
};

status experience_turn_fill(const struct config *config, int64_t dialogue, int32_t candidate,
                            const struct prompt *prompt, const struct reply *reply,
                            struct experience_turn *turn)
{
    experience_turn_allocate(turn, (int32_t)prompt->count, (int32_t)reply->count,
                             (int32_t)reply->turns, (int32_t)reply->top);
    turn->candidate = candidate;
    turn->turn = prompt->turn - 1;
    turn->ended = reply->ended;
    turn->visible_count = (int32_t)prompt->visible_count;
    turn->salient_count = (int32_t)prompt->salient_count;
    for (int64_t i = 0; i < prompt->count; i++) {
        turn->history_tokens[i] = prompt->tokens[i];
        turn->salient[i] = prompt->salient[i];
        turn->visible[i] = prompt->visible[i];
        turn->turn_of_token[i] = prompt->earlier[i];
    }
    const size_t n = (size_t)reply->count;
    if (n) {
        memcpy(turn->reply_tokens, reply->tokens, n * sizeof *reply->tokens);
        memcpy(turn->logp, reply->logp, n * sizeof(float));
        memcpy(turn->entropy, reply->entropy_floored, n * sizeof(float));
        memcpy(turn->salient_mass, reply->salient_mass, n * sizeof(float));
        if (reply->turns)
            memcpy(turn->turn_mass, reply->turn_mass, n * (size_t)reply->turns * sizeof(float));
    }
    for (int64_t i = 0; i < reply->count * reply->top; i++) {
        turn->top_position[i] = reply->top_position[i];
        turn->top_weight[i] = experience_weight_encode(reply->top_weight[i]);
    }
    double special = 0, entropy = 0;
    for (int64_t i = 0; i < reply->count; i++) {
        special += reply->special_mass[i];
        entropy += reply->token_entropy[i];
    }
    turn->extra[0] = reply->count ? special / (double)reply->count : 0;
    turn->extra[1] = reply->count ? entropy / (double)reply->count : 0;
    const struct reward_settings reward = reward_settings_of(config);
    TRY(reply_terms(&reward, (struct turn_key){dialogue, prompt->turn, candidate, 0}, prompt, reply,
                    turn->terms));
    turn->term_count = (int32_t)reward.term_count;
    turn->reward = reward_combine(&reward, turn->terms, NULL, reply->count);
    return NULL;
}

static void turn_work_free(struct turn_work *work)
{
    for (int64_t p = 0; p < work->prompt_count; p++) prompt_free(&work->prompts[p]);
    for (int64_t r = 0; r < work->row_count; r++) reply_free(&work->replies[r]);
    free(work->prompts);
    free(work->rows);
    free(work->replies);
    free(work->owner);
    memset(work, 0, sizeof *work);
}

/* Prompts and rows of all conversations that go on.  In the first turn the candidates of a
 * dialogue have one history: it is encoded once. */
static status turn_prepare(const struct rollout *rollout, struct conversation *conversations,
                           int64_t count, struct turn_work *work)
{
    const struct config *config = rollout->config;
    int64_t rows = 0;
    for (int64_t c = 0; c < count; c++)
        if (!conversations[c].over) rows += conversations[c].count;
    memset(work, 0, sizeof *work);
    const size_t n = (size_t)rows + 1;
    work->prompts = memory_allocate(n * sizeof *work->prompts);
    work->rows = memory_allocate(n * sizeof *work->rows);
    work->replies = memory_allocate(n * sizeof *work->replies);
    work->owner = memory_allocate(n * sizeof *work->owner);
    for (int64_t c = 0; c < count; c++) {
        const struct conversation *talk = &conversations[c];
        if (talk->over) continue;
        const bool shared = c > 0 && !conversations[c - 1].over && talk->first > 0 &&
                            conversations[c - 1].place == talk->place &&
                            history_message_count(talk->history) == 1;
        if (!shared) {
            struct prompt *prompt = &work->prompts[work->prompt_count++];
            TRY(prompt_from_history(talk->history, config, prompt));
            if (config->control == CONTROL_RANDOM_SALIENCE)
                TRY(salience_randomize(config->seed, talk->id, prompt->turn, prompt->visible,
                                       prompt->salient, prompt->count));
        }
        for (int32_t k = 0; k < talk->count; k++) {
            struct reply_row *row = &work->rows[work->row_count];
            row->prompt = (int32_t)work->prompt_count - 1;
            row->counter[0] = (uint32_t)talk->id;
            row->counter[1] = (uint32_t)work->prompts[row->prompt].turn;
            row->counter[2] = (uint32_t)(talk->first + k);
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
    if (rollout->config->rollout.user == USER_REPLAY) {
        if (spoken < talk->source->message_count - 1)
            *said = memory_text(talk->source->messages[spoken].content);
        return NULL;
    }
    if (rollout->config->rollout.user == USER_RULE) {
        struct message *messages = memory_allocate((size_t)spoken * sizeof *messages);
        for (int64_t i = 0; i < spoken; i++)
            messages[i] = (struct message){history_message_role(talk->history, i),
                                           (char *)history_message_text(talk->history, i)};
        status s = simulator_reply(talk->source, messages, spoken, turn, said);
        free(messages);
        return s;
    }
    struct config config = *rollout->config;
    config.control = CONTROL_NONE;
    config.attention.layers = 1;
    struct prompt prompt;
    TRY(prompt_from_history(talk->history, &config, &prompt));
    const struct reply_row row = {0, {(uint32_t)talk->id, (uint32_t)turn, (uint32_t)talk->first}};
    struct reply reply = {0};
    status s = generate_replies(rollout->user, &config, RANDOM_SIMULATOR, &prompt, &row, 1, &reply);
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
    const struct reward_settings settings = reward_settings_of(rollout->config);
    double divisors[TERM_MAX];
    running_divisors(&settings, &rollout->statistics, divisors);
    int64_t best = 0;
    double best_reward = -INFINITY;
    for (int64_t k = 0; k < count; k++) {
        const double reward =
            reward_combine(&settings, turns[k].terms, divisors, turns[k].reply_length);
        if (reward > best_reward) {
            best_reward = reward;
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

/* After the replies of a turn: files them, lets the user speak. */
static status turn_finish(struct rollout *rollout, struct conversation *conversations,
                          struct turn_work *work, int64_t turn, struct turn_list *lists)
{
    const struct config *config = rollout->config;
    for (int64_t r = 0; r < work->row_count;) {
        struct conversation *talk = &conversations[work->owner[r]];
        struct turn_list *list = &lists[talk->place];
        const int64_t begin = list->count;
        for (int32_t k = 0; k < talk->count; k++)
            TRY(experience_turn_fill(config, talk->id, talk->first + k,
                                     &work->prompts[work->rows[r + k].prompt],
                                     &work->replies[r + k], turn_list_add(list)));
        const bool choose = config->rollout.continue_with == CONTINUE_BEST;
        const int64_t best = choose ? best_candidate(rollout, list->turns + begin, talk->count) : 0;
        list->turns[begin + best].chosen = true;
        const struct reply *reply = &work->replies[r + best];
        char *said = NULL;
        if (turn < config->rollout.turns) {
            TRY(history_add_tokens(talk->history, ROLE_ASSISTANT, reply->tokens, reply->count));
            TRY(user_says(rollout, talk, turn, &said));
            bool fits = true; /* what a model says can be too long to be answered */
            if (said) TRY(history_text_fits(rollout->history, ROLE_USER, said, &fits));
            if (!fits) {
                free(said);
                said = NULL;
            }
            if (said) TRY(history_add_text(talk->history, ROLE_USER, said));
        }
        talk->over = !said;
        free(said);
        for (int32_t k = 0; k < talk->count; k++) list->turns[begin + k].dialogue_over = talk->over;
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

static status conversations_open(struct rollout *rollout, const int64_t *ids, int64_t count,
                                 struct conversation *conversations, int64_t *made)
{
    const struct config *config = rollout->config;
    const bool best = config->rollout.continue_with == CONTINUE_BEST;
    const int64_t a_dialogue = best ? 1 : config->rollout.candidates;
    *made = 0;
    for (int64_t d = 0; d < count; d++) {
        const int64_t size = rollout->data->count;
        const struct dialogue *source =
            &rollout->data
                 ->dialogues[prompt_order(config->seed, ids[d] / size, ids[d] % size, size)];
        char name[64];
        snprintf(name, sizeof name, "dialogue %lld (line %lld)", (long long)ids[d],
                 (long long)source->line);
        for (int64_t k = 0; k < a_dialogue; k++) {
            struct conversation *talk = &conversations[(*made)++];
            *talk = (struct conversation){.source = source,
                                          .id = ids[d],
                                          .place = d,
                                          .first = (int32_t)k,
                                          .count = best ? (int32_t)config->rollout.candidates : 1};
            talk->history = history_create(rollout->history, name);
            TRY(history_add_text(talk->history, ROLE_USER, source->messages[0].content));
        }
    }
    return NULL;
}

status rollout_dialogues(struct rollout *rollout, const int64_t *ids, int64_t count,
                         int64_t weight_version, struct experience **out)
{
    const struct config *config = rollout->config;
    const size_t most = (size_t)(count * config->rollout.candidates) + 1;
    struct conversation *conversations = memory_allocate(most * sizeof *conversations);
    struct turn_list *lists = memory_allocate(((size_t)count + 1) * sizeof *lists);
    int64_t talks = 0;
    memset(out, 0, (size_t)count * sizeof *out);
    status s = conversations_open(rollout, ids, count, conversations, &talks);
    for (int64_t turn = 1; !s && turn <= config->rollout.turns; turn++) {
        struct turn_work work;
        s = turn_prepare(rollout, conversations, talks, &work);
        if (!s && work.row_count) {
            s = generate_replies(rollout->policy, config, RANDOM_SAMPLING, work.prompts, work.rows,
                                 work.row_count, work.replies);
            if (!s && rollout->scorer) {
                struct reply *own = memory_allocate((size_t)work.row_count * sizeof *own);
                for (int64_t r = 0; r < work.row_count; r++) {
                    reply_allocate(&own[r], work.replies[r].count, 1, 0);
                    memcpy(own[r].logp, work.replies[r].logp, (size_t)own[r].count * sizeof(float));
                    memcpy(own[r].token_entropy, work.replies[r].token_entropy,
                           (size_t)own[r].count * sizeof(float));
                }
                s = score_replies(rollout->scorer, config, work.prompts, work.rows, work.row_count,
                                  work.replies);
                for (int64_t r = 0; r < work.row_count; r++) {
                    if (!s) {
                        memcpy(work.replies[r].logp, own[r].logp,
                               (size_t)own[r].count * sizeof(float));
                        memcpy(work.replies[r].token_entropy, own[r].token_entropy,
                               (size_t)own[r].count * sizeof(float));
                    }
                    reply_free(&own[r]);
                }
                free(own);
            }
            if (!s) s = turn_finish(rollout, conversations, &work, turn, lists);
        }
        const bool done = !work.row_count;
        turn_work_free(&work);
        if (done) break;
    }
    for (int64_t d = 0; d < count; d++) {
        struct turn_list *list = &lists[d];
        if (!s) {
            qsort(list->turns, (size_t)list->count, sizeof *list->turns, turn_compare);
            out[d] = experience_create(ids[d], weight_version, list->count);
            memcpy(out[d]->turns, list->turns, (size_t)list->count * sizeof *list->turns);
            out[d]->prompt = prompt_order(config->seed, ids[d] / rollout->data->count,
                                          ids[d] % rollout->data->count, rollout->data->count);
            free(list->turns);
        } else if (list->count) { /* experience_destroy frees the turns' arrays */
            struct experience *broken = experience_create(ids[d], 0, list->count);
            memcpy(broken->turns, list->turns, (size_t)list->count * sizeof *list->turns);
            experience_destroy(broken);
            free(list->turns);
        }
    }
    for (int64_t c = 0; c < talks; c++) history_free(conversations[c].history);
    free(conversations);
    free(lists);
    return s;
}
