/* score and generate: JSONL in, JSONL out, in the order of the input. */
#include "mpi/data.h"
#include "src/base/cut_turns.h"
#include "src/base/file.h"
#include "src/base/memory.h"
#include "src/evaluate/sample.h"
#include "src/rollout/blocks.h"
#include "src/rollout/judge.h"
#include "src/source/judgement.h"
#include "src/task/history_walk.h"
#include "tools/regard/maps_file.h"
#include "tools/regard/reward_model.h"

#include <stdlib.h>
#include <string.h>

#define RECORD                                                                                     \
    "  turn, id, messages [{role, content}], reply, pieces and history_pieces (a text a token),\n" \
    "  history_tokens, salient and visible (a 0 or 1 each), reply_tokens, ended; of "              \
    "decoder-only\n"                                                                               \
    "  models marker (1: of the template) and cuts (where a history's parts are shared); with\n"   \
    "  history.summary of T5 summary {slots, turns [[ids]]}: what its first tokens stand for;\n"   \
    "  of users with names a name beside the role, speakers (the names) and speaker (a token's\n"  \
    "  number in them, from 1), with attention.speakers speaker_mass and speaker_coverage;\n"      \
    "  a number a token: logp, token_entropy, attention_entropy (nats),\n"                         \
    "  attention_entropy_floored, salient_mass, special_mass; lists a token: turn_mass (by "       \
    "turn),\n"                                                                                     \
    "  top_position and top_weight (of the history); every reward term and reward, both raw, "     \
    "and\n"                                                                                        \
    "  from a checkpoint reward_scaled.  Texts are left out without a tokenizer.\n"                \
    "  Of decoder-only models also first_mass, history_mass and reply_mass a token, which add to " \
    "1\n"                                                                                          \
    "  with special_mass.  A run's samples/ have credit (each token's advantage) and ratio (its\n" \
    "  probability after the update over that before) too.\n"

const char score_formats[] =
    "--data, a JSON line each:\n"
    "  "
    "{\"messages\":[{\"role\":\"user\",\"content\":\"...\"},{\"role\":\"assistant\",\"content\":\"."
    "..\"}]}\n"
    "    every assistant's message is scored\n"
    "  {\"history_tokens\":[...],\"reply_tokens\":[...]}; may have id, turn, salient, visible,\n"
    "    special (ids that are special tokens; absent: the folder's), marker, cuts, summary\n"
    "  what generate, eval --samples or a run's samples/ hold\n"
    "--out, a JSON line a reply:\n" RECORD "With a reward model (regard reward) as --model: the "
    "line itself, or of a dialogue's reply line, "
    "turn,\n  messages and reply, with \"model\", the reply's score.\n"
    "--maps, an HDF5 file with the whole attention of every reply, line N of --out being N:\n"
    "  map_N [layers, heads, reply tokens, keys], float32, of the last attention.layers layers,\n"
    "    of which its attribute first_layer is the first, from 0; history_N and reply_N: token "
    "ids.\n"
    "    Keys are the history's tokens, of decoder-only models then the reply's but its last. A "
    "row\n"
    "    is what the token was drawn by and adds up to 1. N has six digits and counts from 1; a "
    "reply\n"
    "    without tokens has none. One reply is in memory at a time, 2 GB of maps at most.\n";

const char generate_formats[] =
    "--data, a JSON line each:\n"
    "  {\"messages\":[{\"role\":\"user\",\"content\":\"...\"}]}, the last message a user's\n"
    "  {\"history_tokens\":[...]}; may have id, turn, salient, visible, special,\n"
    "    marker, cuts, summary\n"
    "--out, rollout.candidates JSON lines a history, which score reads; candidate counts "
    "them.\n"
    "With --best N one line a history, the reply with the highest reward of N (reward.sources "
    "says\n"
    "whose; the first of equals):\n" RECORD
    "With --text the messages and the replies alone, as a person reads them.\n";

/* Lines gathered before the model runs: bounds the memory, fills the batch. */
enum { BLOCK_ROWS = 256 };

/* Rows waiting for the model. */
struct block {
    struct prompt *prompts;
    struct reply_row *rows;
    struct given_reply *given; /* score: of the rows; their tokens are the block's */
    const struct dialogue **source;
    int64_t *message; /* score: a row's, in its dialogue; -1: a token line's, or generate's */
    int64_t prompt_count, row_count, capacity;
};

static void block_create(struct block *block, int64_t capacity)
{
    const size_t n = (size_t)capacity;
    *block = (struct block){.capacity = capacity};
    block->prompts = memory_allocate(n * sizeof *block->prompts);
    block->rows = memory_allocate(n * sizeof *block->rows);
    block->given = memory_allocate(n * sizeof *block->given);
    block->source = memory_allocate(n * sizeof *block->source);
    block->message = memory_allocate(n * sizeof *block->message);
}

