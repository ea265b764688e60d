/* Attention of a student over both sides of a pair, beside a teacher's (struct alignment in
 * kernels/ops.h).  One kernel finds each row's two log-sum-exps over tiles of keys, and then, over
 * the same tiles again, its distance and its dq; another goes over tiles of queries for dk, a place
 * for each head of q; the last adds those, and the distances, over heads.  Tiles begin with a
 * side's own tokens and anew with the other side's: a row's bits depend on its pair alone. */
#include "cuda.cuh"
#include "reduce.cuh"
#include "tile_products.cuh"

enum {
    threads = 256,
    warps = threads / 32,
    tile = 32, /* keys, and queries of the kernel for dk */
    score_stride = tile + 1
};

/* What the first kernel finds of a row of scores z and y (the student's, the teacher's). */
struct row_read {
    float lse, teacher_lse;
    float inner; /* sum S (S - T), of squares alone */
};

/* a.work: [tokens, maps] of both, [tokens, heads * head_dim]. */
struct alignment_space {
    struct row_read *rows;
    float *distance, *dk;
};

/* A side of a pair: tokens [begin, end), the other's keys [other, other_end). */
struct pair_side {
    int begin, end, other, other_end;
};

static __device__ inline struct pair_side side_of(const struct alignment &a, int s)
{
    const int o = s ^ 1;
    return {a.begin[s], a.begin[s + 1], a.begin[o] + a.prompt[o], a.begin[o + 1]};
}

static __host__ __device__ inline int map_dim(const struct alignment &a)
{
    return (int)(a.student.heads * a.student.head_dim / a.teacher.heads);
}

/* Tokens [first, first + count). */
struct key_tile {
    int first, count;
};

/* to[count, d] = elements [map d, (map + 1) d) of the rows, whose heads are read `each` by each. */
template <class T>
static __device__ inline void part_load(T *to, int stride, const real *from, int64_t from_stride,
                                        const int32_t *rows, int count, int map, int d, int each,
                                        int head_dim)
{
    for (int row = (int)threadIdx.x / 32; row < count; row += warps) {
        const T *of = (const T *)from + rows[row] * from_stride;
        for (int x = (int)threadIdx.x % 32; x < d; x += 32) {
            const int at = map * d + x;
            to[row * stride + x] =
                of[each == 1 ? at : at / head_dim / each * head_dim + at % head_dim];
        }
    }
}

/* One model's tiles in shared memory: queries [R, d], keys [tile, d]. */
template <class P, int R> struct tiles {
    typename P::element *query, *key;
    int d;
};

/* Both models' rows of queries and keys, and their scores [R, tile]. */
template <class P, int R> struct pair_tiles {
    typedef typename P::element T;
    struct tiles<P, R> student, teacher;
    float *z, *y;

    static __host__ __device__ inline size_t bytes(int d, int teacher_d)
    {
        return (size_t)(R + tile) * (P::stride(d) + P::stride(teacher_d)) * sizeof(T) +
               2 * R * score_stride * sizeof(float);
    }

    __device__ inline void open(int d, int teacher_d)
    {
        T *at = (T *)(dynamic_shared<float>() + 2 * R * score_stride);
        z = dynamic_shared<float>(), y = z + R * score_stride;
        student = {at, at + R * P::stride(d), d};
        at += (R + tile) * P::stride(d);
        teacher = {at, at + R * P::stride(teacher_d), teacher_d};
    }

    __device__ inline void load_queries(const struct alignment &a, int map, int token, int count)
    {
        part_load(student.query, P::stride(student.d), a.student.q, a.student.q_stride,
                  a.row + token, count, map, student.d, 1, (int)a.student.head_dim);
        if (a.teacher.q)
            part_load(teacher.query, P::stride(teacher.d), a.teacher.q, a.teacher.q_stride,
                      a.teacher_query + token, count, map, teacher.d, 1, teacher.d);
    }

    __device__ inline void load_keys(const struct alignment &a, int map, int token, int count)
    {
        part_load(student.key, P::stride(student.d), a.student.k, a.student.k_stride, a.row + token,
                  count, map, student.d, (int)(a.student.heads / a.student.kv_heads),
                  (int)a.student.head_dim);
        if (a.teacher.q)
            part_load(teacher.key, P::stride(teacher.d), a.teacher.k, a.teacher.k_stride,
                      a.teacher_key + token, count, map, teacher.d, 1, teacher.d);
    }

    /* z and y of what is loaded; 0 where there is no query or key. */
    __device__ inline void scores(const struct alignment &a, int map, int query, int queries,
                                  int key, int keys)
    {
        const auto all = [](int, int) { return true; };
        P::template pairs<tile>(student.query, student.key, 0, queries, keys, student.d, all,
                                [&](int i, int j, float dot) {
                                    z[i * score_stride + j] = __fmul_rn(dot, a.student.scale);
                                });
        P::template pairs<tile>(
            teacher.query, teacher.key, 0, queries, a.teacher.q ? keys : 0, teacher.d, all,
            [&](int i, int j, float dot) {
                float score = __fmul_rn(dot, a.teacher.scale);
                if (a.bias && j < keys)
                    score = __fadd_rn(score,
                                      a.bias[map * (2 * a.bias_span - 1) + a.bias_span - 1 +
                                             a.teacher_key[key + j] - a.teacher_query[query + i]]);
                y[i * score_stride + j] = score;
            });
    }
};

