/*
 * The log: lines on stderr. Only cmd/ and agent/ log; everything below them
 * returns errors. With journald on stderr (JOURNAL_STREAM, systemd.exec(5))
 * lines carry "<N>" priorities (sd-daemon(3)).
 */
#ifndef BERTH_BASE_LOG_H
#define BERTH_BASE_LOG_H

#include "base/err.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_NOTICE, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_TEXT, LOG_JSON };

/* Lines above max are dropped. Default: text, NOTICE. */
void log_setup(enum log_format format, enum log_level max);
enum log_format log_format(void);

void log_line(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);
#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...) log_line(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* "context: message; hint", or in JSON also kind and exit code. */
void log_err(enum log_level level, const struct err *err);

/*
 * Called before and after each line, so that progress bars can leave the
 * terminal and come back. NULLs: none.
 */
void log_around(void (*before)(void *), void (*after)(void *), void *arg);

#endif
