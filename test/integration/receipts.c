#include "test/unit/unit.h"

#include <dirent.h>
#include <event2/buffer.h>
#include <event2/http.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/conf/conf.h"
#include "common/ev/loop.h"
#include "ctl/ctl.h"
#include "ctl/ledger.h"
#include "ctl/lblink.h"
#include "ctl/model.h"
#include "ctl/scaler.h"

/* Drain receipts with the real lbd, under load: the whole of ctld with its own probes on this loop,
 * a runtime whose instances are small HTTP servers on the same loop, so that one clock sees
 * everything, and clients that go through lbd. In each cycle one instance leaves while it has
 * requests that it does not answer before lbd has acknowledged a table without it. Then
 *
 *   table acknowledged <= last request ended <= SIGTERM
 *
 * and the ledger has lbd's receipt for exactly this stop. No client sees an error. */
enum {
    CYCLES = 100,
    INSTANCES = 3,
    CLIENTS = 12,
    BOXES = 16,
    WAIT_MS = 20000, /* for any event */
    ANSWER_MS = 3,
    RUN_PORTS = 22000, /* this run's ports are somewhere above */
};

extern char **environ;

struct box { /* an instance */
    char id[SLOT_ID_MAX], token[SLOT_TOKEN_MAX], hash[17], service[32];
    unsigned slot;
    uint64_t generation;
    uint16_t port;
    enum rt_state state;
    struct evhttp *http;
    bool sick, parking; /* answers no request for now */
    unsigned arrived, ended;
    uint64_t last_end_ms, stop_ms;
};

struct answer { /* a request that an instance has not answered yet */
    struct list node;
    struct box *box;
    struct evhttp_request *req;
    struct timer timer;
};

struct client {
    struct evhttp_connection *conn;
};

static struct {
    struct loop *loop;
    struct ctl *ctl;
    struct conf *conf;
    char dir[64];
    uint16_t port, first;
    pid_t lbd;
    struct box boxes[BOXES]; /* a ring; one that has gone is used again last */
    unsigned serial;
    struct list answers;
    struct client clients[CLIENTS];
    unsigned good, bad, reported;
    bool done;
} t;

static const char *lbd_path;

typedef bool cond_fn(void);

static void on_alarm(void *arg) /* timer */
{
    *(bool *)arg = true;
}

static void wait_for(cond_fn *cond, const char *what)
{
    bool late = false;
    struct timer timer;

    timer_init(&timer, t.loop, on_alarm, &late);
    timer_in(&timer, WAIT_MS);
    while (!cond() && !late)
        (void)event_base_loop(loop_base(t.loop), EVLOOP_ONCE);
    timer_fini(&timer);
    if (!cond())
        fail_msg("not within %d ms: %s", (int)WAIT_MS, what);
}

/* ---- instances ---- */

static void answer_end(struct answer *a, bool reply)
{
    if (reply) {
        a->box->ended++;
        a->box->last_end_ms = clock_mono_ms();
        evhttp_send_reply(a->req, 200, "OK", NULL);
    }
    list_unlink(&a->node);
    timer_fini(&a->timer);
    mem_free(a);
}

static void on_answer_timer(void *arg) /* timer */
{
    struct answer *a = arg;

    if (!a->box->parking)
        answer_end(a, true);
}

static void unpark(struct box *b)
{
    b->parking = false;
    LIST_EACH(n, &t.answers)
    {
        struct answer *a = LIST_ENTRY_OF(n, struct answer, node);

        if (a->box == b)
            timer_in(&a->timer, ANSWER_MS);
    }
}

static unsigned waiting_at(const struct box *b)
{
    return b->arrived - b->ended;
}

static void on_request(struct evhttp_request *req, void *arg) /* evhttp gencb */
{
    struct box *b = arg;
    struct answer *a;

    if (strcmp(evhttp_request_get_uri(req), "/app/health") == 0) {
        evhttp_send_reply(req, b->sick ? 500 : 200, "said", NULL);
        return;
    }
    b->arrived++;
    a = mem_zalloc(sizeof(*a));
    a->box = b;
    a->req = req;
    timer_init(&a->timer, t.loop, on_answer_timer, a);
    timer_in(&a->timer, ANSWER_MS);
    list_push_back(&t.answers, &a->node);
}