/* Tile n of the side's keys, its own first, or none behind the last. */
static __device__ inline struct key_tile key_tile_at(const struct pair_side &side, int n)
{
    const int own = (side.end - side.begin + tile - 1) / tile;
    const int key = n < own ? side.begin + n * tile : side.other + (n - own) * tile;
    return {key, min((int)tile, (n < own ? side.end : side.other_end) - key)};
}

/* Of a row so far: largest scores, and sums of e^(score - largest) and of products of those. */
struct row_sums {
    float top, teacher_top, sum, teacher_sum;
    float squares, products; /* of S S, of S T; of squares alone */
};

/* One more tile of a row, by one warp: lane j has key j. */
static __device__ inline void row_add(struct row_sums &row, float z, float y, bool squares)
{
    const float top = fmaxf(row.top, warp_max(z));
    const float teacher_top = fmaxf(row.teacher_top, warp_max(y));
    const float shrink = expf(row.top - top), teacher_shrink = expf(row.teacher_top - teacher_top);
    const float s = z == -INFINITY ? 0.0f : expf(z - top);
    const float t = y == -INFINITY ? 0.0f : expf(y - teacher_top);
    row.sum = __fmaf_rn(row.sum, shrink, warp_sum(s));
    row.teacher_sum = __fmaf_rn(row.teacher_sum, teacher_shrink, warp_sum(t));
    if (squares) {
        row.squares = __fmaf_rn(row.squares, shrink * shrink, warp_sum(s * s));
        row.products = __fmaf_rn(row.products, shrink * teacher_shrink, warp_sum(s * t));
    }
    row.top = top, row.teacher_top = teacher_top;
}

static __device__ inline struct row_read row_close(const struct row_sums &row)
{
    struct row_read read;
    read.lse = row.top + logf(row.sum);
    read.teacher_lse = row.teacher_top + logf(row.teacher_sum);
    read.inner = row.squares / (row.sum * row.sum) - row.products / (row.sum * row.teacher_sum);
    return read;
}

/* The gradient of a score over `gain`, and what it adds to the row's distance. */
static __device__ inline float score_gradient(const struct alignment &a, const struct row_read &row,
                                              float z, float y, float *distance)
{
    const float log_s = z - row.lse, log_t = y - row.teacher_lse;
    const float s = expf(log_s), t = expf(log_t), e = s - t;
    if (a.form == ALIGNMENT_KL) {
        *distance = t * (log_t - log_s);
        return e;
    }
    *distance = e * e;
    return 2.0f * s * (e - row.inner);
}

static __device__ inline float gain_of(const struct alignment &a, int token)
{
    return a.weight[token] / (float)a.teacher.heads * a.student.scale;
}

/* use(keys) of each tile of the side's keys, whose scores by queries [query, query + queries) are
 * in z and y; use ends with all threads together where it reads more than those. */
template <class P, int R, class F>
static __device__ inline void
for_key_tiles(const struct alignment &a, struct pair_tiles<P, R> &tiles,
              const struct pair_side &side, int map, int query, int queries, F use)
{
    for (int n = 0;; n++) {
        const struct key_tile keys = key_tile_at(side, n);
        if (keys.count <= 0) break;
        tiles.load_keys(a, map, keys.first, keys.count);
        __syncthreads();
        tiles.scores(a, map, query, queries, keys.first, keys.count);
        __syncthreads();
        use(keys.count);
    }
}

