#include "test/unit/unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/listener.h"
#include "common/base/macros.h"

static int asker(void)
{
    struct err e;
    int fd = listener_open(&e);

    if (fd < 0) {
        print_message("no sock_diag here: %s\n", e.msg);
        skip();
    }
    return fd;
}

/* Listens on that address, port 0: any; what it became is in *sa. */
static int listening(struct sockaddr_storage *sa, socklen_t n)
{
    int fd = socket(sa->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)sa, n) != 0 || listen(fd, 5) != 0 ||
        getsockname(fd, (struct sockaddr *)sa, &n) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static uint64_t ask(int fd, const struct sockaddr_storage *sa)
{
    uint64_t id = UINT64_MAX;
    struct err e;

    if (!listener_ask(fd, (const struct sockaddr *)sa, &id, &e))
        fail_msg("%s", e.msg);
    return id;
}

static struct sockaddr_storage v4(const char *address, in_port_t port)
{
    struct sockaddr_storage sa = {.ss_family = AF_INET};
    struct sockaddr_in *in = (struct sockaddr_in *)&sa;

    assert_int_equal(inet_pton(AF_INET, address, &in->sin_addr), 1);
    in->sin_port = port;
    return sa;
}

static in_port_t port_of(const struct sockaddr_storage *sa)
{
    return ((const struct sockaddr_in *)sa)->sin_port; /* at the same place for IPv6 */
}

static void test_one_after_the_other(void **state UNUSED)
{
    struct sockaddr_storage sa = v4("127.0.0.1", 0);
    int fd = asker(), first = listening(&sa, sizeof(struct sockaddr_in)), second;
    uint64_t id;

    assert_true(first >= 0);
    id = ask(fd, &sa);
    assert_int_not_equal(id, 0);
    assert_true(ask(fd, &sa) == id);
    close(first);
    assert_int_equal(ask(fd, &sa), 0);
    second = listening(&sa, sizeof(struct sockaddr_in));
    assert_true(second >= 0);
    assert_int_not_equal(ask(fd, &sa), 0);
    assert_true(ask(fd, &sa) != id);
    close(second);
    close(fd);
}

static void test_on_all_addresses(void **state UNUSED)
{
    struct sockaddr_storage any = v4("0.0.0.0", 0), one;
    int fd = asker(), s = listening(&any, sizeof(struct sockaddr_in));

    assert_true(s >= 0);
    one = v4("127.0.0.1", port_of(&any));
    assert_int_not_equal(ask(fd, &one), 0);
    assert_true(ask(fd, &one) == ask(fd, &any));
    close(s);
    close(fd);
}

static void test_connections_are_no_listeners(void **state UNUSED)
{
    struct sockaddr_storage sa = v4("127.0.0.1", 0);
    int fd = asker(), s = listening(&sa, sizeof(struct sockaddr_in));
    int c = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    uint64_t id = ask(fd, &sa);

    assert_int_equal(connect(c, (struct sockaddr *)&sa, sizeof(struct sockaddr_in)), 0);
    assert_true(ask(fd, &sa) == id);
    close(s);
    assert_int_equal(ask(fd, &sa), 0);
    close(c);
    close(fd);
}

static void test_ipv6(void **state UNUSED)
{
    struct sockaddr_storage sa = {.ss_family = AF_INET6};
    int fd = asker(), s;

    ((struct sockaddr_in6 *)&sa)->sin6_addr = in6addr_loopback;
    s = listening(&sa, sizeof(struct sockaddr_in6));
    if (s < 0) {
        close(fd);
        skip(); /* no IPv6 here */
    }
    assert_int_not_equal(ask(fd, &sa), 0);
    close(s);
    assert_int_equal(ask(fd, &sa), 0);
    close(fd);
}

static void test_what_has_no_port(void **state UNUSED)
{
    struct sockaddr_storage sa = {.ss_family = AF_UNIX};
    int fd = asker();
    uint64_t id;
    struct err e;

    assert_false(listener_ask(fd, (struct sockaddr *)&sa, &id, &e));
    assert_non_null(strstr(e.msg, "IPv4 and IPv6"));
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_after_the_other),
        cmocka_unit_test(test_on_all_addresses),
        cmocka_unit_test(test_connections_are_no_listeners),
        cmocka_unit_test(test_ipv6),
        cmocka_unit_test(test_what_has_no_port),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
