/* The bodies of struct row_functions (rows.h), for one instruction set: the file that includes
 * this sets the target, VECTOR_LANES and ROWS_NAME. */
#include "kernels/cpu/vector_math.h"

#define INLINE static inline __attribute__((always_inline))

typedef float octet __attribute__((vector_size(32)));
typedef int32_t octet_index __attribute__((vector_size(32)));
typedef float quad __attribute__((vector_size(16)));
typedef int32_t quad_index __attribute__((vector_size(16)));

/* One block of `height` rows and `width` vectors; both are constants where it is called. */
INLINE void product_block(float *c, int64_t c_stride, const float *a, int64_t a_row,
                          int64_t a_depth, const float *b, int64_t b_stride, int64_t depth,
                          bool accumulate, const int height, const int width)
{
    vec sum[4][4];
    for (int i = 0; i < height; i++)
        for (int j = 0; j < width; j++)
            sum[i][j] = accumulate ? vec_at(c + i * c_stride + j * VECTOR_LANES) : vec_all(0.0f);
    for (int64_t k = 0; k < depth; k++) {
        vec right[4];
        for (int j = 0; j < width; j++) right[j] = vec_at(b + k * b_stride + j * VECTOR_LANES);
        for (int i = 0; i < height; i++) {
            const float left = a[i * a_row + k * a_depth];
            for (int j = 0; j < width; j++) sum[i][j] += left * right[j];
        }
    }
    for (int i = 0; i < height; i++)
        for (int j = 0; j < width; j++) vec_put(c + i * c_stride + j * VECTOR_LANES, sum[i][j]);
}

#define PRODUCT_ROWS(height, width)                                                                \
    for (; i + (height) <= rows; i += (height))                                                    \
    product_block(c + i * c_stride + j, c_stride, a + i * a_row, a_row, a_depth, b + j, b_stride,  \
                  depth, accumulate, height, width)

/* The same, one vector of another type wide. */
#define PRODUCT_BLOCK(vector)                                                                      \
    INLINE void product_block_##vector(float *c, int64_t c_stride, const float *a, int64_t a_row,  \
                                       int64_t a_depth, const float *b, int64_t b_stride,          \
                                       int64_t depth, bool accumulate, const int height)           \
    {                                                                                              \
        vector sum[4] = {0}, right;                                                                \
        for (int i = 0; i < height && accumulate; i++)                                             \
            memcpy(&sum[i], c + i * c_stride, sizeof sum[i]);                                      \
        for (int64_t k = 0; k < depth; k++) {                                                      \
            memcpy(&right, b + k * b_stride, sizeof right);                                        \
            for (int i = 0; i < height; i++) sum[i] += a[i * a_row + k * a_depth] * right;         \
        }                                                                                          \
        for (int i = 0; i < height; i++) memcpy(c + i * c_stride, &sum[i], sizeof sum[i]);         \
    }
PRODUCT_BLOCK(octet)
PRODUCT_BLOCK(quad)

#define PRODUCT_NARROW_ROWS(vector, height)                                                        \
    for (; i + (height) <= rows; i += (height))                                                    \
    product_block_##vector(c + i * c_stride + j, c_stride, a + i * a_row, a_row, a_depth, b + j,   \
                           b_stride, depth, accumulate, height)
/* Where heads are narrower than a vector, all columns are such. */
#define PRODUCT_NARROW(vector)                                                                     \
    for (; j + (int64_t)(sizeof(vector) / sizeof *c) <= cols; j += sizeof(vector) / sizeof *c) {   \
        int64_t i = 0;                                                                             \
        PRODUCT_NARROW_ROWS(vector, 4);                                                            \
        PRODUCT_NARROW_ROWS(vector, 1);                                                            \
    }

