/* The table of numeric operations.  One struct of function pointers a back end; the model is
 * written against it alone.
 *
 * Contract
 * - Every call is queued on the queue it is given and may return before it has finished;
 *   the first error since is stored in the queue and returned by the next `synchronize`.
 * - Pointers are the device's unless a name says host.  Only upload/download cross over.
 * - All tensors are row-major, [rows, columns] without padding unless a stride is given.
 * - Activations and their gradients are `real`: fp32, or bf16 on queues whose real_bytes is 2.
 *   Everything else is fp32: parameters and their gradients, logits, log-probabilities, losses,
 *   norms' inverses, captured attention.  Sums are at least fp32, whatever type their terms have.
 * - Exactness: a row's bits depend on the row and the weights alone, not on how many rows
 *   there are, the threads, or the instruction set.  Every sum has one fixed order.
 * - `accumulate`: true adds to what the output holds, false overwrites it.
 * - Nothing here takes a step, a length or an active set of a decode step as a host number:
 *   they are device arrays, so that one step can be captured once and replayed.
 */
#ifndef REGARD_KERNELS_OPS_H
#define REGARD_KERNELS_OPS_H

#include "src/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ops;
struct packed_matrix; /* a weight in the back end's own layout */
struct graph;         /* recorded calls */

/* An element of an activation, fp32 or bf16: only operations look inside. */
typedef void real;

/* Where calls are queued.  Back ends embed it as their first member. */
struct queue {
    const struct ops *op;
    int threads;
    size_t real_bytes; /* 4 or 2 */
    bool exact;        /* a product's algorithm does not depend on the rows: always on the CPU */
    bool on_host;      /* the CPU's: device memory is host memory, and calls have finished when they
                        * return */
};

/* What a device can do.  0: without limit. */
struct cost_rates {
    double flops;     /* operations per second */
    double bandwidth; /* bytes per second */
    double launch;    /* seconds of every operation */
};

/* How a queue is to be made; 0 and NULL are the defaults. */
struct queue_options {
    const char *device;       /* "auto", "cpu", "cuda" or "sleep"; ":N" behind it chooses GPU N
                               * modulo those there are (a rank's local number) */
    int threads;              /* the CPU's; 0: 1 */
    const char *instructions; /* the CPU's: "auto", "avx512", "avx2" or "c" */
    size_t real_bytes;        /* of a `real`: 4 or, on CUDA alone, 2; 0: 4 */
    bool narrow_on_cuda;      /* 2 bytes where the queue is CUDA's, real_bytes where the CPU's */
    bool exact;               /* CUDA: a row's bits do not depend on the rows beside it; the CPU's
                               * never do */
    bool tune;                /* CUDA: a shape's first product times several algorithms; not where
                               * exact */
    bool eager;               /* CUDA: all kernels are loaded at once, by the process's first queue;
                               * loading one later may wait for what other ranks are in */
    struct cost_rates rates;  /* of the device that sleep (sleep.h) takes the time of */
};

/* What device memory is for: of the report, and of the advice where it runs out. */
enum memory_kind {
    MEMORY_ACTIVATIONS,
    MEMORY_WEIGHTS,
    MEMORY_OPTIMIZER, /* moments and gradients */
    MEMORY_CACHES,    /* keys and values of decoding */
    MEMORY_CAPTURE,   /* attention captured, and what it is reduced to */
    MEMORY_SCRATCH,   /* the back end's own, while operations run */
    MEMORY_KINDS
};

/* What a queue's device memory is used for, in bytes; all 0 on the CPU, which does not count. */
struct memory_report {
    size_t current[MEMORY_KINDS], peak[MEMORY_KINDS];
    size_t reserved;     /* taken by memory_reserve */
    size_t outside;      /* allocated since, where that was not enough */
    size_t left, total;  /* of the device: free, and all of it */
    int64_t allocations; /* so far */
};

/* Stochastic rounding of fp32 to bf16: up with a probability that is the part cut off, as a share
 * of the distance between neighbours in bf16.  16 random bits are added below the mantissa that
 * bf16 has, and the sum is cut off.  Element i, with e = first + i, takes them from Philox of this
 * key at counter (e / 8 low, e / 8 high, counter): from word e % 8 / 2, the low half where e is
 * even, the high half where it is odd.  Equal arguments give equal bits on every rank. */
