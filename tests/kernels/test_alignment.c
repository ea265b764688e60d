/* The alignment of a student's attention over both sides of a pair with a teacher's: right against
 * whole maps in float64, whose gradients are held against finite differences of the loss; equal in
 * every bit over instruction sets, threads and orders, and whether a pair is alone. */
#include "tests/kernels/kernel_test.h"

enum { PAIRS = 3, SIDES = 2 * PAIRS, GAP = 3 };
/* Prompt and reply of each side: a pair of one token each beside pairs of several tiles. */
static const int32_t prompts[SIDES] = {7, 7, 1, 1, 20, 20};
static const int32_t replies[SIDES] = {9, 25, 1, 0, 18, 41};

struct form {
    int64_t heads, kv_heads, head_dim;  /* the student's */
    int64_t teacher_heads, teacher_dim; /* teacher_dim 0: the same weight for all keys */
    bool bias, permuted;
    enum alignment_form form;
};
static const struct form forms[] = {
    {2, 2, 16, 2, 16, true, false, ALIGNMENT_KL},     {4, 2, 8, 2, 11, true, true, ALIGNMENT_KL},
    {3, 1, 8, 4, 8, false, false, ALIGNMENT_SQUARES}, {2, 1, 24, 1, 5, true, false, ALIGNMENT_KL},
    {2, 2, 12, 2, 16, true, true, ALIGNMENT_SQUARES}, {2, 1, 16, 2, 0, false, false, ALIGNMENT_KL},
    {2, 2, 80, 1, 144, true, false, ALIGNMENT_KL},
};
enum { FORMS = sizeof forms / sizeof *forms };

struct problem {
    struct alignment a;
    int32_t begin[SIDES + 1], prompt[SIDES];
    int32_t *row, *query, *key;
    int64_t rows;    /* of the student's q and k, of which the tokens have some */
    float *dq, *dk;  /* what is added to */
    double *want[3]; /* distance, dq, dk */
    int64_t sizes[3];
};

static const char *const names[] = {"distance", "dq", "dk"};

/* The teacher's row of each token: prompt, first side, second side, with a marker behind each; of
 * the second pair the sides stand the other way round. */
static void teacher_rows(struct problem *p, int pair, int32_t first)
{
    const int a = 2 * pair + pair % 2;
    const int32_t reply_a = first + p->prompt[a] + 1;
    const int32_t reply_b = reply_a + (p->begin[a + 1] - p->begin[a] - p->prompt[a]) + 1;
    for (int s = 2 * pair; s < 2 * pair + 2; s++)
        for (int32_t t = p->begin[s], i = 0; t < p->begin[s + 1]; t++, i++)
            p->key[t] =
                i < p->prompt[s] ? first + i : (s == a ? reply_a : reply_b) + i - p->prompt[s];
}

static void tokens_make(struct problem *p, const struct form *form)
{
    int32_t tokens = 0, teacher = 0;
    p->a.longest = 0;
    for (int s = 0; s < SIDES; s++) {
        p->begin[s] = tokens;
        p->prompt[s] = prompts[s];
        tokens += prompts[s] + replies[s];
        if (prompts[s] + replies[s] > p->a.longest) p->a.longest = prompts[s] + replies[s];
    }
    p->begin[SIDES] = tokens;
    p->a.tokens = tokens;
    p->rows = tokens + GAP;
    p->row = guarded_new((size_t)tokens * 4);
    p->query = guarded_new((size_t)tokens * 4);
    p->key = guarded_new((size_t)tokens * 4);
    for (int pair = 0; pair < PAIRS; pair++) {
        teacher_rows(p, pair, teacher);
        teacher += prompts[2 * pair] + replies[2 * pair] + replies[2 * pair + 1] + 3;
    }
    for (int32_t t = 0; t < tokens; t++) {
        p->row[t] = (t * 7 + 2) % (tokens + GAP); /* no order */
        p->query[t] = p->key[t];
    }
    for (int s = 0; form->permuted && s < SIDES; s++)
        for (int32_t t = p->begin[s]; t < p->begin[s + 1]; t++)
            p->query[t] = p->key[p->begin[s] + p->begin[s + 1] - 1 - t];
    p->a.bias_span = teacher;
}

/* k's column of element e of the student's heads side by side. */
static int64_t key_column(const struct alignment_rows *of, int64_t e)
{
    return e / of->head_dim / (of->heads / of->kv_heads) * of->head_dim + e % of->head_dim;
}

