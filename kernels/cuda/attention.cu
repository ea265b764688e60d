/* Attention over packed segments, with the sum over heads of its weights: the call, the capture,
 * and the kernel for fp32 and for heads that attention_forward.cu does not take.  In that one a
 * block has a few query rows of one head and goes over their keys once, tile by tile, with running
 * maxima and sums (arXiv 2205.14135); rows side by side that read the same keys, as the candidates
 * of a history do, share the tiles.  For a capture, scores are stored for as many rows at a time as
 * fit a bound, and another kernel turns them into weights and adds the heads in order. */
#include "attention.cuh"

enum { max_threads = 256, capture_threads = 128, capture_heads = 8, scores_bytes = 16 << 20 };

/* A block has at most `step` rows, step <= R.  D: columns of the output that threads share out, at
 * least head_dim.  Shared memory: q [R], k and v [tile_keys] rows of head_dim, then the weights
 * [R, tile_keys]. */
template <class P, int R, int D, int threads>
static __global__ void __launch_bounds__(threads)
    attention_kernel(struct attention a, struct row_range range, int step,
                     struct stored_scores stored, bool aligned)
{
    typedef typename P::element T;
    __shared__ struct tile_rows<R> rows;
    __shared__ float largest[R], sum[R], shrink[R];
    const int thread = (int)threadIdx.x, lane = thread % 32, warps = threads / 32;
    const int d = (int)a.head_dim, stride = P::stride(d);
    const int64_t begin = range.first + (int64_t)blockIdx.x * step, h = blockIdx.y, head = h * d;
    const int64_t key_head = key_column(a, h);
    const int64_t end = min(range.end, (int64_t)a.query_begin[a.segments]);
    const int count = (int)min((int64_t)step, end - begin);
    T *query = dynamic_shared<T>(), *key = query + R * stride, *value = key + tile_keys * stride;
    float *weight = (float *)(value + tile_keys * stride);
    typename P::template sums<R, D, threads> out;

    if (count <= 0) return; /* no segment has these rows */
    out.clear();
    tile_load(query, stride, (const T *)a.q + begin * a.q_stride + head, a.q_stride, count,
              P::padded(count), d, aligned);
    if (thread < R) largest[thread] = -INFINITY, sum[thread] = 0.0f;
    tile_rows_find(rows, a, begin, count);

    for (int first = 0, last, seen; first < count; first = last) {
        last = run_end(a, rows, first, count, &seen);
        const int64_t s = rows.segment[first];
        struct key_tile tile = key_tile_at(a, ranges_before(a, s), ranges_before(a, s + 1), 0);
        for (; tile.first < seen; key_tile_advance(tile, a, 1)) {
            const int64_t key_row = tile.row;
            const int j0 = tile.first, n = key_tile_rows(tile, seen);
            tile_load(key, stride, (const T *)a.k + key_row * a.k_stride + key_head, a.k_stride, n,
                      P::padded(n), d, aligned);
            tile_load(value, stride, (const T *)a.v + key_row * a.v_stride + key_head, a.v_stride,
                      n, P::padded(n), d, aligned);
            __syncthreads();
            const auto sees = [&](int row, int j) { return j < n && j0 + j < rows.visible[row]; };
            P::template pairs<tile_keys>(
                query, key, first, last, n, d, sees, [&](int row, int j, float score) {
                    if (!sees(row, j)) {
                        weight[row * score_stride + j] = -INFINITY;
                        return;
                    }
                    score = score_of(a, h, j0 + j, rows.position[row], score);
                    if (stored.scores)
                        stored.scores[h * stored.head_stride +
                                      (begin - range.first + row) * stored.row_stride + j0 + j] =
                            score;
                    weight[row * score_stride + j] = score;
                });
            __syncthreads();
            for (int row = first + thread / 32; row < last; row += warps) {
                float *w = weight + row * score_stride;
                const float s0 = w[lane], s1 = w[lane + 32], before = largest[row];
                const float top = fmaxf(before, warp_max(fmaxf(s0, s1)));
                /* No key so far is one that the row sees: nothing to shrink, and no inf - inf. */
                const float e0 = s0 == -INFINITY ? 0.0f : expf(s0 - top);
                const float e1 = s1 == -INFINITY ? 0.0f : expf(s1 - top);
                const float rescale = before == -INFINITY ? 0.0f : expf(before - top);
                const float added = warp_sum(e0 + e1);
                w[lane] = e0, w[lane + 32] = e1;
                __syncwarp();
                if (lane == 0) {
                    largest[row] = top;
                    sum[row] = __fmaf_rn(sum[row], rescale, added);
                    shrink[row] = rescale;
                }
            }
            __syncthreads();
            out.add(
                value, n, d, [&](int row) { return row >= first && row < last; },
                [&](int row) { return shrink[row]; },
                [&](int row, int j) { return weight[row * score_stride + j]; });
            __syncthreads(); /* the tile may be overwritten */
        }
    }

    out.visit(d, [&](int row, int column, float y) {
        if (row < count)
            element_store((T *)a.out + (begin + row) * a.heads * d + head + column,
                          rows.visible[row] > 0 ? y / sum[row] : 0.0f);
    });
    if (thread >= count) return;
    const bool any = rows.visible[thread] > 0;
    if (a.lse)
        a.lse[(begin + thread) * a.heads + h] =
            any ? largest[thread] + logf(sum[thread]) : -INFINITY;
    if (!stored.scores) return;
    const int64_t row = begin - range.first + thread;
    stored.scale[row * a.heads + h] = make_float2(largest[thread], any ? 1.0f / sum[thread] : 0.0f);
    if (h == 0) stored.seen[row] = make_int2(rows.keys[thread], rows.visible[thread]);
}