struct rounding {
    uint32_t key[2], counter[2];
    int64_t first; /* a multiple of 8 */
};

/* p + count, in elements. */
static inline real *real_at(const struct queue *q, const real *p, int64_t count)
{
    return (char *)p + count * (int64_t)q->real_bytes;
}

/* Where the rows of a decode step stand in arrays that outlive it, though rows leave the batch: row
 * r has entry slot[r] of what belongs to a reply, and entry slot[r] * stride + step[r] of what
 * belongs to its tokens.  slot NULL: entry r of both. */
struct result_places {
    const int32_t *slot; /* [rows] */
    int64_t stride;
};

static inline int64_t reply_entry(const struct result_places *at, int64_t row)
{
    return at->slot ? at->slot[row] : row;
}

static inline int64_t token_entry(const struct result_places *at, const int32_t *step, int64_t row)
{
    return at->slot ? at->slot[row] * at->stride + step[row] : row;
}

/* What is read of every head's own row of attention over a history, in the pass that makes the row
 * (docs/reward.md, Statistics of every head).  A segment's first keys are its history's tokens;
 * keys behind them are the reply's so far.  V, and what counts as a sink, are masks of 1 and 0. */
struct head_statistics {
    int64_t layer, width; /* the call's heads have the columns from layer * heads on, of `width` */
    const int32_t *history_of_row;      /* [query_rows] */
    const int32_t *key_begin, *key_end; /* [histories] into the per-token arrays below */
    const int32_t *token;               /* per history token */
    const float *visible, *sink;        /* masks; per history token */
    const float *uniform;               /* [histories] log|V|; 0 where |V| is 0 or 1 */
    /* [query_rows] the token that a row predicts: `copy` is written, and a segment is one reply's
     * rows.  NULL: it is not sampled yet; the rows are kept for head_statistics_sampled. */
    const int32_t *next;
    const int32_t *reply; /* [query_rows] into ended and rows */
    int32_t *ended;       /* [replies] not 0: `rows` leaves out what comes now; NULL where `next` is
                           * set during attention */
    const int32_t *step;  /* [query_rows] */
    struct result_places at; /* of the query rows in the outputs */
    int32_t end[4];          /* tokens that end a reply, */
    int64_t ends;            /* so many */
    /* [entries of tokens, width]; A: the head's row. */
    float *entropy; /* of A on V, renormalized, over log|V|; 1 where V has no mass, 0 where |V| is 0
                     * or 1 */
    float *copy;    /* mass on tokens of V that equal the predicted one */
    float *lookback; /* mass on V over that on V and the reply, 0 without either; or NULL */
    float *sinks;    /* mass on sinks */
    float *peak;     /* the largest weight on V */
    float
        *row_entropy; /* entropy like the first of the sum of a reply's rows; at its first token */
    /* Each row has `stride` numbers, of which those of its history's tokens are used. */
    int64_t stride;
    float *rows; /* [replies, width, stride] a reply's rows are added to it one by one */
    float *kept; /* [query_rows, width, stride] */
};

/* Attention over packed segments.
 *
 * Segment s has the query rows [query_begin[s], query_begin[s + 1]).  It reads a list of ranges of
 * key rows: ranges range_begin[s] to range_begin[s + 1] - 1, of which range r is the rows
 * [key_begin[r], key_end[r]) of k and v.  Its K keys are numbered from 0 over the whole list.  The
 * ranges of one segment do not overlap.  Several segments may read the same rows, which are stored
 * once: the candidates of a history, the descendants of a segment in a forest of tokens.
 *
 * Query i of a segment with Q queries stands at position i + (causal ? K - Q : 0).  Causal: it sees
 * the keys up to its own position, so that the last Q keys of the list are the queries' own.
 *   score(i, j) = scale (q_i . k_j) + bias[h, j - position(i) + bias_span - 1]
 * Head h of q reads head h / (heads / kv_heads) of k and v.
 *
 * Of an encoder-decoder: cross-attention: one range, not causal.  Self-attention: one range
 * of own keys.  A decode step: one query and the range of its own keys so far.
 *
 * Order of additions: on the CPU a sum over keys runs through the list, and where the list is cut
 * into ranges changes no bit.  On CUDA keys are taken in tiles of 64, which begin anew with each
 * range.  A decode step and a training pass that name the same ranges give the same bits. */
