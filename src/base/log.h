/* Leveled log to stderr, one line each: "regard[rank] level: text".  The level is set once
 * by main (REGARD_LOG=debug|info|warning|error). */
#ifndef REGARD_BASE_LOG_H
#define REGARD_BASE_LOG_H

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };

void log_setup(enum log_level least, int rank);
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Columns of the terminal that stderr goes to, 0: it goes to none.  Under run/mpirun, which passes
 * stderr on, REGARD_TERMINAL says so. */
int log_terminal(void);
/* The terminal's last line, rewritten by each call, lines of the log above it; "" ends it. */
void log_foot(const char *text);

#endif
