/* The clipped surrogate, the KL penalty with its bounds, and their gradient. */
#include "tests/kernels/kernel_test.h"

enum { tokens = 5003 };

struct batch {
    float *logp_new, *logp_old, *logp_ref, *advantage, *weight;
    float *loss, *dlogp, *clipped, *kl;
};

static struct batch batch_new(void)
{
    struct batch b = {.logp_new = random_new(tokens, 1, 1),
                      .logp_old = random_new(tokens, 2, 0.3),
                      .logp_ref = random_new(tokens, 3, 0.3),
                      .advantage = random_new(tokens, 4, 2),
                      .weight = random_new(tokens, 5, 1)};
    for (int i = 0; i < tokens; i++) {
        b.logp_new[i] = b.logp_new[i] * 0.3f - 3;
        b.logp_old[i] = b.logp_old[i] - 3;
        b.logp_ref[i] = b.logp_ref[i] - 3;
        b.weight[i] = 1.5f + b.weight[i];
    }
    b.loss = floats_new(tokens);
    b.dlogp = floats_new(tokens);
    b.clipped = floats_new(tokens);
    b.kl = floats_new(tokens);
    return b;
}

static void batch_free(struct batch *b)
{
    float *all[] = {b->logp_new, b->logp_old, b->logp_ref, b->advantage, b->weight,
                    b->loss,     b->dlogp,    b->clipped,  b->kl};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) guarded_free(all[i], "batch");
}

/* The log-ratio of "replies" of three tokens, for some calls. */
static float reply_ratio[tokens];

static void reply_ratios_set(const struct batch *b)
{
    for (int i = 0; i < tokens; i++) {
        double sum = 0;
        const int begin = i / 3 * 3, end = begin + 3 < tokens ? begin + 3 : tokens;
        for (int t = begin; t < end; t++) sum += (double)b->logp_new[t] - (double)b->logp_old[t];
        reply_ratio[i] = (float)(sum / (end - begin));
    }
}

static struct ppo_tokens call_of(const struct batch *b, bool reference)
{
    return (struct ppo_tokens){.tokens = tokens,
                               .logp_new = b->logp_new,
                               .logp_old = b->logp_old,
                               .logp_ref = reference ? b->logp_ref : NULL,
                               .advantage = b->advantage,
                               .weight = b->weight,
                               .clip = 0.1f,
                               .clip_high = 0.1f,
                               .kl_coef = reference ? 0.2f : 0,
                               .kl_low = -0.3f,
                               .kl_high = 0.25f,
                               .loss = b->loss,
                               .dlogp = b->dlogp,
                               .clipped = b->clipped,
                               .kl = b->kl};
}

/* logp_new - logp_ref within its bounds. */
static double bounded64(const struct ppo_tokens *p, int i, double logp_new)
{
    return fmin(fmax(logp_new - (double)p->logp_ref[i], (double)p->kl_low), (double)p->kl_high);
}

/* The paper's form, as a function of logp_new alone.  pull: beyond the bounds k3 goes on as a
 * straight line, whose slope is what the gradient is of; else it stays what it is at the bound. */
static double loss64(const struct ppo_tokens *p, int i, double logp_new, bool pull)
{
    const double r = exp(logp_new - (double)p->logp_old[i]), a = p->advantage[i];
    const double bounded = fmin(fmax(r, 1 - (double)p->clip), 1 + (double)p->clip);
    double loss = -fmin(r * a, bounded * a);
    if (p->logp_ref) {
        const double k = bounded64(p, i, logp_new);
        loss += (double)p->kl_coef * (exp(-k) - 1 + k);
        if (pull)
            loss += (double)p->kl_coef * (1 - exp(-k)) * (logp_new - (double)p->logp_ref[i] - k);
    }
    return loss * (double)p->weight[i];
}

/* The weight of a sample of an older policy. */
static double importance64(const struct ppo_tokens *p, int i)
{
    if (!p->logp_behaviour) return 1;
    return fmin(exp((double)p->logp_old[i] - (double)p->logp_behaviour[i]),
                (double)p->importance_cap);
}

/* As loss64, of the other forms, with the reply's ratio where there is one: each token's part in
 * it is as if it were its own, and CISPO's weight is no function of logp_new. */
static double other64(const struct ppo_tokens *p, int i, double logp_new)
{
    const double x = p->logp_new[i], a = p->advantage[i];
    const double moved = p->clip_weight ? 0 : logp_new - x;
    const double start = p->log_ratio ? (double)p->log_ratio[i] : x - (double)p->logp_old[i];
    const double r = exp(start + moved);
    const double bounded = fmin(fmax(r, 1 - (double)p->clip), 1 + (double)p->clip_high);
    return -importance64(p, i) * (double)p->weight[i] *
           (p->clip_weight ? bounded * a * logp_new : fmin(r * a, bounded * a));
}

