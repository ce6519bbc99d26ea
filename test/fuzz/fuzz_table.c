/* Tables as ctld pushes them, and as they are saved: any JSON is built or refused, twice in a row.
 */
#include "test/fuzz/fuzz.h"

#include <jansson.h>

#include "common/wire/proto.h"
#include "lb/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *body = json_loadb((const char *)data, size, 0, NULL);
    struct table *one = NULL, *two = NULL;
    struct err e = {""};

    if (body != NULL && proto_check(SHAPE_TABLE, body, &e)) {
        if (table_new(body, 2, NULL, NULL, NULL, &one, &e)) {
            MUST(table_new(body, 2, one, NULL, NULL, &two, &e));
            for (unsigned i = 0; i < one->services_n; i++)
                MUST(one->services[i].service == two->services[i].service);
            for (size_t i = 1; i < one->routes_n; i++)
                MUST(one->routes[i - 1].prefix.n >= one->routes[i].prefix.n);
        } else {
            MUST(e.msg[0] != '\0');
        }
    }
    table_unref(one);
    table_unref(two);
    json_decref(body);
    return 0;
}
