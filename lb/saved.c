#include "lb/saved.h"

#include <errno.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/wire/proto.h"
#include "lb/listen.h"

enum { SAVED_MAX = 8 << 20 };

bool saved_load(const char *path, struct saved *ret, struct err *e)
{
    AUTO(mem_freep) char *text = NULL;
    AUTO(json_decrefp) json_t *doc = NULL;
    struct saved s = {0};
    json_error_t where;
    json_t *addr, *table;
    size_t n, i;

    if (access(path, F_OK) < 0 && errno == ENOENT) {
        *ret = s;
        return true;
    }
    if (!file_read(path, SAVED_MAX, &text, &n, e))
        return false;
    doc = json_loadb(text, n, JSON_REJECT_DUPLICATES, &where);
    if (doc == NULL)
        return err_set(e, "%s: line %d: %s", path, where.line, where.text);
    table = json_object_get(doc, "table");
    if (table == NULL)
        return err_set(e, "%s: no table", path);
    if (!proto_check(SHAPE_TABLE, table, e))
        return err_wrap(e, "%s", path);
    json_array_foreach(json_object_get(doc, "listen"), i, addr)
    {
        if (s.listen_n < CONF_LISTEN_MAX && json_is_string(addr) &&
            listen_parse(json_string_value(addr), &s.listen[s.listen_n], NULL))
            s.listen_n++;
    }
    s.table = json_incref(table);
    *ret = s;
    return true;
}