static void other_bounds_ratios_and_forms_are_right(void **state)
{
    (void)state;
    struct queues all = queues_new();
    struct batch b = batch_new();
    reply_ratios_set(&b);
    for (int kind = 0; kind < 8; kind++)
        for (int qi = 0; qi < all.count; qi++) {
            struct ppo_tokens p = call_of(&b, false);
            p.clip_high = 0.25f;
            p.log_ratio = kind % 2 ? reply_ratio : NULL;
            p.clip_weight = kind / 2 % 2;
            p.logp_behaviour = kind / 4 ? b.logp_ref : NULL;
            p.importance_cap = 1.2f;
            all.q[qi]->op->ppo_loss(all.q[qi], &p);
            queue_check(all.q[qi]);
            int below = 0, above = 0, cut = 0;
            for (int i = 0; i < tokens; i++) {
                const double x = b.logp_new[i], h = 1e-5, a = b.advantage[i];
                const double want = other64(&p, i, x);
                if (!(fabs(b.loss[i] - want) <= 0x1p-24 * fabs(want) + 1e-14))
                    fail_msg("kind %d: loss[%d] is %.9g, should be %.9g", kind, i, b.loss[i], want);
                const double r =
                    exp(p.log_ratio ? (double)reply_ratio[i] : x - (double)b.logp_old[i]);
                const double slope = (other64(&p, i, x + h) - other64(&p, i, x - h)) / (2 * h);
                const bool kink = fabs(r - 0.9) < 1e-4 || fabs(r - 1.25) < 1e-4;
                if (!kink && !(fabs(b.dlogp[i] - slope) <= 1e-9 + 0x1p-23 * fabs(slope)))
                    fail_msg("kind %d: dlogp[%d] is %.9g, should be %.9g", kind, i, b.dlogp[i],
                             slope);
                const bool low = r < 1 - (double)p.clip && (p.clip_weight || a < 0);
                const bool high = r > 1 + (double)p.clip_high && (p.clip_weight || a > 0);
                assert_true(b.clipped[i] == (low || high ? 1.0f : 0.0f));
                below += low;
                above += high;
                cut += importance64(&p, i) == (double)p.importance_cap;
            }
            assert_true(below > tokens / 100 && above > tokens / 100);
            if (p.logp_behaviour) assert_in_range(cut, tokens / 10, tokens / 2);
        }
    batch_free(&b);
    queues_free(&all);
}

static void loss_gradient_clip_and_kl_are_right(void **state)
{
    (void)state;
    struct queues all = queues_new();
    struct batch b = batch_new();
    for (int reference = 0; reference < 2; reference++)
        for (int qi = 0; qi < all.count; qi++) {
            const struct ppo_tokens p = call_of(&b, reference);
            all.q[qi]->op->ppo_loss(all.q[qi], &p);
            int clipped = 0, below = 0, above = 0;
            for (int i = 0; i < tokens; i++) {
                const double x = b.logp_new[i], h = 1e-5;
                const double want = loss64(&p, i, x, false);
                /* one rounding to float of what is otherwise float64 */
                if (!(fabs(b.loss[i] - want) <= 0x1p-24 * fabs(want) + 1e-14))
                    fail_msg("loss[%d] is %.9g, should be %.9g", i, b.loss[i], want);
                /* |third derivative| <= 2.5 * 2 * e^0.6 + ... < 20: h^2 * 20 / 6, and the
                 * differences' own rounding, 1e-15 / h; the kink is kept out of reach */
                const double r = exp(x - (double)b.logp_old[i]);
                const double slope =
                    (loss64(&p, i, x + h, true) - loss64(&p, i, x - h, true)) / (2 * h);
                const double k1 = reference ? x - (double)b.logp_ref[i] : 0;
                const bool kink = fabs(r - 0.9) < 1e-4 || fabs(r - 1.1) < 1e-4 ||
                                  fabs(k1 - (double)p.kl_low) < 1e-4 ||
                                  fabs(k1 - (double)p.kl_high) < 1e-4;
                if (!kink && !(fabs(b.dlogp[i] - slope) <= 1e-9 + 0x1p-23 * fabs(slope)))
                    fail_msg("dlogp[%d] is %.9g, should be %.9g", i, b.dlogp[i], slope);
                const bool active = (r > 1 + (double)p.clip && b.advantage[i] > 0) ||
                                    (r < 1 - (double)p.clip && b.advantage[i] < 0);
                assert_true(b.clipped[i] == (active ? 1.0f : 0.0f));
                clipped += active;
                const double k = reference ? bounded64(&p, i, x) : 0;
                const double k3 = exp(-k) - 1 + k;
                below += reference && k == (double)p.kl_low;
                above += reference && k == (double)p.kl_high;
                assert_true(fabs(b.kl[i] - k3) <= 0x1p-24 * k3 + 1e-15);
                assert_true(b.kl[i] >= 0);
            }
            assert_in_range(clipped, tokens / 10, tokens); /* both branches were seen */
            if (reference) assert_true(below > tokens / 50 && above > tokens / 50);
        }
    batch_free(&b);
    queues_free(&all);
}

static void equal_policies_have_ratio_one_and_no_kl(void **state)
{
    (void)state;
    struct queues all = queues_new();
    struct batch b = batch_new();
    struct ppo_tokens p = call_of(&b, true);
    p.logp_old = p.logp_ref = p.logp_new;
    all.q[0]->op->ppo_loss(all.q[0], &p);
    for (int i = 0; i < tokens; i++) {
        assert_true(b.loss[i] == -b.weight[i] * b.advantage[i]);
        assert_true(b.dlogp[i] == -b.weight[i] * b.advantage[i]);
        assert_true(b.kl[i] == 0 && b.clipped[i] == 0);
    }
    batch_free(&b);
    queues_free(&all);
}

static void a_nan_is_not_hidden_by_the_clip(void **state)
{
    (void)state;
    struct queues all = queues_new();
    struct batch b = batch_new();
    struct ppo_tokens p = call_of(&b, true);
    b.logp_new[7] = NAN;
    all.q[0]->op->ppo_loss(all.q[0], &p);
    assert_true(isnan(b.loss[7]) && isnan(b.dlogp[7]));
    batch_free(&b);
    queues_free(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loss_gradient_clip_and_kl_are_right),
        cmocka_unit_test(other_bounds_ratios_and_forms_are_right),
        cmocka_unit_test(equal_policies_have_ratio_one_and_no_kl),
        cmocka_unit_test(a_nan_is_not_hidden_by_the_clip),
    };
    return cmocka_run_group_tests_name("ppo", tests, NULL, NULL);
}
