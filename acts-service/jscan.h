#ifndef ACTS_JSCAN_H
#define ACTS_JSCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/str.h"

/* A strict JSON tokenizer (RFC 8259) over a buffer that it may change: strings are decoded in
 * place, so a body of many megabytes is never copied, and numbers are handed out as their text, so
 * that an id of forty digits stays exact. Invalid UTF-8, lone surrogates, duplicate top-level
 * values, trailing text and nesting deeper than JSCAN_DEPTH are errors. Pure; the views live as
 * long as the buffer. */
enum { JSCAN_DEPTH = 64 };

enum jtok {
    JT_ERROR,
    JT_END, /* the text ended after exactly one value */
    JT_OBJ,
    JT_OBJ_END,
    JT_ARR,
    JT_ARR_END,
    JT_KEY,
    JT_STR,
    JT_NUM,
    JT_TRUE,
    JT_FALSE,
    JT_NULL,
};

struct jscan {
    char *p, *end;
    uint64_t objects; /* bit d: the container at depth d is an object */
    unsigned depth;
    int state;
    struct sv text;  /* of the last key, string (decoded, may hold NUL) or number */
    const char *why; /* after JT_ERROR */
};

void jscan_init(struct jscan *j, char *p, size_t n);
enum jtok jscan_next(struct jscan *j);
/* Read to the end of the value that began with token `first`; false on a syntax error. */
bool jscan_skip(struct jscan *j, enum jtok first) MUST_CHECK;

#endif
