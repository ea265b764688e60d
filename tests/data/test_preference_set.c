/* The built-in preferences: pure, told apart by what they name, and not by their length. */
#include "src/data/preferences.h"
#include "src/data/scenario.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct preferences *read_set(const char *name)
{
    struct preferences *set;
    status s = preferences_read(name, &set);
    if (s) fail_msg("%s", status_message(s));
    return set;
}

static int64_t words_of(const char *text)
{
    int64_t words = 0;
    for (; *text; text++) words += !isspace((unsigned char)*text) && (!text[1] || text[1] == ' ');
    return words;
}

/* Values of a reply, which begin in the middle of a sentence with a capital or hold a digit, that
 * the history has not; and how many it has. */
static int64_t values_of(const char *reply, const struct dialogue *history, int64_t *known)
{
    int64_t strange = 0;
    char copy[CORPUS_TEXT];
    bool begins = true;
    snprintf(copy, sizeof copy, "%s", reply);
    *known = 0;
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) {
        const size_t size = strlen(word);
        const bool ends = strchr(".!?", word[size - 1]) != NULL;
        if (strchr(".!?,", word[size - 1])) word[size - 1] = 0;
        const bool value = (!begins && isupper((unsigned char)word[0]) && word[1]) ||
                           word[strcspn(word, "0123456789")];
        begins = ends;
        if (!value) continue;
        bool found = false;
        for (int64_t m = 0; !found && m < history->message_count; m++)
            found = corpus_mentions(history->messages[m].content, word);
        *known += found;
        strange += !found;
    }
    return strange;
}

static char *kind_of(const struct dialogue *line)
{
    char *kind;
    assert_null(dialogue_field(line, "kind", &kind));
    assert_non_null(kind);
    return kind;
}

static void the_chosen_reply_names_what_was_said(void **state)
{
    (void)state;
    struct preferences *set = read_set("preferences:3:500");
    int64_t wrong = 0, told = 0;
    assert_int_equal(set->count, 500);
    for (int64_t i = 0; i < set->count; i++) {
        const struct preference *one = &set->list[i];
        char *kind = kind_of(&one->history);
        int64_t known, none;
        assert_int_equal(values_of(one->chosen, &one->history, &known), 0);
        const int64_t strange = values_of(one->rejected, &one->history, &none);
        if (!strcmp(kind, "wrong")) {
            wrong++;
            told += known == 0 || strange > 0; /* a product alone is in small letters */
        } else {
            assert_string_equal(kind, "missing");
            assert_int_equal(strange, 0);
            assert_int_equal(none, 0);
        }
        free(kind);
    }
    assert_in_range(wrong, 250 - 45, 250 + 45);
    assert_int_equal(told, wrong);
    preferences_free(set);
}

static void length_does_not_tell(void **state)
{
    (void)state;
    struct preferences *set = read_set("preferences:9:4000");
    double longer[2][2] = {{0}}, of[2] = {0}; /* by kind; in bytes, in words */
    for (int64_t i = 0; i < set->count; i++) {
        const struct preference *one = &set->list[i];
        char *kind = kind_of(&one->history);
        const int missing = !strcmp(kind, "missing");
        const size_t a = strlen(one->chosen), b = strlen(one->rejected);
        const int64_t c = words_of(one->chosen), d = words_of(one->rejected);
        of[missing]++;
        longer[missing][0] += a > b ? 1 : a == b ? 0.5 : 0;
        longer[missing][1] += c > d ? 1 : c == d ? 0.5 : 0;
        free(kind);
    }
    for (int kind = 0; kind < 2; kind++)
        for (int unit = 0; unit < 2; unit++) {
            const double share = longer[kind][unit] / of[kind];
            printf("%s, %s: the chosen reply is the longer one in %.3f\n",
                   kind ? "missing" : "wrong", unit ? "words" : "bytes", share);
            if (share < 0.47 || share > 0.53) fail_msg("length tells: %.3f", share);
        }
    preferences_free(set);
}

static void a_line_depends_on_seed_and_place_alone(void **state)
{
    (void)state;
    struct preferences *all = read_set("preferences:7:12:5"), *one;
    for (int i = 0; i < 12; i++) {
        char name[64];
        snprintf(name, sizeof name, "preferences:7:1:%d", 5 + i);
        one = read_set(name);
        assert_string_equal(one->list[0].history.json, all->list[i].history.json);
        preferences_free(one);
    }
    one = read_set("preferences:8:1:5");
    assert_string_not_equal(one->list[0].history.json, all->list[0].history.json);
    preferences_free(one);
    preferences_free(all);
}

static void no_dialogues_are_read_from_them(void **state)
{
    (void)state;
    for (enum dataset_need need = DATASET_TRAIN; need <= DATASET_UPDATE; need++) {
        struct dataset *data;
        status s = dataset_read("preferences:1:2", need, &data);
        assert_non_null(s);
        assert_non_null(strstr(status_message(s), "preferences:1:2: pairs of replies"));
        status_free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_chosen_reply_names_what_was_said),
                                       cmocka_unit_test(length_does_not_tell),
                                       cmocka_unit_test(a_line_depends_on_seed_and_place_alone),
                                       cmocka_unit_test(no_dialogues_are_read_from_them)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
