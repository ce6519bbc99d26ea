#ifndef LBCTL_BASE_FILE_H
#define LBCTL_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/base/err.h"

/* Read a whole file of at most `max` bytes; *ret (mem_free) is NUL-terminated. */
bool file_read(const char *path, size_t max, char **ret, size_t *ret_len, struct err *e) MUST_CHECK;
/* Replace a file as a whole: temporary file beside it, fsync, rename, fsync of the directory. */
bool file_write_atomic(const char *path, const void *data, size_t n, mode_t mode,
                       struct err *e) MUST_CHECK;
bool file_mkdir_p(const char *path, mode_t mode, struct err *e) MUST_CHECK;
/* Take an exclusive lock on path (created); the lock lives as long as *ret_fd is open. Fails at
 * once when another process has it, and names that process. */
bool file_lock(const char *path, int *ret_fd, struct err *e) MUST_CHECK;

#endif
