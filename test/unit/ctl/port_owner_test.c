#include "test/unit/unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctl/port_owner.h"

static int listen_at(int family, uint16_t *ret_port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    bool four = family == AF_INET;
    struct sockaddr *sa = four ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6;
    socklen_t n = four ? sizeof v4 : sizeof v6;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, sa, n) < 0 || listen(fd, 1) < 0 || getsockname(fd, sa, &n) < 0) {
        if (fd >= 0)
            close(fd);
        return -1; /* a host without IPv6 */
    }
    *ret_port = ntohs(four ? v4.sin_port : v6.sin6_port);
    return fd;
}

static void test_finds_us(void **state)
{
    static const int families[] = {AF_INET, AF_INET6};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        char got[128], want[64];
        uint16_t port = 0;
        int fd = listen_at(families[i], &port);

        if (fd < 0 && families[i] == AF_INET6)
            continue;
        assert_true(fd >= 0);
        (void)snprintf(want, sizeof want, "pid %ld (unit_ctl_port_o)", (long)getpid());
        assert_string_equal(port_owner(port, got, sizeof got), want);
        close(fd);
        assert_string_equal(port_owner(port, got, sizeof got), "");
    }
}

/* A socket that is only bound keeps the port from others, too, but listens to nobody. */
static void test_bound_only(void **state)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof a;
    char got[128];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)state;
    assert_int_equal(bind(fd, (struct sockaddr *)&a, n), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    assert_string_equal(port_owner(ntohs(a.sin_port), got, sizeof got), "");
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_finds_us),
                                       cmocka_unit_test(test_bound_only)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
