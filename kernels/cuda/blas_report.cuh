/* What was chosen for each shape, for a reader: where REGARD_CUDA_REPORT names a file, a queue that
 * ends adds a line for each product it knows, and on exact queues what had to be made in blocks of
 * 128 rows. */
#pragma once
#include "blas.cuh"

static void blas_report_line(FILE *file, const char *kind, const struct blas_plan *plan)
{
    const struct blas_shape *s = &plan->shape;
    char words[256] = "blocks of 128 rows";
    if (!plan->refused) blas_library_describe(&plan->algorithm, words, sizeof words);
    fprintf(file, "%s %lld x %lld x %lld, %s%s to %s%s%s, aligned %d %d %d: %s; %lld calls\n", kind,
            (long long)s->rows, (long long)s->columns, (long long)s->depth,
            s->element_bytes == 2 ? "bf16" : "fp32",
            s->left_transposed    ? " (gradient of a weight)"
            : s->right_transposed ? ""
                                  : " (gradient of an input)",
            s->c_bytes == 2 ? "bf16" : "fp32", s->relu ? ", relu" : "",
            s->accumulate ? ", accumulate" : "", s->alignment[0], s->alignment[1], s->alignment[2],
            words, (long long)plan->calls);
}

static void blas_report(struct queue *q, const struct blas *blas)
{
    const char *path = getenv("REGARD_CUDA_REPORT");
    FILE *file = path ? fopen(path, "a") : NULL;
    if (!file) return;
    char identity[200];
    int64_t plans = 0, refused = 0, blocks = 0, calls = 0;
    blas_library_identity(q, identity, sizeof identity);
    fprintf(file, "products of a queue, %s, on %s\n", q->exact ? "exact" : "fast", identity);
    for (int64_t i = 0; i < blas_references; i++) {
        const struct blas_plan *plan = &blas->reference[i];
        if (!plan->shape.rows) continue;
        blas_report_line(file, "reference", plan);
        blocks += plan->blocks;
        calls += plan->calls;
    }
    for (int64_t i = 0; i < blas_plans; i++) {
        const struct blas_plan *plan = &blas->plan[i];
        if (!plan->shape.rows) continue;
        blas_report_line(file, "product", plan);
        plans++;
        refused += plan->refused;
        calls += plan->refused ? 0 : plan->calls;
    }
    if (q->exact)
        fprintf(file,
                "exact: %lld of %lld shapes have no algorithm with the reference's bits; %lld "
                "products by one call, %lld blocks of 128 rows\n",
                (long long)refused, (long long)plans, (long long)calls, (long long)blocks);
    fclose(file);
}
