/* Time that only goes forward, for durations. */
#ifndef REGARD_BASE_CLOCK_H
#define REGARD_BASE_CLOCK_H

double seconds_now(void); /* since some moment in the past */

#endif
