/* Request targets: cut into path and query, routed, decoded. Whatever a client sends, the parameter
 * lies in the path, decoding never grows, and an encoded name finds the same route as the plain
 * one. */
#include "test/fuzz/fuzz.h"

#include <string.h>

#include "acts-service/check.h"
#include "acts-service/http_check.h"
#include "acts-service/router.h"
#include "common/base/macros.h"
#include "common/base/mem.h"

/* The handlers are never called: only their places in the tables count. */
#define HANDLER(name)                                                                              \
    static void name(struct ask *a UNUSED)                                                         \
    {                                                                                              \
        abort();                                                                                   \
    }
HANDLER(service_root)
HANDLER(service_health)
HANDLER(service_crash)
HANDLER(answer_count)
HANDLER(answer_count_reset)
HANDLER(categories_list)
HANDLER(categories_add)
HANDLER(categories_delete)
HANDLER(categories_size)
HANDLER(acts_list)
HANDLER(acts_add)
HANDLER(acts_upvote)
HANDLER(acts_delete)
HANDLER(acts_total)
HANDLER(accounts_list)
HANDLER(accounts_add)
HANDLER(accounts_delete)

#define ROUTE(pattern, counted, get, post, del) {pattern, counted, get, post, del},
static const struct route acts[] = {
#include "acts-service/routes.def"
};
static const struct route users[] = {
#include "acts-service/users_routes.def"
};
#undef ROUTE

static void encode(struct sv s, char *out)
{
    static const char hex[] = "0123456789ABCDEF";

    for (size_t i = 0; i < s.n; i++) {
        *out++ = '%';
        *out++ = hex[(unsigned char)s.p[i] >> 4];
        *out++ = hex[(unsigned char)s.p[i] & 15];
    }
}

static void through(const struct route *table, size_t n, struct sv path)
{
    struct sv param = {NULL, 0};
    const struct route *r = router_find(table, n, path, &param);
    char allow[64], *out, *back;
    size_t m, k;

    if (r == NULL)
        return;
    MUST(r >= table && r < table + n);
    MUST(strstr(router_allow(r, allow, sizeof(allow)), "OPTIONS") != NULL);
    if (strchr(r->pattern, '*') == NULL)
        return;
    MUST(param.n == 0 || (param.p >= path.p && param.p + param.n <= path.p + path.n));
    MUST(param.n == 0 || memchr(param.p, '/', param.n) == NULL);
    out = mem_array(param.n + 1, 1);
    back = mem_array(3 * param.n + 1, 1);
    if (check_percent(param, out, &m)) {
        MUST(m <= param.n);
        encode((struct sv){out, m}, back);
        MUST(check_percent((struct sv){back, 3 * m}, back, &k) && k == m &&
             memcmp(back, out, m) == 0);
    }
    mem_free(out);
    mem_free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *target = mem_strndup((const char *)data, size);
    struct sv path, query;

    if (http_check_target(target, &path, &query)) {
        MUST(path.n > 0 && *path.p == '/' && memchr(path.p, '?', path.n) == NULL);
        MUST(query.p + query.n == target + strlen(target) || query.n == 0);
        through(acts, ARRAY_LEN(acts), path);
        through(users, ARRAY_LEN(users), path);
    }
    mem_free(target);
    return 0;
}
