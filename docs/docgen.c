/* Prints the reference pages that come from the tables: `docgen configuration`, `docgen protocol`,
 * `docgen reasons`. The pages are committed; a test compares them (docs/CMakeLists.txt), `ninja docs` writes them
 * anew. */
#include <stdio.h>
#include <string.h>

#include "common/base/macros.h"
#include "common/wire/proto.h"

struct conf_row {
    const char *section, *key, *kind, *absent, *help;
};

static const struct conf_row conf_rows[] = {
#define CONF(section, type, key, kind, member, min, max, absent, help)                             \
    {#section, key, #kind, absent, help},
#include "common/conf/conf.def"
#undef CONF
};

static const struct {
    const char *key, *remedy;
} foreign_rows[] = {
#define FOREIGN(key, remedy) {key, remedy},
#include "common/conf/conf.def"
#undef FOREIGN
};

/* How a kind of value is written. */
static const struct {
    const char *kind, *form;
} kinds[] = {
    {"LISTEN", "address or list"},
    {"UINT", "number"},
    {"NAME", "name"},
    {"ENGINE", "address"},
    {"PATH", "absolute path"},
    {"CIDRS", "network or list"},
    {"ACCESS_LOG", "word or path"},
    {"LOG_FORMAT", "word"},
    {"LOG_LEVEL", "word"},
    {"SERVICES", "mapping"},
    {"STR", "text"},
    {"WORDS", "list or words"},
    {"PAIRS", "mapping or list"},
    {"VOLUMES", "list"},
    {"STRS", "list"},
    {"SIGNAL", "signal name"},
    {"DURATION", "duration"},
    {"SIZE", "size"},
    {"MILLI", "decimal"},
    {"BOOL", "true or false"},
    {"ROUTES", "path or list"},
    {"ROUTE_LIST", "list of sections"},
    {"PAGES", "mapping"},
    {"PREFIX", "path"},
    {"HOSTS", "host or list"},
    {"EDITS", "section"},
    {"FIELDS", "mapping"},
    {"FIELD_NAMES", "list"},
    {"REDIRECT", "section or URL"},
    {"GOAL", "URL or path"},
    {"RESPOND", "section"},
    {"SEND_PROXY", "word"},
    {"PORT", "port"},
    {"PORT_RANGE", "FIRST-LAST"},
    {"ADDRESS", "IP address"},
    {"CONNECT", "word"},
    {"MANUAL_STOP", "word"},
    {"PULL_POLICY", "word"},
    {"HEALTH", "section or none"},
    {"SCALE", "section or number"},
    {"BALANCE", "section or policy"},
    {"POLICY", "word"},
    {"HASH_KEY", "words"},
    {"COOKIE", "name"},
    {"COOKIE_PATH", "path"},
    {"SAME_SITE", "word"},
    {"LIMITS", "section"},
    {"HTTP_PATH", "path"},
    {"HOST_FIELD", "name or address, with :PORT if need be"},
    {"TCP", "true or false"},
};

static const char *form_of(const char *kind)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (strcmp(kinds[i].kind, kind) == 0)
            return kinds[i].form;
    }
    return kind;
}

static void print_conf_section(const char *section, const char *title)
{
    printf("\n## %s\n\n| key | value | default | meaning |\n| --- | --- | --- | --- |\n", title);
    for (size_t i = 0; i < ARRAY_LEN(conf_rows); i++) {
        const struct conf_row *r = &conf_rows[i];
        const char *tick = r->absent[0] != '\0' ? "`" : "";

        if (strcmp(r->section, section) == 0)
            printf("| `%s` | %s | %s%s%s | %s |\n", r->key, form_of(r->kind), tick, r->absent, tick,
                   r->help);
    }
}

static void print_configuration(void)
{
    printf("# The configuration file\n\n"
           "<!-- made by docgen from common/conf/conf.def; `ninja docs` writes it anew -->\n\n"
           "One YAML file, `/etc/lbctl/lbctl.yaml` by default, read by ctld (all of it) and by lbd "
           "(the part outside "
           "`services`).\n`lbctl check FILE` reports every error as FILE:LINE:COLUMN. Unknown keys "
           "are errors; keys that "
           "begin with `x-` are\nskipped. Durations have a unit (`250ms`, `1s`, `2m`, `1m30s`), "
           "sizes may have one (`512k`, "
           "`256m`, `2g`).\nAt most 1 MiB.\n");
    print_conf_section("TOP", "Top level");
    print_conf_section("SERVICE", "A service (`services: NAME:`)");
    print_conf_section("ROUTE", "An item of `routes:`");
    print_conf_section("EDITS", "`request_headers:`, `response_headers:`");
    print_conf_section("REDIRECT", "`redirect:`");
    print_conf_section("RESPOND", "`respond:`");
    print_conf_section("HEALTH", "`health:`");
    print_conf_section("SCALE", "`scale:`");
    print_conf_section("BALANCE", "`balance:`");
    print_conf_section("LIMITS", "`limits:`");
    printf("\n## Compose keys that are not supported\n\n| key | instead |\n| --- | --- |\n");
    for (size_t i = 0; i < ARRAY_LEN(foreign_rows); i++)
        printf("| `%s` | %s |\n", foreign_rows[i].key, foreign_rows[i].remedy);
}