/* Weights over all tokens of the pair that are keys of side s, 0 for others; [tokens]. */
static void weights(const struct problem *p, const double *scores, int s, double *out)
{
    double sum = 0, top = -INFINITY;
    const int o = s ^ 1;
    for (int32_t j = p->begin[s & ~1]; j < p->begin[(s | 1) + 1]; j++) {
        const bool key = (j >= p->begin[s] && j < p->begin[s + 1]) ||
                         (j >= p->begin[o] + p->prompt[o] && j < p->begin[o + 1]);
        out[j] = key ? 1 : 0;
        if (key) top = fmax(top, scores[j]);
    }
    for (int32_t j = p->begin[s & ~1]; j < p->begin[(s | 1) + 1]; j++)
        sum += out[j] = out[j] != 0 ? exp(scores[j] - top) : 0;
    for (int32_t j = p->begin[s & ~1]; j < p->begin[(s | 1) + 1]; j++) out[j] /= sum;
}

/* Row i of a map: S and T, by q and k of the student in float64. */
static void map_row(const struct problem *p, const double *q, const double *k, int64_t map, int s,
                    int32_t i, double *student, double *teacher)
{
    const struct alignment *a = &p->a;
    const struct alignment_rows *of = &a->student, *by = &a->teacher;
    const int64_t d = of->heads * of->head_dim / by->heads;
    double *scores = calloc((size_t)a->tokens, sizeof *scores);
    for (int32_t j = p->begin[s & ~1]; j < p->begin[(s | 1) + 1]; j++)
        for (int64_t e = map * d; e < (map + 1) * d; e++)
            scores[j] += q[p->row[i] * of->q_stride + e] *
                         k[p->row[j] * of->k_stride + key_column(of, e)] * (double)of->scale;
    weights(p, scores, s, student);
    memset(scores, 0, (size_t)a->tokens * sizeof *scores);
    for (int32_t j = p->begin[s & ~1]; by->q && j < p->begin[(s | 1) + 1]; j++) {
        for (int64_t e = map * by->head_dim; e < (map + 1) * by->head_dim; e++)
            scores[j] += (double)((const float *)by->q)[p->query[i] * by->q_stride + e] *
                         (double)((const float *)by->k)[p->key[j] * by->k_stride + e] *
                         (double)by->scale;
        if (a->bias)
            scores[j] += (double)a->bias[map * (2 * a->bias_span - 1) + p->key[j] - p->query[i] +
                                         a->bias_span - 1];
    }
    weights(p, scores, s, teacher);
    free(scores);
}

/* The loss: sum over tokens of weight times distance; dq and dk, added to, or NULL. */
static double loss_of(const struct problem *p, const double *q, const double *k, double *distance,
                      double *dq, double *dk)
{
    const struct alignment *a = &p->a;
    const struct alignment_rows *of = &a->student;
    const int64_t maps = a->teacher.heads, d = of->heads * of->head_dim / maps;
    double *t = calloc((size_t)(2 * a->tokens), sizeof *t), *w = t + a->tokens, loss = 0;
    for (int s = 0; s < SIDES; s++)
        for (int32_t i = p->begin[s]; i < p->begin[s + 1]; i++)
            for (int64_t map = 0; map < maps; map++) {
                double sum = 0, inner = 0;
                map_row(p, q, k, map, s, i, w, t);
                const int32_t first = p->begin[s & ~1], end = p->begin[(s | 1) + 1];
                for (int32_t j = first; j < end; j++) {
                    const double e = w[j] - t[j];
                    if (a->form == ALIGNMENT_KL && t[j] > 0) sum += t[j] * log(t[j] / w[j]);
                    if (a->form == ALIGNMENT_SQUARES) sum += e * e;
                    inner += w[j] * e;
                }
                const double g = (double)a->weight[i] / (double)maps;
                loss += g * sum;
                if (distance) distance[i] += sum / (double)maps;
                for (int32_t j = first; dq && j < end; j++) {
                    const double e = w[j] - t[j];
                    const double dz = g * (double)of->scale *
                                      (a->form == ALIGNMENT_KL ? e : 2 * w[j] * (e - inner));
                    for (int64_t x = map * d; x < (map + 1) * d; x++) {
                        const int64_t at = p->row[i] * of->q_stride + x;
                        const int64_t of_key = p->row[j] * of->k_stride + key_column(of, x);
                        dq[at] += dz * k[of_key];
                        dk[of_key] += dz * q[at];
                    }
                }
            }
    free(t);
    return loss;
}

static double *widened(const float *x, int64_t count)
{
    double *y = malloc((size_t)count * sizeof *y);
    for (int64_t i = 0; i < count; i++) y[i] = (double)x[i];
    return y;
}

static void want_make(struct problem *p)
{
    double *q = widened(p->a.student.q, p->sizes[1]), *k = widened(p->a.student.k, p->sizes[2]);
    p->want[0] = calloc((size_t)p->sizes[0], sizeof(double));
    p->want[1] = widened(p->dq, p->sizes[1]);
    p->want[2] = widened(p->dk, p->sizes[2]);
    loss_of(p, q, k, p->want[0], p->want[1], p->want[2]);
    free(q);
    free(k);
}

