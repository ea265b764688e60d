/* reward.command: what a program is asked, answers in any order, full pipes, programs that end,
 * hang or answer wrongly, and that none outlives the run. */
#include "tests/reward/reward_test.h"

#include "src/base/clock.h"
#include "src/source/source.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern const struct source source_command;

enum { MANY = 100, LONG_TEXT = 4000, TEXT_SIZE = 1024 };

/* Answers each line as it comes, with the reply's text as the number. */
#define EACH(body)                                                                                 \
    "while IFS= read -r line; do id=${line#*'\"id\":\"'}; id=${id%%'\"'*}; " body "; done"
#define SAY(members) "printf '{\"id\":\"%s\"," members "}\\n' \"$id\""

static char folder[] = "/tmp/regard_command_XXXXXX";

static const char *const pieces[] = {"1", "\xc3", ""};
static const struct message said[] = {
    {ROLE_USER, "a \"b\"", NULL}, {ROLE_ASSISTANT, "c\xff\n", NULL}, {ROLE_USER, "d", NULL}};

static struct source_reply reply_of(int64_t dialogue, int32_t candidate)
{
    return (struct source_reply){.key = {dialogue, 2, candidate, 0},
                                 .messages = said,
                                 .message_count = 3,
                                 .text = "1",
                                 .count = 3,
                                 .token_text = pieces};
}

static void *started(const char *line, double seconds)
{
    struct source_settings settings = {.command_seconds = seconds};
    void *command;
    snprintf(settings.command, sizeof settings.command, "%s", line);
    assert_done(source_command.open(&settings, &command));
    return command;
}

/* Four replies, 7/2/0 to 7/2/3. */
static status four_ask(void *command, double values[4], struct source_spans *spans)
{
    struct source_reply replies[4];
    for (int32_t i = 0; i < 4; i++) replies[i] = reply_of(7, i);
    memset(values, 0, 4 * sizeof *values);
    return source_command.compute(command, replies, 4, values, spans);
}

static void assert_refused(const char *line, double seconds, const char *what, const char *id)
{
    double values[4];
    struct source_spans spans = {0};
    void *command = started(line, seconds);
    assert_fails_with(four_ask(command, values, &spans), what, id);
    source_command.close(command);
    free(spans.list);
}

static char *file_text(const char *name)
{
    static char text[TEXT_SIZE];
    FILE *file = fopen(name, "r");
    size_t size = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file) fclose(file);
    text[size] = 0;
    return text;
}

static void a_request_holds_the_dialogue_the_reply_and_the_data_line(void **state)
{
    (void)state;
    void *command = started("tee asked | " EACH(SAY("\"reward\":0.5")), 10);
    struct dialogue data = {.json = "{\"messages\":[],\"answer\":3}"};
    struct source_reply replies[2] = {reply_of(4, 0), reply_of(4, 1)};
    replies[0].line = &data;
    double values[2];
    assert_done(source_command.compute(command, replies, 2, values, NULL));
    assert_close(values[0] + values[1], 1);
    source_command.close(command);
#define SAID                                                                                       \
    "\"messages\":[{\"role\":\"user\",\"content\":\"a \\\"b\\\"\"},{\"role\":\"assistant\","       \
    "\"content\":\"c\xef\xbf\xbd\\n\"},{\"role\":\"user\",\"content\":\"d\"}],\"reply\":\"1\","    \
    "\"pieces\":"                                                                                  \
    "[\"1\",\"\xef\xbf\xbd\",\"\"],"
    assert_string_equal(file_text("asked"),
                        "{\"id\":\"4/2/0\",\"turn\":2,\"candidate\":0," SAID
                        "\"line\":{\"messages\":[],\"answer\":3}}\n"
                        "{\"id\":\"4/2/1\",\"turn\":2,\"candidate\":1," SAID "\"line\":null}\n");
}

static void answers_come_in_any_order_and_batch_after_batch(void **state)
{
    (void)state;
    void *command = started("while read -r a && read -r b && read -r c && read -r d; do "
                            "for i in 2 0 3 1; do "
                            "printf '{\"reward\":%s.25,\"id\":\"7/2/%s\",\"why\":[]}\\n' $i $i; "
                            "done; done",
                            10);
    for (int batch = 0; batch < 3; batch++) {
        double values[4];
        assert_done(four_ask(command, values, NULL));
        for (int i = 0; i < 4; i++) assert_close(values[i], i + 0.25);
    }
    source_command.close(command);
}