static void product(float *c, int64_t c_stride, const float *a, int64_t a_row, int64_t a_depth,
                    const float *b, int64_t b_stride, int64_t rows, int64_t cols, int64_t depth,
                    bool accumulate)
{
    int64_t j = 0;
    if (rows == 1)
        for (; j + 4 * VECTOR_LANES <= cols; j += 4 * VECTOR_LANES) {
            int64_t i = 0;
            PRODUCT_ROWS(1, 4);
        }
    for (; j + 2 * VECTOR_LANES <= cols; j += 2 * VECTOR_LANES) {
        int64_t i = 0;
        PRODUCT_ROWS(4, 2);
        PRODUCT_ROWS(2, 2);
        PRODUCT_ROWS(1, 2);
    }
    for (; j + VECTOR_LANES <= cols; j += VECTOR_LANES) {
        int64_t i = 0;
        PRODUCT_ROWS(4, 1);
        PRODUCT_ROWS(1, 1);
    }
    PRODUCT_NARROW(octet)
    PRODUCT_NARROW(quad)
    for (int64_t i = 0; j < cols && i < rows; i++) {
        float sum[VECTOR_LANES] = {0};
        if (accumulate)
            for (int64_t n = j; n < cols; n++) sum[n - j] = c[i * c_stride + n];
        for (int64_t k = 0; k < depth; k++) {
            const float left = a[i * a_row + k * a_depth];
            for (int64_t n = j; n < cols; n++) sum[n - j] += left * b[k * b_stride + n];
        }
        for (int64_t n = j; n < cols; n++) c[i * c_stride + n] = sum[n - j];
    }
}

#if VECTOR_LANES >= 8
#define UNROLLED _Pragma("GCC unroll 8")

/* An 8 x 8 block: pairs of rows, then pairs of pairs, then the two halves. */
INLINE void transpose_octets(float *to, int64_t to_stride, const float *from, int64_t from_stride)
{
    const octet_index low = {0, 8, 1, 9, 4, 12, 5, 13}, high = {2, 10, 3, 11, 6, 14, 7, 15};
    const octet_index left = {0, 1, 8, 9, 4, 5, 12, 13}, right = {2, 3, 10, 11, 6, 7, 14, 15};
    const octet_index upper = {0, 1, 2, 3, 8, 9, 10, 11}, lower = {4, 5, 6, 7, 12, 13, 14, 15};
    octet x[8], y[8];
    UNROLLED for (int n = 0; n < 8; n++) memcpy(&x[n], from + n * from_stride, sizeof x[n]);
    UNROLLED for (int n = 0; n < 8; n += 2)
    {
        y[n] = __builtin_shuffle(x[n], x[n + 1], low);
        y[n + 1] = __builtin_shuffle(x[n], x[n + 1], high);
    }
    UNROLLED for (int n = 0; n < 8; n++)
    {
        const int from_y = n / 4 * 4 + n / 2 % 2;
        x[n] = __builtin_shuffle(y[from_y], y[from_y + 2], n % 2 ? right : left);
    }
    UNROLLED for (int n = 0; n < 4; n++)
    {
        y[n] = __builtin_shuffle(x[n], x[n + 4], upper);
        y[n + 4] = __builtin_shuffle(x[n], x[n + 4], lower);
    }
    UNROLLED for (int n = 0; n < 8; n++) memcpy(to + n * to_stride, &y[n], sizeof y[n]);
}
#endif

static void transpose(float *to, int64_t to_stride, const float *from, int64_t from_stride,
                      int64_t rows, int64_t cols)
{
    int64_t i = 0;
#if VECTOR_LANES >= 8
    enum { rows_ahead = 16 };
    for (; i + 8 <= rows && cols % 8 == 0; i += 8)
        for (int64_t j = 0; j < cols; j += 8) {
            for (int n = 0; n < 8; n++)
                __builtin_prefetch(from + (i + n + rows_ahead) * from_stride + j);
            transpose_octets(to + j * to_stride + i, to_stride, from + i * from_stride + j,
                             from_stride);
        }
#endif
    for (; i + 4 <= rows; i += 4) {
        int64_t j = 0;
        for (; j + 4 <= cols; j += 4) {
            quad x[4];
            for (int n = 0; n < 4; n++) memcpy(&x[n], from + (i + n) * from_stride + j, 16);
            quad a = __builtin_shuffle(x[0], x[1], (quad_index){0, 4, 1, 5});
            quad b = __builtin_shuffle(x[2], x[3], (quad_index){0, 4, 1, 5});
            quad c = __builtin_shuffle(x[0], x[1], (quad_index){2, 6, 3, 7});
            quad d = __builtin_shuffle(x[2], x[3], (quad_index){2, 6, 3, 7});
            x[0] = __builtin_shuffle(a, b, (quad_index){0, 1, 4, 5});
            x[1] = __builtin_shuffle(a, b, (quad_index){2, 3, 6, 7});
            x[2] = __builtin_shuffle(c, d, (quad_index){0, 1, 4, 5});
            x[3] = __builtin_shuffle(c, d, (quad_index){2, 3, 6, 7});
            for (int n = 0; n < 4; n++) memcpy(to + (j + n) * to_stride + i, &x[n], 16);
        }
        for (; j < cols; j++)
            for (int n = 0; n < 4; n++) to[j * to_stride + i + n] = from[(i + n) * from_stride + j];
    }
    for (; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) to[j * to_stride + i] = from[i * from_stride + j];
}

