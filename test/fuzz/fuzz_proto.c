/* Any JSON against every shape of the protocol: refused with a reason, or well-formed for its
 * handler. */
#include "test/fuzz/fuzz.h"

#include "common/wire/proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    json_t *o = json_loadb((const char *)data, n, JSON_REJECT_DUPLICATES, NULL);

    for (size_t i = 0; o != NULL && i < SHAPE_COUNT; i++) {
        struct err e = {""};

        MUST(proto_check((enum proto_shape)i, o, &e) || e.msg[0] != '\0');
    }
    json_decref(o);
    return 0;
}
