/* See interval.h. */
#include "src/plan/interval.h"

#include <math.h>

double interval_young(double cost, double mtbf)
{
    return sqrt(2 * cost * mtbf);
}

double interval_daly(double cost, double mtbf)
{
    const double ratio = cost / (2 * mtbf);
    if (ratio >= 1) return mtbf;
    return interval_young(cost, mtbf) * (1 + sqrt(ratio) / 3 + ratio / 9) - cost;
}

double interval_lost(double interval, double cost, double mtbf, double restart)
{
    return cost / (interval + cost) + (interval / 2 + restart) / mtbf;
}