INLINE float weights_make(float *s, float scale, const float *bias, int64_t visible, int64_t padded,
                          struct weights_read *read)
{
    if (visible <= 0) {
        memset(s, 0, (size_t)padded * sizeof *s);
        return -INFINITY;
    }
    vec top = vec_all(-INFINITY);
    for (int64_t i = 0; i < visible; i += VECTOR_LANES) {
        vec x = vec_load(s + i, visible - i, -INFINITY) * scale;
        if (bias) x += vec_load(bias + i, visible - i, 0.0f);
        top = vec_max(x, top);
        vec_put(s + i, x);
    }
    const float largest = vec_largest(top);
    /* Lanes past `visible` add +0, which changes no sum: the order is that of the visible keys. */
    const int64_t covered = (visible + VECTOR_LANES - 1) / VECTOR_LANES * VECTOR_LANES;
    vec seen[lane_vectors] = {0}, weighted[lane_vectors] = {0}, sunk[lane_vectors] = {0};
    vec reply[lane_vectors] = {0}, peak = {0};
    double total = 0.0;
    for (int64_t block = 0; block < covered; block += sum_block) {
        vec sum[lane_vectors] = {0};
        const int64_t end = block + sum_block < covered ? block + sum_block : covered;
        for (int64_t i = block; i < end; i += lanes)
            for (int p = 0; p < lane_vectors; p++) {
                const int64_t at = i + p * VECTOR_LANES;
                if (at >= end) break;
                const vec z = vec_at(s + at) - largest;
                vec e = vec_exp(z);
                vec_put(s + at, e);
                sum[p] += e;
                if (!read) continue;
                const int64_t left = read->keys - at;
                if (left < VECTOR_LANES) reply[p] += e - vec_load(s + at, left, 0.0f);
                if (left <= 0) continue;
                const vec on = e * vec_load(read->visible + at, left, 0.0f);
                seen[p] += on;
                weighted[p] += vec_select(on > 0.0f, on * z, vec_all(0.0f));
                sunk[p] += e * vec_load(read->sink + at, left, 0.0f);
                peak = vec_max(on, peak);
            }
        total += (double)lanes_total(sum);
    }
    const float inverse = (float)(1.0 / total);
    for (int64_t i = 0; i < covered; i += VECTOR_LANES) vec_put(s + i, vec_at(s + i) * inverse);
    memset(s + covered, 0, (size_t)(padded - covered) * sizeof *s);
    if (read) {
        read->total = total;
        read->seen = lanes_total(seen);
        read->weighted = lanes_total(weighted);
        read->sunk = lanes_total(sunk);
        read->reply = lanes_total(reply);
        read->peak = vec_largest(peak);
    }
    return (float)((double)largest + log(total));
}

static float attention_weights(float *s, float scale, const float *bias, int64_t visible,
                               int64_t padded)
{
    return weights_make(s, scale, bias, visible, padded, NULL);
}

static float attention_weights_read(float *s, float scale, const float *bias, int64_t visible,
                                    int64_t padded, struct weights_read *read)
{
    return weights_make(s, scale, bias, visible, padded, read);
}

static void masked_logs(const float *x, const float *mask, int64_t count, double *sum, double *logs)
{
    const float least = 1.17549435e-38f; /* the least normal number */
    *sum = *logs = 0.0;
    for (int64_t block = 0; block < count; block += sum_block) {
        vec on_sum[lane_vectors] = {0}, log_sum[lane_vectors] = {0};
        const int64_t end = block + sum_block < count ? block + sum_block : count;
        for (int64_t i = block; i < end; i += lanes)
            for (int p = 0; p < lane_vectors; p++) {
                const int64_t at = i + p * VECTOR_LANES, left = end - at;
                const vec on = vec_load(x + at, left, 0.0f) * vec_load(mask + at, left, 0.0f);
                on_sum[p] += on;
                log_sum[p] += vec_select(on >= least, on * vec_log(on), vec_all(0.0f));
            }
        *sum += (double)lanes_total(on_sum);
        *logs += (double)lanes_total(log_sum);
    }
}