struct attention {
    int64_t segments, head_dim;
    int64_t heads, kv_heads;    /* of q and out; of k and v, a divisor of that */
    float scale;                /* of q . k; 1 where the model has none */
    int64_t query_rows;         /* total; query_begin[segments] on the device */
    const int32_t *query_begin; /* [segments + 1] */
    const int32_t *range_begin; /* [segments + 1], ascending from 0; NULL: segment s has range s
                                 * alone */
    const int32_t *key_begin;   /* [ranges] */
    const int32_t *key_end;     /* [ranges] */
    /* Rows of heads * head_dim (q) and kv_heads * head_dim (k, v) elements, that stand so many
     * elements apart. */
    const real *q, *k, *v;
    int64_t q_stride, k_stride, v_stride;
    const float *bias; /* [heads, 2 * bias_span - 1], or NULL */
    int64_t bias_span;
    bool causal;
    real *out;  /* [query_rows, heads * head_dim] */
    float *lse; /* [query_rows, heads] log-sum-exp for backward, or NULL */
    /* capture[row, j] (+)= sum over heads, ascending, of the weight of the segment's key j. Entries
     * past the segment's keys are left alone. */
    float *capture; /* [query_rows, capture_stride], or NULL */
    int64_t capture_stride;
    bool capture_accumulate;
    /* Every head's own weights, for fixtures and debugging: [heads, query_rows,
     * capture_stride], or NULL. */
    float *maps;
    const struct head_statistics *statistics; /* read off every row; or NULL */
};

/* With w the weights and d = dout v^T:  ds = w (d - sum(w d));  dq = scale ds k;
 * dk = scale ds^T q;  dv = w^T dout;  dbias += ds along its diagonals.  The gradient of a key row
 * is a sum over the heads of q that read it, ascending, of each head's sum over the segments that
 * read it, ascending, and in each over its query rows, ascending. */
struct attention_gradients {
    const real *dout; /* like out */
    real *dq;         /* like q, overwritten */
    real *dk, *dv;    /* like k and v; rows that no segment reads are left alone */
    bool accumulate_kv;
    int64_t key_rows; /* rows of k and v */
    float *dbias;     /* like bias, added to; or NULL */
};

/* How far two rows of weights T and S over the same keys are apart: sum T log(T / S); sum (S -
 * T)^2.
 */
enum alignment_form { ALIGNMENT_KL, ALIGNMENT_SQUARES };

/* What one model has of the attention that is aligned: rows as struct attention has them. */
struct alignment_rows {
    int64_t heads, kv_heads, head_dim;
    float scale;
    const real *q, *k;
    int64_t q_stride, k_stride;
};

/* The attention that a model which reads the two sides of each pair apart (the student) would have
 * over both, beside that of one which reads them at once (the teacher); docs/reward.md, Interaction
 * distillation.  The sides of pair p are 2p and 2p + 1.  A side's queries are its own tokens, of
 * which the first are the prompt; its keys are these and then the other side's tokens behind the
 * prompt.
 *
 * There is a map for each of the teacher's heads.  The student's heads of q, and of k as each head
 * of q reads it, stand side by side and are cut anew into as many parts of d elements (arXiv
 * 2012.15828).  S = softmax over the keys of student.scale q . k, without bias or mask;
 * T = softmax over the same keys of teacher.scale q . k + bias: its row without what is no key,
 * renormalized.
 *
 * With g = weight[i] / maps, of the scores z of a row i: KL: dz = g (S - T); squares: dz = 2 g S
 * (S - T - sum(S (S - T))).  dq_i += student.scale sum dz k; dk_j += student.scale sum dz q.
 *
 * Order of additions: a key's gradient is the sum over the first side's queries, ascending, then
 * over the second's, and then over the heads of q that read it, ascending.  Nothing depends on the
 * other pairs.  No array has a size of queries times keys. */