static struct problem *problem_new(const struct form *f)
{
    struct problem *p = calloc(1, sizeof *p);
    struct alignment *a = &p->a;
    tokens_make(p, f);
    a->pairs = PAIRS;
    a->begin = p->begin;
    a->prompt = p->prompt;
    a->form = f->form;
    a->row = p->row;
    a->teacher_query = p->query;
    a->teacher_key = p->key;
    a->student = (struct alignment_rows){.heads = f->heads,
                                         .kv_heads = f->kv_heads,
                                         .head_dim = f->head_dim,
                                         .scale = 0.3f,
                                         .q_stride = f->heads * f->head_dim + 5,
                                         .k_stride = f->kv_heads * f->head_dim + 2};
    a->teacher = (struct alignment_rows){.heads = f->teacher_heads,
                                         .kv_heads = f->teacher_heads,
                                         .head_dim = f->teacher_dim,
                                         .scale = 0.8f,
                                         .q_stride = f->teacher_heads * f->teacher_dim + 1,
                                         .k_stride = f->teacher_heads * f->teacher_dim + 4};
    p->sizes[0] = a->tokens;
    p->sizes[1] = (p->rows - 1) * a->student.q_stride + f->heads * f->head_dim;
    p->sizes[2] = (p->rows - 1) * a->student.k_stride + f->kv_heads * f->head_dim;
    a->student.q = random_new(p->sizes[1], 1, 1.0);
    a->student.k = random_new(p->sizes[2], 2, 1.0);
    if (f->teacher_dim) {
        a->teacher.q = random_new(a->bias_span * a->teacher.q_stride, 3, 1.0);
        a->teacher.k = random_new(a->bias_span * a->teacher.k_stride, 4, 1.0);
    }
    if (f->bias) a->bias = random_new(f->teacher_heads * (2 * a->bias_span - 1), 5, 1.0);
    a->weight = random_new(a->tokens, 6, 1.0);
    a->work = floats_new(alignment_work(a->tokens, f->teacher_heads, f->heads * f->head_dim));
    p->dq = random_new(p->sizes[1], 7, 0.5);
    p->dk = random_new(p->sizes[2], 8, 0.5);
    want_make(p);
    return p;
}

static void problem_free(struct problem *p)
{
    const struct alignment *a = &p->a;
    const void *all[] = {a->student.q, a->student.k, a->teacher.q, a->teacher.k, a->bias, a->weight,
                         p->dq,        p->dk,        p->row,       p->query,     p->key,  a->work};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i]) guarded_free((void *)all[i], "problem");
    for (int i = 0; i < 3; i++) free(p->want[i]);
    free(p);
}

/* Outputs of one call: distance, dq, dk. */
static void aligned(struct queue *q, const struct problem *p, float *out[3])
{
    struct alignment a = p->a;
    for (int i = 0; i < 3; i++) out[i] = floats_new(p->sizes[i]);
    memcpy(out[1], p->dq, (size_t)p->sizes[1] * sizeof(float));
    memcpy(out[2], p->dk, (size_t)p->sizes[2] * sizeof(float));
    a.distance = out[0];
    a.dq = out[1];
    a.dk = out[2];
    q->op->attention_alignment(q, &a);
    queue_check(q);
}

static void distances_and_gradients_are_those_of_float64_with_the_same_bits_everywhere(void **state)
{
    (void)state;
    struct queues all = queues_new();
    for (int n = 0; n < FORMS; n++) {
        struct problem *p = problem_new(&forms[n]);
        float *first[3] = {0};
        for (int i = 0; i < all.count; i++) {
            float *out[3];
            aligned(all.q[i], p, out);
            for (int m = 0; m < 3; m++) {
                char what[80];
                snprintf(what, sizeof what, "form %d, %s, %s", n, all.name[i], names[m]);
                /* Scores of some units and log-sum-exps with a rounding each: 2e-6, and sums of
                 * weighted ones over 140 keys or queries. */
                check_close(out[m], p->want[m], p->sizes[m], 1e-5, 1e-5, what);
                if (i > 0) check_bits(out[m], first[m], p->sizes[m], what);
                if (i > 0) guarded_free(out[m], what);
                if (i == 0) first[m] = out[m];
            }
        }
        for (int m = 0; m < 3; m++) guarded_free(first[m], names[m]);
        problem_free(p);
    }
    queues_free(&all);
}

