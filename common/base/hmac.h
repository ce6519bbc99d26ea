#ifndef LBCTL_BASE_HMAC_H
#define LBCTL_BASE_HMAC_H

#include <stddef.h>
#include <sys/types.h>
#include <sha2.h>

/* HMAC with SHA-256 (RFC 2104) on libmd's SHA-256. */
enum { HMAC_SIZE = SHA256_DIGEST_LENGTH };

struct hmac {
    SHA2_CTX inner, outer;
};

void hmac_init(struct hmac *h, const void *key, size_t n);
void hmac_add(struct hmac *h, const void *data, size_t n);
void hmac_end(struct hmac *h, unsigned char ret[HMAC_SIZE]);

#endif
