/* The rules that pairs are made by, counted by hand. */
#include "src/pairs/heuristic.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static double score(enum pairs_heuristic heuristic, char *gold, const char *text)
{
    struct message messages[] = {{ROLE_USER, "How many?", NULL}, {ROLE_ASSISTANT, gold, NULL}};
    const struct dialogue line = {.messages = messages, .message_count = 2};
    return pairs_score(heuristic, &line, 1, text, "\n#### ");
}

static void near(double found, double wanted)
{
    if (!(fabs(found - wanted) < 1e-12)) fail_msg("%.17g, not %.17g", found, wanted);
}

static void ngrams(void **state)
{
    (void)state;
    char gold[] = "We send it to Ely on Monday.";
    near(score(PAIRS_NGRAM, gold, gold), 1);
    /* 3 words of 4 and of 7: 6/11; one pair of words (to ely) of 3 and of 6: 2/9 */
    near(score(PAIRS_NGRAM, gold, "It goes to Ely"), (6.0 / 11 + 2.0 / 9) / 2);
    near(score(PAIRS_NGRAM, gold, "Monday"), (2.0 / 8 + 0) / 2);
    near(score(PAIRS_NGRAM, gold, "no"), 0);
}

static void steps(void **state)
{
    (void)state;
    char gold[] = "3 + 4 = 7\n7 - 2 = 5\n#### 5";
    near(score(PAIRS_STEPS, gold, gold), 1);
    /* the answer is no step: one of 1 and of 2 */
    near(score(PAIRS_STEPS, gold, "7 - 2 = 5\n#### 6"), 2.0 / 3);
    near(score(PAIRS_STEPS, gold, "7 - 2 = 5\n7 - 2 = 5\n1 + 1 = 2\n#### 5"), 2.0 / 5);
    near(score(PAIRS_STEPS, gold, "#### 5"), 0);
    char bare[] = "#### 5";
    near(score(PAIRS_STEPS, bare, "#### 5"), 0);
}

static void demonstrations(void **state)
{
    (void)state;
    char gold[] = "a b c d";
    near(score(PAIRS_DEMONSTRATION, gold, "a c x"), 2 * 2.0 / 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(ngrams), cmocka_unit_test(steps),
                                       cmocka_unit_test(demonstrations)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