/* ---- the runtime ---- */

struct op {
    struct loop_later later;
    struct list node; /* of all that are under way */
    struct box *box;
    rt_done_fn *done;
    rt_create_fn *created;
    rt_start_fn *started;
    rt_list_fn *listed;
    void *arg;
};

static struct list ops = {&ops, &ops};

static void on_op(struct loop_later *self) /* loop_later */
{
    struct op *o = CONTAINER_OF(self, struct op, later);

    list_unlink(&o->node);
    if (o->created != NULL)
        o->created(o->arg, RT_OK, o->box->id, NULL);
    else if (o->started != NULL)
        o->started(o->arg, RT_OK, "127.0.0.1", NULL);
    else if (o->done != NULL)
        o->done(o->arg, RT_OK, NULL);
    if (o->listed != NULL) {
        struct rt_instance v[BOXES];
        size_t n = 0;

        for (unsigned i = 0; i < BOXES; i++) {
            const struct box *b = &t.boxes[i];

            if (b->id[0] != '\0')
                v[n++] = (struct rt_instance){.id = b->id,
                                              .name = b->id,
                                              .service = b->service,
                                              .slot = b->slot,
                                              .generation = b->generation,
                                              .token = b->token,
                                              .conf_hash = b->hash,
                                              .state = b->state,
                                              .address = "127.0.0.1",
                                              .host_port = b->port};
        }
        o->listed(o->arg, RT_OK, v, n, NULL);
    }
    mem_free(o);
}

static struct op *op_new(struct box *b, void *arg)
{
    struct op *o = mem_zalloc(sizeof(*o));

    o->box = b;
    o->arg = arg;
    list_init(&o->later.node);
    list_push_back(&ops, &o->node);
    loop_later(t.loop, &o->later, on_op);
    return o;
}

static struct box *box_of(const char *id)
{
    for (unsigned i = 0; i < BOXES; i++)
        if (strcmp(t.boxes[i].id, id) == 0)
            return &t.boxes[i];
    fail_msg("no instance %s", id);
    return NULL;
}

static struct box *box_at(unsigned slot)
{
    for (unsigned i = 0; i < BOXES; i++)
        if (t.boxes[i].state == RT_RUNNING && t.boxes[i].slot == slot && t.boxes[i].id[0] != '\0')
            return &t.boxes[i];
    return NULL;
}

static bool rt_test_open(struct loop *l, const struct conf *c, rt_hint_fn *hint, void *arg,
                         struct runtime **ret, struct err *e)
{
    (void)l;
    (void)c;
    (void)hint;
    (void)arg;
    (void)e;
    *ret = (struct runtime *)&t;
    return true;
}

static void rt_test_close(struct runtime *rt)
{
    (void)rt;
    LIST_EACH(n, &ops)
    {
        struct op *o = LIST_ENTRY_OF(n, struct op, node);

        list_unlink(&o->node);
        list_unlink(&o->later.node);
        mem_free(o);
    }
}

static const struct rt_info *rt_test_info(struct runtime *rt)
{
    static const struct rt_info info = {.up = true, .api = "1", .engine = "test"};

    (void)rt;
    return &info;
}

static void rt_test_list(struct runtime *rt, rt_list_fn *done, void *arg)
{
    (void)rt;
    op_new(NULL, arg)->listed = done;
}

static void rt_test_create(struct runtime *rt, const struct rt_spec *s, rt_create_fn *done,
                           void *arg)
{
    struct box *b = &t.boxes[t.serial++ % BOXES];

    (void)rt;
    assert_string_equal(b->id, ""); /* the ring is large enough */
    *b = (struct box){
        .slot = s->slot, .generation = s->generation, .port = s->host_port, .state = RT_CREATED};
    (void)snprintf(b->id, sizeof b->id, "%012u%052u", t.serial, 1u);
    (void)snprintf(b->token, sizeof b->token, "%s", s->token);
    (void)snprintf(b->hash, sizeof b->hash, "%s", s->conf_hash);
    (void)snprintf(b->service, sizeof b->service, "%s", s->service->name);
    op_new(b, arg)->created = done;
}

