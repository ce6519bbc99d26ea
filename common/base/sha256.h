#ifndef LBCTL_BASE_SHA256_H
#define LBCTL_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

/* SHA-256 (FIPS 180-4) and HMAC with it (RFC 2104). */
enum { SHA256_SIZE = 32, SHA256_BLOCK = 64 };

struct sha256 {
    uint32_t h[8];
    uint64_t n; /* bytes so far */
    unsigned char block[SHA256_BLOCK];
};

void sha256_init(struct sha256 *s);
void sha256_add(struct sha256 *s, const void *data, size_t n);
void sha256_end(struct sha256 *s, unsigned char ret[SHA256_SIZE]);

struct hmac {
    struct sha256 inner, outer;
};

void hmac_init(struct hmac *h, const void *key, size_t n);
void hmac_add(struct hmac *h, const void *data, size_t n);
void hmac_end(struct hmac *h, unsigned char ret[SHA256_SIZE]);

#endif
