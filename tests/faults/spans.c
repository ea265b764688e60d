/* A plugin for the matrix and the kills: rewards of a reply's halves, of nothing but the reply. */
#include <regard_reward.h>

const int32_t regard_reward_version = REGARD_REWARD_VERSION;

/* Mean log-probability of tokens [begin, end), and the share of even ones. */
static double worth(const struct regard_reply *reply, int64_t begin, int64_t end)
{
    double sum = 0;
    for (int64_t t = begin; t < end; t++)
        sum += (double)reply->logp[t] + (reply->tokens[t] % 2 == 0);
    return sum / (double)(end - begin);
}

int regard_reward(const struct regard_reply *replies, int64_t count, struct regard_answer *answers,
                  char error[REGARD_ERROR_SIZE])
{
    (void)error;
    for (int64_t i = 0; i < count; i++) {
        const int64_t n = replies[i].token_count, half = n / 2;
        answers[i].reward = n ? worth(&replies[i], 0, n) : 0;
        if (n < 2) continue;
        answers[i].spans[0] = (struct regard_span){0, half, worth(&replies[i], 0, half)};
        answers[i].spans[1] = (struct regard_span){half, n, worth(&replies[i], half, n)};
        answers[i].span_count = 2;
    }
    return 0;
}