struct alignment {
    int64_t pairs, tokens, longest; /* tokens of all sides; of the longest side */
    const int32_t *begin;           /* [2 pairs + 1] side s has the tokens [begin[s], begin[s+1]) */
    const int32_t *prompt;          /* [2 pairs] so many of them are the prompt's */
    enum alignment_form form;
    struct alignment_rows student;
    /* q NULL: T is the same for all keys; heads says how many maps. kv_heads is heads. */
    struct alignment_rows teacher;
    const int32_t *row;                         /* [tokens] of the student's q and k, each once */
    const int32_t *teacher_query, *teacher_key; /* [tokens] rows of the teacher's q and k */
    /* [teacher.heads, 2 bias_span - 1], entry teacher_key[j] - teacher_query[i] + bias_span - 1 of
     * a head; or NULL */
    const float *bias;
    int64_t bias_span;
    const float *weight; /* [tokens] d loss / d distance of a token's row */
    real *dq, *dk;       /* like the student's q and k, added to; both NULL: no gradients */
    float *distance;     /* [tokens] mean over the maps */
    float *work;         /* [alignment_work], on the device; what it holds is lost */
};

/* The longest row of a map, the student's and the teacher's. */
enum { ALIGNMENT_DIM_MAX = 256 };

/* Numbers of `work`: four a token and map, and the student's dk, a place for each head of q. */
static inline int64_t alignment_work(int64_t tokens, int64_t maps, int64_t width)
{
    return tokens * (4 * maps + width);
}

/* What a gate goes through: gelu(g) = g/2 (1 + tanh(sqrt(2/pi) (g + 0.044715 g^3))); silu(g) =
 * g / (1 + e^-g). */
enum activation { ACTIVATION_GELU_TANH, ACTIVATION_SILU };

/* What is done to a row whose entropy is below its floor: nothing; the entropy alone is raised to
 * the floor; the row is mixed with the uniform one until its entropy is the floor. */
enum row_floor { ROW_FLOOR_NONE, ROW_FLOOR_VALUE, ROW_FLOOR_MIX };

/* Reduction of captured rows to the attention summary (docs/reward.md, Terms). */
struct attention_summary {
    int64_t rows;
    const float *capture; /* [rows, capture_stride], sum over layers and heads */
    int64_t capture_stride;
    float weight;                       /* 1 / (layers * heads): a = capture * weight */
    const int32_t *history_of_row;      /* [rows] */
    const int32_t *key_begin, *key_end; /* [histories] into the per-token arrays below */
    const uint8_t *visible;             /* 1: in V; per history token */
    const uint8_t *salient;             /* 1: in I (a subset of V); per history token */
    const uint8_t *turn;                /* per history token: earlier turn it belongs to, from 0 */
    const uint8_t *special;             /* 1: a special token; per history token; or NULL */
    const uint8_t *speaker;             /* per history token: takes the place of `turn` in a second
                                         * call, which sums mass by speaker; `turns` or more:
                                         * nobody's; this call does not read it */
    const uint8_t *slots;               /* 1: stands for a turn that was cut; per history token */
    const float *floor_delta;           /* [replies] nats, already at most log|V| */
    enum row_floor floor;
    bool shuffle;            /* weights change places over V at random: step[row] of the
                              * reply's own Philox stream */
    uint32_t key[2];         /* Philox key of the shuffle */
    const uint32_t *counter; /* [replies, 3]: words 0 to 2 of the reply's counter */
    const int32_t *step;     /* [rows]: word 3 */
    struct result_places at; /* of the rows in floor_delta, counter and the outputs */
    int64_t turns, top;      /* sizes of the optional outputs */
    /* Entries of tokens, as floor_delta and counter are entries of replies. */
    float *entropy;         /* of a, before the floor */
    float *entropy_floored; /* after the floor */
    float *salient_mass;    /* of the row after ROW_FLOOR_MIX, else of the row as it is */
    float *special_mass;    /* what leaving V out removed, before renormalizing */
    /* Of a decoder-only model, whose row has an entry for each of the N history tokens and then for
     * each of the reply's tokens so far, step[row] of them.  With `special` the four masses of a =
     * capture * weight add up to what the row holds: a(0) is first_mass; of the other history
     * tokens' weight special_mass is what lies on special ones (instead of the above),
     * history_mass what lies on the rest; reply_mass is what lies on the reply.  Each may be
     * NULL; without `special` they are not written. */
    float *first_mass, *history_mass, *reply_mass;
    float *slot_mass;      /* on tokens that `slots` marks, of the row over V; or NULL */
    float *turn_mass;      /* [entries, turns], or NULL */
    int32_t *top_position; /* [entries, top], -1 where there are fewer; or NULL */
    float *top_weight;     /* [entries, top] */
};

