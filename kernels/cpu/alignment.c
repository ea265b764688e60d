/* Attention of a student over both sides of a pair, beside a teacher's (struct alignment in
 * kernels/ops.h).  A task is a pair and a map: both models' rows of it are gathered, and the maps
 * exist for a chunk of queries at a time.  Gradients of keys have a place for each head of q, and
 * are added over heads at the end. */
#include "kernels/cpu/rows.h"

#include <omp.h>
#include <string.h>

enum { queries_max = 32 };

/* One map of a model: its rows of the pair's tokens, the first side's first. */
struct map_rows {
    int64_t d;           /* elements of a row */
    float *q, *k;        /* [tokens, d] */
    float *k_transposed; /* [d, stride] */
    float *scores;       /* [queries_max, stride] of the chunk; */
    float *weights;      /* their softmax */
};

/* What a thread works with. */
struct workspace {
    int64_t stride; /* of rows over keys */
    struct map_rows student, teacher;
    float *dq; /* [queries_max, d] */
};

/* A range of the pair's tokens that are keys. */
struct key_range {
    int64_t begin, end;
};

/* One side of a pair, as its queries see it: all counted from the pair's first token. */
struct side_of_pair {
    int64_t first; /* the pair's first token */
    struct key_range queries, keys[2];
    int64_t count; /* of the keys */
};

static int64_t map_dim(const struct alignment *a)
{
    return a->student.heads * a->student.head_dim / a->teacher.heads;
}

static int64_t pair_tokens(const struct alignment *a)
{
    return 2 * a->longest;
}

static int64_t keys_stride(const struct alignment *a)
{
    return row_padded(pair_tokens(a)) + 48;
}

static int64_t map_floats(const struct alignment *a, int64_t d)
{
    return 2 * pair_tokens(a) * d + (d + 2 * queries_max) * keys_stride(a);
}

static float *map_open(struct map_rows *map, const struct alignment *a, int64_t d, float *memory)
{
    const int64_t rows = pair_tokens(a) * d, scores = queries_max * keys_stride(a);
    *map = (struct map_rows){.d = d, .q = memory, .k = memory + rows};
    map->k_transposed = map->k + rows;
    map->scores = map->k_transposed + d * keys_stride(a);
    map->weights = map->scores + scores;
    return map->weights + scores;
}

static int64_t workspace_floats(const struct alignment *a)
{
    return map_floats(a, map_dim(a)) + map_floats(a, a->teacher.head_dim) +
           queries_max * map_dim(a);
}

static void workspace_open(struct workspace *w, const struct alignment *a, float *memory)
{
    w->stride = keys_stride(a);
    memory = map_open(&w->student, a, map_dim(a), memory);
    w->dq = map_open(&w->teacher, a, a->teacher.head_dim, memory);
}

/* to[d] = elements [map d, (map + 1) d) of a row whose heads are read as those of q read them: head
 * h of q has head h / each of the row. */
static void part_gather(float *to, const float *row, int64_t map, int64_t d, int64_t each,
                        int64_t head_dim)
{
    for (int64_t i = 0, n; i < d; i += n) {
        const int64_t at = map * d + i, within = at % head_dim;
        n = head_dim - within < d - i ? head_dim - within : d - i;
        memcpy(to + i, row + at / head_dim / each * head_dim + within, (size_t)n * sizeof *to);
    }
}

static void map_gather(const struct row_functions *rows, struct map_rows *map,
                       const struct alignment_rows *of, int64_t number, const int32_t *query,
                       const int32_t *key, int64_t tokens, int64_t stride)
{
    const int64_t d = map->d, each = of->heads / of->kv_heads;
    for (int64_t i = 0; i < tokens; i++) {
        part_gather(map->q + i * d, (const float *)of->q + query[i] * of->q_stride, number, d, 1,
                    of->head_dim);
        part_gather(map->k + i * d, (const float *)of->k + key[i] * of->k_stride, number, d, each,
                    of->head_dim);
    }
    rows->transpose(map->k_transposed, stride, map->k, d, tokens, d);
}

/* scores and weights of queries [begin, begin + count) of the side; lse [count].  bias NULL: none.
 */