static void block_clear(struct block *block)
{
    for (int64_t i = 0; i < block->prompt_count; i++) prompt_free(&block->prompts[i]);
    for (int64_t i = 0; i < block->row_count; i++) free((void *)block->given[i].tokens);
    memset(block->given, 0, (size_t)block->row_count * sizeof *block->given);
    block->prompt_count = block->row_count = 0;
}

static void block_destroy(struct block *block)
{
    block_clear(block);
    free(block->prompts);
    free(block->rows);
    free(block->given);
    free(block->source);
    free(block->message);
}

static void block_row(struct block *block, const struct dialogue *source, int64_t message,
                      int64_t candidate)
{
    const struct prompt *prompt = &block->prompts[block->prompt_count - 1];
    block->source[block->row_count] = source;
    block->message[block->row_count] = message;
    block->rows[block->row_count++] =
        (struct reply_row){(int32_t)block->prompt_count - 1,
                           {(uint32_t)source->line, (uint32_t)prompt->turn, (uint32_t)candidate},
                           0};
}

static struct turn_key key_of(const struct block *block, int64_t row)
{
    const struct reply_row *of = &block->rows[row];
    return (struct turn_key){block->source[row]->line, block->prompts[of->prompt].turn,
                             (int32_t)of->counter[2], 0};
}

static status sources_ask(const struct block *block, const struct session *session,
                          const struct reply *replies, double (*terms)[TERM_MAX])
{
    struct judged *judged = memory_allocate((size_t)block->row_count * sizeof *judged);
    for (int64_t r = 0; r < block->row_count; r++) {
        const struct dialogue *line = block->source[r];
        const int64_t message = block->message[r];
        judged[r] = (struct judged){.key = key_of(block, r),
                                    .line = line,
                                    .message = message,
                                    .messages = line->messages,
                                    .message_count = message < 0 ? line->message_count : message,
                                    .prompt = &block->prompts[block->rows[r].prompt],
                                    .reply = &replies[r]};
    }
    status s = replies_judge(session->sources, session->language->tokenizer, judged,
                             block->row_count, terms, NULL);
    free(judged);
    return s;
}

static status reply_write(const struct block *block, const struct session *session, bool score,
                          int64_t row, const struct reply *reply, const double terms[TERM_MAX],
                          FILE *out)
{
    const struct dialogue *source = block->source[row];
    const struct prompt *prompt = &block->prompts[block->rows[row].prompt];
    const struct reward_settings *reward = &session->settings.reward;
    const struct turn_key key = key_of(block, row);
    char line[32];
    struct sample sample = sample_of_reply(prompt, reply);
    snprintf(line, sizeof line, "%lld", (long long)source->line);
    sample.id = source->id ? source->id : line;
    sample.candidate = score ? -1 : key.candidate;
    sample.tokenizer = session->language->tokenizer;
    sample.reward = reward;
    sample.terms = terms;
    sample.running = session->statistics;
    return sample_write(out, &sample);
}

/* --text: the reply, behind what was said where `begin`. */
static status reply_text(const struct block *block, const struct session *session, int64_t row,
                         bool begin, const struct reply *reply, FILE *out)
{
    const struct tokenizer *tokenizer = session->language->tokenizer;
    const struct dialogue *source = block->source[row];
    const struct prompt *prompt = &block->prompts[block->rows[row].prompt];
    char *text;
    if (begin) {
        fprintf(out, "== %lld\n", (long long)source->line);
        for (int64_t m = 0; m < source->message_count; m++)
            fprintf(out, "%s: %s\n", role_name(source->messages[m].role),
                    source->messages[m].content);
        if (source->has_tokens) {
            TRY(tokenizer_decode(tokenizer, prompt->tokens, prompt->count, false, &text));
            fprintf(out, "%s\n", text);
            free(text);
        }
    }
    TRY(tokenizer_decode(tokenizer, reply->tokens, reply->count, true, &text));
    fprintf(out, "reply: %s%s\n", text, reply->ended ? "" : " ...");
    free(text);
    return NULL;
}

/* Whether a row's reward is the highest of its prompt's, the first of equals: scaled where the
 * checkpoint says by what. */
static bool is_best(const struct block *block, const struct session *session, int64_t row,
                    const struct reply *replies, double (*terms)[TERM_MAX])
{
    const struct reward_settings *reward = &session->settings.reward;
    const bool scaled = session->statistics->plain[0].count > 0;
    double divisors[TERM_MAX];
    if (scaled) running_divisors(reward, session->statistics, divisors);
    const double own =
        reward_combine(reward, terms[row], scaled ? divisors : NULL, replies[row].count);
    for (int64_t r = 0; r < block->row_count; r++) {
        if (r == row || block->rows[r].prompt != block->rows[row].prompt) continue;
        const double other =
            reward_combine(reward, terms[r], scaled ? divisors : NULL, replies[r].count);
        if (other > own || (other == own && r < row)) return false;
    }
    return true;
}

