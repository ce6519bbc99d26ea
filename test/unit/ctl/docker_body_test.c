#include "test/unit/unit.h"

#include <jansson.h>

#include "ctl/docker_json.h"

static char *strs[] = {"a", "b c", "\"q\""};
static char *volumes[] = {"data:/var/lib", "logs:/log:ro", "/host/x:/x", "/host/y:/y:ro"};
static char *tmpfs[] = {"/run:size=1m,mode=700", "/tmp"};
static struct conf_pair env[] = {{"A", "1"}, {"EMPTY", ""}, {"NONE", NULL}, {"Q", "x=\"y\"\n"}};
static struct conf_pair labels[] = {{"team", "red"}, {"lbctl.slot", "99"}};

static struct conf_pair secrets[] = {{"key", "/etc/secret file"}};
static char *caps[] = {"NET_RAW", "CHOWN"}, *all_caps[] = {"ALL"};
static struct conf_service full = {
    .name = "web",
    .image = "acts:latest",
    .entrypoint = {strs, 1},
    .command = {strs, 3},
    .volumes = {volumes, 4},
    .tmpfs = {tmpfs, 2},
    .environment = {env, 4},
    .labels = {labels, 2},
    .user = "1:2",
    .stop_signal = "SIGINT",
    .mem_limit = 256 << 20,
    .cpus_milli = 1500,
    .pids_limit = 7,
    .shm_size = 65536,
    .read_only = true,
    .init = true,
    .stop_grace_ms = 1500,
    .port = 80,
    .publish = "127.0.0.1",
    .secrets = {secrets, 1},
    .cap_add = {caps, 2},
    .cap_drop = {all_caps, 1},
    .log_max_size = 10 << 20,
    .log_max_files = 3,
};

static const struct rt_spec spec = {
    .service = &full,
    .project = "p",
    .network = "lb",
    .slot = 3,
    .generation = 12345678901234567890u,
    .token = "t0k",
    .conf_hash = "00ff",
    .host_port = 8003,
};

