/* Leveled log to stderr, one line each: "regard[rank] level: text".  The level is set once
 * by main (REGARD_LOG=debug|info|warning|error). */
#ifndef REGARD_BASE_LOG_H
#define REGARD_BASE_LOG_H

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };

void log_setup(enum log_level least, int rank);
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