static void chunk_weights(const struct row_functions *rows, const struct alignment *a,
                          const struct side_of_pair *side, struct map_rows *map,
                          struct workspace *w, float scale, const float *bias, int64_t begin,
                          int64_t count, float *lse)
{
    int64_t before = 0;
    for (int r = 0; r < 2; r++) {
        const int64_t keys = side->keys[r].end - side->keys[r].begin;
        rows->product(map->scores + before, w->stride, map->q + begin * map->d, map->d, 1,
                      map->k_transposed + side->keys[r].begin, w->stride, count, keys, map->d,
                      false);
        before += keys;
    }
    for (int64_t i = 0; i < count; i++) {
        float *scores = map->scores + i * w->stride, *weights = map->weights + i * w->stride;
        for (int64_t j = 0; j < side->count; j++) scores[j] *= scale;
        if (bias) {
            const int32_t query = a->teacher_query[side->first + begin + i];
            const int32_t *key = a->teacher_key + side->first;
            int64_t j = 0;
            for (int r = 0; r < 2; r++)
                for (int64_t t = side->keys[r].begin; t < side->keys[r].end; t++)
                    scores[j++] += bias[key[t] - query + a->bias_span - 1];
        }
        memcpy(weights, scores, (size_t)side->count * sizeof *weights);
        lse[i] = rows->attention_weights(weights, 1.0f, NULL, side->count, row_padded(side->count));
    }
}

static void chunk_uniform(const struct side_of_pair *side, struct map_rows *map,
                          const struct workspace *w, int64_t count, float *lse)
{
    const float weight = 1.0f / (float)side->count;
    for (int64_t i = 0; i < count; i++) {
        lse[i] = logf((float)side->count);
        for (int64_t j = 0; j < side->count; j++) {
            map->scores[i * w->stride + j] = 0.0f;
            map->weights[i * w->stride + j] = weight;
        }
    }
}

/* The distance of a row, and `gain` times its gradient by the student's scores, in their place. */
static double row_distance(const struct alignment *a, float *scores, const float *weights,
                           float lse, const float *teacher_scores, const float *teacher_weights,
                           float teacher_lse, int64_t keys, float gain)
{
    double distance = 0, inner = 0;
    if (a->form == ALIGNMENT_KL)
        for (int64_t j = 0; j < keys; j++) {
            const double t = (double)teacher_weights[j];
            distance += t * (((double)teacher_scores[j] - (double)teacher_lse) -
                             ((double)scores[j] - (double)lse));
            scores[j] = gain * (weights[j] - teacher_weights[j]);
        }
    if (a->form == ALIGNMENT_SQUARES) {
        for (int64_t j = 0; j < keys; j++) {
            const double e = (double)weights[j] - (double)teacher_weights[j];
            distance += e * e;
            inner += (double)weights[j] * e;
        }
        for (int64_t j = 0; j < keys; j++)
            scores[j] = 2 * gain * weights[j] * ((weights[j] - teacher_weights[j]) - (float)inner);
    }
    return distance;
}

/* dq of the chunk's rows, and what the chunk adds to dk [tokens of the pair, width], which begins
 * at the map's columns. */
static void chunk_backward(const struct row_functions *rows, const struct alignment *a,
                           const struct side_of_pair *side, const struct workspace *w,
                           int64_t number, int64_t begin, int64_t count, float *dk)
{
    const struct map_rows *map = &w->student;
    const int64_t d = map->d, width = a->student.heads * a->student.head_dim;
    int64_t before = 0;
    for (int r = 0; r < 2; r++) {
        const int64_t key = side->keys[r].begin, keys = side->keys[r].end - key;
        const float *dz = map->scores + before;
        rows->product(dk + key * width, width, dz, 1, w->stride, map->q + begin * d, d, keys, d,
                      count, true);
        rows->product(w->dq, d, dz, w->stride, 1, map->k + key * d, d, count, d, keys, r > 0);
        before += keys;
    }
    for (int64_t i = 0; i < count; i++) {
        float *to = (float *)a->dq + a->row[side->first + begin + i] * a->student.q_stride;
        for (int64_t x = 0; x < d; x++) to[number * d + x] += w->dq[i * d + x];
    }
}