static void sum_rows(float *to, const float *from, int64_t stride, int64_t rows, int64_t count,
                     bool accumulate)
{
    for (int64_t j = 0; j < count; j += VECTOR_LANES) {
        vec sum = accumulate ? vec_load(to + j, count - j, 0.0f) : vec_all(0.0f);
        for (int64_t i = 0; i < rows; i++) sum += vec_load(from + i * stride + j, count - j, 0.0f);
        vec_store(to + j, count - j, sum);
    }
}

static void attention_scores_gradient(float *d, const float *w, int64_t padded)
{
    double total = 0.0;
    for (int64_t block = 0; block < padded; block += sum_block) {
        vec sum[lane_vectors] = {0};
        const int64_t end = block + sum_block < padded ? block + sum_block : padded;
        for (int64_t i = block; i < end; i += lanes)
            for (int p = 0; p < lane_vectors; p++) {
                const int64_t at = i + p * VECTOR_LANES;
                sum[p] += vec_at(w + at) * vec_at(d + at);
            }
        total += (double)lanes_total(sum);
    }
    const float mean = (float)total;
    for (int64_t i = 0; i < padded; i += VECTOR_LANES)
        vec_put(d + i, vec_at(w + i) * (vec_at(d + i) - mean));
}

static float rmsnorm(float *y, const float *x, const float *w, int64_t d, float eps)
{
    double total = 0.0;
    for (int64_t block = 0; block < d; block += sum_block) {
        vec sum[lane_vectors] = {0};
        const int64_t end = block + sum_block < d ? block + sum_block : d;
        for (int64_t i = block; i < end; i += lanes)
            for (int p = 0; p < lane_vectors; p++) {
                vec v = vec_load(x + i + p * VECTOR_LANES, end - i - p * VECTOR_LANES, 0.0f);
                sum[p] += v * v;
            }
        total += (double)lanes_total(sum);
    }
    const float inverse = (float)(1.0 / sqrt(total / (double)d + (double)eps));
    for (int64_t i = 0; i < d; i += VECTOR_LANES)
        vec_store(y + i, d - i,
                  vec_load(x + i, d - i, 0.0f) * inverse * vec_load(w + i, d - i, 0.0f));
    return inverse;
}

static void rmsnorm_backward(float *dx, const float *dy, const float *x, const float *w,
                             float inverse, int64_t d, bool accumulate)
{
    double total = 0.0;
    for (int64_t block = 0; block < d; block += sum_block) {
        vec sum[lane_vectors] = {0};
        const int64_t end = block + sum_block < d ? block + sum_block : d;
        for (int64_t i = block; i < end; i += lanes)
            for (int p = 0; p < lane_vectors; p++) {
                const int64_t at = i + p * VECTOR_LANES, left = end - at;
                sum[p] += vec_load(dy + at, left, 0.0f) * vec_load(w + at, left, 0.0f) *
                          vec_load(x + at, left, 0.0f);
            }
        total += (double)lanes_total(sum);
    }
    const double cube = (double)inverse * (double)inverse * (double)inverse;
    const float pull = (float)(total * cube / (double)d);
    for (int64_t i = 0; i < d; i += VECTOR_LANES) {
        const int64_t left = d - i;
        vec g = vec_load(dy + i, left, 0.0f) * vec_load(w + i, left, 0.0f) * inverse -
                vec_load(x + i, left, 0.0f) * pull;
        if (accumulate) g += vec_load(dx + i, left, 0.0f);
        vec_store(dx + i, left, g);
    }
}

static void rmsnorm_weight(float *dw, const float *dy, const float *x, const float *inverse,
                           int64_t m, int64_t d, int64_t begin, int64_t end)
{
    for (int64_t j = begin; j < end; j += VECTOR_LANES) {
        vec sum = vec_load(dw + j, end - j, 0.0f);
        for (int64_t i = 0; i < m; i++)
            sum += vec_load(dy + i * d + j, end - j, 0.0f) *
                   vec_load(x + i * d + j, end - j, 0.0f) * inverse[i];
        vec_store(dw + j, end - j, sum);
    }
}

static const float gelu_inner = 0.7978845608028654f; /* sqrt(2 / pi) */
static const float gelu_cubic = 0.044715f;

