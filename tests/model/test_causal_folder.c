/* Folders of decoder-only models: both spellings of config.json, defaults, what is refused and how,
 * and that what is written is read again. */
#include "src/model/causal/shape.h"
#include "tests/model/model_test.h"

#include "src/base/file.h"

#define GOLDEN REGARD_SOURCE "/tests/golden/causal/"

static char folder[] = "/tmp/regard-causal-XXXXXX";

static const char *in_folder(char path[512], const char *name)
{
    snprintf(path, 512, "%s/%s", folder, name);
    return path;
}

static void write_text(const char *name, const char *text)
{
    char path[512];
    CHECK(file_write(in_folder(path, name), text, strlen(text)));
}

static void folder_clear(void)
{
    CHECK(directory_remove(folder));
    CHECK(directory_create(folder));
}

/* A small Llama's config.json with more keys in front. */
static void config_write(const char *type, const char *keys)
{
    char text[2048];
    snprintf(text, sizeof text,
             "{\"model_type\": \"%s\", %s\"vocab_size\": 50, \"hidden_size\": 24, "
             "\"intermediate_size\": 32, \"num_hidden_layers\": 2, \"num_attention_heads\": 4, "
             "\"num_key_value_heads\": 2, \"max_position_embeddings\": 64, \"eos_token_id\": 2}",
             type, keys);
    folder_clear();
    write_text("config.json", text);
}

static struct causal_shape shape_read(void)
{
    struct model_shape *shape;
    CHECK(model_folder_shape(folder, &shape));
    assert_ptr_equal(shape->family, &family_causal);
    const struct causal_shape copy = *causal_shape(shape);
    free(shape);
    return copy;
}

static void both_spellings_of_rotary_positions_are_one_shape(void **state)
{
    (void)state;
    static const char *const spellings[] = {
        "\"rope_theta\": 5000.0, \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8.0, "
        "\"low_freq_factor\": 1.5, \"high_freq_factor\": 5.0, "
        "\"original_max_position_embeddings\": 32}, ",
        "\"rope_parameters\": {\"rope_theta\": 5000.0, \"rope_type\": \"llama3\", \"factor\": 8, "
        "\"low_freq_factor\": 1.5, \"high_freq_factor\": 5, "
        "\"original_max_position_embeddings\": 32}, "};
    for (int i = 0; i < 2; i++) {
        config_write("llama", spellings[i]);
        const struct causal_shape s = shape_read();
        assert_true(s.rope_theta == 5000.0f && s.rope_kind == ROPE_LLAMA3 && s.rope_factor == 8.0f);
        assert_true(s.rope_low_factor == 1.5f && s.rope_high_factor == 5.0f);
        assert_int_equal(s.rope_original_context, 32);
    }
    config_write("llama", "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 4.0}, ");
    assert_int_equal(shape_read().rope_kind, ROPE_LINEAR);
    config_write("llama", "\"rope_parameters\": {\"rope_type\": \"default\"}, ");
    assert_true(shape_read().rope_kind == ROPE_DEFAULT && shape_read().rope_theta == 10000.0f);
}

static void what_a_config_leaves_out_is_its_types_default(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        int64_t kv_heads, head_dim, context, window;
    } cases[] = {{"llama", 32, 128, 2048, 0},
                 {"mistral", 8, 128, 131072, 4096},
                 {"qwen2", 32, 128, 32768, 0},
                 {"qwen3", 32, 128, 32768, 0}};
    for (size_t i = 0; i < 4; i++) {
        char text[64];
        folder_clear();
        snprintf(text, sizeof text, "{\"model_type\": \"%s\"}", cases[i].type);
        write_text("config.json", text);
        const struct causal_shape s = shape_read();
        assert_int_equal(s.kind, i);
        assert_int_equal(s.kv_heads, cases[i].kv_heads);
        assert_int_equal(s.head_dim, cases[i].head_dim);
        assert_int_equal(s.context, cases[i].context);
        assert_int_equal(s.window, cases[i].window);
        assert_false(s.tied);
    }
}

