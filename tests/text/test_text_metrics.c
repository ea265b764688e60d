/* BLEU, chrF and ROUGE-L against sacrebleu and rouge_score (tools/reference/text_metrics.py). */
#include "src/base/json.h"
#include "src/text/text_metrics.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { PAIRS_MAX = 256 };

/* Both sides add a few dozen doubles: 1e-9 is far above rounding, far below any other rule. */
static void expect_near(double found, double wanted, const char *what, int index)
{
    if (fabs(found - wanted) <= 1e-9 * (1 + fabs(wanted))) return;
    print_error("%s of pair %d: %.12g, the reference says %.12g\n", what, index, found, wanted);
    fail();
}

static void bleu_chrf_and_rouge_equal_the_packages(void **unused)
{
    (void)unused;
    json_t *fixture, *pairs;
    assert_null(json_read(REGARD_SOURCE "/tests/text/fixtures/text_metrics.json", &fixture));
    pairs = json_object_get(fixture, "pairs");
    const char *replies[PAIRS_MAX], *references[PAIRS_MAX];
    int count = (int)json_array_size(pairs);
    assert_in_range(count, 30, PAIRS_MAX);
    double rouge_sum = 0;
    for (int i = 0; i < count; i++) {
        double bleu, rouge, rouge_1, rouge_2, chrf;
        const json_t *pair = json_array_get(pairs, (size_t)i);
        assert_null(json_get_text(pair, "pair", "reply", &replies[i]));
        assert_null(json_get_text(pair, "pair", "reference", &references[i]));
        assert_null(json_get_number(pair, "pair", "bleu", &bleu));
        assert_null(json_get_number(pair, "pair", "rouge_l", &rouge));
        assert_null(json_get_number(pair, "pair", "rouge_1", &rouge_1));
        assert_null(json_get_number(pair, "pair", "rouge_2", &rouge_2));
        assert_null(json_get_number(pair, "pair", "chrf", &chrf));
        expect_near(text_chrf(replies[i], references[i]), chrf, "chrF", i);
        expect_near(text_bleu(&replies[i], &references[i], 1), bleu, "BLEU", i);
        expect_near(text_rouge_l(replies[i], references[i]), rouge, "ROUGE-L", i);
        expect_near(text_rouge_n(replies[i], references[i], 1), rouge_1, "ROUGE-1", i);
        expect_near(text_rouge_n(replies[i], references[i], 2), rouge_2, "ROUGE-2", i);
        rouge_sum += text_rouge_l(replies[i], references[i]);
    }
    double bleu, rouge;
    assert_null(json_get_number(fixture, "fixture", "bleu", &bleu));
    assert_null(json_get_number(fixture, "fixture", "rouge_l", &rouge));
    expect_near(text_bleu(replies, references, count), bleu, "corpus BLEU", -1);
    expect_near(rouge_sum / count, rouge, "corpus ROUGE-L", -1);
    json_decref(fixture);
}

static void distinct_counts_over_all_replies(void **unused)
{
    (void)unused;
    const char *replies[] = {"a b a b", "a  b c", ""};
    /* unigrams a b c of 7; bigrams ab, ba, bc of 3 + 2 */
    assert_true(text_distinct(replies, 3, 1) == 3.0 / 7);
    assert_true(text_distinct(replies, 3, 2) == 3.0 / 5);
    assert_true(text_distinct(replies, 3, 5) == 0);
    assert_true(text_distinct(replies, 0, 1) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bleu_chrf_and_rouge_equal_the_packages),
        cmocka_unit_test(distinct_counts_over_all_replies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
