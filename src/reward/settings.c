/* The table of terms and the keys of the reward; see settings.h. */
#include "src/reward/settings.h"

#include "src/base/config.h"

#include <string.h>

extern const struct term term_coverage, term_focus, term_rep_hist, term_rep_self;

/* Every term, with the key that weighs it.  Sums and names go in this order. */
static const struct {
    const struct term *term;
    size_t weight; /* where in struct config */
    double sign;
} table[] = {
    {&term_coverage, offsetof(struct config, reward.alpha), 1},
    {&term_focus, offsetof(struct config, reward.beta), 1},
    {&term_rep_hist, offsetof(struct config, reward.gamma), -1},
    {&term_rep_self, offsetof(struct config, reward.gamma_self), -1},
};

/* Of the other sources, by enum reward_source. */
#define GIVEN_TERM(name, text) [SOURCE_##name] = {#text, NULL},
static const struct term given[SOURCE_COUNT] = {GIVEN_SOURCES(GIVEN_TERM)};

enum { TERMS = sizeof table / sizeof *table };
_Static_assert((int)TERMS + (int)SOURCE_COUNT - 1 <= (int)TERM_MAX,
               "more terms than arrays over terms hold");
_Static_assert(sizeof((struct reward_settings *)0)->lambda ==
                   sizeof((struct config *)0)->turns.lambda,
               "turns.lambda must fit");
_Static_assert(sizeof((struct reward_settings *)0)->depth_lambda ==
                   sizeof((struct config *)0)->cot.depth_lambda,
               "cot.depth_lambda must fit");

static void attention_add(struct reward_settings *s, const struct config *config, double share)
{
    for (int t = 0; t < TERMS; t++) {
        double weight;
        memcpy(&weight, (const char *)config + table[t].weight, sizeof weight);
        s->terms[s->term_count++] = (struct weighted_term){
            table[t].term, share * (table[t].sign * weight), SOURCE_ATTENTION};
    }
}

struct reward_settings reward_settings_of(const struct config *config)
{
    const struct config_weights *sources = &config->reward.sources;
    struct reward_settings s = {
        .length_only = config->control == CONTROL_LENGTH,
        .overlong = config->reward.overlong,
        .max_new_tokens = config->rollout.max_new_tokens,
        .scale = config->reward.scale,
        .coverage_form = config->coverage.form,
        .focus_form = config->focus.form,
        .repetition_n = config->repetition.n,
        .floor_form = config->floor.form,
        .floor_delta0 = config->floor.delta0,
        .floor_kappa = config->floor.kappa,
        .single_turn = config->task == TASK_SINGLE_TURN,
        .continue_best = config->rollout.continue_with == CONTINUE_BEST,
        .discount = config->turns.discount,
        .lambda_count = config->turns.lambda_count,
        .block = config->task == TASK_REASONING ? config->cot.block : 0,
        .block_mean = config->cot.return_ == COT_MEAN,
        .lambda_final = config->cot.lambda_final,
        .depth_count = config->task == TASK_REASONING ? config->cot.depth_lambda_count : 0,
        .kl_coef = config->kl.coef,
        .kl_estimator = config->kl.estimator,
        .kl_bounds = kl_bounds_of(config->kl.estimator, config->kl.clamp)};
    memcpy(s.lambda, config->turns.lambda, sizeof s.lambda);
    memcpy(s.depth_lambda, config->cot.depth_lambda, sizeof s.depth_lambda);
    bool any = false;
    for (int i = 0; i < SOURCE_COUNT; i++) any |= sources->listed[i];
    if (!any || sources->listed[SOURCE_ATTENTION])
        attention_add(&s, config, any ? sources->weight[SOURCE_ATTENTION] : 1);
    for (int i = SOURCE_ATTENTION + 1; i < SOURCE_COUNT; i++)
        if (sources->listed[i])
            s.terms[s.term_count++] = (struct weighted_term){&given[i], sources->weight[i], i};
    return s;
}

status reward_settings_add(struct reward_settings *settings, const struct term *term, double weight)
{
    if (settings->term_count >= TERM_MAX)
        FAIL(STATUS_INTERNAL, "no room for the term %s: there are %d already", term->name,
             TERM_MAX);
    settings->terms[settings->term_count++] =
        (struct weighted_term){term, weight, SOURCE_ATTENTION};
    return NULL;
}

const char *reward_term_name(const struct reward_settings *settings, int64_t t)
{
    return settings->terms[t].term->name;
}

bool reward_term_given(const struct reward_settings *settings, int64_t t)
{
    return !settings->terms[t].term->compute;
}
