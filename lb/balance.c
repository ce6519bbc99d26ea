#include "lb/balance.h"

#include <string.h>

#include "common/base/macros.h"
#include "common/base/mem.h"
#include "common/wire/proto.h"
#include "lb/table.h"

static bool set_weights(struct balance *b, const json_t *backends, struct err *e)
{
    struct pick_plan *p = &b->plan;
    bool alike = true;
    size_t i;
    json_t *spec;

    b->weights = mem_array(p->n + 1, sizeof(*b->weights));
    json_array_foreach(backends, i, spec)
    {
        uint64_t w = proto_uint(spec, "weight", 1);

        if (w < 1 || w > PICK_WEIGHT_MAX)
            return err_set(e, "backends: [%zu]: 'weight' must be from 1 to %d", i, PICK_WEIGHT_MAX);
        b->weights[i] = (uint16_t)w;
        alike = alike && w == b->weights[0];
        if (w > p->weight_max)
            p->weight_max = (unsigned)w;
    }
    if (alike)
        return true;
    p->weights = b->weights;
    p->order_n = pick_order_n(b->weights, p->n);
    p->order = b->order = mem_array(p->order_n, sizeof(*b->order));
    pick_order(b->weights, p->n, b->order);
    return true;
}

static void set_slow_start(struct balance *b, struct backend *const *backends, uint64_t slow_ms)
{
    struct pick_plan *p = &b->plan;

    if (slow_ms == 0)
        return;
    p->slow_ms = slow_ms;
    p->since_ms = b->since_ms = mem_array(p->n + 1, sizeof(*b->since_ms));
    for (unsigned i = 0; i < p->n; i++) {
        uint64_t since = backends[i]->joined_ms;

        b->since_ms[i] = since;
        if (since > 0 && since + slow_ms > p->slow_until_ms)
            p->slow_until_ms = since + slow_ms;
    }
}

static bool set_hash(struct balance *b, const json_t *spec, struct err *e)
{
    static const char *const words[] = {"address", "header", "cookie"};
    const char *by = proto_str(spec, "hash_by", words[BALANCE_BY_ADDRESS]);
    uint64_t bound = proto_uint(spec, "load_bound_milli", 0);

    b->key_name = proto_str(spec, "hash_name", "");
    while (b->key < ARRAY_LEN(words) && strcmp(by, words[b->key]) != 0)
        b->key++;
    if (b->key == ARRAY_LEN(words))
        return err_set(e, "balance: 'hash_by' must be address, header or cookie");
    if ((b->key != BALANCE_BY_ADDRESS) != (b->key_name[0] != '\0'))
        return err_set(e, "balance: 'hash_name' goes with 'hash_by' header or cookie");
    if (bound > 0 && bound < 1000)
        return err_set(e, "balance: 'load_bound_milli' must be 0 or at least 1000");
    b->plan.bound_milli = (unsigned)bound;
    return true;
}

static bool is_one_of(const char *s, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(s, words[i]) == 0)
            return true;
    }
    return false;
}

/* RFC 6265 4.1.1: what may stand in an attribute; and nothing that ends a field's line. */
static bool is_attribute(const char *s)
{
    for (; *s != '\0'; s++) {
        if (*s <= ' ' || *s >= 0x7f || *s == ';' || *s == ',' || *s == '"')
            return false;
    }
    return true;
}

static bool set_sticky(struct balance *b, const json_t *spec, struct err *e)
{
    static const char *const same_site[] = {"Lax", "Strict", "None"};

    b->sticky = proto_str(spec, "sticky", NULL);
    b->sticky_path = proto_str(spec, "sticky_path", "/");
    b->sticky_same_site = proto_str(spec, "sticky_same_site", same_site[0]);
    b->sticky_secure = proto_bool(spec, "sticky_secure", false);
    if (b->sticky != NULL &&
        (b->sticky[0] == '\0' || !is_attribute(b->sticky) || strchr(b->sticky, '=') != NULL))
        return err_set(e, "balance: 'sticky' must be a cookie's name");
    if (b->sticky_path[0] != '/' || !is_attribute(b->sticky_path))
        return err_set(e, "balance: 'sticky_path' must be a path that begins with '/'");
    if (!is_one_of(b->sticky_same_site, same_site, ARRAY_LEN(same_site)))
        return err_set(e, "balance: 'sticky_same_site' must be Lax, Strict or None");
    return true;
}

bool balance_build(struct balance *b, const json_t *service, struct backend *const *backends,
                   unsigned n, struct err *e)
{
    const json_t *spec = json_object_get(service, "balance");
    const char *policy = proto_str(spec, "policy", pick_policy_name(PICK_ROUND_ROBIN));
    struct pick_plan *p = &b->plan;

    if (!pick_policy_find(policy, &p->policy))
        return err_set(e, "balance: '%s' is no policy", policy);
    if (n > PICK_BACKENDS_MAX)
        return err_set(e, "more than %d backends", PICK_BACKENDS_MAX);
    p->n = n;
    p->ids = b->ids = mem_array(n + 1, sizeof(*b->ids));
    for (unsigned i = 0; i < n; i++)
        b->ids[i] =
            backends[i]->slot; /* so keys stay where they are when an instance is replaced */
    if (!set_hash(b, spec, e) || !set_sticky(b, spec, e) ||
        !set_weights(b, json_object_get(service, "backends"), e))
        return false;
    set_slow_start(b, backends, proto_uint(spec, "slow_start_ms", 0));
    return true;
}

void balance_fini(struct balance *b)
{
    mem_free(b->weights);
    mem_free(b->order);
    mem_free(b->ids);
    mem_free(b->since_ms);
}