/* Of what the operations are held against: otherwise both could be wrong alike. */
static void gradients_are_finite_differences_of_the_loss(void **state)
{
    (void)state;
    if (on_cuda()) skip(); /* nothing here is the device's */
    const double step = 1e-5;
    for (int n = 0; n < FORMS; n++) {
        struct problem *p = problem_new(&forms[n]);
        double *x[2] = {widened(p->a.student.q, p->sizes[1]), widened(p->a.student.k, p->sizes[2])};
        for (int m = 0; m < 2; m++)
            for (int i = 0; i < 6; i++) {
                const int64_t at =
                    (int64_t)(uniform_at(9, (uint64_t)(2 * i + m)) * (double)p->sizes[1 + m]);
                const double before = x[m][at];
                const float added = m ? p->dk[at] : p->dq[at];
                x[m][at] = before + step;
                const double up = loss_of(p, x[0], x[1], NULL, NULL, NULL);
                x[m][at] = before - step;
                const double down = loss_of(p, x[0], x[1], NULL, NULL, NULL);
                x[m][at] = before;
                const double slope = (up - down) / (2 * step);
                const double gradient = p->want[1 + m][at] - (double)added;
                if (fabs(slope - gradient) > 1e-8 + 1e-6 * fabs(slope))
                    fail_msg("form %d: %s[%lld] is %.10g, the loss changes by %.10g", n,
                             names[1 + m], (long long)at, gradient, slope);
            }
        free(x[0]);
        free(x[1]);
        problem_free(p);
    }
}

/* The last pair by itself has the bits it has beside others, and without gradients its distances
 * are the same. */
static void a_pair_has_the_same_bits_alone(void **state)
{
    (void)state;
    struct queues all = queues_new();
    for (int n = 0; n < 4; n++) {
        struct problem *p = problem_new(&forms[n]);
        for (int i = 0; i < all.count; i++) {
            float *whole[3], *distance = floats_new(p->a.tokens);
            aligned(all.q[i], p, whole);
            struct problem alone = *p;
            const int32_t first = p->begin[SIDES - 2];
            alone.a.pairs = 1;
            alone.a.tokens = alone.sizes[0] = p->a.tokens - first;
            for (int s = 0; s <= 2; s++) alone.begin[s] = p->begin[SIDES - 2 + s] - first;
            alone.a.begin = alone.begin;
            alone.a.prompt = p->prompt + SIDES - 2;
            alone.a.row = p->row + first;
            alone.a.teacher_query = p->query + first;
            alone.a.teacher_key = p->key + first;
            alone.a.weight = p->a.weight + first;
            float *own[3];
            aligned(all.q[i], &alone, own);
            check_bits(own[0], whole[0] + first, alone.a.tokens, "distance alone");
            for (int32_t t = first; t < p->a.tokens; t++) {
                const struct alignment_rows *s = &p->a.student;
                const int64_t q_at = p->row[t] * s->q_stride, k_at = p->row[t] * s->k_stride;
                check_bits(own[1] + q_at, whole[1] + q_at, s->heads * s->head_dim, "dq alone");
                check_bits(own[2] + k_at, whole[2] + k_at, s->kv_heads * s->head_dim, "dk alone");
            }
            struct alignment reading = p->a;
            reading.distance = distance;
            all.q[i]->op->attention_alignment(all.q[i], &reading);
            queue_check(all.q[i]);
            check_bits(distance, whole[0], p->a.tokens, "distance without gradients");
            guarded_free(distance, "distance");
            for (int m = 0; m < 3; m++) guarded_free(whole[m], names[m]);
            for (int m = 0; m < 3; m++) guarded_free(own[m], names[m]);
        }
        problem_free(p);
    }
    queues_free(&all);
}

/* A student with the teacher's own q, k and scale is at no distance, and nothing moves it. */
static void a_student_that_is_the_teacher_is_at_no_distance(void **state)
{
    (void)state;
    struct queues all = queues_new();
    struct problem *p = problem_new(&forms[0]);
    /* The student's rows as they are asked for: token t's q and k. */
    struct alignment_rows same = p->a.student;
    for (int i = 0; i < all.count; i++) {
        struct problem own = *p;
        own.a.teacher = same;
        own.a.teacher_query = own.a.teacher_key = p->row;
        own.a.bias = NULL;
        float *out[3];
        aligned(all.q[i], &own, out);
        for (int64_t t = 0; t < p->a.tokens; t++)
            if (fabs(out[0][t]) > 1e-6) fail_msg("token %lld: %g", (long long)t, out[0][t]);
        check_bits(out[1], p->dq, p->sizes[1], "dq");
        check_bits(out[2], p->dk, p->sizes[2], "dk");
        for (int m = 0; m < 3; m++) guarded_free(out[m], names[m]);
    }
    problem_free(p);
    queues_free(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            distances_and_gradients_are_those_of_float64_with_the_same_bits_everywhere),
        cmocka_unit_test(gradients_are_finite_differences_of_the_loss),
        cmocka_unit_test(a_pair_has_the_same_bits_alone),
        cmocka_unit_test(a_student_that_is_the_teacher_is_at_no_distance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
