#include "common/base/listener.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>

struct ask {
    struct nlmsghdr head;
    struct inet_diag_req_v2 req;
};

/* One answer, or an error, with room for attributes that nobody asked for. */
union answer {
    struct nlmsghdr head;
    char bytes[4096];
};

int listener_open(struct err *e)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);

    if (fd < 0)
        (void)err_sys(e, "ask the kernel for listening sockets");
    return fd;
}

static bool fill(struct ask *a, const struct sockaddr *sa, struct err *e)
{
    const struct sockaddr_in *v4 = (const void *)sa;
    const struct sockaddr_in6 *v6 = (const void *)sa;

    *a = (struct ask){
        .head = {.nlmsg_len = sizeof(*a),
                 .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                 .nlmsg_flags = NLM_F_REQUEST},
        .req = {.sdiag_family = (uint8_t)sa->sa_family,
                .sdiag_protocol = IPPROTO_TCP,
                .idiag_states = UINT32_MAX,
                .id = {.idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE}}},
    };
    if (sa->sa_family == AF_INET) {
        a->req.id.idiag_sport = v4->sin_port;
        memcpy(a->req.id.idiag_src, &v4->sin_addr, sizeof(v4->sin_addr));
    } else if (sa->sa_family == AF_INET6) {
        a->req.id.idiag_sport = v6->sin6_port;
        memcpy(a->req.id.idiag_src, &v6->sin6_addr, sizeof(v6->sin6_addr));
    } else {
        return err_set(e, "only ports of IPv4 and IPv6 have listeners");
    }
    return true;
}

static bool read_answer(const union answer *u, size_t n, uint64_t *ret_id, struct err *e)
{
    const struct inet_diag_msg *m = (const void *)(u->bytes + NLMSG_HDRLEN);
    const struct nlmsgerr *fault = (const void *)(u->bytes + NLMSG_HDRLEN);

    if (u->head.nlmsg_type == NLMSG_ERROR && n >= NLMSG_HDRLEN + sizeof(fault->error)) {
        if (fault->error == -ENOENT) {
            *ret_id = 0;
            return true;
        }
        errno = -fault->error;
        return err_sys(e, "ask the kernel who listens");
    }
    if (u->head.nlmsg_type != SOCK_DIAG_BY_FAMILY || n < NLMSG_HDRLEN + sizeof(*m))
        return err_set(e, "ask the kernel who listens: an answer of type %u and %zu bytes",
                       u->head.nlmsg_type, n);
    *ret_id = (uint64_t)m->id.idiag_cookie[1] << 32 | m->id.idiag_cookie[0];
    return true;
}

bool listener_ask(int fd, const struct sockaddr *sa, uint64_t *ret_id, struct err *e)
{
    union answer u;
    struct ask a;
    ssize_t n;

    if (!fill(&a, sa, e))
        return false;
    while (recv(fd, u.bytes, sizeof(u.bytes), 0) > 0)
        ; /* what an earlier call that failed may have left */
    if (send(fd, &a, sizeof(a), 0) != (ssize_t)sizeof(a))
        return err_sys(e, "ask the kernel who listens");
    n = recv(fd, u.bytes, sizeof(u.bytes), 0); /* the kernel has answered within the send */
    if (n < (ssize_t)NLMSG_HDRLEN)
        return err_sys(e, "ask the kernel who listens");
    return read_answer(&u, (size_t)n, ret_id, e);
}