/* Blocks: R queries of a side; sides; maps. */
template <class P, int R, int D>
static __global__ void __launch_bounds__(threads, D <= 64 ? 3 : 1)
    alignment_rows_kernel(struct alignment a, struct alignment_space space)
{
    __shared__ struct row_read read[R];
    typedef typename P::element T;
    const int thread = (int)threadIdx.x, lane = thread % 32, warp = thread / 32;
    const int map = (int)blockIdx.z, maps = (int)a.teacher.heads, d = map_dim(a);
    const struct pair_side side = side_of(a, (int)blockIdx.y);
    const int begin = side.begin + (int)blockIdx.x * R, count = min(R, side.end - begin);
    const bool squares = a.form == ALIGNMENT_SQUARES;
    struct pair_tiles<P, R> tiles;
    struct row_sums sums[R / warps];
    float distance[R / warps];
    typename P::template sums<R, D, threads> dq;

    if (count <= 0) return;
    tiles.open(d, (int)a.teacher.head_dim);
    tiles.load_queries(a, map, begin, count);
    dq.clear();
    GPU_UNROLL
    for (int r = 0; r < R / warps; r++) {
        sums[r] = {-INFINITY, -INFINITY, 0.0f, 0.0f, 0.0f, 0.0f};
        distance[r] = 0.0f;
    }
    for_key_tiles(a, tiles, side, map, begin, count, [&](int keys) {
        GPU_UNROLL
        for (int r = 0; r < R / warps; r++) {
            const int i = (r * warps + warp) * score_stride + lane;
            if (r * warps + warp < count)
                row_add(sums[r], lane < keys ? tiles.z[i] : -INFINITY,
                        lane < keys ? tiles.y[i] : -INFINITY, squares);
        }
    });
    GPU_UNROLL
    for (int r = 0; r < R / warps; r++)
        if (lane == 0 && r * warps + warp < count) read[r * warps + warp] = row_close(sums[r]);
    __syncthreads();
    if (thread < count) space.rows[(begin + thread) * maps + map] = read[thread];

    for_key_tiles(a, tiles, side, map, begin, count, [&](int keys) {
        GPU_UNROLL
        for (int r = 0; r < R / warps; r++) {
            const int row = r * warps + warp, i = row * score_stride + lane;
            if (row >= count) continue;
            float added = 0.0f, dz = 0.0f;
            if (lane < keys) dz = score_gradient(a, read[row], tiles.z[i], tiles.y[i], &added);
            distance[r] += warp_sum(added);
            tiles.z[i] = dz;
        }
        __syncthreads();
        if (a.dq)
            dq.add(
                tiles.student.key, keys, d, [&](int row) { return row < count; },
                [](int) { return 1.0f; },
                [&](int row, int j) { return tiles.z[row * score_stride + j]; });
        __syncthreads(); /* the tiles may be overwritten */
    });
    GPU_UNROLL
    for (int r = 0; r < R / warps; r++)
        if (lane == 0 && r * warps + warp < count)
            space.distance[(begin + r * warps + warp) * maps + map] = distance[r];
    if (!a.dq) return;
    dq.visit(d, [&](int row, int x, float sum) {
        if (row >= count) return;
        T *to = (T *)a.dq + a.row[begin + row] * a.student.q_stride + map * d + x;
        element_store(to, element_load(to) + sum * gain_of(a, begin + row));
    });
}

