/* Errors as values.  NULL is success; anything else carries an exit code and a
 * message that gains context on its way up.  Only main prints and exits. */
#ifndef REGARD_BASE_STATUS_H
#define REGARD_BASE_STATUS_H

typedef struct status_error *status;

enum {
    STATUS_INPUT = 1,     /* bad input, configuration or file */
    STATUS_USAGE = 2,     /* wrong command line */
    STATUS_AUDIT = 3,     /* training ended by audit.action: stop, after a checkpoint */
    STATUS_SKIPS = 4,     /* training ended by guard.max_skips, after a checkpoint */
    STATUS_DOCTOR = 5,    /* doctor found a problem */
    STATUS_INTERNAL = 70, /* a bug of ours, or a system that failed us */
    STATUS_STOPPED = 75   /* ended by a signal after a checkpoint: requeue */
};

/* A new error.  FAIL records where it was raised (shown by the debug log only). */
status status_new(int code, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5), warn_unused_result));
/* Puts "context: " before the message; NULL stays NULL. */
status status_context(status s, const char *format, ...)
    __attribute__((format(printf, 2, 3), warn_unused_result));

const char *status_message(status s); /* one line, no newline */
const char *status_origin(status s);  /* "file:line" */
int status_code(status s);            /* 0 for NULL */
void status_free(status s);
/* What two things that were both done came to: the first error of them; the second is freed. */
status status_first(status first, status second) __attribute__((warn_unused_result));

#define ERROR(code, ...) status_new((code), __FILE__, __LINE__, __VA_ARGS__)
#define FAIL(code, ...) return ERROR((code), __VA_ARGS__)
#define TRY(expression)                                                                            \
    do {                                                                                           \
        status try_status_ = (expression);                                                         \
        if (try_status_) return try_status_;                                                       \
    } while (0)

#endif