static void spans_become_spans_of_their_reply(void **state)
{
    (void)state;
    void *command = started(EACH(SAY("\"rewards\":[{\"begin\":0,\"end\":1,\"value\":2},"
                                     "{\"begin\":1,\"end\":3,\"value\":-0.5}]")),
                            10);
    double values[4];
    struct source_spans spans = {0};
    assert_done(four_ask(command, values, &spans));
    assert_int_equal(spans.count, 8);
    for (int64_t i = 0; i < 8; i++) {
        assert_int_equal(spans.list[i].reply, i / 2);
        assert_int_equal(spans.list[i].begin, i % 2);
        assert_int_equal(spans.list[i].end, i % 2 ? 3 : 1);
        assert_close(spans.list[i].value, i % 2 ? -0.5 : 2);
    }
    free(spans.list);
    source_command.close(command);
}

/* Either side has more to say than a pipe holds before it reads again. */
static void full_pipes_hold_up_nobody(void **state)
{
    (void)state;
    static char text[LONG_TEXT];
    static struct source_reply replies[MANY];
    static double values[MANY];
    memset(text, 'x', sizeof text - 1);
    for (int i = 0; i < MANY; i++) {
        replies[i] = reply_of(i, 0);
        replies[i].text = text;
    }
    void *command = started("sed -u 's/^{\"id\":\"\\([^\"]*\\)\".*\"reply\":\\(\"[^\"]*\"\\).*/"
                            "{\"id\":\"\\1\",\"reward\":3,\"a\":\\2,\"b\":\\2}/'",
                            30);
    assert_done(source_command.compute(command, replies, MANY, values, NULL));
    for (int i = 0; i < MANY; i++) assert_close(values[i], 3);
    source_command.close(command);
}

static void one_that_ends_is_started_again_and_asked_for_the_rest(void **state)
{
    (void)state;
    void *command = started(
        "if [ -e once ]; then tee rest | " EACH(SAY(
            "\"reward\":2")) "; else touch once; "
                             "read -r a; printf '{\"id\":\"7/2/1\",\"reward\":1}\\n'; exit 3; fi",
        10);
    double values[4];
    assert_done(four_ask(command, values, NULL));
    for (int i = 0; i < 4; i++) assert_close(values[i], i == 1 ? 1 : 2);
    const char *rest = file_text("rest");
    /* tee writes to the pipe first: the file may come after the answers. */
    for (int i = 0; i < 500 && !strstr(rest, "7/2/0"); i++) {
        usleep(10000);
        rest = file_text("rest");
    }
    assert_non_null(strstr(rest, "7/2/0"));
    assert_null(strstr(rest, "7/2/1"));
    source_command.close(command);
}

static void one_that_the_shell_does_not_find_is_not_started(void **state)
{
    (void)state;
    struct source_settings settings = {.command = "/no/such/program -x", .command_seconds = 10};
    void *command;
    assert_fails_with(source_command.open(&settings, &command),
                      "reward.command (/no/such/program -x)",
                      "the shell finds no /no/such/program");
    assert_null(command);
}

static void one_that_ends_twice_ends_the_run(void **state)
{
    (void)state;
    assert_refused("read -r a; exit 3", 10, "exit status 3", "id 7/2/0 the first");
    assert_refused("kill -9 $$", 10, "reward.command (kill -9 $$) ended twice", "signal 9");
    assert_refused("(/no/such/program)", 10, "no such command", "4 of 4 replies");
    /* It hears nothing more, which is no death of ours. */
    assert_refused("exec <&-; sleep 0.05", 10, "ended twice", "exit status 0");
}

static void an_answer_after_the_deadline_ends_the_run(void **state)
{
    (void)state;
    assert_refused(EACH("sleep 0.3; " SAY("\"reward\":1")), 0.1, "reward.command_seconds: 0.1",
                   "4 of 4 replies");
    assert_refused(
        "read -r a; read -r b; printf '{\"id\":\"7/2/0\",\"reward\":1}\\n'; exec sleep 9", 0.1,
        "3 of 4 replies", "id 7/2/1 the first");
}