/* Blocks: `tile` tokens of a side, as keys; sides; maps. */
template <class P, int D>
static __global__ void __launch_bounds__(threads, D <= 64 ? 4 : 1)
    alignment_keys_kernel(struct alignment a, struct alignment_space space)
{
    const int thread = (int)threadIdx.x, own = (int)blockIdx.y;
    const int map = (int)blockIdx.z, maps = (int)a.teacher.heads, d = map_dim(a);
    const int first = a.begin[own], begin = first + (int)blockIdx.x * tile;
    const int count = min((int)tile, a.begin[own + 1] - begin);
    struct pair_tiles<P, tile> tiles;
    typename P::template sums<tile, D, threads> dk;

    if (count <= 0) return;
    tiles.open(d, (int)a.teacher.head_dim);
    tiles.load_keys(a, map, begin, count);
    dk.clear();
    for (int s = own & ~1; s <= (own | 1); s++) {
        /* The other side's queries do not read the prompt. */
        const int unread = s == own ? 0 : max(0, first + a.prompt[own] - begin);
        if (unread >= count) continue;
        for (int query = a.begin[s]; query < a.begin[s + 1]; query += tile) {
            const int queries = min((int)tile, a.begin[s + 1] - query);
            tiles.load_queries(a, map, query, queries);
            __syncthreads();
            tiles.scores(a, map, query, queries, begin, count);
            __syncthreads();
            for (int n = thread; n < queries * tile; n += threads) {
                const int i = n / tile, j = n % tile;
                float &z = tiles.z[i * score_stride + j], distance;
                z = gain_of(a, query + i) * score_gradient(a, space.rows[(query + i) * maps + map],
                                                           z, tiles.y[i * score_stride + j],
                                                           &distance);
            }
            __syncthreads();
            dk.add(
                tiles.student.query, queries, d, [&](int j) { return j >= unread && j < count; },
                [](int) { return 1.0f; },
                [&](int j, int i) { return tiles.z[i * score_stride + j]; });
            __syncthreads(); /* the tiles may be overwritten */
        }
    }
    const int64_t width = a.student.heads * a.student.head_dim;
    dk.visit(d, [&](int j, int x, float sum) {
        if (j < count) space.dk[(begin + j) * width + map * d + x] = sum;
    });
}

/* A block a token. */
template <class T>
static __global__ void __launch_bounds__(threads)
    alignment_close_kernel(struct alignment a, struct alignment_space space)
{
    const int64_t token = blockIdx.x;
    const int maps = (int)a.teacher.heads, d = (int)a.student.head_dim;
    const int each = (int)(a.student.heads / a.student.kv_heads);
    if (threadIdx.x == 0) {
        double sum = 0.0;
        for (int m = 0; m < maps; m++) sum += (double)space.distance[token * maps + m];
        a.distance[token] = (float)(sum / (double)maps);
    }
    if (!a.dk) return;
    for (int i = (int)threadIdx.x; i < a.student.kv_heads * d; i += threads) {
        T *to = (T *)a.dk + a.row[token] * a.student.k_stride + i;
        float sum = 0.0f;
        for (int h = i / d * each; h < (i / d + 1) * each; h++)
            sum += space.dk[(token * a.student.heads + h) * d + i % d];
        element_store(to, element_load(to) + sum);
    }
}

template <class P, int R, int D>
static void align(struct queue *q, const struct alignment *a, const struct alignment_space &space)
{
    const int d = map_dim(*a), teacher_d = (int)a->teacher.head_dim;
    const dim3 rows((unsigned)cuda_divide_up(a->longest, R), (unsigned)(2 * a->pairs),
                    (unsigned)a->teacher.heads);
    const dim3 keys((unsigned)cuda_divide_up(a->longest, tile), rows.y, rows.z);
    const size_t bytes = pair_tiles<P, R>::bytes(d, teacher_d);
    cuda_launch(q, (alignment_rows_kernel<P, R, D>), rows, threads, bytes, *a, space);
    if (a->dk)
        cuda_launch(q, (alignment_keys_kernel<P, D>), keys, threads,
                    (pair_tiles<P, tile>::bytes(d, teacher_d)), *a, space);
    cuda_launch(q, alignment_close_kernel<typename P::element>, a->tokens, threads, 0, *a, space);
}

template <class T>
static void align_of(struct queue *q, const struct alignment *a,
                     const struct alignment_space &space)
{
    const int d = map_dim(*a);
    if (d <= 64)
        align<plain<T>, 32, 64>(q, a, space);
    else if (d <= 128)
        align<plain<T>, 32, 128>(q, a, space);
    else
        align<plain<T>, 32, 256>(q, a, space);
}

void cuda_attention_alignment(struct queue *q, const struct alignment *a)
{
    if (a->pairs == 0) return;
    const int64_t numbers = a->tokens * a->teacher.heads;
    if (map_dim(*a) > ALIGNMENT_DIM_MAX || a->teacher.head_dim > ALIGNMENT_DIM_MAX)
        return cuda_fail(q, ERROR(STATUS_INTERNAL, "alignment: maps of %d and %lld; at most %d",
                                  map_dim(*a), (long long)a->teacher.head_dim, ALIGNMENT_DIM_MAX));
    static_assert(sizeof(struct row_read) == 3 * sizeof(float), "alignment_work");
    struct alignment_space space = {};
    space.rows = (struct row_read *)a->work;
    space.distance = a->work + 3 * numbers;
    space.dk = space.distance + numbers;
    cuda_with_element(q, align_of<element>(q, a, space));
}
