#ifndef LBCTL_TEST_UNIT_H
#define LBCTL_TEST_UNIT_H

/* cmocka and what it wants included first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* In a loop over rows: fail with the row's name, what was wanted and what came. */
#define ROW_EQ_U64(row, got, want)                                                                 \
    do {                                                                                           \
        unsigned long long got_ = (unsigned long long)(got), want_ = (unsigned long long)(want);   \
        if (got_ != want_)                                                                         \
            fail_msg("row '%s': %s: want %llu, got %llu", (row), #got, want_, got_);               \
    } while (0)
#define ROW_EQ_STR(row, got, want)                                                                 \
    do {                                                                                           \
        const char *got_ = (got), *want_ = (want);                                                 \
        if (strcmp(got_, want_) != 0)                                                              \
            fail_msg("row '%s': %s: want '%s', got '%s'", (row), #got, want_, got_);               \
    } while (0)
#define ROW_HAS_STR(row, got, want)                                                                \
    do {                                                                                           \
        const char *got_ = (got), *want_ = (want);                                                 \
        if (strstr(got_, want_) == NULL)                                                           \
            fail_msg("row '%s': %s: want '...%s...', got '%s'", (row), #got, want_, got_);         \
    } while (0)

#endif