/* Null has no window, nor has a Qwen whose switch is off; a window limits the sequences. */
static void windows_are_read_and_limit_sequences(void **state)
{
    (void)state;
    static const struct {
        const char *type, *keys;
        int64_t window;
    } cases[] = {
        {"mistral", "\"sliding_window\": null, ", 0},
        {"mistral", "\"sliding_window\": 8, ", 8},
        {"qwen2", "\"sliding_window\": 8, \"use_sliding_window\": false, ", 0},
        {"qwen2", "\"sliding_window\": 8, \"use_sliding_window\": true, \"max_window_layers\": 1, ",
         8},
        {"qwen2", "\"sliding_window\": 8, \"use_sliding_window\": true, \"max_window_layers\": 2, ",
         0},
        {"qwen3",
         "\"sliding_window\": 8, \"use_sliding_window\": true, \"layer_types\": "
         "[\"full_attention\", \"sliding_attention\"], ",
         8},
        {"qwen3",
         "\"sliding_window\": 8, \"use_sliding_window\": true, \"layer_types\": "
         "[\"full_attention\", \"full_attention\"], ",
         0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        config_write(cases[i].type, cases[i].keys);
        const struct causal_shape s = shape_read();
        assert_int_equal(s.window, cases[i].window);
        assert_int_equal(causal_sequence_max(&s.common), cases[i].window ? cases[i].window : 64);
    }
}

static void a_reply_ends_at_the_ids_that_generation_config_names(void **state)
{
    (void)state;
    config_write("llama", "");
    write_text("generation_config.json", "{\"eos_token_id\": [5, 7, 9], \"pad_token_id\": 3}");
    const struct causal_shape s = shape_read();
    assert_true(model_shape_is_end(&s.common, 5) && model_shape_is_end(&s.common, 9));
    assert_false(model_shape_is_end(&s.common, 2) || model_shape_is_end(&s.common, 0));
    assert_int_equal(s.common.pad, 3);
}

static void a_chat_formats_end_is_added_once(void **state)
{
    (void)state;
    struct queue *q = queue_new(1);
    struct model_shape *shape;
    struct model *model;
    config_write("qwen2", "");
    CHECK(model_folder_shape(folder, &shape));
    CHECK(model_create(q, shape, false, &model));
    free(shape);
    CHECK(model_add_end(model, 2));
    assert_int_equal(model_shape(model)->more_ends, 0);
    for (int32_t token = 10; token < 13; token++) {
        CHECK(model_add_end(model, token));
        CHECK(model_add_end(model, token));
        assert_true(model_shape_is_end(model_shape(model), token));
    }
    assert_int_equal(model_shape(model)->more_ends, 3);
    status s = model_add_end(model, 13);
    assert_non_null(s);
    status_free(s);
    model_destroy(model);
    q->op->destroy(q);
}

static void what_is_not_computed_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *type, *keys, *said;
    } cases[] = {
        {"llama", "\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 4.0}, ",
         "rope_type yarn"},
        {"qwen3", "\"rope_parameters\": {\"rope_type\": \"dynamic\"}, ", "rope_type dynamic"},
        {"llama", "\"hidden_act\": \"gelu\", ", "hidden_act gelu"},
        {"llama", "\"attention_bias\": true, ", "attention_bias"},
        {"llama", "\"mlp_bias\": true, ", "mlp_bias"},
        {"llama", "\"partial_rotary_factor\": 0.5, ", "partial_rotary_factor"},
        {"llama", "\"quantization_config\": {\"bits\": 4}, ", "quantised"},
        {"llama", "\"head_dim\": 7, ", "even"},
        {"qwen3_moe", "", "model_type qwen3_moe"},
        {"gpt_oss", "", "model_type gpt_oss"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct model_shape *shape;
        config_write(cases[i].type, cases[i].keys);
        status s = model_folder_shape(folder, &shape);
        if (!s) fail_msg("%s %s: accepted", cases[i].type, cases[i].keys);
        if (status_code(s) != STATUS_INPUT || !strstr(status_message(s), cases[i].said) ||
            strchr(status_message(s), '\n'))
            fail_msg("%s %s: %s", cases[i].type, cases[i].keys, status_message(s));
        status_free(s);
    }
}

static struct model *model_of(struct queue *q, const char *path)
{
    struct model_shape *shape;
    struct model *model;
    CHECK(model_folder_shape(path, &shape));
    CHECK(model_create(q, shape, false, &model));
    free(shape);
    CHECK(model_folder_load(path, model));
    return model;
}

static void a_folder_that_is_written_is_read_again(void **state)
{
    (void)state;
    static const char *const names[] = {"llama", "qwen2", "qwen3"};
    struct queue *q = queue_new(1);
    for (size_t i = 0; i < 3; i++) {
        char path[512], first[65], second[65];
        snprintf(path, sizeof path, GOLDEN "%s/model", names[i]);
        struct model *model = model_of(q, path);
        folder_clear();
        CHECK(model_folder_save(model, folder));
        struct model *again = model_of(q, folder);
        CHECK(parameters_hash(model_parameters(model), first));
        CHECK(parameters_hash(model_parameters(again), second));
        assert_string_equal(first, second);
        char *shape = model_shape_to_json(model_shape(model));
        char *other = model_shape_to_json(model_shape(again));
        assert_string_equal(shape, other);
        free(shape);
        free(other);
        model_destroy(model);
        model_destroy(again);
    }
    q->op->destroy(q);
}

/* A tied config beside an lm_head.weight of its own: which of the two is meant nobody knows. */
static void a_tied_head_that_differs_is_refused(void **state)
{
    (void)state;
    char path[512], *config;
    size_t size;
    struct queue *q = queue_new(1);
    struct model *model = model_of(q, GOLDEN "qwen2/model");
    folder_clear();
    CHECK(model_folder_save(model, folder));
    model_destroy(model);
    CHECK(file_read(in_folder(path, "config.json"), &config, &size));
    char *flag = strstr(config, "\"tie_word_embeddings\": false");
    assert_non_null(flag);
    memcpy(flag, "\"tie_word_embeddings\": true ", 28);
    CHECK(file_write(path, config, size));
    free(config);
    struct model_shape *shape;
    CHECK(model_folder_shape(folder, &shape));
    CHECK(model_create(q, shape, false, &model));
    free(shape);
    status s = model_folder_load(folder, model);
    assert_non_null(s);
    assert_non_null(strstr(status_message(s), "lm_head.weight"));
    status_free(s);
    model_destroy(model);
    q->op->destroy(q);
}

int main(void)
{
    if (!mkdtemp(folder)) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_spellings_of_rotary_positions_are_one_shape),
        cmocka_unit_test(what_a_config_leaves_out_is_its_types_default),
        cmocka_unit_test(windows_are_read_and_limit_sequences),
        cmocka_unit_test(a_reply_ends_at_the_ids_that_generation_config_names),
        cmocka_unit_test(a_chat_formats_end_is_added_once),
        cmocka_unit_test(what_is_not_computed_is_refused_by_name),
        cmocka_unit_test(a_folder_that_is_written_is_read_again),
        cmocka_unit_test(a_tied_head_that_differs_is_refused),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    status_free(directory_remove(folder));
    return failed;
}
