/* Any bytes as a configuration file: an error or a configuration, never a crash, and each error has
 * its place. */
#include <stdint.h>
#include <stdlib.h>

#include "common/conf/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct conf_errors errs;
    struct conf *c = NULL;
    char hash[17];

    if (conf_parse("f", (const char *)data, n, &c, &errs)) {
        for (size_t i = 0; i < c->services_n; i++)
            conf_service_hash(&c->services[i], hash);
        conf_free(c);
    } else if (errs.n == 0 || errs.v[0].msg[0] != 'f') {
        abort();
    }
    return 0;
}
