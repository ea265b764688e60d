/* See prices.h. */
#include "src/plan/prices.h"

#include <stdlib.h>

void prices_free(struct prices *p)
{
    for (int i = 0; i < p->sizes; i++) free(p->size[i].seconds);
    p->sizes = 0;
}

/* The piece of a broken line that x lies on: between points i and i + 1, at `part` of the way,
 * which is outside [0, 1] beyond its ends. */
struct piece {
    int i;
    double part;
};

static struct piece piece_of(double x, double x0, double x1, int i)
{
    return (struct piece){i, (x - x0) / (x1 - x0)};
}

static double between(double part, double a, double b)
{
    return a + part * (b - a);
}

static struct piece rows_piece(const struct prices *p, double rows)
{
    int i = 0;
    if (p->sizes < 2) return (struct piece){0, 0};
    while (i + 2 < p->sizes && rows > p->size[i + 1].rows) i++;
    return piece_of(rows, p->size[i].rows, p->size[i + 1].rows, i);
}

double prices_step(const struct prices *p, double rows, int64_t step)
{
    const struct piece at = rows_piece(p, rows);
    if (p->sizes < 2) return p->size[0].seconds[step];
    return between(at.part, p->size[at.i].seconds[step], p->size[at.i + 1].seconds[step]);
}

double prices_fixed(const struct prices *p, double rows)
{
    const struct piece at = rows_piece(p, rows);
    if (p->sizes < 2) return p->size[0].fixed;
    return between(at.part, p->size[at.i].fixed, p->size[at.i + 1].fixed);
}

double prices_pass(const struct prices *p, double dialogues)
{
    int i = 0;
    if (dialogues <= 1 || p->passes < 2) return p->pass[0] * dialogues;
    while (i + 2 < p->passes && dialogues > (double)p->pass_dialogues[i + 1]) i++;
    const struct piece at =
        piece_of(dialogues, (double)p->pass_dialogues[i], (double)p->pass_dialogues[i + 1], i);
    return between(at.part, p->pass[i], p->pass[i + 1]);
}

void prices_scale(struct prices *p, double generate, double learn)
{
    for (int i = 0; i < p->sizes; i++) {
        p->size[i].fixed *= generate;
        for (int64_t t = 0; t < p->steps; t++) p->size[i].seconds[t] *= generate;
    }
    for (int i = 0; i < p->passes; i++) p->pass[i] *= learn;
    p->apply *= learn;
    p->sliced *= learn;
    p->refresh *= generate;
    p->evaluate *= generate;
}