static const struct {
    const char *name, *help;
} shapes[] = {
#define SHAPE(sym, help) {#sym, help},
#include "common/wire/proto.def"
#undef SHAPE
};

static const struct {
    const char *shape, *name, *kind, *items, *need, *help;
} flds[] = {
#define FLD(shape, name, kind, items, need, max, help) {#shape, name, #kind, #items, #need, help},
#include "common/wire/proto.def"
#undef FLD
};

static void print_shape(size_t s)
{
    bool any = false;

    for (size_t i = 0; i < ARRAY_LEN(flds); i++) {
        bool nested = strcmp(flds[i].kind, "LIST") == 0 || strcmp(flds[i].kind, "OBJ") == 0;

        if (strcmp(flds[i].shape, shapes[s].name) != 0)
            continue;
        if (!any)
            printf("\n### %s\n\n%s.\n\n| member | kind | needed | meaning |\n| --- | --- | --- | "
                   "--- |\n",
                   shapes[s].name, shapes[s].help);
        any = true;
        printf("| `%s` | %s%s%s | %s | %s |\n", flds[i].name, flds[i].kind, nested ? " of " : "",
               nested ? flds[i].items : "", strcmp(flds[i].need, "REQUIRED") == 0 ? "yes" : "no",
               flds[i].help);
    }
}

static void print_protocol(void)
{
    static const char *const kind_names[] = {"request", "event"};

    printf(
        "# The protocol between lbd, ctld and lbctl\n\n"
        "<!-- made by docgen from common/wire/proto.def; `ninja docs` writes it anew -->\n\n"
        "Unix stream sockets `lb.sock` (lbd listens) and `ctl.sock` (ctld listens); one JSON "
        "object a line, at most %d "
        "bytes;\nversion %d.\n\n```\n"
        "request  {\"v\":1,\"id\":7,\"type\":\"table.set\",\"body\":{...}}\n"
        "answer   {\"v\":1,\"re\":7,\"body\":{...}}   or   {\"v\":1,\"re\":7,\"error\":\"text\"}\n"
        "event    {\"v\":1,\"type\":\"ev.stats\",\"body\":{...}}\n```\n\n"
        "Whoever connects says `hello` first, within 5 s; unlike versions part. A line that is no "
        "message closes its "
        "channel, a bad\nmessage is answered with an error, and neither ends a daemon. Members "
        "that no row names are "
        "ignored.\n\n## Messages\n\n"
        "| type | kind | from | to | body | answer | meaning |\n| --- | --- | --- | --- | --- | "
        "--- | --- |\n",
        PROTO_LINE_MAX, PROTO_VERSION);
    for (size_t i = 0; i < MSG_COUNT; i++) {
        const struct proto_msg_info *m = proto_msg_info((enum proto_msg)i);

        printf("| `%s` | %s | %s | %s | %s | %s | %s |\n", m->name, kind_names[m->kind],
               proto_role_name(m->from), proto_role_name(m->to), shapes[m->body].name,
               m->kind == PROTO_REQ ? shapes[m->answer].name : "", m->help);
    }
    printf("\n## Shapes\n");
    for (size_t s = 0; s < ARRAY_LEN(shapes); s++)
        print_shape(s);
}

static void print_reasons(void)
{
    static const struct {
        const char *code, *meaning, *next;
    } reasons[] = {
#define REASON(sym, code, meaning, next) {code, meaning, next},
#include "ctl/core/reason.def"
#undef REASON
    };

    printf("# Reason codes\n\n"
           "<!-- made by docgen from ctl/core/reason.def; `ninja docs` writes it anew -->\n\n"
           "Each state of a slot and each decision in the ledger has one of these codes: `code` in "
           "`lbctl events --json` and\n`lbctl why --json`, in brackets for people. A code keeps "
           "its meaning; new ones may come.\n\n"
           "| code | what it means | what happens next |\n| --- | --- | --- |\n");
    for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
        printf("| `%s` | %s | %s |\n", reasons[i].code, reasons[i].meaning, reasons[i].next);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "configuration") == 0) {
        print_configuration();
    } else if (argc == 2 && strcmp(argv[1], "protocol") == 0) {
        print_protocol();
    } else if (argc == 2 && strcmp(argv[1], "reasons") == 0) {
        print_reasons();
    } else {
        fprintf(stderr, "usage: docgen configuration|protocol|reasons\n");
        return 64;
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
