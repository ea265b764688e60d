/* Prompts: masks over the encoder's input; see prompt.h. */
#include "src/rollout/prompt.h"

#include "src/base/cut_turns.h"
#include "src/base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void prompt_allocate(struct prompt *prompt, int64_t count, int32_t turn)
{
    const size_t n = (size_t)count + 1;
    *prompt = (struct prompt){.count = count, .turn = turn};
    prompt->tokens = memory_allocate(n * sizeof *prompt->tokens);
    prompt->visible = memory_allocate(n);
    prompt->salient = memory_allocate(n);
    prompt->turn_of = memory_allocate(n);
    prompt->part = memory_allocate(n);
    prompt->speaker = memory_allocate(n);
}

static void prompt_count(struct prompt *prompt)
{
    prompt->visible_count = prompt->salient_count = 0;
    prompt->turns = 1;
    for (int64_t i = 0; i < prompt->count; i++) {
        prompt->salient[i] = prompt->salient[i] && prompt->visible[i];
        prompt->visible_count += prompt->visible[i];
        prompt->salient_count += prompt->salient[i];
        if (prompt->turn_of[i] >= prompt->turns) prompt->turns = prompt->turn_of[i] + 1;
    }
}

status prompt_from_history(const struct history *history, const struct rollout_settings *settings,
                           struct prompt *out)
{
    struct encoded_history encoded;
    memset(out, 0, sizeof *out);
    TRY(history_encode(history, &encoded));
    prompt_allocate(out, encoded.count, (int32_t)encoded.last_turn);
    for (int64_t i = 0; i < encoded.count; i++) {
        out->tokens[i] = encoded.ids[i];
        out->visible[i] = !(settings->exclude_special && encoded.special[i]) &&
                          !(settings->exclude_first && i == 0) &&
                          (encoded.prompt[i] || !settings->prompt_reward);
        out->salient[i] = encoded.salient[i] && (settings->history_coverage || encoded.prompt[i]);
        const int32_t turn = encoded.turn[i] - 1;
        out->turn_of[i] = (uint8_t)(turn < 0 ? 0 : turn > 255 ? 255 : turn);
        static const uint8_t part_of[ROLE_COUNT] = {[ROLE_USER] = PART_USER,
                                                    [ROLE_ASSISTANT] = PART_ASSISTANT,
                                                    [ROLE_SYSTEM] = PART_SYSTEM};
        out->part[i] = encoded.special[i] ? PART_MARKER : part_of[encoded.role[i]];
        out->speaker[i] = encoded.speaker[i];
    }
    for (int k = 0; k < SPEAKERS_MAX && history_speaker(history, k + 1); k++)
        snprintf(out->names[k], sizeof out->names[k], "%s", history_speaker(history, k + 1));
    out->dropped = encoded.dropped;
    out->pruned = encoded.pruned;
    out->whole = encoded.whole;
    prompt_cut(out, encoded.cuts, encoded.cut_count);
    /* A reward of the prompt looks at nothing else. */
    for (int64_t i = 0; settings->prompt_reward && i < out->slots; i++) out->visible[i] = 0;
    prompt_count(out);
    encoded_history_free(&encoded);
    return NULL;
}

static bool is_special(const struct special_ids *special, int32_t token)
{
    if (token == special->pad) return true;
    for (int64_t i = 0; i < special->count; i++)
        if (token == special->ids[i]) return true;
    return false;
}

status prompt_from_tokens(const int32_t *tokens, const uint8_t *salient, int64_t count,
                          int32_t turn, const struct special_ids *special,
                          const struct rollout_settings *settings, struct prompt *out)
{
    prompt_allocate(out, count, turn);
    for (int64_t i = 0; i < count; i++) {
        const bool apart = is_special(special, tokens[i]);
        out->tokens[i] = tokens[i];
        out->visible[i] = tokens[i] != special->pad && !(settings->exclude_special && apart) &&
                          !(settings->exclude_first && i == 0);
        out->salient[i] = salient && salient[i] && !apart;
        out->part[i] = apart ? PART_MARKER : PART_USER;
    }
    prompt_count(out);
    return NULL;
}

void prompt_restrict(struct prompt *prompt, const uint8_t *visible)
{
    for (int64_t i = 0; i < prompt->count; i++) prompt->visible[i] &= visible[i];
    prompt_count(prompt);
}

void prompt_mark(struct prompt *prompt, const uint8_t *marker)
{
    for (int64_t i = 0; i < prompt->count; i++)
        prompt->part[i] = marker[i] ? PART_MARKER : PART_USER;
}

void prompt_name(struct prompt *prompt, const uint8_t *speaker, char *const *names)
{
    memcpy(prompt->speaker, speaker, (size_t)prompt->count);
    for (int k = 0; k < SPEAKERS_MAX && names[k]; k++)
        snprintf(prompt->names[k], sizeof prompt->names[k], "%s", names[k]);
}

void prompt_cut(struct prompt *prompt, const int32_t *cuts, int64_t cut_count)
{
    if (!cut_count) return;
    prompt->cuts = memory_allocate((size_t)cut_count * sizeof *prompt->cuts);
    memcpy(prompt->cuts, cuts, (size_t)cut_count * sizeof *prompt->cuts);
    prompt->cut_count = cut_count;
    struct cut_turns turns;
    cut_turns_read(cuts, cut_count, &turns);
    prompt->slots = turns.slots < prompt->count ? turns.slots : prompt->count;
    for (int64_t i = 0; i < prompt->slots; i++) {
        prompt->visible[i] = 1;
        prompt->salient[i] = 0;
        prompt->part[i] = PART_SUMMARY;
    }
    if (prompt->slots) prompt_count(prompt);
}

void prompt_free(struct prompt *prompt)
{
    free(prompt->tokens);
    free(prompt->visible);
    free(prompt->salient);
    free(prompt->turn_of);
    free(prompt->part);
    free(prompt->speaker);
    free(prompt->cuts);
    memset(prompt, 0, sizeof *prompt);
}