/* maps: NULL, or where those of scored replies go. */
static status block_write(struct block *block, struct session *session,
                          const struct command *command, bool score, FILE *out,
                          struct maps_file *maps)
{
    const bool best = command->best > 0;
    const int64_t rows = block->row_count;
    struct reply *replies = memory_allocate((size_t)rows * sizeof *replies);
    double(*terms)[TERM_MAX] = memory_allocate((size_t)rows * sizeof *terms);
    status s = score ? score_replies(session->generator, &session->settings, block->prompts,
                                     block->rows, rows, block->given, replies)
                     : generate_replies(session->generator, &session->settings, RANDOM_SAMPLING,
                                        block->prompts, block->rows, rows, replies);
    if (!s && session->settings.cot.block)
        s = blocks_read(session->generator, &session->settings, &session->language->history,
                        block->prompts, block->rows, rows, replies);
    if (!s) s = sources_ask(block, session, replies, terms);
    for (int64_t r = 0; !s && r < rows; r++)
        s = reply_terms(&session->settings.reward, key_of(block, r),
                        &block->prompts[block->rows[r].prompt], &replies[r], terms[r]);
    for (int64_t r = 0; !s && r < rows; r++)
        if (!best || is_best(block, session, r, replies, terms))
            s = command->text ? reply_text(block, session, r, best || !block->rows[r].counter[2],
                                           &replies[r], out)
                              : reply_write(block, session, score, r, &replies[r], terms[r], out);
    for (int64_t r = 0; !s && maps && r < rows; r++)
        s = maps_file_add(maps, session->generator, &session->settings, block->prompts,
                          &block->rows[r], &block->given[r]);
    for (int64_t r = 0; r < rows; r++) reply_free(&replies[r]);
    free(terms);
    free(replies);
    block_clear(block);
    return s;
}

static status token_prompt(const struct session *session, const struct dialogue *dialogue,
                           struct block *block)
{
    struct prompt *prompt = &block->prompts[block->prompt_count++];
    struct special_ids special = session->special;
    if (dialogue->special) {
        special.ids = dialogue->special;
        special.count = dialogue->special_count;
    }
    TRY(prompt_from_tokens(dialogue->history_tokens, dialogue->salient, dialogue->history_count,
                           dialogue->turn ? (int32_t)dialogue->turn : 1, &special,
                           &session->settings, prompt));
    if (dialogue->cut_count && dialogue->cuts[0] == CUT_TURNS)
        prompt_cut(prompt, dialogue->cuts, dialogue->cut_count);
    if (dialogue->visible) prompt_restrict(prompt, dialogue->visible);
    if (dialogue->marker) prompt_mark(prompt, dialogue->marker);
    if (dialogue->speaker) prompt_name(prompt, dialogue->speaker, dialogue->speakers);
    if (model_shape_is_causal(model_shape(session->model)) && !prompt->cut_count)
        prompt_cut(prompt, dialogue->cuts, dialogue->cut_count);
    return NULL;
}

/* A row's reply; its tokens are copied. */
static void reply_set(struct block *block, const int32_t *tokens, int64_t count,
                      const struct model_shape *shape)
{
    int32_t *copy = memory_allocate((size_t)count * sizeof *copy + 4);
    if (count) memcpy(copy, tokens, (size_t)count * sizeof *copy);
    block->given[block->row_count] =
        (struct given_reply){.tokens = copy,
                             .count = count,
                             .ended = count && model_shape_is_end(shape, tokens[count - 1])};
}

/* Where turns go that a walk finds. */
struct turns {
    const struct session *session;
    struct block *block;
};

/* A message_visitor: the assistant's turns are replies to be scored. */
static status reply_add(void *context, const struct history *history,
                        const struct dialogue *dialogue, int64_t message)
{
    const struct turns *turns = context;
    struct block *block = turns->block;
    if (!history_turn(history) || message == dialogue->message_count ||
        dialogue->messages[message].role != ROLE_ASSISTANT)
        return NULL;
    TRY(prompt_from_history(history, &turns->session->settings,
                            &block->prompts[block->prompt_count]));
    block->prompt_count++;
    int32_t *ids;
    int64_t count;
    TRY(reply_encode(&turns->session->language->history, ROLE_ASSISTANT,
                     dialogue->messages[message].content, &ids, &count));
    reply_set(block, ids, count, model_shape(turns->session->model));
    block_row(block, dialogue, message, 0);
    free(ids);
    return NULL;
}