/* What a history's tokens get from the rows of a reply, added up while it is sampled. */
struct attention_received {
    int64_t rows;
    const float *capture; /* [rows, capture_stride], sum over layers and heads */
    int64_t capture_stride;
    float weight;                  /* 1 / (layers * heads) */
    const int32_t *history_of_row; /* [rows] */
    const int32_t *key_begin,
        *key_end;         /* [histories]: a history's tokens are key_end - key_begin */
    const int32_t *token; /* [rows] what was sampled behind the row */
    const int32_t *reply; /* [rows] into the arrays below; no two are alike */
    int32_t end[4];       /* tokens that end a reply, */
    int64_t ends;         /* so many */
    int32_t *ended; /* [replies] not 0: the reply has ended, its rows are left out; set behind its
                     * last row */
    float *sum;     /* [replies, stride]: += capture * weight, row by row */
    int64_t stride;
};

struct sampling {
    int64_t rows, vocabulary;
    const float *logits;     /* [rows, vocabulary] */
    float temperature;       /* 0: greedy, log-probabilities at temperature 1 */
    int64_t top_k;           /* 0: off */
    float top_p;             /* 1: off */
    uint32_t key[2];         /* Philox: (seed, purpose) */
    const uint32_t *counter; /* [replies, 3]: dialogue, turn, candidate */
    const int32_t *step;     /* [rows] counter word 3 */
    int32_t *token;          /* [rows] */
    struct result_places at; /* of the rows in counter, forced and in the outputs below */
    const int32_t *forced;   /* [replies] from 0 on: this token comes in place of one that is drawn;
                              * NULL: none does */
    int32_t *token_record;   /* the same token at its entry; or NULL */
    float *logp;             /* of the full softmax at the temperature, bit for bit what
                              * `softmax_loss` gives for that token; or NULL */
    float *token_entropy;    /* of the full softmax; or NULL */
    float *self_certainty;   /* -log V - the mean over the vocabulary's V tokens of log p, p of the
                              * full softmax: KL(uniform || p) (arXiv 2505.19590); or NULL */
};

/* An entropy bonus: the loss has -coef * weight[i] * (entropy of row i's softmax) too. */
struct entropy_bonus {
    const float *entropy, *weight; /* [m] */
    float coef;
};

/* The clipped surrogate of a batch's reply tokens (docs/reward.md, PPO). All [tokens]. */
struct ppo_tokens {
    int64_t tokens;
    const float *logp_new, *logp_old; /* logp_old may be logp_new: r is 1 then */
    /* NULL: none.  Else the surrogate of a token has the weight min(exp(logp_old - logp_behaviour),
     * importance_cap), a constant; the KL has not. */
    const float *logp_behaviour;
    float importance_cap;
    const float *log_ratio; /* log r of the token's reply; NULL: logp_new - logp_old, its own */
    const float *logp_ref;  /* NULL when kl_coef is 0 */
    const float *advantage; /* the token's own */
    const float *weight;    /* the token's share of the mean: 1 / tokens of the batch */
    bool clip_weight;       /* r cut to the bounds is a weight of logp_new, not differentiated */
    float clip, clip_high;  /* r's bounds: 1 - clip, 1 + clip_high */
    float kl_coef;          /* k3 in the loss, with weight */
    float kl_low, kl_high;  /* k3 and its gradient are of logp_new - logp_ref within these */
    float *loss;            /* weight * (-w min(...) + kl_coef * k3) */
    float *dlogp;           /* d loss / d logp_new, of log_ratio as if each were the token's own */
    float *clipped;         /* 1 where the bounds changed the loss */
    float *kl;              /* k3 when logp_ref is given, else 0 */
};

struct adamw {
    float lr, beta1, beta2, eps, decay;
    int64_t step;         /* from 1 */
    float gradient_scale; /* multiplies the gradient: the clip */
};

#define HASH_STEP UINT64_C(0x9E3779B97F4A7C15)

struct ops {
    const char *name;

