/* --model on an imported folder: the parameters come back, a changed folder is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/base/file.h"
#include "src/checkpoint/model_folder.h"
#include "src/model/t5/shape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GOOD(expression)                                                                           \
    do {                                                                                           \
        status good_ = (expression);                                                               \
        if (good_) fail_msg("%s: %s", #expression, status_message(good_));                         \
    } while (0)

static void an_imported_model_comes_back_and_a_changed_one_is_refused(void **state)
{
    (void)state;
    char folder[] = "/tmp/regard-model-XXXXXX", path[128], before[65], after[65];
    const struct t5_shape shape = {.common = {.family = &family_t5,
                                              .vocabulary = 40,
                                              .width = 16,
                                              .layers = 2,
                                              .heads = 2,
                                              .end = 1},
                                   .d_kv = 8,
                                   .d_ff = 32,
                                   .encoder_layers = 1,
                                   .buckets = 8,
                                   .max_distance = 20,
                                   .gated = true,
                                   .eps = 1e-6f};
    struct queue *queue;
    struct model *model, *back;
    assert_non_null(mkdtemp(folder));
    GOOD(cpu_queue_create(1, "auto", &queue));
    GOOD(model_create(queue, &shape.common, false, &model));
    GOOD(model_initialize(model, 5));
    GOOD(model_save_imported(model, true, NULL, folder));
    GOOD(model_open(folder, queue, false, &back));
    GOOD(parameters_hash(model_parameters(model), before));
    GOOD(parameters_hash(model_parameters(back), after));
    assert_string_equal(before, after);
    assert_memory_equal(model_shape(back), &shape, sizeof shape);
    model_destroy(back);
    status s = model_save_imported(model, true, NULL, folder);
    assert_non_null(s); /* holds a model already */
    status_free(s);
    snprintf(path, sizeof path, "%s/model.h5", folder);
    assert_int_equal(truncate(path, 64), 0);
    s = model_open(folder, queue, false, &back);
    assert_non_null(s);
    assert_non_null(strstr(status_message(s), "model.h5"));
    status_free(s);
    model_destroy(model);
    queue->op->destroy(queue);
    GOOD(directory_remove(folder));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_imported_model_comes_back_and_a_changed_one_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
