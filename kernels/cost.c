/* See cost.h. */
#include "kernels/cost.h"

double cost_seconds(struct cost cost, const struct cost_rates *rates)
{
    const double computing = rates->flops > 0 ? cost.flops / rates->flops : 0;
    const double moving = rates->bandwidth > 0 ? cost.bytes / rates->bandwidth : 0;
    return rates->launch + (computing > moving ? computing : moving);
}

struct cost cost_product(const struct queue *q, int64_t m, struct matrix_size size,
                         size_t out_bytes, bool accumulate)
{
    const double rows = (double)m, n = (double)size.n, k = (double)size.k;
    const double reals = (double)q->real_bytes;
    return (struct cost){.flops = 2 * rows * n * k,
                         .bytes = reals * (rows * k + n * k) +
                                  (accumulate ? 2 : 1) * (double)out_bytes * rows * n};
}

struct cost cost_weight_gradient(const struct queue *q, int64_t m, int64_t n, int64_t k,
                                 bool accumulate)
{
    const double rows = (double)m, weights = (double)n * (double)k;
    return (struct cost){.flops = 2 * rows * weights,
                         .bytes = (double)q->real_bytes * rows * (double)(n + k) +
                                  (accumulate ? 2 : 1) * (double)sizeof(float) * weights};
}

struct attention_work attention_work(const struct attention *a)
{
    struct attention_work work = {0};
    for (int64_t s = 0; s < a->segments; s++) {
        const int64_t first = a->range_begin ? a->range_begin[s] : s;
        const int64_t last = a->range_begin ? a->range_begin[s + 1] : s + 1;
        const double queries = (double)(a->query_begin[s + 1] - a->query_begin[s]);
        double keys = 0;
        for (int64_t r = first; r < last; r++) keys += (double)(a->key_end[r] - a->key_begin[r]);
        work.keys += keys;
        work.pairs += queries * keys - (a->causal ? queries * (queries - 1) / 2 : 0);
    }
    return work;
}

/* Elements of a row of q, and of one of k or v. */
static double query_width(const struct attention *a)
{
    return (double)(a->heads * a->head_dim);
}

static double key_width(const struct attention *a)
{
    return (double)(a->kv_heads * a->head_dim);
}

struct cost cost_attention(const struct queue *q, const struct attention *a,
                           struct attention_work work)
{
    const double heads = (double)a->heads, rows = (double)a->query_rows;
    const double reals = (double)q->real_bytes, floats = sizeof(float);
    struct cost cost = {
        /* q . k and w v; scale, bias, exponential, sum and division of each weight */
        .flops = work.pairs * (4 * query_width(a) + 5 * heads),
        .bytes = reals * 2 * (rows * query_width(a) + work.keys * key_width(a)),
    };
    if (a->lse) cost.bytes += floats * rows * heads;
    if (a->capture) {
        cost.flops += work.pairs * heads;
        cost.bytes += (a->capture_accumulate ? 2 : 1) * floats * work.pairs;
    }
    if (a->maps) cost.bytes += floats * work.pairs * heads;
    if (a->statistics) {
        cost.flops += 8 * work.pairs * heads;
        cost.bytes += floats * work.pairs * heads; /* rows that are added to, or kept */
    }
    return cost;
}

struct cost cost_attention_backward(const struct queue *q, const struct attention *a,
                                    const struct attention_gradients *g, struct attention_work work)
{
    const double heads = (double)a->heads, rows = (double)a->query_rows;
    const double reals = (double)q->real_bytes;
    return (struct cost){
        /* the weights anew, d, dq, dk and dv; eight more of each weight */
        .flops = work.pairs * (10 * query_width(a) + 8 * heads),
        .bytes = reals * (3 * rows * query_width(a) +
                          (g->accumulate_kv ? 6 : 4) * work.keys * key_width(a)),
    };
}

struct cost cost_alignment(const struct queue *q, const struct alignment *a)
{
    const double maps = (double)a->teacher.heads, tokens = (double)a->tokens;
    const double student = (double)(a->student.heads * a->student.head_dim);
    const double teacher = a->teacher.q ? maps * (double)a->teacher.head_dim : 0;
    double pairs = 0;
    for (int64_t side = 0; side < 2 * a->pairs; side++) {
        const int64_t other = side ^ 1;
        const double own = (double)(a->begin[side + 1] - a->begin[side]);
        const double theirs =
            (double)(a->begin[other + 1] - a->begin[other] - (int64_t)a->prompt[other]);
        pairs += own * (own + theirs);
    }
    const bool gradients = a->dq;
    return (struct cost){
        .flops = pairs * ((gradients ? 6 : 2) * student + 2 * teacher + 10 * maps),
        .bytes =
            (double)q->real_bytes * tokens * ((gradients ? 6 : 2) * student + 2 * teacher) +
            (double)sizeof(float) * (double)alignment_work(a->tokens, a->teacher.heads,
                                                           a->student.heads * a->student.head_dim)};
}
