#include "lb/sticky.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/mem.h"

static void to_hex(const unsigned char *p, size_t n, char *ret)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        ret[2 * i] = digits[p[i] >> 4];
        ret[2 * i + 1] = digits[p[i] & 15];
    }
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* 64 digits and a line feed. */
static bool parse_key(const char *text, size_t n, unsigned char ret[STICKY_KEY])
{
    if (n != 2 * STICKY_KEY + 1 || text[n - 1] != '\n')
        return false;
    for (size_t i = 0; i < STICKY_KEY; i++) {
        int high = digit_of(text[2 * i]), low = digit_of(text[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        ret[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

static void make_key(unsigned char ret[STICKY_KEY])
{
    /* At most 256 bytes come whole, once the system has started (getrandom(2)). */
    while (getrandom(ret, STICKY_KEY, 0) != STICKY_KEY)
        continue;
}

bool sticky_key(const char *path, unsigned char ret[STICKY_KEY], struct err *e)
{
    AUTO(mem_freep) char *text = NULL;
    char written[2 * STICKY_KEY + 1];
    size_t n;

    if (access(path, F_OK) == 0 || errno != ENOENT) {
        bool ok = file_read(path, 2 * sizeof(written), &text, &n, e);

        if (ok && parse_key(text, n, ret))
            return true;
        make_key(ret);
        return ok ? err_set(e, "%s: not a key of %d hexadecimal digits; remove the file", path,
                            2 * STICKY_KEY)
                  : false;
    }
    make_key(ret);
    to_hex(ret, STICKY_KEY, written);
    written[sizeof(written) - 1] = '\n';
    return file_write_atomic(path, written, sizeof(written), 0600, e);
}

void sticky_token(const unsigned char key[STICKY_KEY], const char *service, const char *instance,
                  char ret[STICKY_TOKEN])
{
    unsigned char mac[HMAC_SIZE];
    struct hmac h;

    hmac_init(&h, key, STICKY_KEY);
    hmac_add(&h, service, strlen(service) + 1); /* its NUL keeps the two names apart */
    hmac_add(&h, instance, strlen(instance));
    hmac_end(&h, mac);
    to_hex(mac, STICKY_TOKEN / 2, ret);
}

bool sticky_is(const char token[STICKY_TOKEN], struct sv value)
{
    unsigned char unlike = 0;

    if (value.n != STICKY_TOKEN)
        return false;
    for (size_t i = 0; i < STICKY_TOKEN; i++)
        unlike |= (unsigned char)(token[i] ^ value.p[i]);
    return unlike == 0;
}