static void gated_gelu(float *y, const float *gate, const float *up, int64_t f)
{
    for (int64_t i = 0; i < f; i += VECTOR_LANES) {
        vec g = vec_load(gate + i, f - i, 0.0f);
        vec t = vec_tanh((g + g * g * g * gelu_cubic) * gelu_inner);
        vec_store(y + i, f - i, g * 0.5f * (t + 1.0f) * vec_load(up + i, f - i, 0.0f));
    }
}

static void gated_gelu_backward(float *dgate, float *dup, const float *dy, const float *gate,
                                const float *up, int64_t f)
{
    for (int64_t i = 0; i < f; i += VECTOR_LANES) {
        vec g = vec_load(gate + i, f - i, 0.0f), u = vec_load(up + i, f - i, 0.0f);
        vec d = vec_load(dy + i, f - i, 0.0f);
        vec t = vec_tanh((g + g * g * g * gelu_cubic) * gelu_inner);
        vec slope = (t + 1.0f) * 0.5f +
                    g * 0.5f * (1.0f - t * t) * (g * g * (3.0f * gelu_cubic) + 1.0f) * gelu_inner;
        /* Where 1 - t^2 has rounded to 0 and g g to infinity the product would be 0 * inf. */
        slope = vec_select(g > 1e4f, vec_all(1.0f), vec_select(g < -1e4f, vec_all(0.0f), slope));
        vec_store(dup + i, f - i, d * (g * 0.5f * (t + 1.0f)));
        vec_store(dgate + i, f - i, d * u * slope);
    }
}

/* e^-g is infinite far below 0 and the quotient -0; slope = s (1 + g (1 - s)), s = 1 / (1 + e^-g).
 */
static void gated_silu(float *y, const float *gate, const float *up, int64_t f)
{
    for (int64_t i = 0; i < f; i += VECTOR_LANES) {
        vec g = vec_load(gate + i, f - i, 0.0f);
        vec_store(y + i, f - i, g / (vec_exp(-g) + 1.0f) * vec_load(up + i, f - i, 0.0f));
    }
}

static void gated_silu_backward(float *dgate, float *dup, const float *dy, const float *gate,
                                const float *up, int64_t f)
{
    for (int64_t i = 0; i < f; i += VECTOR_LANES) {
        vec g = vec_load(gate + i, f - i, 0.0f), u = vec_load(up + i, f - i, 0.0f);
        vec d = vec_load(dy + i, f - i, 0.0f);
        vec below = vec_exp(-g) + 1.0f, s = 1.0f / below;
        vec_store(dup + i, f - i, d * (g / below));
        vec_store(dgate + i, f - i, d * u * (s * (g * (1.0f - s) + 1.0f)));
    }
}

static void rope(float *x, const float *angles, int64_t heads, int64_t d, bool inverse)
{
    const int64_t half = d / 2;
    for (int64_t i = 0; i < half; i += VECTOR_LANES) {
        const int64_t left = half - i;
        const vec cosine = vec_load(angles + i, left, 0.0f);
        vec sine = vec_load(angles + half + i, left, 0.0f);
        if (inverse) sine = -sine;
        for (float *head = x + i; head < x + heads * d; head += d) {
            const vec a = vec_load(head, left, 0.0f), b = vec_load(head + half, left, 0.0f);
            vec_store(head, left, a * cosine - b * sine);
            vec_store(head + half, left, b * cosine + a * sine);
        }
    }
}

static void logits_row(struct logits_sums *out, const float *x, float temperature,
                       int64_t vocabulary)
{
    vec top = vec_all(-INFINITY);
    for (int64_t i = 0; i < vocabulary; i += VECTOR_LANES)
        top = vec_max(vec_load(x + i, vocabulary - i, -INFINITY), top);
    const float largest = vec_largest(top) / temperature; /* division keeps the order */
    double total = 0.0, weighted = 0.0;
    for (int64_t block = 0; block < vocabulary; block += sum_block) {
        vec sum[lane_vectors] = {0}, product_sum[lane_vectors] = {0};
        const int64_t end = block + sum_block < vocabulary ? block + sum_block : vocabulary;
        for (int64_t i = block; i < end; i += lanes)
            for (int p = 0; p < lane_vectors; p++) {
                const int64_t at = i + p * VECTOR_LANES;
                vec z = vec_load(x + at, end - at, -INFINITY) / temperature - largest;
                vec e = vec_exp(z);
                sum[p] += e;
                product_sum[p] += vec_select(e > 0.0f, e * z, e); /* 0 log 0 = 0 */
            }
        total += (double)lanes_total(sum);
        weighted += (double)lanes_total(product_sum);
    }
    *out = (struct logits_sums){
        .largest = largest, .log_sum = (float)log(total), .sum = total, .weighted = weighted};
}

