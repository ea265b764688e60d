/* A reward of your own for regard: the share of a reply's characters that are small letters.
 *
 *     cc -shared -fPIC -I include -o build/reward.so tools/examples/reward.c
 *     --set reward.sources=plugin:1 --set reward.plugin=build/reward.so
 *
 * Beside an installed regard, -I is PREFIX/include. */
#include <regard_reward.h>

const int32_t regard_reward_version = REGARD_REWARD_VERSION;

static double reward(const struct regard_reply *reply)
{
    int64_t letters = 0, count = 0;
    for (; reply->text[count]; count++)
        letters += reply->text[count] >= 'a' && reply->text[count] <= 'z';
    return count ? (double)letters / (double)count : 0;
}

int regard_reward(const struct regard_reply *replies, int64_t count, struct regard_answer *answers,
                  char error[REGARD_ERROR_SIZE])
{
    (void)error; /* for a line about what went wrong, with a status that is not 0 */
    for (int64_t i = 0; i < count; i++) answers[i].reward = reward(&replies[i]);
    return 0;
}
