/* Answers, steps and equations of replies; see reasoning_metrics.h. */
#include "src/evaluate/reasoning_metrics.h"

#include "src/base/memory.h"
#include "src/text/answer.h"
#include "src/text/equations.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The text's lines before the marker, which may end one, each in the form in which answers are
 * compared; empty ones are left out. */
struct steps {
    char **text;
    int64_t count;
};

static struct steps steps_read(const char *text, const char *marker)
{
    struct steps steps = {.text = memory_allocate((strlen(text) + 1) * sizeof *steps.text)};
    while (*text) {
        const size_t size = strcspn(text, "\n");
        char *line = memory_allocate(size + 1);
        memcpy(line, text, size);
        char *answer = strstr(line, marker);
        if (answer) *answer = 0;
        char *normal = answer_normal(line);
        free(line);
        if (*normal)
            steps.text[steps.count++] = normal;
        else
            free(normal);
        if (answer) break;
        text += size + (text[size] == '\n');
    }
    return steps;
}

static void steps_free(struct steps *steps)
{
    for (int64_t i = 0; i < steps->count; i++) free(steps->text[i]);
    free(steps->text);
}

/* How many steps of one are steps of the other, each once. */
static int64_t steps_match(const struct steps *reply, const struct steps *gold)
{
    bool *taken = memory_allocate((size_t)gold->count + 1);
    int64_t matching = 0;
    for (int64_t i = 0; i < reply->count; i++)
        for (int64_t j = 0; j < gold->count; j++) {
            if (taken[j] || strcmp(reply->text[i], gold->text[j])) continue;
            taken[j] = true;
            matching++;
            break;
        }
    free(taken);
    return matching;
}

static bool answers(const char *reply, enum answer_extract form, const char *answer)
{
    char *found = answer_number(reply, form);
    const bool right = found && answer_equal(found, answer);
    free(found);
    return right;
}

static void answers_add(struct reasoning_sums *sums, const struct dialogue *line, int64_t message,
                        const char *gold, const char *reply)
{
    const bool answered = line->answer && message == line->message_count - 1;
    char *answer = answered ? memory_text(line->answer) : answer_number(gold, ANSWER_FLEXIBLE);
    if (answer) {
        sums->replies++;
        sums->strict += answers(reply, ANSWER_STRICT, answer);
        sums->flexible += answers(reply, ANSWER_FLEXIBLE, answer);
    }
    free(answer);
}

void reasoning_add(struct reasoning_sums *sums, const struct dialogue *line, int64_t message,
                   const char *gold, const char *reply, const char *marker)
{
    const size_t blank = strspn(marker, " \n");
    char *word = memory_text(marker + blank);
    for (size_t n = strlen(word); n && strchr(" \n", word[n - 1]); n--) word[n - 1] = 0;
    struct steps own = steps_read(reply, word), wanted = steps_read(gold, word);
    const struct equations equations = text_equations(reply);
    sums->steps += own.count;
    sums->gold_steps += wanted.count;
    sums->matching += steps_match(&own, &wanted);
    sums->equations += equations.count;
    sums->hold += equations.hold;
    answers_add(sums, line, message, gold, reply);
    steps_free(&own);
    steps_free(&wanted);
    free(word);
}

struct reasoning_share reasoning_share(const struct reasoning_sums *sums,
                                       enum reasoning_metric metric)
{
    switch (metric) {
    case REASONING_EXACT_STRICT:
        return (struct reasoning_share){sums->strict, sums->replies};
    case REASONING_EXACT_FLEXIBLE:
        return (struct reasoning_share){sums->flexible, sums->replies};
    case REASONING_PRECISION:
        return (struct reasoning_share){sums->matching, sums->steps};
    case REASONING_RECALL:
        return (struct reasoning_share){sums->matching, sums->gold_steps};
    default:
        return (struct reasoning_share){sums->hold, sums->equations};
    }
}