    /* Memory and order.  What is released may be given out again before the calls that were queued
     * have run: they run in order. */
    status (*allocate)(struct queue *q, enum memory_kind kind, size_t bytes,
                       void **out); /* 64-byte aligned */
    void (*release)(struct queue *q, void *memory);
    /* Takes memory for all allocations to come from the device at once, so many bytes of each kind.
     * Called once, before the first allocation.  Where the device has less it fails with
     * STATUS_INPUT and one line that says which settings to lower.  The CPU does nothing. */
    status (*memory_reserve)(struct queue *q, const size_t bytes[MEMORY_KINDS]);
    void (*memory_report)(struct queue *q, struct memory_report *out);
    /* The bytes to reserve for operations' own working space, beside `bytes` for everything else.
     */
    size_t (*memory_scratch)(const struct queue *q, const size_t bytes[MEMORY_KINDS]);
    /* Host memory that copies to and from the device need not wait for (pinned). */
    status (*host_allocate)(struct queue *q, size_t bytes, void **out);
    void (*host_release)(struct queue *q, void *memory);
    void (*upload)(struct queue *q, void *to, const void *host_from, size_t bytes);
    void (*download)(struct queue *q, void *host_to, const void *from, size_t bytes);
    void (*copy)(struct queue *q, void *to, const void *from, size_t bytes);
    void (*zero)(struct queue *q, void *to, size_t bytes);
    status (*synchronize)(struct queue *q);
    /* mark marks this place in the queue.  mark_wait returns once every call before the mark has
     * run; it does not wait for calls queued since.  slot: 0 .. QUEUE_MARKS - 1. */
    void (*mark)(struct queue *q, int slot);
    void (*mark_wait)(struct queue *q, int slot);
    /* Between begin and end calls are recorded, not run; graph_launch queues them all at once,
     * with the arguments they had.  No memory may be allocated, released or waited for in
     * between.  NULL where the back end runs calls at once: there is nothing to record. */
    void (*graph_begin)(struct queue *q);
    status (*graph_end)(struct queue *q, struct graph **out);
    void (*graph_launch)(struct queue *q, struct graph *graph);
    /* False once memory of the queue's own that calls used has moved: such a graph cannot be
     * launched any more. */
    bool (*graph_is_current)(struct queue *q, const struct graph *graph);
    void (*graph_destroy)(struct queue *q, struct graph *graph); /* NULL is allowed */
    void (*destroy)(struct queue *q);

    /* Matrix products.  W is [n, k] (out, in), packed once after each load or update. */
    size_t (*matrix_bytes)(const struct queue *q, int64_t n, int64_t k, bool with_input_gradient);
    status (*matrix_create)(struct queue *q, int64_t n, int64_t k, bool with_input_gradient,
                            struct packed_matrix **out);
    void (*matrix_destroy)(struct queue *q, struct packed_matrix *w);
    /* rounding NULL: to nearest.  Where `real` is fp32 nothing is rounded. */
    void (*matrix_pack)(struct queue *q, struct packed_matrix *w, const float *values,
                        const struct rounding *rounding);
    /* sum[0] = a number that another value of any one bit of the packed memory changes.  The layout
     * and the number are the queue's own. */
    void (*matrix_hash)(struct queue *q, uint64_t *sum, const struct packed_matrix *w);
    /* y[m,n] (+)= x[m,k] W^T */
    void (*matmul)(struct queue *q, real *y, const real *x, const struct packed_matrix *w,
                   int64_t m, bool accumulate);
    /* y[m,n] = max(0, x[m,k] W^T) */
    void (*matmul_relu)(struct queue *q, real *y, const real *x, const struct packed_matrix *w,
                        int64_t m);
    /* The same as matmul into fp32: logits, values. */
    void (*matmul_float)(struct queue *q, float *y, const real *x, const struct packed_matrix *w,
                         int64_t m, bool accumulate);
    /* dx[m,k] (+)= dy[m,n] W */
    void (*matmul_input_gradient)(struct queue *q, real *dx, const real *dy,
                                  const struct packed_matrix *w, int64_t m, bool accumulate);
    /* dw[n,k] (+)= dy[m,n]^T x[m,k] */
    void (*matmul_weight_gradient)(struct queue *q, float *dw, const real *dy, const real *x,
                                   int64_t m, int64_t n, int64_t k, bool accumulate);

