/* A reward of your own for regard, as a shared object that `reward.plugin` names:
 *
 *     #include <regard_reward.h>
 *     const int32_t regard_reward_version = REGARD_REWARD_VERSION;
 *     int regard_reward(const struct regard_reply *replies, int64_t count,
 *                       struct regard_answer *answers, char error[REGARD_ERROR_SIZE])
 *     {
 *         for (int64_t i = 0; i < count; i++) answers[i].reward = ...;
 *         return 0;
 *     }
 *
 *     cc -shared -fPIC -o reward.so reward.c
 *
 * Every rank that generates or evaluates loads it once and calls it on one thread, with all replies
 * of one turn of its dialogues at once.  A reward that depends on nothing but its reply keeps a
 * run's numbers the same on any number of ranks and after a resume; one that depends on the other
 * replies of the call, on earlier calls or on the clock does not. */
#ifndef REGARD_REWARD_H
#define REGARD_REWARD_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Of everything in this file; regard refuses a plugin of another version. */
#define REGARD_REWARD_VERSION 1
#define REGARD_ERROR_SIZE 256

struct regard_message {
    const char *role; /* user, assistant or system */
    const char *content;
};

/* One reply.  All memory is regard's and is there during the call.  Texts are UTF-8 and end in 0;
 * what a token stands for may be a part of a character. */
struct regard_reply {
    int64_t dialogue;        /* which of the run; the same prompt comes again as another dialogue */
    int32_t turn, candidate; /* from 1, and from 0 */

    const struct regard_message *messages; /* [message_count] before the reply, oldest first,
                                            * earlier generated replies among them */
    int64_t message_count;
    const char *text; /* the reply, without special tokens */
    const char *line; /* the line of the data file that the dialogue began with, JSON */

    const int32_t *history; /* [history_count] the tokens that the model read */
    int64_t history_count;
    const int32_t *tokens;          /* [token_count] of the reply, its end token included */
    const char *const *token_texts; /* [token_count] what each stands for; "": a special one */
    const float *logp;              /* [token_count] log-probability */
    const float *token_entropy;     /* [token_count] of the distribution it was drawn from, nats */
    const float *self_certainty;    /* [token_count] KL(uniform || that distribution), nats */
    int64_t token_count;
    int32_t ended; /* 1: by an end token; 0: cut off at the longest reply */
};

/* Tokens [begin, end) of a reply and what they are worth. */
struct regard_span {
    int64_t begin, end;
    double value;
};

/* To be filled in: `reward` alone, or spans that cover the reply's tokens from 0 to token_count,
 * one behind another (a reward for each step of a process). */
struct regard_answer {
    double reward;             /* not a number when the call begins */
    struct regard_span *spans; /* room for token_count of them */
    int64_t span_count;        /* 0 when the call begins; above 0: `reward` is not read */
};

#if defined(__GNUC__)
#define REGARD_EXPORT __attribute__((visibility("default")))
#else
#define REGARD_EXPORT
#endif

/* The plugin defines both. */
extern REGARD_EXPORT const int32_t regard_reward_version;
/* replies [count], answers [count].  0: all are answered.  Anything else ends the run, and nothing
 * is learned from these replies; what `error` then holds is printed. */
REGARD_EXPORT int regard_reward(const struct regard_reply *replies, int64_t count,
                                struct regard_answer *answers, char error[REGARD_ERROR_SIZE]);

#ifdef __cplusplus
}
#endif

#endif
