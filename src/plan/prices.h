/* What a rank's work takes on a device: seconds of decode steps, passes and optimizer, as they
 * were found by doing the work once (mpi/plan_prices.c), and what they are of. */
#ifndef REGARD_PLAN_PRICES_H
#define REGARD_PLAN_PRICES_H

#include <stdint.h>

enum { PRICE_SIZES = 16, PRICE_TURNS = 64, PRICE_DIALOGUES = 16 };

/* Replies that are decoded together. */
struct step_price {
    double rows;     /* a mean, where dialogues end */
    double fixed;    /* seconds of all but the steps: histories, scoring, sources' models */
    double *seconds; /* [steps] of each step, owned */
};

struct prices {
    int64_t parameters;        /* that are trained, sent to actors */
    int64_t critic_parameters; /* 0: there is no critic */
    int64_t candidates, steps; /* a turn; tokens of a reply at most */
    int64_t batch;             /* replies that are decoded at once */
    int64_t epochs;
    int64_t turns;
    double goes_on[PRICE_TURNS]; /* share of dialogues that have turn i */
    int sizes;                   /* rising in rows, 1 first */
    struct step_price size[PRICE_SIZES];
    int passes; /* a microbatch of so many dialogues, rising, 1 first: seconds of all epochs */
    int64_t pass_dialogues[PRICE_SIZES];
    double pass[PRICE_SIZES];
    double apply;    /* an update's rest, whole on every learner */
    double sliced;   /* the optimizer's on all parameters, which learners share */
    double refresh;  /* an actor's matrices after new weights */
    double evaluate; /* held-out metrics; 0: none */
    double message;  /* bytes of a dialogue's experience */
    double reply_tokens, history_tokens; /* of a dialogue that were learned from, on average */
    double history[PRICE_DIALOGUES];     /* of some dialogues */
};

void prices_free(struct prices *prices);
/* Decoding seconds of step `step` with so many rows, between the sizes that were measured. */
double prices_step(const struct prices *prices, double rows, int64_t step);
double prices_fixed(const struct prices *prices, double rows);
/* Of a microbatch; dialogues may be a fraction or more than was measured. */
double prices_pass(const struct prices *prices, double dialogues);
/* Measured seconds over modelled ones. */
void prices_scale(struct prices *prices, double generate, double learn);

#endif
