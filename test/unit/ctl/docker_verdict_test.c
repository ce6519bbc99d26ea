#include "test/unit/unit.h"

#include "ctl/docker_json.h"

static void test_judge(void **state)
{
    static const struct {
        const char *name;
        enum docker_verb verb;
        int status;
        const char *says;
        enum rt_result want;
    } rows[] = {
        {"list", DOCKER_LIST, 200, "", RT_OK},
        {"list, engine broken", DOCKER_LIST, 500, "boom", RT_REFUSED},
        {"created", DOCKER_CREATE, 201, "", RT_OK},
        {"image is there", DOCKER_IMAGE_GET, 200, "", RT_OK},
        {"image is not there", DOCKER_IMAGE_GET, 404, "no such image: x", RT_NO_IMAGE},
        {"image is not told", DOCKER_IMAGE_GET, 403, "forbidden", RT_REFUSED},
        {"no image", DOCKER_CREATE, 404, "No such image: nope:latest", RT_NO_IMAGE},
        {"name taken", DOCKER_CREATE, 409,
         "Conflict. The container name '/a' is already in use by container 'x'.", RT_CONFLICT},
        {"bad request", DOCKER_CREATE, 400, "invalid mount config", RT_REFUSED},
        {"create: network lost", DOCKER_CREATE, 404, "network lb not found", RT_REFUSED},
        {"started", DOCKER_START, 204, "", RT_OK},
        {"runs already", DOCKER_START, 304, "", RT_OK},
        {"port, held by a container", DOCKER_START, 500,
         "driver failed programming external connectivity on endpoint b (6): Bind for "
         "127.0.0.1:8000 failed: port is already allocated",
         RT_PORT_BUSY},
        {"port, held by a program, 20.10", DOCKER_START, 500,
         "Error starting userland proxy: listen tcp4 127.0.0.1:8000: bind: address already in use",
         RT_PORT_BUSY},
        {"port, held by a program, 28", DOCKER_START, 500,
         "failed to set up container networking: failed to bind host port for "
         "127.0.0.1:8000:172.18.0.2:80/tcp: address already in use",
         RT_PORT_BUSY},
        {"port, Desktop", DOCKER_START, 500,
         "Ports are not available: exposing port TCP 127.0.0.1:8000", RT_PORT_BUSY},
        {"start: gone", DOCKER_START, 404, "No such container: x", RT_GONE},
        {"start: being removed", DOCKER_START, 409,
         "container is marked for removal and cannot be started", RT_GONE},
        {"start: network lost", DOCKER_START, 404, "network lb not found", RT_REFUSED},
        {"start: no such program", DOCKER_START, 400, "exec: '/nothere': no such file or directory",
         RT_REFUSED},
        {"inspect: gone", DOCKER_INSPECT, 404, "No such container: x", RT_GONE},
        {"stopped", DOCKER_STOP, 204, "", RT_OK},
        {"does not run", DOCKER_STOP, 304, "", RT_OK},
        {"stop: gone", DOCKER_STOP, 404, "No such container: x", RT_GONE},
        {"stop: wrong path is not gone", DOCKER_STOP, 404, "page not found", RT_REFUSED},
        {"killed", DOCKER_KILL, 204, "", RT_OK},
        {"kill: does not run", DOCKER_KILL, 409,
         "Cannot kill container: x: Container x is not running", RT_OK},
        {"kill: other conflict", DOCKER_KILL, 409, "odd", RT_REFUSED},
        {"kill: gone", DOCKER_KILL, 404, "Cannot kill container: x: No such container: x", RT_GONE},
        {"removed", DOCKER_REMOVE, 204, "", RT_OK},
        {"remove: gone", DOCKER_REMOVE, 404, "No such container: x", RT_GONE},
        {"remove: busy", DOCKER_REMOVE, 500, "device or resource busy", RT_REFUSED},
        {"wait: over", DOCKER_WAIT, 200, "", RT_OK},
        {"wait: was over already", DOCKER_WAIT, 404, "No such container: x", RT_OK},
        {"network: none", DOCKER_NETWORK_GET, 404, "network lb not found", RT_GONE},
        {"network: made", DOCKER_NETWORK_CREATE, 201, "", RT_OK},
        {"network: somebody was faster", DOCKER_NETWORK_CREATE, 409,
         "network with name lb already exists", RT_OK},
        {"network: no pool", DOCKER_NETWORK_CREATE, 403,
         "could not find an available, non-overlapping IPv4 address pool", RT_REFUSED},
        {"a gateway: bad", DOCKER_START, 502, "Bad Gateway", RT_UNKNOWN},
        {"a gateway: busy", DOCKER_REMOVE, 503, "", RT_UNKNOWN},
        {"a gateway: late", DOCKER_CREATE, 504, "", RT_UNKNOWN},
        {"a redirect", DOCKER_LIST, 301, "", RT_UNKNOWN},
        {"304 where none belongs", DOCKER_LIST, 304, "", RT_UNKNOWN},
        {"forbidden by a socket proxy", DOCKER_REMOVE, 403, "Request forbidden", RT_REFUSED},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        ROW_EQ_STR(rows[i].name,
                   rt_result_name(docker_judge(rows[i].verb, rows[i].status, rows[i].says)),
                   rt_result_name(rows[i].want));
}

static void test_special_refusals(void **state)
{
    static const struct {
        const char *name;
        int status;
        const char *says;
        bool network, removing;
    } rows[] = {
        {"network", 404, "network lb not found", true, false},
        {"network, newer words", 404, "failed to set up container networking: network lb not found",
         true, false},
        {"container", 404, "No such container: network", false, false},
        {"other status", 500, "network lb not found", false, false},
        {"removing", 409, "removal of container aa is already in progress", false, true},
        {"conflict", 409, "is not running", false, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW_EQ_U64(rows[i].name, docker_lacks_network(rows[i].status, rows[i].says),
                   rows[i].network);
        ROW_EQ_U64(rows[i].name, docker_removes_already(rows[i].status, rows[i].says),
                   rows[i].removing);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_judge),
                                       cmocka_unit_test(test_special_refusals)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
