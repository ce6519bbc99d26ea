#include "test/unit/unit.h"

#include "common/base/macros.h"
#include "common/base/hmac.h"

static void to_hex(const unsigned char *p, char *ret)
{
    for (unsigned i = 0; i < HMAC_SIZE; i++)
        snprintf(ret + 2 * i, 3, "%02x", p[i]);
}

/* RFC 4231 */
static const struct {
    const char *name;
    unsigned char key_byte; /* 0: the key is a text */
    unsigned key_n;
    const char *key;
    unsigned char data_byte;
    unsigned data_n;
    const char *data, *want;
} macs[] = {
    {"1", 0x0b, 20, NULL, 0, 0, "Hi There",
     "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
    {"2", 0, 4, "Jefe", 0, 0, "what do ya want for nothing?",
     "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
    {"3", 0xaa, 20, NULL, 0xdd, 50, NULL,
     "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
    {"6: a key longer than a block", 0xaa, 131, NULL, 0, 0,
     "Test Using Larger Than Block-Size Key - Hash Key First",
     "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
};

static void test_hmac(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(macs); i++) {
        unsigned char key[131], data[64], got[HMAC_SIZE];
        char hex[2 * HMAC_SIZE + 1];
        struct hmac h;

        if (macs[i].key != NULL)
            memcpy(key, macs[i].key, macs[i].key_n);
        else
            memset(key, macs[i].key_byte, macs[i].key_n);
        memset(data, macs[i].data_byte, sizeof(data));
        hmac_init(&h, key, macs[i].key_n);
        if (macs[i].data != NULL)
            hmac_add(&h, macs[i].data, strlen(macs[i].data));
        else
            hmac_add(&h, data, macs[i].data_n);
        hmac_end(&h, got);
        to_hex(got, hex);
        ROW_EQ_STR(macs[i].name, hex, macs[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_hmac)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
