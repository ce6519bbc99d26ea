#ifndef LBCTL_BASE_MACROS_H
#define LBCTL_BASE_MACROS_H

#include <stddef.h>
#include <stdint.h>

/* Attributes and the two ownership helpers. AUTO(fn) runs fn on the variable's address when its
 * scope ends; MOVE(p) takes the pointer out and leaves NULL, so that the success line keeps the
 * object. */
#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define NORETURN __attribute__((noreturn))
#define UNUSED __attribute__((unused))
#define AUTO(fn) __attribute__((cleanup(fn)))
#define MOVE(p)                                                                                    \
    (__extension__({                                                                               \
        __typeof__(p) move_tmp_ = (p);                                                             \
        (p) = NULL;                                                                                \
        move_tmp_;                                                                                 \
    }))

#define BIT(n) (1u << (n))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member)                                                            \
    (__extension__({                                                                               \
        __typeof__(((type *)0)->member) *co_tmp_ = (ptr);                                          \
        (type *)(void *)((char *)co_tmp_ - offsetof(type, member));                                \
    }))

/* Structs that travel through void * begin with `uint32_t magic`; CAST checks it and aborts on a
 * mismatch (a wrong pointer is a bug that must not be carried on). */
#define MAGIC(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (d))
#define CAST(ptr, type, magic_value) ((struct type *)cast_check((ptr), (magic_value), #type))
void *cast_check(void *ptr, uint32_t magic, const char *type);

#endif
