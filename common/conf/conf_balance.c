#include <string.h>

#include "common/base/mem.h"
#include "common/conf/conf-internal.h"

/* The values of `balance:`. */

static const char *const policies[] = {
#define POLICY(sym, word, counts) #word,
#include "common/base/balance.def"
#undef POLICY
};

static const char *const same_site[] = {"lax", "strict", "none"};

static const char *const hash_by[] = {"address", "header", "cookie"};

const char *conf_policy_word(enum conf_policy p)
{
    return policies[p];
}

const char *conf_hash_by_word(enum conf_hash_by by)
{
    return hash_by[by];
}

bool conf_read_POLICY(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                      void *dst)
{
    unsigned v;

    if (!conf_read_word(r, row, n, policies, ARRAY_LEN(policies), &v))
        return false;
    *(enum conf_policy *)dst = (enum conf_policy)v;
    return true;
}

/* RFC 9110 5.6.2: names of fields and of cookies are tokens. */
static bool is_token(struct sv s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) &&
            (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL))
            return false;
    }
    return s.n >= 1 && s.n <= 64;
}

bool conf_read_HASH_KEY(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                        void *dst)
{
    struct conf_balance *b = CONTAINER_OF((enum conf_hash_by *)dst, struct conf_balance, hash_by);
    char q[64];

    if (!conf_is_scalar(r, row, n))
        return false;
    for (unsigned i = CONF_HASH_BY_HEADER; i <= CONF_HASH_BY_COOKIE; i++) {
        size_t used = strlen(hash_by[i]) + 1;
        struct sv name;

        if (!sv_starts(n->text, hash_by[i]) || n->text.n <= used || n->text.p[used - 1] != ' ')
            continue;
        name = (struct sv){n->text.p + used, n->text.n - used};
        if (!is_token(name))
            break;
        b->hash_by = (enum conf_hash_by)i;
        conf_set_str(&b->hash_name, name);
        return true;
    }
    if (!sv_eq(n->text, hash_by[CONF_HASH_BY_ADDRESS]))
        return CONF_BAD(r, n, "'%s' is '%s'; write address, header NAME or cookie NAME", row->key,
                        str_quote(n->text, q, sizeof(q)));
    b->hash_by = CONF_HASH_BY_ADDRESS;
    return true;
}

bool conf_read_COOKIE(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                      void *dst)
{
    char q[64];

    if (!conf_is_scalar(r, row, n))
        return false;
    if (!is_token(n->text))
        return CONF_BAD(r, n, "'%s' is '%s'; write a cookie's name: letters, digits, - and _",
                        row->key, str_quote(n->text, q, sizeof(q)));
    conf_set_str(dst, n->text);
    return true;
}

bool conf_read_COOKIE_PATH(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                           void *dst)
{
    bool ok =
        n->kind == YN_SCALAR && n->text.n >= 1 && n->text.n <= row->max && n->text.p[0] == '/';

    for (size_t i = 0; ok && i < n->text.n; i++) {
        char c = n->text.p[i];

        ok = c > ' ' && c < 0x7f && c != ';' && c != ',' && c != '"';
    }
    if (!ok)
        return CONF_BAD(
            r, n, "'%s' must be a path that begins with '/', without blanks, ; , and \"", row->key);
    conf_set_str(dst, n->text);
    return true;
}

bool conf_read_SAME_SITE(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                         void *dst)
{
    unsigned v;

    if (!conf_read_word(r, row, n, same_site, ARRAY_LEN(same_site), &v))
        return false;
    *(enum conf_same_site *)dst = (enum conf_same_site)v;
    return true;
}

bool conf_balance_ok(struct conf_reader *r, const struct ynode *n, const struct conf_balance *b)
{
    if (b->policy != CONF_POLICY_HASH && (b->hash_name != NULL || b->load_bound_milli > 0))
        return CONF_BAD(r, n,
                        "balance: 'hash_key' and 'load_bound' are for 'policy: hash'; add it or "
                        "remove them");
    if (b->sticky_same_site == CONF_SAME_SITE_NONE && !b->sticky_secure)
        return CONF_BAD(r, n,
                        "balance: browsers drop a cookie of 'sticky_same_site: none' without "
                        "'sticky_secure: true'; add it");
    return true;
}
