#include "test/unit/ctl/fake.h"

#include <stdio.h>
#include <string.h>

struct fake_lb lb;

static json_t *service_of(const char *service)
{
    json_t *s;
    size_t i;

    json_array_foreach(json_object_get(lb.table, "services"), i, s)
    {
        if (strcmp(proto_str(s, "name", ""), service) == 0)
            return s;
    }
    return NULL;
}

unsigned fake_lb_backends(const char *service)
{
    return (unsigned)json_array_size(json_object_get(service_of(service), "backends"));
}

bool fake_lb_expects(const char *service)
{
    return json_is_true(json_object_get(service_of(service), "expected"));
}

bool fake_lb_has(const char *token)
{
    json_t *s, *b;
    size_t i, k;

    json_array_foreach(json_object_get(lb.table, "services"), i, s)
    {
        json_array_foreach(json_object_get(s, "backends"), k, b)
        {
            if (strcmp(proto_str(b, "instance", ""), token) == 0)
                return true;
        }
    }
    return false;
}

static json_t *stats(void)
{
    json_t *backends = json_array(), *b;
    size_t i;

    json_array_foreach(json_object_get(service_of("web"), "backends"), i, b)
    {
        (void)json_array_append_new(backends,
                                    json_pack("{s:I, s:s, s:i, s:i, s:i}", "slot",
                                              (json_int_t)proto_uint(b, "slot", 0), "instance",
                                              proto_str(b, "instance", ""), "requests", 5,
                                              "in_flight", 1, "failures", 0));
    }
    return json_pack("{s:s, s:I, s:i, s:[{s:s, s:I, s:I, s:I, s:i, s:i, s:i, s:o}]}", "boot",
                     lb.boot, "generation", (json_int_t)lb.generation, "connections", 3, "services",
                     "name", "web", "requests", (json_int_t)lb.requests, "counted",
                     (json_int_t)lb.counted, "first_ms", (json_int_t)lb.first_ms, "in_flight", 1,
                     "errors", 0, "retries", 0, "backends", backends);
}

static void on_table(struct chan *ch, struct chan_ask ask, const json_t *body,
                     void *arg) /* chan_handler_fn */
{
    uint64_t g = proto_uint(body, "generation", 0);

    (void)ch;
    (void)arg;
    if (lb.deaf)
        return;
    if (g <= lb.generation) {
        chan_refuse(ask, "generation %llu is not newer", (unsigned long long)g);
        return;
    }
    json_decref(lb.table);
    lb.table = json_incref((json_t *)body);
    lb.generation = g;
    lb.tables++;
    lb.sick_tables += lb.sick_token[0] != '\0' && fake_lb_has(lb.sick_token);
    if (fake_lb_backends("web") < lb.smallest)
        lb.smallest = fake_lb_backends("web");
    chan_answer(ask, json_pack("{s:I}", "generation", (json_int_t)g));
}

static void on_drain(struct chan *ch, struct chan_ask ask, const json_t *body,
                     void *arg) /* chan_handler_fn */
{
    (void)ch;
    (void)arg;
    if (lb.deaf)
        return;
    if (fake_lb_has(proto_str(body, "instance", ""))) {
        chan_refuse(ask, "it is in the table");
        return;
    }
    lb.drains++;
    chan_answer(ask, json_pack("{s:b, s:b, s:I, s:i, s:i, s:i, s:i}", "drained", 1, "known", 1,
                               "generation", (json_int_t)lb.generation, "in_flight_at_mark", 1,
                               "in_flight", 0, "after_mark", 0, "took_ms", 1));
}

static void on_stats(struct chan *ch, struct chan_ask ask, const json_t *body,
                     void *arg) /* chan_handler_fn */
{
    (void)ch;
    (void)arg;
    (void)body;
    if (lb.deaf)
        return;
    chan_answer(ask, stats());
    lb.first_ms = 0;
}

void fake_lb_open(struct loop *l, const char *path)
{
    struct chan_config cc = {.role = PROTO_LB, .build = "fake"};
    struct err e;

    cc.handlers[MSG_TABLE_SET] = on_table;
    cc.handlers[MSG_DRAIN_WAIT] = on_drain;
    cc.handlers[MSG_STATS_GET] = on_stats;
    if (lb.boot[0] == '\0')
        (void)snprintf(lb.boot, sizeof lb.boot, "boot1");
    (void)snprintf(lb.path, sizeof lb.path, "%s", path);
    if (!chan_hub_new(l, &cc, &lb.hub, &e) || !chan_hub_listen(lb.hub, path, 0600, &e))
        bug("%s", e.msg);
}

void fake_lb_close(void)
{
    chan_hub_free(lb.hub);
    lb.hub = NULL;
}

void fake_lb_count(uint64_t n, uint64_t first_ms)
{
    lb.counted += n;
    lb.requests += n;
    lb.first_ms = first_ms;
    chan_hub_event(lb.hub, MSG_EV_STATS, stats());
    lb.first_ms = 0;
}
