#include "common/base/hmac.h"

#include <string.h>

enum { INNER = 0x36, OUTER = 0x5c };

void hmac_init(struct hmac *h, const void *key, size_t n)
{
    unsigned char pad[SHA256_BLOCK_LENGTH] = {0};

    if (n > sizeof(pad)) {
        SHA256Init(&h->inner);
        SHA256Update(&h->inner, key, n);
        SHA256Final(pad, &h->inner);
    } else {
        memcpy(pad, key, n);
    }
    for (size_t i = 0; i < sizeof(pad); i++)
        pad[i] ^= INNER;
    SHA256Init(&h->inner);
    SHA256Update(&h->inner, pad, sizeof(pad));
    for (size_t i = 0; i < sizeof(pad); i++)
        pad[i] ^= INNER ^ OUTER;
    SHA256Init(&h->outer);
    SHA256Update(&h->outer, pad, sizeof(pad));
}

void hmac_add(struct hmac *h, const void *data, size_t n)
{
    SHA256Update(&h->inner, data, n);
}

void hmac_end(struct hmac *h, unsigned char ret[HMAC_SIZE])
{
    SHA256Final(ret, &h->inner);
    SHA256Update(&h->outer, ret, HMAC_SIZE);
    SHA256Final(ret, &h->outer);
}