static void rt_test_start(struct runtime *rt, const struct conf_service *service, const char *id,
                          rt_start_fn *done, void *arg)
{
    struct box *b = box_of(id);

    (void)service;
    (void)rt;
    b->http = evhttp_new(loop_base(t.loop));
    evhttp_set_gencb(b->http, on_request, b);
    assert_int_equal(evhttp_bind_socket(b->http, "127.0.0.1", b->port), 0);
    b->state = RT_RUNNING;
    op_new(b, arg)->started = done;
}

static void close_http(struct box *b)
{
    LIST_EACH(n, &t.answers)
    {
        struct answer *a = LIST_ENTRY_OF(n, struct answer, node);

        if (a->box == b)
            answer_end(a, false);
    }
    if (b->http != NULL)
        evhttp_free(b->http);
    b->http = NULL;
}

/* SIGTERM: whoever still waits for an answer is a failure. */
static void rt_test_stop(struct runtime *rt, const char *id, uint64_t grace_ms, rt_done_fn *done,
                         void *arg)
{
    struct box *b = box_of(id);

    (void)rt;
    (void)grace_ms;
    b->stop_ms = clock_mono_ms();
    if (waiting_at(b) > 0)
        fail_msg("instance %s is stopped while it has %u requests", b->token, waiting_at(b));
    close_http(b);
    b->state = RT_EXITED;
    op_new(b, arg)->done = done;
}

static struct box gone; /* the one that was removed last */

static void rt_test_remove(struct runtime *rt, const char *id, rt_done_fn *done, void *arg)
{
    struct box *b = box_of(id);

    (void)rt;
    close_http(b);
    gone = *b;
    *b = (struct box){.state = RT_DEAD};
    op_new(b, arg)->done = done;
}

static const struct runtime_ops runtime_test = {
    .name = "test",
    .open = rt_test_open,
    .close = rt_test_close,
    .info = rt_test_info,
    .list = rt_test_list,
    .create = rt_test_create,
    .start = rt_test_start,
    .stop = rt_test_stop,
    .remove = rt_test_remove,
};

/* ---- clients ---- */

static void ask(struct client *c);

static void on_response(struct evhttp_request *req, void *arg) /* evhttp_request cb */
{
    int status = req != NULL ? evhttp_request_get_response_code(req) : 0;

    if (status == 200) {
        t.good++;
    } else {
        t.bad++;
        if (t.reported++ < 5)
            print_message("a client got %d\n", status);
    }
    if (!t.done)
        ask(arg);
}

static void ask(struct client *c)
{
    struct evhttp_request *req = evhttp_request_new(on_response, c);

    evhttp_add_header(evhttp_request_get_output_headers(req), "Host", "test");
    if (evhttp_make_request(c->conn, req, EVHTTP_REQ_GET, "/app/x") != 0)
        fail_msg("a client cannot ask");
}

/* ---- the world ---- */

static uint16_t free_ports(unsigned n)
{
    for (unsigned base = RUN_PORTS + (unsigned)getpid() * 31 % 900; base < 65000; base += n) {
        unsigned k = 0;

        for (; k < n; k++) {
            struct sockaddr_in a = {.sin_family = AF_INET,
                                    .sin_port = htons((uint16_t)(base + k)),
                                    .sin_addr = {htonl(INADDR_LOOPBACK)}};
            int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
            int r = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0
                        ? -1
                        : bind(fd, (struct sockaddr *)&a, sizeof a);

            close(fd);
            if (r < 0)
                break;
        }
        if (k == n)
            return (uint16_t)base;
    }
    fail_msg("no free ports");
    return 0;
}

static void write_conf(const char *path)
{
    FILE *f = fopen(path, "we");

    assert_non_null(f);
    (void)fprintf(f,
                  "listen: 127.0.0.1:%u\nrun_dir: %s\nstate_dir: %s\nservices:\n  app:\n"
                  "    image: app:1\n    route: /app\n    port: 80\n    host_ports: %u-%u\n"
                  "    health: { path: /app/health, interval: 100ms, timeout: 10s, fall: 1 }\n"
                  "    scale: { min: 1, max: %u }\n    stop_grace_period: 5s\n",
                  t.port, t.dir, t.dir, t.first, t.first + INSTANCES - 1, INSTANCES);
    assert_int_equal(fclose(f), 0);
}

