/* The rule-based user of a synthetic dialogue: it knows the scenario by the dialogue's id and
 * answers what the assistant really said. */
#include "src/data/simulator.h"

#include "src/base/memory.h"
#include "src/data/scenario.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static status scenario_of(const struct dialogue *dialogue, struct scenario *scenario, int64_t *seed,
                          int64_t *index)
{
    int read = 0;
    if (!dialogue->id ||
        sscanf(dialogue->id, "\"synthetic:%" SCNd64 ":%" SCNd64 "\"%n", seed, index, &read) != 2 ||
        read == 0 || *index < 0)
        FAIL(STATUS_INPUT,
             "dialogue %s is not of the built-in corpus, which the rule-based user needs",
             dialogue->id ? dialogue->id : "without id");
    struct corpus_random random = {(uint64_t)*seed, (uint64_t)*index, RANDOM_CORPUS, 0, 0};
    scenario_draw(&random, scenario);
    return NULL;
}

/* The slot that the last question of the reply asks for. */
static enum slot_kind asked_slot(const char *reply)
{
    enum slot_kind asked = SLOT_NONE;
    for (const char *start = reply; *start;) {
        const size_t length = strcspn(start, ".!?");
        char sentence[CORPUS_TEXT];
        snprintf(sentence, sizeof sentence, "%.*s", (int)(length < CORPUS_TEXT ? length : 0),
                 start);
        for (int kind = 0; start[length] == '?' && kind < SLOT_KINDS; kind++)
            if (corpus_mentions(sentence, slot_words[kind].cue)) asked = (enum slot_kind)kind;
        start += length + (start[length] != 0);
    }
    return asked;
}

static bool said_by_user(const struct message *history, int64_t count, const char *value)
{
    for (int64_t i = 0; i < count; i++)
        if (history[i].role == ROLE_USER && corpus_mentions(history[i].content, value)) return true;
    return false;
}

/* Was the last thing the user said one of these templates? */
static bool last_said(const struct message *history, int64_t count, const char *const *templates,
                      const struct scenario *scenario)
{
    for (int64_t i = count - 1; i >= 0; i--) {
        if (history[i].role != ROLE_USER) continue;
        for (int k = 0; templates[k]; k++) {
            char text[CORPUS_TEXT] = "";
            corpus_fill(text, templates[k], scenario);
            if (strcmp(history[i].content, text) == 0) return true;
        }
        return false;
    }
    return false;
}

static enum slot_kind missing_slot(const struct scenario *scenario, const struct message *history,
                                   int64_t count)
{
    for (int i = 0; i < scenario->ask_count; i++)
        if (!said_by_user(history, count, scenario->values[scenario->asks[i]]))
            return scenario->asks[i];
    return SLOT_NONE;
}

/* The template of what is said next; NULL ends the dialogue. */
static const char *next_template(const struct scenario *scenario, struct corpus_random *random,
                                 const struct message *history, int64_t count, int64_t turn)
{
    const char *reply = count > 0 ? history[count - 1].content : "";
    const enum slot_kind asked = asked_slot(reply);
    const enum slot_kind missing = missing_slot(scenario, history, count);
    bool heard = false; /* the reply names something the user said */
    if (turn >= TURNS_MAX || last_said(history, count, recap_requests, scenario)) return NULL;
    if (asked != SLOT_NONE) return corpus_choose(random, slot_words[asked].answers);
    for (int kind = 0; kind < SLOT_KINDS; kind++)
        if (corpus_mentions(reply, scenario->values[kind]) &&
            said_by_user(history, count, scenario->values[kind]))
            heard = true;
    if (!heard) {
        if (last_said(history, count, complaints, scenario)) return NULL; /* gives up */
        return corpus_choose(random, complaints);
    }
    if (missing != SLOT_NONE) return corpus_choose(random, slot_words[missing].answers);
    return corpus_choose(random, recap_requests);
}

status simulator_reply(const struct dialogue *scenario_dialogue, const struct message *history,
                       int64_t count, int64_t turn, char **said)
{
    struct scenario scenario;
    int64_t seed, index;
    *said = NULL;
    TRY(scenario_of(scenario_dialogue, &scenario, &seed, &index));
    struct corpus_random random = {(uint64_t)seed, (uint64_t)index, RANDOM_SIMULATOR,
                                   (uint32_t)turn, 0};
    const char *template = next_template(&scenario, &random, history, count, turn);
    if (!template) return NULL;
    char text[CORPUS_TEXT] = "";
    corpus_fill(text, template, &scenario);
    *said = memory_text(text);
    return NULL;
}
