/* Any bytes as a configuration file: an error or a configuration, never a crash, and each error has
 * its place. */
#include "test/fuzz/fuzz.h"

#include <string.h>

#include "common/conf/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct conf_errors errs;
    struct conf *c = NULL;
    char hash[17];

    if (conf_parse("f", (const char *)data, n, &c, &errs)) {
        for (size_t i = 0; i < c->services_n; i++) {
            conf_service_hash(&c->services[i], hash);
            MUST(strlen(hash) == sizeof(hash) - 1);
        }
        conf_free(c);
        return 0;
    }
    MUST(errs.n > 0);
    for (size_t i = 0; i < errs.n; i++)
        MUST(errs.v[i].msg[0] == 'f');
    return 0;
}