static void start_lbd(const char *conf)
{
    char *argv[] = {(char *)lbd_path,    (char *)"-c", (char *)conf,
                    (char *)"--workers", (char *)"2",  NULL};

    assert_int_equal(posix_spawn(&t.lbd, lbd_path, NULL, NULL, argv, environ), 0);
}

static int setup(void **state)
{
    struct conf_errors errs = {.n = 0};
    struct ctl_options o = {.runtime = &runtime_test};
    char path[128];
    struct err e;

    (void)state;
    (void)snprintf(t.dir, sizeof t.dir, "/tmp/lbctl-receipts-XXXXXX");
    assert_non_null(mkdtemp(t.dir));
    t.port = free_ports(INSTANCES + 1);
    t.first = (uint16_t)(t.port + 1);
    list_init(&t.answers);
    (void)snprintf(path, sizeof path, "%s/lbctl.yaml", t.dir);
    write_conf(path);
    if (!conf_load(path, &t.conf, &errs))
        fail_msg("%s", errs.v[0].msg);
    assert_true(loop_new(&t.loop, &e));
    start_lbd(path);
    o.conf = t.conf;
    o.run_dir = o.state_dir = t.dir;
    if (!ctl_new(t.loop, &o, &t.ctl, &e))
        fail_msg("%s", e.msg);
    return 0;
}

static int teardown(void **state)
{
    const struct dirent *d;
    char path[128];
    DIR *dir;

    (void)state;
    t.done = true;
    ctl_free(t.ctl);
    for (unsigned i = 0; i < CLIENTS; i++)
        if (t.clients[i].conn != NULL)
            evhttp_connection_free(t.clients[i].conn);
    for (unsigned i = 0; i < BOXES; i++)
        close_http(&t.boxes[i]);
    (void)kill(t.lbd, SIGKILL);
    (void)waitpid(t.lbd, NULL, 0);
    loop_free(t.loop);
    conf_free(t.conf);
    dir = opendir(t.dir);
    while (dir != NULL && (d = readdir(dir)) != NULL) {
        (void)snprintf(path, sizeof path, "%s/%.60s", t.dir, d->d_name);
        (void)unlink(path);
    }
    if (dir != NULL)
        (void)closedir(dir);
    (void)rmdir(t.dir);
    return 0;
}

/* ---- the test ---- */

static struct service *app(void)
{
    return model_service(t.ctl, "app");
}

static void scale(unsigned n)
{
    struct err e;

    if (!scaler_pin(t.ctl->scaler, app(), n, 0, &e))
        fail_msg("%s", e.msg);
}

static bool all_ready(void)
{
    return model_ready(app()) == INSTANCES;
}

/* Ready, and lbd counts for them: they are in the table that it uses. */
static bool all_serve(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < INSTANCES; i++)
        n += app()->places[i].s.state == SLOT_READY &&
             lblink_had(t.ctl->lb, "app", app()->places[i].s.cur.token);
    return n == INSTANCES;
}

static struct box *victim;
static uint64_t generation_before;

/* And no table is on its way: what lbd acknowledges next is without it. */
static bool victim_is_busy(void)
{
    return waiting_at(victim) > 0 &&
           lblink_info(t.ctl->lb)->generation == lblink_generation(t.ctl->lb);
}

/* Out of rotation, and lbd has said so. */
static bool is_acknowledged(void)
{
    const struct place *p = &app()->places[victim->slot];

    return p->s.state == SLOT_DRAINING && lblink_info(t.ctl->lb)->generation > generation_before;
}

static char victim_token[SLOT_TOKEN_MAX];

static bool is_gone(void)
{
    return strcmp(gone.token, victim_token) == 0;
}

static bool many_answers(void)
{
    return t.good >= 200;
}

/* The last entry of that kind about the instance. */
static const json_t *entry(const json_t *list, const char *kind, const char *token)
{
    const json_t *o, *found = NULL;
    size_t i;

    json_array_foreach(list, i, o)
    {
        if (strcmp(proto_str(o, "kind", ""), kind) == 0 &&
            strcmp(proto_str(json_object_get(o, "inputs"), "instance", ""), token) == 0)
            found = o;
    }
    if (found == NULL)
        fail_msg("the ledger has no %s of instance %s", kind, token);
    return found;
}

