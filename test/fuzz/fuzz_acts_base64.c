/* Base64: the judgement is that of a decoder that knows nothing of ours, and a second look changes
 * nothing. */
#include "test/fuzz/fuzz.h"

#include <string.h>

#include "acts-service/check.h"
#include "common/base/mem.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* RFC 4648 section 4, quantum by quantum. */
static bool decodes(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i += 4) {
        bool last = i + 4 >= n;
        size_t pad = 0;

        if (n - i < 4)
            return false;
        for (size_t k = 0; k < 4; k++) {
            if (p[i + k] == '=' && last && k >= 2)
                pad++;
            else if (p[i + k] == '\0' || strchr(alphabet, p[i + k]) == NULL || pad > 0)
                return false;
        }
    }
    return n > 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *p = mem_strndup((const char *)data, size), *plain = mem_strndup((const char *)data, size);
    size_t n = size, m = 0, again;
    bool ok = check_base64(p, &n);

    for (size_t i = 0; i < size; i++) {
        if (plain[i] != '\r' && plain[i] != '\n')
            plain[m++] = plain[i];
    }
    MUST(n == m && memcmp(p, plain, n) == 0);
    MUST(ok == decodes(plain, m));
    again = n;
    MUST(check_base64(p, &again) == ok && again == n);
    mem_free(p);
    mem_free(plain);
    return 0;
}
