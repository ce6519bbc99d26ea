#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/conf/conf-internal.h"

/* Do the values fit together? Places are the lines where the services begin. */
#define BAD_SERVICE(r, s, ...) conf_bad((r), (s)->line, 3, __VA_ARGS__)

/* Files, and servers that others run, need no instances, and nothing that instances have. */
static void check_no_instances(struct conf_reader *r, const struct conf_service *s)
{
    bool files = s->static_dir != NULL;
    const struct {
        const char *key;
        bool set;
    } keys[] = {
        {"image", s->image != NULL},
        {"backends", files && s->backends.n > 0},
        {"port", s->port != 0},
        {"host_ports", s->host_port_first != 0},
        {"health", files && s->health.kind != CONF_HEALTH_NONE},
        {"scale", s->scale.max > 1},
        {"balance", files && s->balance.is_set},
        {"limits", files && s->limits.is_set},
        {"depends_on", s->depends_on.n > 0},
        {"secrets", s->secrets.n > 0},
        {"networks", s->networks.n > 0},
        {"entrypoint", s->entrypoint.n > 0},
        {"command", s->command.n > 0},
        {"environment", s->environment.n > 0},
        {"volumes", s->volumes.n > 0},
        {"tmpfs", s->tmpfs.n > 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        if (keys[i].set)
            BAD_SERVICE(r, s, "service '%s' has %s and '%s'; remove one", s->name,
                        files ? "'static' (files that lbd serves itself)"
                              : "'backends' (servers that others run)",
                        keys[i].key);
    }
    if (s->routes.n == 0)
        BAD_SERVICE(r, s, "service '%s' has '%s' but no route; add 'route: /PATH'", s->name,
                    files ? "static" : "backends");
    if (!files && s->health.kind == CONF_HEALTH_NONE)
        BAD_SERVICE(
            r, s,
            "service '%s' has 'backends' but no health check; add 'health: { path: /PATH }' "
            "or 'health: { tcp: true }'",
            s->name);
}

/* Can an instance be made at all? */
static void check_program(struct conf_reader *r, const struct conf *c, const struct conf_service *s)
{
    bool commanded = s->command.n > 0 || s->entrypoint.n > 0;

    if (c->runtime == CONF_RUNTIME_PROCESS && !commanded)
        BAD_SERVICE(r, s,
                    "service '%s' has no command; with 'runtime: process' add 'command: [/PATH/OF/"
                    "PROGRAM]'",
                    s->name);
    if (c->runtime == CONF_RUNTIME_PROCESS && s->volumes.n > 0)
        BAD_SERVICE(r, s,
                    "service '%s' has volumes; with 'runtime: process' remove them: the program "
                    "sees the files of this host",
                    s->name);
    if (c->runtime == CONF_RUNTIME_DOCKER && s->image == NULL)
        BAD_SERVICE(r, s, "service '%s' has no image; with 'runtime: docker' add 'image: NAME:TAG'",
                    s->name);
}

static void check_ports_of(struct conf_reader *r, const struct conf_service *s)
{
    unsigned ports =
        s->host_port_first == 0 ? 0 : (unsigned)(s->host_port_last - s->host_port_first) + 1;

    if (s->host_port_first != 0 && s->port == 0)
        BAD_SERVICE(
            r, s,
            "service '%s' has host_ports but no port; add 'port: N', the port inside the container",
            s->name);
    if (s->host_port_first != 0 && ports < s->scale.max)
        BAD_SERVICE(r, s,
                    "service '%s' may have %u instances but only %u host ports (%u-%u); widen "
                    "host_ports or lower "
                    "scale.max",
                    s->name, s->scale.max, ports, s->host_port_first, s->host_port_last);
    if (s->routes.n > 0 && s->port == 0)
        BAD_SERVICE(
            r, s,
            "service '%s' has a route but no port; add 'port: N', the port inside the container",
            s->name);
    if (s->routes.n > 0 && s->host_port_first == 0 && s->connect == CONF_CONNECT_PUBLISHED)
        BAD_SERVICE(r, s,
                    "service '%s' has a route but no host_ports; add 'host_ports: FIRST-LAST' or "
                    "'connect: direct'",
                    s->name);
    if (s->health.kind != CONF_HEALTH_NONE && s->port == 0 && s->health.port == 0)
        BAD_SERVICE(r, s,
                    "service '%s' has a health check but no port; add 'port: N', the port inside "
                    "the container",
                    s->name);
    if (s->routes.n > 0 && s->health.kind == CONF_HEALTH_NONE)
        BAD_SERVICE(
            r, s,
            "service '%s' has a route but no health check; add 'health: { path: /PATH }' or "
            "'health: { tcp: true }'",
            s->name);
}

static bool same_address(const char *a, const char *b)
{
    static const char *const any[] = {"0.0.0.0", "::"};

    for (size_t i = 0; i < ARRAY_LEN(any); i++) {
        if (strcmp(a, any[i]) == 0 || strcmp(b, any[i]) == 0)
            return true;
    }
    return strcmp(a, b) == 0;
}

static void check_port_overlaps(struct conf_reader *r, const struct conf *c, size_t i)
{
    const struct conf_service *s = &c->services[i];

    if (s->host_port_first == 0)
        return;
    for (size_t k = 0; k < c->listen_n; k++) {
        uint16_t p = c->listen[k].port;

        if (p >= s->host_port_first && p <= s->host_port_last &&
            same_address(c->listen[k].host, s->publish))
            BAD_SERVICE(r, s,
                        "host_ports %u-%u of service '%s' contain port %u that lbd listens on; "
                        "move one of them",
                        s->host_port_first, s->host_port_last, s->name, p);
    }
    for (size_t k = 0; k < i; k++) {
        const struct conf_service *o = &c->services[k];

        if (o->host_port_first != 0 && o->host_port_first <= s->host_port_last &&
            s->host_port_first <= o->host_port_last && same_address(o->publish, s->publish))
            BAD_SERVICE(r, s,
                        "host_ports %u-%u of service '%s' overlap %u-%u of service '%s' (line %u); "
                        "move one of them",
                        s->host_port_first, s->host_port_last, s->name, o->host_port_first,
                        o->host_port_last, o->name, o->line);
    }
}

static void check_dependencies(struct conf_reader *r, const struct conf *c,
                               const struct conf_service *s)
{
    const char *names[CONF_SERVICES_MAX];

    for (size_t i = 0; i < c->services_n; i++)
        names[i] = c->services[i].name;
    for (size_t i = 0; i < s->depends_on.n; i++) {
        const char *d = s->depends_on.v[i], *near;
        char q[64];

        if (strcmp(d, s->name) == 0) {
            BAD_SERVICE(r, s, "service '%s' depends on itself; remove it from depends_on", s->name);
        } else if (conf_service_find(c, d) == NULL) {
            near = str_suggest(d, names, c->services_n);
            BAD_SERVICE(r, s, "service '%s' depends on '%s', which is no service%s%s%s", s->name,
                        str_quote(sv_of(d), q, sizeof(q)),
                        near != NULL ? "; did you mean '" : " of this file",
                        near != NULL ? near : "", near != NULL ? "'?" : "");
        }
    }
}

/* Depth-first walk: a service that is met again while it is still open closes a circle. */
enum mark { UNSEEN, OPEN, DONE };

static bool closes_circle(const struct conf *c, size_t i, enum mark *marks)
{
    const struct conf_service *s = &c->services[i];
    bool circle = false;

    if (marks[i] != UNSEEN)
        return marks[i] == OPEN;
    marks[i] = OPEN;
    for (size_t k = 0; k < s->depends_on.n && !circle; k++) {
        const struct conf_service *d = conf_service_find(c, s->depends_on.v[k]);

        circle = d != NULL && d != s && closes_circle(c, (size_t)(d - c->services), marks);
    }
    marks[i] = DONE;
    return circle;
}

/* Words that go to the engine as they are, one of them in a path. */
static void check_words(struct conf_reader *r, const struct conf_service *s, const char *key,
                        const struct conf_strs *v, const char *allowed, const char *like)
{
    char q[64];

    for (size_t i = 0; i < v->n; i++) {
        const char *w = v->v[i];

        if (w[0] == '\0' || w[0] == '.' || w[0] == '-' || w[strspn(w, allowed)] != '\0')
            BAD_SERVICE(r, s, "service '%s': '%s' in '%s' is no such name; write it like %s",
                        s->name, str_quote(sv_of(w), q, sizeof(q)), key, like);
    }
}

static void check_engine_words(struct conf_reader *r, const struct conf_service *s)
{
    static const char caps[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
    static const char names[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";

    check_words(r, s, "cap_add", &s->cap_add, caps, "NET_BIND_SERVICE");
    check_words(r, s, "cap_drop", &s->cap_drop, caps, "ALL");
    check_words(r, s, "networks", &s->networks, names, "backend-net");
}

static void check_labels(struct conf_reader *r, const struct conf_service *s)
{
    for (size_t i = 0; i < s->labels.n; i++) {
        if (strncmp(s->labels.v[i].key, "lbctl.", 6) == 0)
            BAD_SERVICE(r, s,
                        "service '%s': labels that begin with 'lbctl.' are ours; use another name",
                        s->name);
    }
}

void conf_check(struct conf_reader *r, const struct conf *c)
{
    enum mark marks[CONF_SERVICES_MAX] = {UNSEEN};

    for (size_t i = 0; i < c->services_n; i++) {
        const struct conf_service *s = &c->services[i];

        if (!conf_service_has_instances(s)) {
            check_no_instances(r, s);
        } else {
            check_program(r, c, s);
            check_ports_of(r, s);
        }
        check_port_overlaps(r, c, i);
        conf_check_routes(r, c, i);
        check_dependencies(r, c, s);
        check_labels(r, s);
        check_engine_words(r, s);
        if (closes_circle(c, i, marks))
            BAD_SERVICE(
                r, s,
                "service '%s' depends on itself through others; break the circle in depends_on",
                s->name);
    }
}