static uint64_t input(const json_t *entry, const char *name)
{
    return proto_uint(json_object_get(entry, "inputs"), name, UINT64_MAX);
}

static void check_cycle(unsigned cycle, uint64_t seen_ack_ms)
{
    struct ledger_ask a = {.slot = -1, .after = UINT64_MAX, .limit = 100};
    uint64_t last;
    json_t *list = ledger_list(t.ctl->ledger, &a, &last);
    const json_t *receipt = entry(list, "drain", gone.token),
                 *stop = entry(list, "stop", gone.token);
    char row[32];

    (void)snprintf(row, sizeof row, "cycle %u", cycle);
    ROW_EQ_STR(row, proto_str(receipt, "code", ""), "drained");
    ROW_EQ_U64(row, input(stop, "receipt"), proto_uint(receipt, "seq", 0));
    ROW_EQ_U64(row, input(receipt, "after_mark"), 0);
    ROW_EQ_U64(row, input(receipt, "in_flight"), 0);
    assert_true(proto_uint(receipt, "seq", 0) < proto_uint(stop, "seq", 0));
    assert_in_range(input(receipt, "in_flight_at_mark"), 1, CLIENTS);
    assert_in_range(input(receipt, "acked_ms"), 1, seen_ack_ms);
    assert_in_range(input(receipt, "mark_ms"), 1, input(receipt, "acked_ms"));
    assert_in_range(gone.last_end_ms, input(receipt, "acked_ms"), gone.stop_ms);
    assert_in_range(input(receipt, "zero_ms"), gone.last_end_ms, gone.stop_ms);
    assert_in_range(input(stop, "stop_ms"), input(receipt, "zero_ms"), gone.stop_ms);
    ROW_EQ_U64(row, gone.arrived, gone.ended);
    json_decref(list);
}

/* Healthy ones leave by a scale-in, sick ones because they are replaced. */
static void run_cycle(unsigned cycle)
{
    bool sick = cycle % 4 == 3;
    uint64_t seen_ack_ms;

    victim = box_at(sick ? cycle % INSTANCES : INSTANCES - 1);
    assert_non_null(victim);
    (void)snprintf(victim_token, sizeof victim_token, "%s", victim->token);
    victim->parking = true;
    wait_for(victim_is_busy, "requests at the instance");
    generation_before = lblink_info(t.ctl->lb)->generation;
    if (sick)
        victim->sick = true;
    else
        scale(INSTANCES - 1);
    wait_for(is_acknowledged, "a table without the instance");
    seen_ack_ms = clock_mono_ms();
    unpark(victim);
    wait_for(is_gone, "the end of the instance");
    check_cycle(cycle, seen_ack_ms);
    if (!sick)
        scale(INSTANCES);
    wait_for(all_ready, "all instances ready again");
}

static void test_receipts(void **state)
{
    uint64_t began;

    (void)state;
    scale(INSTANCES);
    wait_for(all_serve, "all instances in the table");
    for (unsigned i = 0; i < CLIENTS; i++) {
        t.clients[i].conn =
            evhttp_connection_base_new(loop_base(t.loop), NULL, "127.0.0.1", t.port);
        ask(&t.clients[i]);
    }
    wait_for(many_answers, "traffic");
    began = clock_mono_ms();
    for (unsigned i = 0; i < CYCLES; i++)
        run_cycle(i);
    print_message("%d cycles in %llu ms, %u requests, %u errors\n", CYCLES,
                  (unsigned long long)(clock_mono_ms() - began), t.good, t.bad);
    assert_int_equal(t.bad, 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_receipts, setup, teardown)};

    if (argc != 2) {
        (void)fputs("usage: receipts PATH_OF_LBD\n", stderr);
        return 64;
    }
    lbd_path = argv[1];
    log_init("test", LOG_FMT_TEXT, getenv("LB_TEST_VERBOSE") != NULL ? LOG_LV_DEBUG : LOG_LV_ERROR);
    loop_ignore_sigpipe();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