    /* y = x as `real`; y may be x where that is fp32 */
    void (*narrow)(struct queue *q, real *y, const float *x, int64_t count);
    /* y[m,d] = table[ids[m], :] */
    void (*embedding)(struct queue *q, real *y, const float *table, const int32_t *ids, int64_t m,
                      int64_t d);
    /* dtable[ids[i], :] += dy[i, :], ascending i */
    void (*embedding_backward)(struct queue *q, float *dtable, const real *dy, const int32_t *ids,
                               int64_t m, int64_t d);
    /* y = x * w / sqrt(mean(x^2) + eps); inverse[m] = 1 / sqrt(...), or NULL */
    void (*rmsnorm)(struct queue *q, real *y, float *inverse, const real *x, const float *w,
                    int64_t m, int64_t d, float eps);
    /* dx (+)=; dw[d] +=, or NULL */
    void (*rmsnorm_backward)(struct queue *q, real *dx, float *dw, const real *dy, const real *x,
                             const float *w, const float *inverse, int64_t m, int64_t d,
                             bool accumulate);
    /* y = a + b; y may be a or b */
    void (*add)(struct queue *q, float *y, const float *a, const float *b, int64_t count);
    /* y = a * factor; y may be a */
    void (*scale)(struct queue *q, real *y, const real *a, float factor, int64_t count);
    /* dx = dy where x > 0, else 0; x: what went into the relu, or what came out of it */
    void (*relu_backward)(struct queue *q, real *dx, const real *dy, const real *x, int64_t count);
    /* x is [m, 2f]: gate then up.  y[m,f] = activation(gate) * up */
    void (*gated_activation)(struct queue *q, enum activation activation, real *y, const real *x,
                             int64_t m, int64_t f);
    void (*gated_activation_backward)(struct queue *q, enum activation activation, real *dx,
                                      const real *dy, const real *x, int64_t m, int64_t f);
    /* y[m,n] += bias[n]; rows of y stand `stride` elements apart */
    void (*bias_add)(struct queue *q, real *y, int64_t stride, const float *bias, int64_t m,
                     int64_t n);
    /* dbias[n] += the sum of dy's rows, which stand `stride` elements apart */
    void (*bias_backward)(struct queue *q, float *dbias, const real *dy, int64_t stride, int64_t m,
                          int64_t n);
    /* rmsnorm of each head's d elements by themselves: y = x * w / sqrt(mean(x^2) + eps).  Rows of
     * heads * d elements stand y_stride and x_stride apart; w[d] is shared by the heads;
     * inverse[m, heads] = 1 / sqrt(...), or NULL; y may be x with its stride. */
    void (*head_norm)(struct queue *q, real *y, int64_t y_stride, float *inverse, const real *x,
                      int64_t x_stride, const float *w, int64_t m, int64_t heads, int64_t d,
                      float eps);
    /* dx is overwritten and may be dy with its stride; dw[d] +=, or NULL */
    void (*head_norm_backward)(struct queue *q, real *dx, int64_t dx_stride, float *dw,
                               const real *dy, int64_t dy_stride, const real *x, int64_t x_stride,
                               const float *w, const float *inverse, int64_t m, int64_t heads,
                               int64_t d);
    /* Rotary embedding, in place, of rows of heads * d elements that stand `stride` apart; d is
     * even.  Row i takes row position[i] of table[positions, d]: the cosines of the d/2 angles,
     * then their sines.  Elements j and j + d/2 of a head are turned by angle j, backwards with
     * `inverse`: the gradient's rotation. */
    void (*rope)(struct queue *q, real *x, int64_t stride, const int32_t *position,
                 const float *table, int64_t m, int64_t heads, int64_t d, bool inverse);
    /* bias[h, d + span - 1] = table[bucket(d), h] for d = key - query position in
     * (-span, span), in logarithmic buckets.  table is [buckets, heads]. */
    void (*relative_bias)(struct queue *q, float *bias, const float *table, int64_t span,
                          int64_t heads, int64_t buckets, int64_t max_distance, bool bidirectional);
    /* dtable += */
    void (*relative_bias_backward)(struct queue *q, float *dtable, const float *dbias, int64_t span,
                                   int64_t heads, int64_t buckets, int64_t max_distance,
                                   bool bidirectional);
    void (*attention)(struct queue *q, const struct attention *a);
    void (*attention_backward)(struct queue *q, const struct attention *a,
                               const struct attention_gradients *g);
    void (*attention_alignment)(struct queue *q, const struct alignment *a);
    void (*attention_summary)(struct queue *q, const struct attention_summary *s);
    void (*attention_received)(struct queue *q, const struct attention_received *a);
    /* After a decode step's calls and its sampling, `next` set: `copy` of its rows, whose replies
     * are noted in `ended` where the token is one of `end`. */
    void (*head_statistics_sampled)(struct queue *q, const struct head_statistics *s, int64_t rows);
    /* row_entropy of replies [0, replies), to histories history[reply]; their first tokens' entries
     * are first[reply], or, where that is NULL, reply * at.stride. */
    void (*head_row_entropy)(struct queue *q, const struct head_statistics *s,
                             const int32_t *history, const int32_t *first, int64_t replies);
    /* to[slot[i] * slot_stride + position[i] * width ...] = from[i * from_stride ...],
     * width elements of `bytes` bytes a row, strides in elements: a decode step's keys and
     * values into their caches, its results into their records. */
    void (*cache_append)(struct queue *q, void *to, int64_t slot_stride, const int32_t *slot,
                         const int32_t *position, const void *from, int64_t from_stride,
                         int64_t rows, int64_t width, size_t bytes);
    /* Adds `value` to each of count ints that stand `stride` apart: steps and lengths advance on
     * the device. */
    void (*advance)(struct queue *q, int32_t *counters, int32_t value, int64_t count,
                    int64_t stride);
    /* out[i, :] = mean over rows [begin[i], begin[i+1]) of x[., d], ascending order */
    void (*mean_rows)(struct queue *q, real *out, const real *x, const int32_t *begin,
                      int64_t segments, int64_t d);
    void (*mean_rows_backward)(struct queue *q, real *dx, const real *dout, const int32_t *begin,
                               int64_t segments, int64_t d);