static void side_align(const struct row_functions *rows, const struct alignment *a,
                       const struct side_of_pair *side, int64_t number, struct workspace *w,
                       float *distance, float *dk)
{
    struct map_rows *student = &w->student, *teacher = &w->teacher;
    const float *bias = a->bias ? a->bias + number * (2 * a->bias_span - 1) : NULL;
    float lse[queries_max], teacher_lse[queries_max];
    for (int64_t at = side->queries.begin, n; at < side->queries.end; at += n) {
        const int64_t left = side->queries.end - at;
        n = left < queries_max ? left : queries_max;
        chunk_weights(rows, a, side, student, w, a->student.scale, NULL, at, n, lse);
        if (a->teacher.q)
            chunk_weights(rows, a, side, teacher, w, a->teacher.scale, bias, at, n, teacher_lse);
        else
            chunk_uniform(side, teacher, w, n, teacher_lse);
        for (int64_t i = 0; i < n; i++) {
            const int64_t token = side->first + at + i;
            const float gain = a->weight[token] / (float)a->teacher.heads * a->student.scale;
            distance[token * a->teacher.heads + number] = (float)row_distance(
                a, student->scores + i * w->stride, student->weights + i * w->stride, lse[i],
                teacher->scores + i * w->stride, teacher->weights + i * w->stride, teacher_lse[i],
                side->count, gain);
        }
        if (dk) chunk_backward(rows, a, side, w, number, at, n, dk);
    }
}

static void pair_align(const struct row_functions *rows, const struct alignment *a, int64_t pair,
                       int64_t number, struct workspace *w, float *distance, float *dk)
{
    const int32_t *begin = a->begin + 2 * pair, *prompt = a->prompt + 2 * pair;
    const int64_t first = begin[0], middle = begin[1] - first, end = begin[2] - first;
    const int64_t width = a->student.heads * a->student.head_dim;
    const struct side_of_pair sides[2] = {
        {.first = first,
         .queries = {0, middle},
         .keys = {{0, middle}, {middle + prompt[1], end}},
         .count = end - prompt[1]},
        {.first = first,
         .queries = {middle, end},
         .keys = {{middle, end}, {prompt[0], middle}},
         .count = end - prompt[0]},
    };
    map_gather(rows, &w->student, &a->student, number, a->row + first, a->row + first, end,
               w->stride);
    if (a->teacher.q)
        map_gather(rows, &w->teacher, &a->teacher, number, a->teacher_query + first,
                   a->teacher_key + first, end, w->stride);
    float *own = dk ? dk + first * width + number * w->student.d : NULL;
    for (int s = 0; s < 2; s++) side_align(rows, a, &sides[s], number, w, distance, own);
}

/* A token's mean over the maps, and its dk: the sum over the heads of q that read a head of k. */
static void token_close(const struct alignment *a, int64_t token, const float *distance,
                        const float *dk)
{
    const int64_t maps = a->teacher.heads, d = a->student.head_dim;
    const int64_t each = a->student.heads / a->student.kv_heads;
    double sum = 0;
    for (int64_t m = 0; m < maps; m++) sum += (double)distance[token * maps + m];
    a->distance[token] = (float)(sum / (double)maps);
    if (!dk) return;
    float *to = (float *)a->dk + a->row[token] * a->student.k_stride;
    for (int64_t h = 0; h < a->student.heads; h++)
        for (int64_t x = 0; x < d; x++)
            to[h / each * d + x] += dk[(token * a->student.heads + h) * d + x];
}

void cpu_attention_alignment(struct queue *q, const struct alignment *a)
{
    if (a->pairs == 0) return;
    const struct row_functions *rows = rows_of(q);
    const int64_t maps = a->teacher.heads, width = a->student.heads * a->student.head_dim;
    const int64_t sums = a->dk ? a->tokens * width : 0;
    float *distance = a->work;
    float *dk = a->dk ? distance + a->tokens * maps : NULL;
    memset(distance + a->tokens * maps, 0, (size_t)sums * sizeof *distance);
#pragma omp parallel num_threads(q->threads)
    {
        struct workspace w;
        float *memory =
            cpu_scratch(q, omp_get_thread_num(), (size_t)workspace_floats(a) * sizeof *memory);
        if (memory) workspace_open(&w, a, memory);
#pragma omp for schedule(dynamic)
        for (int64_t task = 0; task < a->pairs * maps; task++)
            if (memory) pair_align(rows, a, task / maps, task % maps, &w, distance, dk);
    }
#pragma omp parallel for num_threads(q->threads)
    for (int64_t token = 0; token < a->tokens; token++) token_close(a, token, distance, dk);
}
