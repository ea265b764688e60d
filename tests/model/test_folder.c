/* Model folders: config.json's forms and bounds, tie rules, shards, what is refused and how. */
#include "tests/model/model_test.h"

#include "src/base/file.h"
#include "src/base/json.h"
#include "src/model/folder.h"
#include "src/model/safetensors.h"

#include <inttypes.h>

#define GOLDEN REGARD_SOURCE "/tests/golden/"

static char folder[] = "/tmp/regard-folder-XXXXXX";

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

static void copy_golden(const char *golden)
{
    static const char *const names[] = {
        "config.json", "model.safetensors", "model.safetensors.index.json",
        "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"};
    folder_clear();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char from[512], to[512];
        snprintf(from, sizeof from, GOLDEN "%s/model/%s", golden, names[i]);
        if (file_exists(from)) CHECK(file_copy(from, in_folder(to, names[i])));
    }
}

static void expect(status s, const char *what, const char *first, const char *second)
{
    if (!s) fail_msg("%s: accepted", what);
    if (status_code(s) != STATUS_INPUT || !strstr(status_message(s), first) ||
        !strstr(status_message(s), second))
        fail_msg("%s: code %d, message: %s (wanted \"%s\" and \"%s\")", what, status_code(s),
                 status_message(s), first, second);
    status_free(s);
}

static status load(char hex[65])
{
    struct t5_shape shape;
    TRY(t5_folder_shape(folder, &shape));
    struct queue *queue = queue_new(1);
    struct model *model;
    CHECK(model_create(queue, &shape.common, false, &model));
    status s = model_folder_load(folder, model);
    if (!s && hex) s = parameters_hash(model_parameters(model), hex);
    model_destroy(model);
    queue->op->destroy(queue);
    return s;
}

static void test_missing_keys_take_the_defaults_of_transformers(void **state)
{
    (void)state;
    struct t5_shape shape;
    folder_clear();
    write_text("config.json", "{\"model_type\": \"t5\", \"num_layers\": 3}");
    CHECK(t5_folder_shape(folder, &shape));
    assert_int_equal(shape.common.vocabulary, 32128);
    assert_int_equal(shape.common.width, 512);
    assert_int_equal(shape.d_kv, 64);
    assert_int_equal(shape.d_ff, 2048);
    assert_int_equal(shape.common.heads, 8);
    assert_int_equal(shape.encoder_layers, 3);
    assert_int_equal(shape.common.layers, 3);
    assert_int_equal(shape.buckets, 32);
    assert_int_equal(shape.max_distance, 128);
    assert_true(shape.eps == 1e-6f && !shape.gated && shape.tied && shape.scale_logits);
    assert_int_equal(shape.common.pad, 0);
    assert_int_equal(shape.common.end, 1);
    assert_int_equal(shape.common.start, 0);
}