static status score_dialogue(const struct session *session, const struct dialogue *dialogue,
                             struct block *block)
{
    if (dialogue->has_tokens) {
        TRY(token_prompt(session, dialogue, block));
        reply_set(block, dialogue->reply_tokens, dialogue->reply_count,
                  model_shape(session->model));
        block_row(block, dialogue, -1, 0);
        return NULL;
    }
    struct turns turns = {session, block};
    return history_walk(&session->language->history, dialogue, reply_add, &turns);
}

/* A message_visitor: the whole dialogue is what generation answers. */
static status prompt_add(void *context, const struct history *history,
                         const struct dialogue *dialogue, int64_t message)
{
    const struct turns *turns = context;
    struct block *block = turns->block;
    if (message < dialogue->message_count) return NULL;
    TRY(prompt_from_history(history, &turns->session->settings,
                            &block->prompts[block->prompt_count]));
    block->prompt_count++;
    return NULL;
}

static status generate_dialogue(const struct session *session, const struct dialogue *dialogue,
                                struct block *block)
{
    if (dialogue->has_tokens)
        TRY(token_prompt(session, dialogue, block));
    else {
        struct turns turns = {session, block};
        TRY(history_walk(&session->language->history, dialogue, prompt_add, &turns));
    }
    for (int64_t k = 0; k < session->settings.candidates; k++) block_row(block, dialogue, -1, k);
    return NULL;
}

/* --best: slots are of the data's replies, and what is to be answered has none. */
static status best_check(const struct config *config, const struct dataset *data)
{
    if (!config->reward.sources.listed[SOURCE_VERIFIER]) return NULL;
    const struct judgement judgement = {.form = config->verifier.form};
    for (int64_t d = 0; d < data->count; d++)
        if (judgement_form(&judgement, &data->dialogues[d]) == VERIFY_SLOTS)
            FAIL(STATUS_INPUT,
                 "%s:%lld: --best cannot judge by slots: the data have no reply to come that names "
                 "them; give the line an \"answer\" or set verifier.form",
                 data->path, (long long)data->dialogues[d].line);
    return NULL;
}

static status replies_run(struct command *command, bool score)
{
    struct dataset *data = NULL;
    struct session session;
    TRY(data_read(&command->config, command->data, score ? DATASET_SCORE : DATASET_GENERATE,
                  &data));
    status s = session_open(command, false, &session);
    if (s) {
        dataset_free(data);
        return s;
    }
    int64_t max_rows = command->config.rollout.candidates;
    for (int64_t d = 0; d < data->count; d++)
        if (data->dialogues[d].message_count > max_rows)
            max_rows = data->dialogues[d].message_count;
    struct block block;
    struct file_writer writer = {NULL};
    struct maps_file maps = {NULL};
    block_create(&block, BLOCK_ROWS + max_rows);
    if (!score) session.expected = data->count * session.settings.candidates;
    s = session_check_tokens(&session, data);
    if (!s && (score || command->best)) s = sources_check(session.sources, data);
    if (!s && command->text && !session.language->tokenizer)
        s = ERROR(STATUS_INPUT, "--text: %s holds no tokenizer; set tokenizer.path",
                  command->model);
    if (!s && command->best) s = best_check(&command->config, data);
    if (!s) s = file_begin(&writer, command->out);
    if (!s && command->maps) s = maps_file_begin(&maps, command->maps);
    for (int64_t d = 0; !s && d < data->count; d++) {
        s = score ? score_dialogue(&session, &data->dialogues[d], &block)
                  : generate_dialogue(&session, &data->dialogues[d], &block);
        if (s) s = status_context(s, "%s", data->path);
        if (!s && (block.row_count >= BLOCK_ROWS || d + 1 == data->count))
            s = block_write(&block, &session, command, score, writer.stream,
                            command->maps ? &maps : NULL);
    }
    s = maps_file_end(&maps, s);
    if (!s) s = file_commit(&writer);
    file_abandon(&writer);
    block_destroy(&block);
    session_close(&session);
    dataset_free(data);
    return s;
}

status verb_score(struct command *command)
{
    const struct config *config = &command->config;
    if (command->maps && model_folder_is_value(command->model))
        FAIL(STATUS_INPUT, "--maps: %s is a reward model; maps are of models that generate",
             command->model);
    if (command->maps && config->cot.history == COT_REENCODE)
        FAIL(STATUS_INPUT, "--maps reads a reply at once, with cot.history: reencode every block "
                           "is read by itself; set cot.history=joint");
    if (model_folder_is_value(command->model)) return reward_model_score(command);
    return replies_run(command, true);
}

status verb_generate(struct command *command)
{
    if (command->best && command->config.rollout.temperature == 0)
        FAIL(STATUS_INPUT,
             "--best needs rollout.temperature above 0: greedy replies are all alike");
    if (command->best) command->config.rollout.candidates = command->best;
    return replies_run(command, false);
}