static void wrong_answers_are_one_line_that_quotes_them(void **state)
{
    (void)state;
    static const struct {
        const char *answer, *what;
    } cases[] = {
        {"{\"id\":\"7/2/0\",\"reward\":NaN}", "bad JSON"},
        {"{\"id\":\"7/2/0\",\"reward\":1e999}", "bad JSON"},
        {"{\"id\":\"7/2/0\",\"reward\":null}", "\"reward\" must be a number"},
        {"{\"id\":\"7/2/0\",\"reward\":\"1\"}", "\"reward\" must be a number"},
        {"{\"id\":\"7/2/0\"}", "neither \"reward\" nor \"rewards\""},
        {"{\"id\":\"7/2/0\",\"reward\":1,\"rewards\":[]}", "both \"reward\" and \"rewards\""},
        {"{\"reward\":1}", "\"id\" is missing"},
        {"{\"id\":7,\"reward\":1}", "\"id\" must be a string"},
        {"{\"id\":\"7/2/9\",\"reward\":1}", "that id was not asked"},
        {"{\"id\":\"7/2/0\",\"reward\":1}\\n{\"id\":\"7/2/0\",\"reward\":1}",
         "has its answer already"},
        {"ready\\tto go", "bad JSON"},
        {"[1]", "it is not an object"},
        {"{\"id\":\"7/2/0\",\"rewards\":[]}", "\"rewards\" is not a list"},
        {"{\"id\":\"7/2/0\",\"rewards\":[{\"begin\":0,\"end\":3}]}", "\"value\" is missing"},
        {"{\"id\":\"7/2/0\",\"rewards\":[{\"begin\":2,\"end\":1,\"value\":1}]}", "are no span"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char line[TEXT_SIZE], quoted[TEXT_SIZE];
        snprintf(line, sizeof line, "read -r a; printf '%s\\n'; exec cat >/dev/null",
                 cases[i].answer);
        snprintf(quoted, sizeof quoted, "answered %.20s", cases[i].answer);
        assert_refused(line, 10, cases[i].what, strchr(quoted, '\\') ? "answered" : quoted);
    }
}

/* Gone, or dead and not yet waited for by init. */
static bool process_is_gone(pid_t pid)
{
    char path[64], state = 'Z';
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    if (!file) return true;
    const int read = fscanf(file, "%*d (%*[^)]) %c", &state);
    fclose(file);
    return read == 1 && state == 'Z';
}

static pid_t pid_in(const char *name)
{
    for (int i = 0; i < 1000; i++) {
        const int pid = atoi(file_text(name));
        if (pid) return pid;
        usleep(10000);
    }
    fail_msg("the command wrote no %s", name);
    return 0;
}

static bool becomes_gone(pid_t pid)
{
    for (int i = 0; i < 1000; i++) {
        if (process_is_gone(pid)) return true;
        usleep(10000);
    }
    return false;
}

/* It reads nothing, so that only a signal ends it. */
static void it_dies_with_a_run_that_is_killed(void **state)
{
    (void)state;
    const pid_t run = fork();
    if (run == 0) {
        started("sleep 1000 | sleep 1000 & echo $! >own; sleep 1000", 10);
        pause();
        _exit(0);
    }
    const pid_t own = pid_in("own");
    assert_false(process_is_gone(own));
    kill(run, SIGKILL);
    assert_int_equal(waitpid(run, NULL, 0), run);
    assert_true(becomes_gone(own));
}

static void closing_leaves_no_process_of_its_group_and_no_zombie(void **state)
{
    (void)state;
    void *command = started("sleep 1000 & echo $! >other; cat >/dev/null", 10);
    const pid_t other = pid_in("other");
    source_command.close(command);
    assert_true(becomes_gone(other));
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static int folder_make(void **state)
{
    (void)state;
    return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int folder_remove(void **state)
{
    static const char *const names[] = {"asked", "once", "rest", "own", "other"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) unlink(names[i]);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_holds_the_dialogue_the_reply_and_the_data_line),
        cmocka_unit_test(answers_come_in_any_order_and_batch_after_batch),
        cmocka_unit_test(spans_become_spans_of_their_reply),
        cmocka_unit_test(full_pipes_hold_up_nobody),
        cmocka_unit_test(one_that_ends_is_started_again_and_asked_for_the_rest),
        cmocka_unit_test(one_that_the_shell_does_not_find_is_not_started),
        cmocka_unit_test(one_that_ends_twice_ends_the_run),
        cmocka_unit_test(an_answer_after_the_deadline_ends_the_run),
        cmocka_unit_test(wrong_answers_are_one_line_that_quotes_them),
        cmocka_unit_test(it_dies_with_a_run_that_is_killed),
        cmocka_unit_test(closing_leaves_no_process_of_its_group_and_no_zombie)};
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
