/* The built-in pairs with early evidence and a late cue: what stands where, how often the cue is
 * right, that nothing else tells. */
#include "src/data/preferences.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
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

static bool ends_in(const char *text, const char *word)
{
    const size_t n = strlen(text), m = strlen(word);
    return n > m && text[n - m - 1] == ' ' && !strcmp(text + n - m, word);
}

static void the_key_is_certain_and_the_cue_is_right_so_often(void **state)
{
    (void)state;
    static const char *const names[] = {"evidence:1:2000:80", "evidence:1:2000:50:2000",
                                        "evidence:1:2000:100"};
    static const int share[] = {80, 50, 100};
    for (int n = 0; n < 3; n++) {
        struct preferences *set = read_set(names[n]);
        int64_t right = 0, longer = 0, shorter = 0;
        assert_int_equal(set->count, 2000);
        for (int64_t i = 0; i < set->count; i++) {
            const struct preference *one = &set->list[i];
            const char *prompt = one->history.messages[0].content;
            char *cue;
            assert_int_equal(strncmp(prompt, "key ", 4), 0);
            assert_int_equal(one->chosen[0], prompt[4]);
            assert_int_not_equal(one->rejected[0], prompt[4]);
            assert_int_equal(one->chosen[1], ' ');
            assert_int_equal(one->rejected[1], ' ');
            assert_null(dialogue_field(&one->history, "cue", &cue));
            const bool is_right = !strcmp(cue, "right");
            assert_true(ends_in(one->chosen, is_right ? "yes" : "no"));
            assert_true(ends_in(one->rejected, is_right ? "no" : "yes"));
            right += is_right;
            /* Without the cue, which is a letter longer where it speaks for a reply. */
            const size_t a = strlen(one->chosen) - is_right, b = strlen(one->rejected) - !is_right;
            longer += a > b;
            shorter += a < b;
            free(cue);
        }
        /* Three deviations of 2,000 draws. */
        assert_in_range(right, share[n] * 20 - 67, share[n] * 20 + 67);
        assert_in_range(longer - shorter + 200, 200 - 134, 200 + 134);
        preferences_free(set);
    }
}

static void the_share_changes_the_cue_alone(void **state)
{
    (void)state;
    struct preferences *often = read_set("evidence:3:100:90"),
                       *half = read_set("evidence:3:60:50:40");
    int64_t differ = 0;
    for (int64_t i = 0; i < half->count; i++) {
        const char *a = often->list[i + 40].chosen, *b = half->list[i].chosen;
        const size_t same = strrchr(a, ' ') - a;
        assert_int_equal(strncmp(a, b, same), 0);
        differ += strcmp(a, b) != 0;
    }
    assert_in_range(differ, 10, 40); /* of 60: 24 */
    preferences_free(often);
    preferences_free(half);
}

static void a_share_is_from_1_to_100(void **state)
{
    (void)state;
    static const char *const wrong[][2] = {{"evidence:1:20", "write evidence:SEED:COUNT:CUE or "},
                                           {"evidence:1:20:0", "there is no CUE 0, only 1 to 100"},
                                           {"evidence:1:20:101", "there is no CUE 101"}};
    for (int i = 0; i < 3; i++) {
        struct preferences *set;
        status s = preferences_read(wrong[i][0], &set);
        assert_non_null(s);
        if (!strstr(status_message(s), wrong[i][1])) fail_msg("%s", status_message(s));
        status_free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_key_is_certain_and_the_cue_is_right_so_often),
        cmocka_unit_test(the_share_changes_the_cue_alone),
        cmocka_unit_test(a_share_is_from_1_to_100),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
