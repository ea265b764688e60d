#include "src/model/merge.h"

#include "kernels/plan.h"
#include "src/base/memory.h"
#include "src/model/model_state.h"

#include <stdlib.h>

/* W [rows, k] += scale B A. */
static void weight_merge(const struct adapter *adapter, int64_t rows, const float *a,
                         const float *b, float *w)
{
    const int64_t rank = adapter->rank, k = adapter->k;
    double *sum = memory_allocate((size_t)k * sizeof *sum);
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < k; j++) sum[j] = 0;
        for (int64_t r = 0; r < rank; r++)
            for (int64_t j = 0; j < k; j++)
                sum[j] += (double)b[i * rank + r] * (double)a[r * k + j];
        for (int64_t j = 0; j < k; j++)
            w[i * k + j] = (float)((double)w[i * k + j] + (double)adapter->scale * sum[j]);
    }
    free(sum);
}

status model_merged_download(struct model *model, float *host)
{
    TRY(parameters_download(&model->parameters, host));
    if (!model->base) return NULL;
    float *trained = memory_allocate((size_t)model->trained.size * sizeof *trained);
    status s = parameters_download(&model->trained, trained);
    for (int64_t i = 0; !s && i < model->linear_count; i++) {
        const struct linear *w = model->linears[i];
        if (!w->adapter) continue;
        const float *a = trained + w->adapter->a, *b = trained + w->adapter->b;
        for (int64_t p = 0; p < w->adapter->parts; p++) {
            const struct adapter_part *part = &w->adapter->part[p];
            weight_merge(w->adapter, part->rows, a, b, host + w->offset + part->row * w->k);
            a += w->adapter->rank * w->k;
            b += part->rows * w->adapter->rank;
        }
    }
    free(trained);
    return s;
}

status model_merge(struct model **model, bool with_gradients)
{
    struct model *merged;
    TRY(model_create((*model)->queue, (*model)->shape, with_gradients, &merged));
    if (!queue_is_plan(merged->queue)) {
        float *host = memory_allocate((size_t)merged->parameters.size * sizeof *host);
        status s = model_merged_download(*model, host);
        if (!s) s = parameters_upload(&merged->parameters, host);
        free(host);
        if (!s) s = model_refresh(merged);
        if (s) {
            model_destroy(merged);
            return s;
        }
    }
    model_destroy(*model);
    *model = merged;
    return NULL;
}
