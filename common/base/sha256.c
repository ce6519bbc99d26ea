#include "common/base/sha256.h"

#include <string.h>

static const uint32_t k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate(uint32_t v, unsigned n)
{
    return v >> n | v << (32 - n);
}

/* FIPS 180-4 6.2.2 */
static void take_block(struct sha256 *s, const unsigned char *p)
{
    uint32_t w[64], v[8];

    for (unsigned t = 0; t < 16; t++)
        w[t] = (uint32_t)p[4 * t] << 24 | (uint32_t)p[4 * t + 1] << 16 |
               (uint32_t)p[4 * t + 2] << 8 | p[4 * t + 3];
    for (unsigned t = 16; t < 64; t++) {
        uint32_t a = w[t - 15], b = w[t - 2];

        w[t] = w[t - 16] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) + w[t - 7] +
               (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
    }
    memcpy(v, s->h, sizeof(v));
    for (unsigned t = 0; t < 64; t++) {
        uint32_t a = v[0], e = v[4];
        uint32_t x = v[7] + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) +
                     ((e & v[5]) ^ (~e & v[6])) + k[t] + w[t];
        uint32_t y = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) +
                     ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));

        memmove(v + 1, v, 7 * sizeof(v[0]));
        v[4] += x;
        v[0] = x + y;
    }
    for (unsigned i = 0; i < 8; i++)
        s->h[i] += v[i];
}

void sha256_init(struct sha256 *s)
{
    static const uint32_t first[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

    memcpy(s->h, first, sizeof(first));
    s->n = 0;
}

void sha256_add(struct sha256 *s, const void *data, size_t n)
{
    const unsigned char *p = data;

    while (n > 0) {
        size_t at = s->n % SHA256_BLOCK, part = SHA256_BLOCK - at < n ? SHA256_BLOCK - at : n;

        memcpy(s->block + at, p, part);
        s->n += part;
        p += part;
        n -= part;
        if (s->n % SHA256_BLOCK == 0)
            take_block(s, s->block);
    }
}

void sha256_end(struct sha256 *s, unsigned char ret[SHA256_SIZE])
{
    static const unsigned char padding[SHA256_BLOCK] = {0x80};
    uint64_t bits = s->n * 8;
    unsigned char length[8];

    for (unsigned i = 0; i < 8; i++)
        length[i] = (unsigned char)(bits >> (56 - 8 * i));
    sha256_add(s, padding, 1 + (SHA256_BLOCK + 55 - s->n % SHA256_BLOCK) % SHA256_BLOCK);
    sha256_add(s, length, sizeof(length));
    for (unsigned i = 0; i < SHA256_SIZE; i++)
        ret[i] = (unsigned char)(s->h[i / 4] >> (24 - 8 * (i % 4)));
}

void hmac_init(struct hmac *h, const void *key, size_t n)
{
    unsigned char pad[SHA256_BLOCK] = {0};

    if (n > sizeof(pad)) {
        sha256_init(&h->inner);
        sha256_add(&h->inner, key, n);
        sha256_end(&h->inner, pad);
    } else {
        memcpy(pad, key, n);
    }
    for (unsigned i = 0; i < sizeof(pad); i++)
        pad[i] ^= 0x36;
    sha256_init(&h->inner);
    sha256_add(&h->inner, pad, sizeof(pad));
    for (unsigned i = 0; i < sizeof(pad); i++)
        pad[i] ^= 0x36 ^ 0x5c;
    sha256_init(&h->outer);
    sha256_add(&h->outer, pad, sizeof(pad));
}

void hmac_add(struct hmac *h, const void *data, size_t n)
{
    sha256_add(&h->inner, data, n);
}

void hmac_end(struct hmac *h, unsigned char ret[SHA256_SIZE])
{
    sha256_end(&h->inner, ret);
    sha256_add(&h->outer, ret, SHA256_SIZE);
    sha256_end(&h->outer, ret);
}
