#include "common/base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool err_set(struct err *e, const char *fmt, ...)
{
    va_list ap;

    if (e == NULL)
        return false;
    va_start(ap, fmt);
    vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
    va_end(ap);
    return false;
}

bool err_sys(struct err *e, const char *fmt, ...)
{
    int saved = errno;
    size_t used;
    va_list ap;

    if (e == NULL)
        return false;
    va_start(ap, fmt);
    vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
    va_end(ap);
    used = strlen(e->msg);
    snprintf(e->msg + used, sizeof(e->msg) - used, ": %s", strerrordesc_np(saved));
    errno = saved;
    return false;
}

bool err_wrap(struct err *e, const char *fmt, ...)
{
    char inner[sizeof(e->msg)];
    size_t used;
    va_list ap;

    if (e == NULL)
        return false;
    memcpy(inner, e->msg, sizeof(inner));
    va_start(ap, fmt);
    vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
    va_end(ap);
    used = strlen(e->msg);
    snprintf(e->msg + used, sizeof(e->msg) - used, ": %s", inner);
    return false;
}
