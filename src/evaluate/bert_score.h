/* BERTScore (Zhang et al., arXiv 1904.09675) of token states: every token of one text is matched
 * to the token of the other that its state has the largest cosine with.  Not rescaled. */
#ifndef REGARD_EVALUATE_BERT_SCORE_H
#define REGARD_EVALUATE_BERT_SCORE_H

#include <stdint.h>

/* A text's tokens.  Their weights (1; or idf) are not negative; special tokens have 0: others are
 * matched to them, they are not counted themselves. */
struct token_states {
    const float *rows;     /* [count, width] */
    const double *weights; /* [count] */
    int64_t count;
};

struct bert_score {
    double precision, recall, f1;
};

/* What the package bert_score counts (tests/evaluate/fixtures/bert_score.json is its): precision
 * is the weighted mean over the reply's tokens of their largest cosine with one of the reference's,
 * recall that over the reference's.  0 where a text has no token that counts. */
struct bert_score bert_score_of(const struct token_states *reply,
                                const struct token_states *reference, int64_t width);
/* The mean state [width] of the tokens that count; zeros where there are none. */
void token_states_mean(const struct token_states *text, int64_t width, double *mean);
/* 0 where one of them has no length. */
double vectors_cosine(const double *a, const double *b, int64_t width);

#endif