/* The value at a path of members divided by blanks; a number counts into a list. Compact JSON. */
static void at(const json_t *root, const char *path, char *ret, size_t n)
{
    char copy[256], *save = NULL;
    const json_t *j = root;
    char *text;

    snprintf(copy, sizeof(copy), "%s", path);
    for (char *p = strtok_r(copy, " ", &save); p != NULL; p = strtok_r(NULL, " ", &save))
        j = json_is_array(j) ? json_array_get(j, (size_t)(p[0] - '0')) : json_object_get(j, p);
    text = j != NULL ? json_dumps(j, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    snprintf(ret, n, "%s", text != NULL ? text : "(none)");
    free(text);
}

static json_t *build(const struct rt_spec *s)
{
    struct buf b;
    struct err e = {""};
    json_t *root;

    buf_init(&b, DOCKER_BODY_MAX);
    if (!docker_create_body(s, &b, &e))
        fail_msg("create body: %s", e.msg);
    root = json_loads(b.data, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    buf_fini(&b);
    return root;
}

struct want {
    const char *path, *value;
};

static void check(const json_t *root, const struct want *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char got[512];

        at(root, rows[i].path, got, sizeof(got));
        ROW_EQ_STR(rows[i].path, got, rows[i].value);
    }
}

static void test_everything(void **state)
{
    static const struct want rows[] = {
        {"Image", "\"acts:latest\""},
        {"Entrypoint", "[\"a\"]"},
        {"Cmd", "[\"a\",\"b c\",\"\\\"q\\\"\"]"},
        {"User", "\"1:2\""},
        {"StopSignal", "\"SIGINT\""},
        {"StopTimeout", "2"},
        {"Env", "[\"A=1\",\"EMPTY=\",\"NONE=\",\"Q=x=\\\"y\\\"\\n\"]"},
        {"Labels team", "\"red\""},
        {"Labels lbctl.project", "\"p\""},
        {"Labels lbctl.service", "\"web\""},
        {"Labels lbctl.slot", "\"3\""}, /* ours wins */
        {"Labels lbctl.generation", "\"12345678901234567890\""},
        {"Labels lbctl.token", "\"t0k\""},
        {"Labels lbctl.confhash", "\"00ff\""},
        {"Labels lbctl.port", "\"8003\""},
        {"ExposedPorts", "{\"80/tcp\":{}}"},
        {"HostConfig PortBindings",
         "{\"80/tcp\":[{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"8003\"}]}"},
        {"HostConfig NetworkMode", "\"lb\""},
        {"HostConfig RestartPolicy", "{\"Name\":\"no\"}"},
        {"HostConfig SecurityOpt", "[\"no-new-privileges\"]"},
        {"HostConfig LogConfig",
         "{\"Type\":\"json-file\",\"Config\":{\"max-size\":\"10485760\",\"max-file\":\"3\"}}"},
        {"HostConfig Memory", "268435456"},
        {"HostConfig NanoCpus", "1500000000"},
        {"HostConfig PidsLimit", "7"},
        {"HostConfig ShmSize", "65536"},
        {"HostConfig ReadonlyRootfs", "true"},
        {"HostConfig Init", "true"},
        {"HostConfig Tmpfs", "{\"/run\":\"size=1m,mode=700\",\"/tmp\":\"\"}"},
        {"HostConfig Binds", "[\"data:/var/lib\",\"logs:/log:ro\"]"},
        {"HostConfig Mounts 0",
         "{\"Type\":\"bind\",\"Source\":\"/host/x\",\"Target\":\"/x\",\"ReadOnly\":false}"},
        {"HostConfig Mounts 1",
         "{\"Type\":\"bind\",\"Source\":\"/host/y\",\"Target\":\"/y\",\"ReadOnly\":true}"},
        {"HostConfig Mounts 2", "{\"Type\":\"bind\",\"Source\":\"/etc/secret file\","
                                "\"Target\":\"/run/secrets/key\",\"ReadOnly\":true}"},
        {"HostConfig CapAdd", "[\"NET_RAW\",\"CHOWN\"]"},
        {"HostConfig CapDrop", "[\"ALL\"]"},
        {"NetworkingConfig", "{\"EndpointsConfig\":{\"lb\":{\"Aliases\":[\"web\"]}}}"},
    };
    json_t *root = build(&spec);

    (void)state;
    check(root, rows, ARRAY_LEN(rows));
    json_decref(root);
}

static void test_hardly_anything(void **state)
{
    static struct conf_service bare = {.name = "db", .image = "i", .port = 5432};
    static const struct rt_spec s = {.service = &bare,
                                     .project = "p",
                                     .network = "lb",
                                     .token = "t",
                                     .conf_hash = "h",
                                     .slot = 0,
                                     .generation = 1};
    static const struct want rows[] = {
        {"Entrypoint", "(none)"},
        {"Cmd", "(none)"},
        {"User", "(none)"},
        {"StopSignal", "(none)"},
        {"Env", "(none)"},
        {"StopTimeout", "0"},
        {"ExposedPorts", "{\"5432/tcp\":{}}"},
        {"HostConfig PortBindings", "(none)"},
        {"HostConfig Memory", "(none)"},
        {"HostConfig NanoCpus", "(none)"},
        {"HostConfig PidsLimit", "2048"}, /* never without a limit */
        {"HostConfig ShmSize", "(none)"},
        {"HostConfig ReadonlyRootfs", "(none)"},
        {"HostConfig Init", "(none)"},
        {"HostConfig Tmpfs", "(none)"},
        {"HostConfig Binds", "(none)"},
        {"HostConfig Mounts", "(none)"},
        {"Labels lbctl.port", "\"0\""},
    };
    json_t *root = build(&s);

    (void)state;
    check(root, rows, ARRAY_LEN(rows));
    json_decref(root);
    bare.port = 0;
    root = build(&s);
    check(root, &(struct want){"ExposedPorts", "(none)"}, 1);
    json_decref(root);
}

static void test_refusals(void **state)
{
    static struct conf_pair bad[] = {{"A", "\xff"}};
    static char huge[DOCKER_BODY_MAX + 1];
    struct conf_service s = full;
    struct rt_spec with = spec;
    struct buf b;
    struct err e = {""};

    (void)state;
    with.service = &s;
    buf_init(&b, DOCKER_BODY_MAX);
    s.environment = (struct conf_pairs){bad, 1};
    assert_false(docker_create_body(&with, &b, &e));
    assert_non_null(strstr(e.msg, "no UTF-8"));
    assert_null(strstr(e.msg, "\xff")); /* no values in errors: they may be secrets */
    memset(huge, 'x', sizeof(huge) - 1);
    bad[0].value = huge;
    assert_false(docker_create_body(&with, &b, &e));
    assert_non_null(strstr(e.msg, "longer than"));
    buf_fini(&b);
}

static void test_name(void **state)
{
    char name[64];

    (void)state;
    docker_name(&spec, name, sizeof(name));
    assert_string_equal(name, "p-web-3-12345678901234567890");
}

static void test_network_body(void **state)
{
    struct buf b;
    struct err e;

    (void)state;
    buf_init(&b, DOCKER_BODY_MAX);
    assert_true(docker_network_body("lb", "p", &b, &e));
    assert_string_equal(b.data, "{\"Name\":\"lb\",\"Driver\":\"bridge\",\"CheckDuplicate\":true,"
                                "\"Labels\":{\"lbctl.project\":\"p\"}}");
    buf_fini(&b);
}

static void test_filters(void **state)
{
    struct buf b;
    struct err e;

    (void)state;
    buf_init(&b, 1000);
    assert_true(docker_filters("p q", false, &b, &e));
    assert_string_equal(b.data, "%7B%22label%22%3A%5B%22lbctl.project%3Dp%20q%22%5D%7D");
    buf_clear(&b);
    assert_true(docker_filters("p", true, &b, &e));
    assert_string_equal(
        b.data,
        "%7B%22label%22%3A%5B%22lbctl.project%3Dp%22%5D%2C%22type%22%3A%5B%22container%22%5D%7D");
    buf_fini(&b);
    buf_init(&b, 10);
    assert_false(docker_filters("p", true, &b, &e));
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything),   cmocka_unit_test(test_hardly_anything),
        cmocka_unit_test(test_refusals),     cmocka_unit_test(test_name),
        cmocka_unit_test(test_network_body), cmocka_unit_test(test_filters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