    /* Cross-entropy of targets under softmax(logits / temperature), fused: log-probability,
     * entropy and log-sum-exp (of logits / temperature), each [m] or NULL; and, when
     * reference logits are given, the full KL(policy || reference) [m].  self_certainty as of
     * struct sampling, [m] or NULL. */
    void (*softmax_loss)(struct queue *q, float *logp, float *entropy, float *lse, float *kl,
                         float *self_certainty, const float *logits, const float *reference_logits,
                         const int32_t *targets, float temperature, int64_t m, int64_t vocabulary);
    /* dlogits = dlogp[i] / temperature * ((1 - smoothing) onehot + smoothing / V - softmax), and
     * with a bonus (NULL: none) coef * weight[i] / temperature * softmax (log softmax + entropy[i])
     * more; dlogits may be logits where `real` is fp32. */
    void (*softmax_loss_backward)(struct queue *q, real *dlogits, const float *logits,
                                  const float *lse, const int32_t *targets, const float *dlogp,
                                  float temperature, float smoothing,
                                  const struct entropy_bonus *bonus, int64_t m, int64_t vocabulary);
    void (*sample)(struct queue *q, const struct sampling *s);
    void (*ppo_loss)(struct queue *q, const struct ppo_tokens *p);
    /* sum[0] = sum of x^2 in float64, one fixed order */
    void (*square_sum)(struct queue *q, double *sum, const float *x, int64_t count);
    /* sum[0] = the sum modulo 2^64, over i, of (the bits of x[i] ^ low half of key) * (high half of
     * key | 1), key = (first + i + 1) * HASH_STEP.  Any order gives it, and sums of parts with
     * their own first add up to that of the whole.  Another value of any one bit gives another sum,
     * since the factors are odd. */
    void (*hash)(struct queue *q, uint64_t *sum, const float *x, int64_t first, int64_t count);
    void (*adamw)(struct queue *q, float *w, float *m, float *v, const float *gradient,
                  int64_t count, const struct adamw *settings);
};

/* Slots of marks by their users.  Two users of one kind on one queue may share a slot: a wait for
 * it then ends later than it must where the other has marked it since, never too early. */
enum { MARK_DECODER = 0, MARK_POLL = 2, MARK_CAPTURE = 4, MARK_BATCH = 5, QUEUE_MARKS = 8 };

/* The CPU back end: instruction set "auto", "avx512", "avx2" or "c". */
status cpu_queue_create(int threads, const char *instructions, struct queue **out);

#endif