static double total_of(const float *x, int64_t count)
{
    double total = 0.0;
    for (int64_t block = 0; block < count; block += sum_block) {
        vec sum[lane_vectors] = {0};
        const int64_t end = block + sum_block < count ? block + sum_block : count;
        for (int64_t i = block; i < end; i += lanes)
            for (int p = 0; p < lane_vectors; p++)
                sum[p] += vec_load(x + i + p * VECTOR_LANES, end - i - p * VECTOR_LANES, 0.0f);
        total += (double)lanes_total(sum);
    }
    return total;
}

static float divergence(const float *x, const struct logits_sums *policy, const float *y,
                        const struct logits_sums *reference, float temperature, int64_t vocabulary)
{
    double total = 0.0;
    for (int64_t block = 0; block < vocabulary; block += sum_block) {
        vec sum[lane_vectors] = {0};
        const int64_t end = block + sum_block < vocabulary ? block + sum_block : vocabulary;
        for (int64_t i = block; i < end; i += lanes)
            for (int p = 0; p < lane_vectors; p++) {
                const int64_t at = i + p * VECTOR_LANES;
                vec z = vec_load(x + at, end - at, -INFINITY) / temperature - policy->largest;
                vec r = vec_load(y + at, end - at, 0.0f) / temperature - reference->largest;
                vec e = vec_exp(z);
                sum[p] += vec_select(e > 0.0f, e * (z - r), e);
            }
        total += (double)lanes_total(sum);
    }
    return (float)(total / policy->sum - log(policy->sum) + log(reference->sum));
}

static void exponentials(float *out, const float *x, float temperature, float shift,
                         int64_t vocabulary)
{
    for (int64_t i = 0; i < vocabulary; i += VECTOR_LANES)
        vec_store(out + i, vocabulary - i,
                  vec_exp(vec_load(x + i, vocabulary - i, 0.0f) / temperature - shift));
}

static void softmax_gradient(float *out, const float *x, float temperature, float lse,
                             float uniform, float factor, int64_t vocabulary)
{
    for (int64_t i = 0; i < vocabulary; i += VECTOR_LANES) {
        vec p = vec_exp(vec_load(x + i, vocabulary - i, 0.0f) / temperature - lse);
        vec_store(out + i, vocabulary - i, (uniform - p) * factor);
    }
}

static void softmax_entropy_gradient(float *out, const float *x, float temperature, float lse,
                                     float uniform, float factor, float entropy, float bonus,
                                     int64_t vocabulary)
{
    for (int64_t i = 0; i < vocabulary; i += VECTOR_LANES) {
        vec logp = vec_load(x + i, vocabulary - i, 0.0f) / temperature - lse, p = vec_exp(logp);
        vec slope = vec_select(p > 0.0f, p * (logp + entropy), p);
        vec_store(out + i, vocabulary - i, (uniform - p) * factor + bonus * slope);
    }
}

const struct row_functions ROWS_NAME = {
    .product = product,
    .transpose = transpose,
    .attention_weights = attention_weights,
    .attention_weights_read = attention_weights_read,
    .masked_logs = masked_logs,
    .sum_rows = sum_rows,
    .attention_scores_gradient = attention_scores_gradient,
    .rmsnorm = rmsnorm,
    .rmsnorm_backward = rmsnorm_backward,
    .rmsnorm_weight = rmsnorm_weight,
    .gated = {[ACTIVATION_GELU_TANH] = gated_gelu, [ACTIVATION_SILU] = gated_silu},
    .gated_backward =
        {[ACTIVATION_GELU_TANH] = gated_gelu_backward, [ACTIVATION_SILU] = gated_silu_backward},
    .rope = rope,
    .logits = logits_row,
    .total = total_of,
    .divergence = divergence,
    .exponentials = exponentials,
    .softmax_gradient = softmax_gradient,
    .softmax_entropy_gradient = softmax_entropy_gradient,
};
