#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/wire/proto.h"
#include "lb/core/asset.h"
#include "lb/table-internal.h"

enum { PAGE_MAX = 32 << 10, RETRY_S = 60 };

static void read_page(const struct table_service *ts, const char *path, unsigned status,
                      struct table_page *ret)
{
    struct err e;

    ret->status = status;
    ret->type = asset_type(path);
    if (!file_read(path, PAGE_MAX, &ret->body, &ret->n, &e))
        log_warn("page not read", "service=%s status=%u reason=\"%s\"", ts->service->name, status,
                 e.msg);
}

void table_read_pages(struct table_service *ts, const json_t *spec)
{
    const json_t *pages = json_object_get(spec, "error_pages");
    const char *maintenance = proto_str(spec, "maintenance_page", NULL);
    size_t i;
    json_t *page;

    ts->pages = mem_array(json_array_size(pages) + 1, sizeof(*ts->pages));
    json_array_foreach(pages, i, page)
    {
        read_page(ts, proto_str(page, "file", ""), (unsigned)proto_uint(page, "status", 0),
                  &ts->pages[ts->pages_n++]);
    }
    ts->maintenance = proto_bool(spec, "maintenance", false);
    ts->maintenance_retry_s = (unsigned)proto_uint(spec, "maintenance_retry_s", RETRY_S);
    if (maintenance != NULL)
        read_page(ts, maintenance, 503, &ts->maintenance_page);
}

void table_free_pages(struct table_service *ts)
{
    for (size_t i = 0; i < ts->pages_n; i++)
        mem_free(ts->pages[i].body);
    mem_free(ts->pages);
    mem_free(ts->maintenance_page.body);
}

const struct table_page *table_page(const struct table_service *ts, unsigned status)
{
    for (size_t i = 0; i < ts->pages_n; i++) {
        if (ts->pages[i].status == status && ts->pages[i].body != NULL)
            return &ts->pages[i];
    }
    return NULL;
}
