/* How often to save: the interval that loses least to checkpoints and failures together. */
#ifndef REGARD_PLAN_INTERVAL_H
#define REGARD_PLAN_INTERVAL_H

/* Seconds of work between checkpoints that cost `cost` seconds each, where something fails every
 * `mtbf` seconds on average.
 * Young, A first order approximation to the optimum checkpoint interval, CACM 17(9), 1974:
 *   sqrt(2 cost mtbf).
 * Daly, A higher order estimate of the optimum checkpoint interval for restart dumps, FGCS 22(3),
 * 2006, eq. 37: sqrt(2 cost mtbf) (1 + sqrt(cost / (2 mtbf)) / 3 + cost / (2 mtbf) / 9) - cost;
 * mtbf where cost >= 2 mtbf. */
double interval_young(double cost, double mtbf);
double interval_daly(double cost, double mtbf);
/* The share of time that is lost, to first order: saving, half an interval done again and the
 * restart after each failure. */
double interval_lost(double interval, double cost, double mtbf, double restart);

#endif
