/* What a model's work is at least, in operations and bytes; see bench.h. */
#include "tools/regard/bench.h"

#include <string.h>

/* What a matrix is applied to. */
enum use { USE_NONE, USE_HISTORY, USE_REPLY, USE_BOTH, USE_HEAD };

/* T5: the encoder and the cross-attention's keys and values are the history's. */
static enum use use_in_t5(const char *name, bool tied)
{
    if (strstr(name, "relative_attention_bias")) return USE_NONE;
    if (!strncmp(name, "encoder.", 8) || strstr(name, "EncDecAttention.k.") ||
        strstr(name, "EncDecAttention.v."))
        return USE_HISTORY;
    if (!strncmp(name, tied ? "shared" : "lm_head", 6)) return USE_HEAD;
    return !strncmp(name, "decoder.", 8) ? USE_REPLY : USE_NONE;
}

/* Decoder-only: every layer is both's. */
static enum use use_in_causal(const char *name, bool tied)
{
    if (!strcmp(name, tied ? "model.embed_tokens.weight" : "lm_head.weight")) return USE_HEAD;
    return strstr(name, ".layers.") ? USE_BOTH : USE_NONE;
}

struct bench_weights_count bench_weights_of(struct model *model)
{
    const struct model_shape *shape = model_shape(model);
    const struct parameters *p = model_parameters(model);
    const bool tied = model_shape_number(shape, "tied") != 0, causal = model_shape_is_causal(shape);
    struct bench_weights_count out = {0};
    char last[32];
    snprintf(last, sizeof last, ".layers.%lld.", (long long)shape->layers - 1);
    for (int64_t i = 0; i < p->count; i++) {
        const struct parameter *one = &p->list[i];
        if (one->rank != 2) continue;
        const enum use use = causal ? use_in_causal(one->name, tied) : use_in_t5(one->name, tied);
        const double count = (double)one->count;
        if (use == USE_HISTORY || use == USE_BOTH) out.history += count;
        if (use == USE_REPLY || use == USE_BOTH || use == USE_HEAD) out.reply += count;
        /* Nobody reads what a history's rows become in the last layer: its keys and values alone.
         */
        if (use == USE_BOTH && strstr(one->name, last) && !strstr(one->name, ".k_proj.") &&
            !strstr(one->name, ".v_proj."))
            out.history_unread += count;
    }
    return out;
}

double bench_key_bytes(struct model *model)
{
    const struct model_shape *shape = model_shape(model);
    const double kv_heads =
        model_shape_is_causal(shape) ? model_shape_number(shape, "kv_heads") : (double)shape->heads;
    return 2 * (double)model_queue(model)->real_bytes * (double)shape->layers * kv_heads *
           model_shape_number(shape, "d_kv");
}

static double attention_inner(const struct model_shape *shape)
{
    return (double)shape->heads * model_shape_number(shape, "d_kv");
}

double bench_history_attention(const struct model_shape *shape, double n)
{
    if (model_shape_is_causal(shape))
        return (double)shape->layers * 4 * attention_inner(shape) * n * (n + 1) / 2;
    return model_shape_number(shape, "encoder_layers") * 4 * attention_inner(shape) * n * n;
}

double bench_reply_attention(const struct model_shape *shape, double n, double k)
{
    return (double)shape->layers * 4 * attention_inner(shape) * (k * (k + 1) / 2 + k * n);
}
