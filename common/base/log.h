#ifndef LBCTL_BASE_LOG_H
#define LBCTL_BASE_LOG_H

#include <stdbool.h>

#include "common/base/macros.h"

/* Event log to stderr, one line each: a fixed event text, then key=value fields.
 *   log_warn("backend down", "service=%s slot=%u reason=%s", ...)
 * Text lines begin with the journald priority "<4>" when stderr is the journal (JOURNAL_STREAM is
 * set). Safe from any thread; one write(2) a line. Foreign strings go through str_quote() first;
 * the fields are key=value words divided by blanks, values with blanks in double quotes
 * ("reason=\"%s\""), which is what the JSON format parses them back from. */
enum log_level { LOG_LV_ERROR, LOG_LV_WARN, LOG_LV_INFO, LOG_LV_DEBUG };
enum log_format { LOG_FMT_TEXT, LOG_FMT_JSON };

void log_init(const char *program, enum log_format format, enum log_level level);
bool log_level_from_name(const char *name, enum log_level *ret);
void log_event(enum log_level level, const char *event, const char *fmt, ...) PRINTF(3, 4);

#define log_error(...) log_event(LOG_LV_ERROR, __VA_ARGS__)
#define log_warn(...) log_event(LOG_LV_WARN, __VA_ARGS__)
#define log_info(...) log_event(LOG_LV_INFO, __VA_ARGS__)
#define log_debug(...) log_event(LOG_LV_DEBUG, __VA_ARGS__)

/* A broken invariant: aborts in debug builds, logs and returns in release builds. */
void bug(const char *fmt, ...) PRINTF(1, 2);

#endif