/* capture[row, j] (+)= sum over heads, ascending, of the weights; maps get each head's own, and may
 * be the scores.  Blocks: rows, parts of the keys. */
static __global__ void __launch_bounds__(capture_threads)
    attention_capture_kernel(struct attention a, int64_t first_row, struct stored_scores stored)
{
    const int64_t row = blockIdx.x, j = (int64_t)blockIdx.y * capture_threads + threadIdx.x;
    if (first_row + row >= a.query_begin[a.segments]) return;
    const int2 seen = stored.seen[row];
    if (j >= seen.x) return;
    const int64_t at = (first_row + row) * a.capture_stride + j;
    const float *scores = stored.scores + row * stored.row_stride + j;
    float sum = a.capture && a.capture_accumulate ? a.capture[at] : 0.0f;
    for (int64_t h0 = 0; h0 < a.heads; h0 += capture_heads) {
        float score[capture_heads]; /* on their way together */
        GPU_UNROLL
        for (int i = 0; i < capture_heads; i++)
            score[i] =
                h0 + i < a.heads && j < seen.y ? scores[(h0 + i) * stored.head_stride] : -INFINITY;
        GPU_UNROLL
        for (int i = 0; i < capture_heads; i++) {
            if (h0 + i >= a.heads) continue;
            float weight = 0.0f;
            if (j < seen.y)
                weight =
                    stored_weight(score[i], stored.scale[row * a.heads + h0 + i], stored.base2);
            sum = __fadd_rn(sum, weight);
            if (a.maps) a.maps[(h0 + i) * a.query_rows * a.capture_stride + at] = weight;
        }
    }
    if (a.capture) a.capture[at] = sum;
}

template <class P, int R, int D, int threads>
static void forward_launch(struct queue *q, const struct attention_part *part, int step)
{
    const struct attention *a = part->a;
    const size_t row = (size_t)P::stride(a->head_dim) * sizeof(typename P::element);
    const size_t bytes = (R + 2 * tile_keys) * row + R * score_stride * sizeof(float);
    const int64_t rows = part->range.end - part->range.first;
    const dim3 grid((unsigned)cuda_divide_up(rows, step), (unsigned)a->heads);
    const bool aligned = attention_is_aligned(q, a);
    cuda_launch(q, (attention_kernel<P, R, D, threads>), grid, threads, bytes, *a, part->range,
                step, part->stored, aligned);
}

/* The fewer rows a segment has, the fewer a block takes: the choice changes no bits. */
template <class T, int D> static void forward_plain(struct queue *q, const struct attention_part *p)
{
    const struct attention *a = p->a;
    if (a->query_rows <= a->segments)
        forward_launch<plain<T>, 1, D, 128>(q, p, 1);
    else if (a->query_rows <= 8 * a->segments || D > 128)
        forward_launch<plain<T>, 8, D, max_threads>(q, p, 8);
    else
        forward_launch<plain<T>, (D > 128 ? 8 : 32), D, max_threads>(q, p, 32);
}

static void forward(struct queue *q, const struct attention_part *part)
{
    const int64_t d = part->a->head_dim;
    if (attention_has_mma(q, part->a)) return attention_forward_mma(q, part);
    cuda_with_element(q, if (d <= 64) forward_plain<element, 64>(q, part);
                      else if (d <= 128) forward_plain<element, 128>(q, part);
                      else forward_plain<element, 256>(q, part));
}

/* Room for the scores of as many rows at a time as the bound allows; the number of rows. */
static int64_t stored_scores_new(struct queue *q, const struct attention *a,
                                 struct stored_scores *stored)
{
    const int64_t per_row = a->heads * a->capture_stride * (int64_t)sizeof(float);
    int64_t rows = a->query_rows;
    if (!a->maps && rows * per_row > scores_bytes) rows = max((int64_t)1, scores_bytes / per_row);
    const int64_t scale = rows * a->heads * (int64_t)sizeof(float2);
    const int64_t seen = rows * (int64_t)sizeof(int2);
    char *memory = (char *)cuda_scratch(q, (size_t)(scale + seen + (a->maps ? 0 : rows * per_row)));
    if (!memory) return 0;
    stored->scale = (float2 *)memory;
    stored->seen = (int2 *)(memory + scale);
    stored->scores = a->maps ? a->maps : (float *)(memory + scale + seen);
    stored->row_stride = a->capture_stride;
    stored->head_stride = rows * a->capture_stride;
    stored->base2 = attention_has_mma(q, a);
    return rows;
}

void cuda_attention(struct queue *q, const struct attention *a)
{
    if (a->query_rows == 0 || a->segments == 0 || !attention_fits(q, a)) return;
    const bool captures = (a->capture || a->maps) && a->capture_stride > 0;
    const bool stores = captures || (a->statistics && a->capture_stride > 0);
    struct attention_part part = {};
    part.a = a;
    const int64_t rows = stores ? stored_scores_new(q, a, &part.stored) : a->query_rows;
    struct row_range *range = &part.range;
    for (; rows > 0 && range->first < a->query_rows; range->first += rows) {
        range->end = min(range->first + rows, a->query_rows);
        forward(q, &part);
        const dim3 grid((unsigned)(range->end - range->first),
                        (unsigned)cuda_divide_up(a->capture_stride, capture_threads));
        if (a->statistics && stores) head_statistics_part(q, &part);
        if (captures)
            cuda_launch(q, attention_capture_kernel, grid, capture_threads, 0, *a, range->first,
                        part.stored);
    }
}