static void test_bad_configs_are_refused_by_key(void **state)
{
    (void)state;
    static const struct {
        const char *config, *first, *second;
    } cases[] = {
        {"[]", "config.json", "object"},
        {"{\"model_type\": \"umt5\"}", "model_type umt5", "supported are: t5, mt5"},
        {"{\"d_model\": 0}", "d_model", "0"},
        {"{\"d_model\": 512.0}", "d_model", "integer"},
        {"{\"vocab_size\": 99999999999}", "vocab_size", "99999999999"},
        {"{\"num_heads\": \"8\"}", "num_heads", "integer"},
        {"{\"num_decoder_layers\": 0}", "num_decoder_layers", "0"},
        {"{\"relative_attention_num_buckets\": 2}", "relative_attention_num_buckets", "2"},
        {"{\"relative_attention_max_distance\": 16}", "relative_attention_max_distance", "16"},
        {"{\"layer_norm_epsilon\": -1}", "layer_norm_epsilon", "-1"},
        {"{\"layer_norm_epsilon\": \"x\"}", "layer_norm_epsilon", "number"},
        {"{\"eos_token_id\": 32128}", "eos_token_id", "32128"},
        {"{\"pad_token_id\": -1}", "pad_token_id", "-1"},
        {"{\"decoder_start_token_id\": true}", "decoder_start_token_id", "integer"},
        {"{\"feed_forward_proj\": \"gated-silu\"}", "feed_forward_proj", "gated-silu"},
        {"{\"feed_forward_proj\": \"gelu\"}", "feed_forward_proj", "gelu"},
        {"{\"feed_forward_proj\": 1}", "feed_forward_proj", "string"},
        {"{\"feed_forward_proj\": \"gated-gelu\", \"dense_act_fn\": \"gelu\"}", "dense_act_fn",
         "gelu"},
        {"{\"tie_word_embeddings\": 1}", "tie_word_embeddings", "true or false"},
        {"{\"d_ff\": 1, \"d_ff\": 2}", "duplicate", "d_ff"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct t5_shape shape;
        folder_clear();
        write_text("config.json", cases[i].config);
        expect(t5_folder_shape(folder, &shape), cases[i].config, cases[i].first, cases[i].second);
    }
}

/* Sets (or with NULL, removes) a key of the folder's config.json. */
static void config_json_set(const char *key, json_t *value)
{
    char path[512];
    json_t *config;
    CHECK(json_read(in_folder(path, "config.json"), &config));
    if (value)
        json_object_set_new(config, key, value);
    else
        json_object_del(config, key);
    char *text = json_dumps(config, 0);
    write_text("config.json", text);
    free(text);
    json_decref(config);
}

/* Writes model.safetensors anew in F32 with one tensor changed: dropped (rename ""), renamed,
 * added under `rename` as a copy (keep), its first value or its shape changed. */
static void rewrite(const char *name, const char *rename, bool keep, const float *first, bool flat)
{
    char path[512];
    struct safetensors *file;
    CHECK(safetensors_open(in_folder(path, "model.safetensors"), &file));
    int64_t count = safetensors_count(file), used = 0;
    struct tensor_source *sources = calloc((size_t)count + 1, sizeof *sources);
    float **buffers = calloc((size_t)count + 1, sizeof *buffers);
    for (int64_t i = 0; i < count; i++) {
        const struct tensor *tensor = safetensors_at(file, i);
        const bool hit = !strcmp(tensor->name, name);
        for (int copy = hit && !keep ? 1 : 0; copy < (hit ? 2 : 1); copy++) {
            if (copy && rename && !*rename) continue;
            buffers[used] = calloc((size_t)tensor->count + 1, sizeof(float));
            CHECK(tensor_floats(tensor, buffers[used]));
            if (copy && first) buffers[used][0] = *first;
            sources[used] = (struct tensor_source){.name = copy && rename ? rename : tensor->name,
                                                   .values = buffers[used],
                                                   .rank = copy && flat ? 1 : tensor->rank};
            memcpy(sources[used].shape, tensor->shape, sizeof tensor->shape);
            if (copy && flat) sources[used].shape[0] = tensor->count;
            used++;
        }
    }
    CHECK(safetensors_write(path, sources, used));
    for (int64_t i = 0; i < used; i++) free(buffers[i]);
    free(buffers);
    free(sources);
    safetensors_close(file);
}

static void test_tensors_that_do_not_fit_are_refused_by_name(void **state)
{
    (void)state;
    const float nan = NAN, infinity = INFINITY, other = 3;
    const char *wi = "encoder.block.0.layer.1.DenseReluDense.wi.weight";
    copy_golden("relu-tied");
    CHECK(load(NULL));
    rewrite(wi, "", false, NULL, false);
    expect(load(NULL), "missing", "missing tensor", wi);
    copy_golden("relu-tied");
    rewrite(wi, "extra.weight", true, NULL, false);
    expect(load(NULL), "unexpected", "unexpected tensor", "extra.weight");
    copy_golden("relu-tied");
    rewrite(wi, NULL, false, &nan, false);
    expect(load(NULL), "NaN", "not finite", wi);
    copy_golden("relu-tied");
    rewrite(wi, NULL, false, &infinity, false);
    expect(load(NULL), "infinity", "not finite", wi);
    copy_golden("relu-tied");
    rewrite(wi, NULL, false, NULL, true);
    expect(load(NULL), "shape", "[960]", "[40, 24]");
    copy_golden("relu-tied");
    rewrite("decoder.embed_tokens.weight", NULL, false, &other, false);
    expect(load(NULL), "redundant", "differ", "decoder.embed_tokens.weight");
    copy_golden("relu-tied");
    rewrite("lm_head.weight", NULL, false, &other, false);
    expect(load(NULL), "old form, tied, other head", "differ", "lm_head.weight");
    copy_golden("relu-tied");
    rewrite("lm_head.weight", "", false, NULL, false);
    config_json_set("tie_word_embeddings", json_false());
    expect(load(NULL), "separate head is not there", "missing tensor", "lm_head.weight");
}

/* MADLAD-400's files and others: the embedding under another name, once or twice. */
static void test_an_embedding_under_other_names_gives_the_same_model(void **state)
{
    (void)state;
    static const char *const models[] = {"relu-tied", "bf16"}; /* tied; a head of its own */
    static const char *const names[] = {"encoder.embed_tokens.weight",
                                        "decoder.embed_tokens.weight"};
    const float other = 3;
    for (size_t m = 0; m < 2; m++) {
        char whole[65], renamed[65];
        copy_golden(models[m]);
        CHECK(load(whole));
        for (size_t n = 0; n < 2; n++) {
            copy_golden(models[m]);
            rewrite(names[n], "", false, NULL, false);
            rewrite("shared.weight", names[n], false, NULL, false);
            CHECK(load(renamed));
            assert_string_equal(renamed, whole);
        }
        rewrite(names[0], "", false, NULL, false);
        rewrite(names[1], names[0], true, NULL, false); /* both, equal */
        CHECK(load(renamed));
        assert_string_equal(renamed, whole);
        rewrite(names[1], NULL, false, &other, false);
        expect(load(NULL), "two embeddings", "differ", names[1]);
    }
    copy_golden("bf16"); /* a head of its own is no embedding */
    rewrite("shared.weight", "", false, NULL, false);
    expect(load(NULL), "a head alone", "missing tensor", "shared.weight");
    config_json_set("tie_word_embeddings", json_true());
    config_json_set("scale_decoder_outputs", json_false());
    expect(load(NULL), "a head alone, in Transformers 5's form", "missing tensor", "shared.weight");
}

static void test_mt5_is_v1_1_with_defaults_of_its_own(void **state)
{
    (void)state;
    char t5[65], mt5[65];
    struct t5_shape shape;
    copy_golden("bf16");
    CHECK(load(t5));
    config_json_set("model_type", json_string("mt5"));
    config_json_set("architectures", json_pack("[s]", "MT5ForConditionalGeneration"));
    CHECK(load(mt5));
    assert_string_equal(mt5, t5);
    folder_clear();
    write_text("config.json", "{\"model_type\": \"mt5\"}");
    CHECK(t5_folder_shape(folder, &shape));
    assert_int_equal(shape.common.vocabulary, 250112);
    assert_int_equal(shape.common.width, 512);
    assert_int_equal(shape.d_kv, 64);
    assert_int_equal(shape.d_ff, 1024);
    assert_int_equal(shape.common.heads, 6);
    assert_int_equal(shape.encoder_layers, 8);
    assert_int_equal(shape.common.layers, 8);
    assert_true(shape.gated && !shape.tied && !shape.scale_logits);
}

static void test_transformers_5_tells_the_head_by_the_file(void **state)
{
    (void)state;
    struct t5_shape shape;
    copy_golden("bf16"); /* separate head, unscaled */
    config_json_set("tie_word_embeddings", json_true());
    config_json_set("scale_decoder_outputs", json_false());
    CHECK(t5_folder_shape(folder, &shape));
    assert_true(!shape.tied && !shape.scale_logits);
    CHECK(load(NULL));
    config_json_set("scale_decoder_outputs", json_true());
    CHECK(t5_folder_shape(folder, &shape));
    assert_true(!shape.tied && shape.scale_logits);
    copy_golden("relu-tied"); /* a head equal to the embedding */
    config_json_set("tie_word_embeddings", json_true());
    config_json_set("scale_decoder_outputs", json_true());
    CHECK(t5_folder_shape(folder, &shape));
    assert_true(shape.tied && shape.scale_logits);
    CHECK(load(NULL));
    copy_golden("bf16"); /* the old form says tied beside another head */
    config_json_set("tie_word_embeddings", NULL);
    expect(load(NULL), "old form without the key", "differ", "lm_head.weight");
}

static void index_set(const char *tensor, json_t *shard)
{
    char path[512];
    json_t *index;
    CHECK(json_read(in_folder(path, "model.safetensors.index.json"), &index));
    json_t *map = json_object_get(index, "weight_map");
    if (shard)
        json_object_set_new(map, tensor, shard);
    else
        json_object_del(map, tensor);
    char *text = json_dumps(index, 0);
    write_text("model.safetensors.index.json", text);
    free(text);
    json_decref(index);
}

static void test_an_index_that_lies_is_refused(void **state)
{
    (void)state;
    copy_golden("gated-untied");
    CHECK(load(NULL));
    index_set("shared.weight", json_string("model-00001-of-00002.safetensors"));
    expect(load(NULL), "wrong shard", "shared.weight", "model-00001-of-00002");
    copy_golden("gated-untied");
    index_set("shared.weight", json_string("../model-00002-of-00002.safetensors"));
    expect(load(NULL), "a path", "shared.weight", "plain file name");
    copy_golden("gated-untied");
    index_set("shared.weight", json_integer(2));
    expect(load(NULL), "a number", "shared.weight", "not a string");
    copy_golden("gated-untied");
    index_set("shared.weight", NULL);
    expect(load(NULL), "not in the index", "unexpected", "shared.weight");
    copy_golden("gated-untied");
    index_set("ghost.weight", json_string("model-00002-of-00002.safetensors"));
    expect(load(NULL), "a tensor nowhere", "ghost.weight", "not in");
    copy_golden("gated-untied");
    write_text("model.safetensors.index.json", "{\"weight_map\": []}");
    expect(load(NULL), "a list", "weight_map", "object");
    folder_clear();
    write_text("config.json", "{\"d_model\": 8, \"vocab_size\": 16, \"d_ff\": 8}");
    expect(load(NULL), "no weights", "model.safetensors", "no ");
}

static void test_a_saved_folder_loads_with_the_same_parameters(void **state)
{
    (void)state;
    static const char *const models[] = {"relu-tied", "gated-untied", "bytes", "bf16"};
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        char before[65], after[65];
        struct t5_shape first, second;
        copy_golden(models[i]);
        CHECK(t5_folder_shape(folder, &first));
        struct queue *queue = queue_new(1);
        struct model *model;
        CHECK(model_create(queue, &first.common, false, &model));
        CHECK(model_folder_load(folder, model));
        CHECK(parameters_hash(model_parameters(model), before));
        folder_clear();
        CHECK(model_folder_save(model, folder));
        model_destroy(model);
        queue->op->destroy(queue);
        CHECK(t5_folder_shape(folder, &second));
        assert_int_equal(first.common.vocabulary, second.common.vocabulary);
        assert_int_equal(first.max_distance, second.max_distance);
        assert_int_equal(first.buckets, second.buckets);
        assert_int_equal(first.gated, second.gated);
        assert_int_equal(first.tied, second.tied);
        assert_int_equal(first.scale_logits, second.scale_logits);
        assert_true(first.eps == second.eps);
        CHECK(load(after));
        assert_string_equal(before, after);
    }
}

static int setup(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    status s = directory_remove(folder);
    status_free(s);
    return s ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_missing_keys_take_the_defaults_of_transformers),
        cmocka_unit_test(test_bad_configs_are_refused_by_key),
        cmocka_unit_test(test_tensors_that_do_not_fit_are_refused_by_name),
        cmocka_unit_test(test_an_embedding_under_other_names_gives_the_same_model),
        cmocka_unit_test(test_mt5_is_v1_1_with_defaults_of_its_own),
        cmocka_unit_test(test_transformers_5_tells_the_head_by_the_file),
        cmocka_unit_test(test_an_index_that_lies_is_refused),
        cmocka_unit_test(test_a_saved_folder_loads_with_the_same_parameters),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
