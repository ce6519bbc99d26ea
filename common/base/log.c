#include "common/base/log.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/str.h"

enum { LINE_MAX_BYTES = 4096 };

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static const unsigned journal_priority[] = {3, 4, 6, 7}; /* sd-daemon(3) */

/* Set once by log_init() before threads are started, constant afterwards. */
static struct {
    const char *program;
    enum log_format format;
    enum log_level level;
    bool journal;
} cfg = {"lbctl", LOG_FMT_TEXT, LOG_LV_INFO, false};

void log_init(const char *program, enum log_format format, enum log_level level)
{
    cfg.program = program;
    cfg.format = format;
    cfg.level = level;
    cfg.journal = getenv("JOURNAL_STREAM") != NULL;
}

bool log_level_from_name(const char *name, enum log_level *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(level_names); i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *ret = (enum log_level)i;
            return true;
        }
    }
    return false;
}

/* A line under construction; what does not fit is cut. */
struct line {
    char text[LINE_MAX_BYTES];
    size_t n;
};

static void line_add(struct line *l, const char *s, size_t n)
{
    size_t room = sizeof(l->text) - 1 - l->n; /* one byte stays free for the line feed */

    if (n > room)
        n = room;
    memcpy(l->text + l->n, s, n);
    l->n += n;
}

static void line_adds(struct line *l, const char *s)
{
    line_add(l, s, strlen(s));
}

static void line_add_json(struct line *l, const char *s, size_t n)
{
    line_add(l, "\"", 1);
    for (size_t i = 0; i < n && l->n + 16 < sizeof(l->text); i++) {
        unsigned char c = (unsigned char)s[i];
        char esc[8];

        if (c == '"' || c == '\\' || c < 0x20 || c >= 0x7f) {
            snprintf(esc, sizeof(esc), "\\u%04x", c);
            line_adds(l, esc);
        } else {
            line_add(l, s + i, 1);
        }
    }
    line_add(l, "\"", 1);
}

/* Turns `a=1 b="two words"` into `,"a":"1","b":"two words"`. */
static void line_add_json_fields(struct line *l, const char *fields)
{
    const char *p = fields;

    while (*p != '\0') {
        const char *key = p, *value;
        size_t key_n, value_n;

        p += strcspn(p, "= ");
        key_n = (size_t)(p - key);
        if (*p != '=' || key_n == 0) { /* a word that is no field */
            p += *p != '\0';
            continue;
        }
        p++;
        if (*p == '"') {
            value = ++p;
            p += strcspn(p, "\"");
            value_n = (size_t)(p - value);
            p += *p == '"';
        } else {
            value = p;
            p += strcspn(p, " ");
            value_n = (size_t)(p - value);
        }
        line_adds(l, ",");
        line_add_json(l, key, key_n);
        line_adds(l, ":");
        line_add_json(l, value, value_n);
        p += strspn(p, " ");
    }
}

static void log_write(struct line *l)
{
    l->text[l->n++] = '\n';
    /* A log that cannot be written is no reason to stop serving. */
    if (write(STDERR_FILENO, l->text, l->n) < 0)
        return;
}

void log_event(enum log_level level, const char *event, const char *fmt, ...)
{
    char fields[LINE_MAX_BYTES / 2], stamp[32];
    struct line l = {.n = 0};
    va_list ap;

    if (level > cfg.level)
        return;
    va_start(ap, fmt);
    vsnprintf(fields, sizeof(fields), fmt, ap);
    va_end(ap);
    for (char *p = fields; *p != '\0'; p++) { /* an event is one line, whatever was quoted in it */
        if ((unsigned char)*p < 0x20)
            *p = ' ';
    }
    if (cfg.journal) {
        char prio[8];

        snprintf(prio, sizeof(prio), "<%u>", journal_priority[level]);
        line_adds(&l, prio);
    }
    clock_rfc3339(clock_wall_ms(), stamp, sizeof(stamp));
    if (cfg.format == LOG_FMT_JSON) {
        line_adds(&l, "{\"time\":\"");
        line_adds(&l, stamp);
        line_adds(&l, "\",\"level\":\"");
        line_adds(&l, level_names[level]);
        line_adds(&l, "\",\"program\":\"");
        line_adds(&l, cfg.program);
        line_adds(&l, "\",\"event\":");
        line_add_json(&l, event, strlen(event));
        line_add_json_fields(&l, fields);
        line_adds(&l, "}");
    } else {
        if (!cfg.journal) {
            line_adds(&l, stamp);
            line_adds(&l, " ");
        }
        line_adds(&l, cfg.program);
        line_adds(&l, " ");
        line_adds(&l, level_names[level]);
        line_adds(&l, ": ");
        line_adds(&l, event);
        if (fields[0] != '\0') {
            line_adds(&l, ": ");
            line_adds(&l, fields);
        }
    }
    log_write(&l);
}

void bug(const char *fmt, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    log_error("bug", "what=\"%s\"", text);
#ifndef NDEBUG
    abort();
#endif
}
