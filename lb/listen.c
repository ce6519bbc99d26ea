#include "lb/listen.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/str.h"

enum { PROC_FILE_MAX = 16 << 20 };

bool listen_parse(const char *text, struct conf_addr *ret, struct err *e)
{
    static const char proxy[] = " proxy";
    const char *colon = strrchr(text, ':'), *end = strstr(text, proxy);
    struct in6_addr any;
    struct sv host, digits;
    uint64_t port;

    ret->proxy = end != NULL && end[sizeof(proxy) - 1] == '\0';
    if (colon == NULL)
        return err_set(e, "'%s' must be ADDRESS:PORT, such as 0.0.0.0:80", text);
    host = (struct sv){text, (size_t)(colon - text)};
    if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']') {
        host.p++;
        host.n -= 2;
    }
    digits = sv_of(colon + 1);
    if (ret->proxy)
        digits.n -= sizeof(proxy) - 1;
    if (host.n == 0 || host.n >= sizeof(ret->host) || !str_to_u64(digits, 1, 65535, &port, NULL))
        return err_set(e, "'%s' must be ADDRESS:PORT, such as 0.0.0.0:80", text);
    memcpy(ret->host, host.p, host.n);
    ret->host[host.n] = '\0';
    ret->port = (uint16_t)port;
    if (inet_pton(AF_INET, ret->host, &any) != 1 && inet_pton(AF_INET6, ret->host, &any) != 1)
        return err_set(e, "'%s' is no IPv4 or IPv6 address", ret->host);
    return true;
}

void listen_format(const struct conf_addr *a, char *buf, size_t n)
{
    snprintf(buf, n, strchr(a->host, ':') != NULL ? "[%s]:%u%s" : "%s:%u%s", a->host, a->port,
             a->proxy ? " proxy" : "");
}

/* ---- who holds a port ---- */

/* The next word of a line, divided by blanks; n == 0: none. */
static struct sv next_word(struct sv *rest)
{
    struct sv word;

    while (rest->n > 0 && *rest->p == ' ') {
        rest->p++;
        rest->n--;
    }
    word = (struct sv){rest->p, 0};
    while (rest->n > 0 && *rest->p != ' ') {
        rest->p++;
        rest->n--;
        word.n++;
    }
    return word;
}

/* A line of /proc/net/tcp: "sl local_address rem_address st queues tr retrnsmt uid timeout inode
 * ...". Is it a listening socket (st 0A) on the port? */
static bool line_matches(struct sv line, uint16_t port, uint64_t *ret_inode)
{
    struct sv word[10];
    char want[6];

    snprintf(want, sizeof(want), ":%04X", port);
    for (unsigned i = 0; i < ARRAY_LEN(word); i++)
        word[i] = next_word(&line);
    return word[1].n > 5 && memcmp(word[1].p + word[1].n - 5, want, 5) == 0 &&
           sv_eq(word[3], "0A") && str_to_u64(word[9], 1, UINT64_MAX, ret_inode, NULL);
}

static bool find_inode(const char *path, uint16_t port, uint64_t *ret)
{
    AUTO(mem_freep) char *text = NULL;
    size_t n;
    const char *p;

    if (!file_read(path, PROC_FILE_MAX, &text, &n, NULL))
        return false;
    for (p = text; *p != '\0';) {
        const char *nl = strchr(p, '\n');
        struct sv line = {p, nl != NULL ? (size_t)(nl - p) : strlen(p)};

        if (line_matches(line, port, ret))
            return true;
        p += line.n + (nl != NULL);
    }
    return false;
}

static bool holds(const char *pid, const char *link_text)
{
    char dir_path[64], path[400], text[64];
    struct dirent *d;
    bool found = false;
    DIR *dir;

    snprintf(dir_path, sizeof(dir_path), "/proc/%.16s/fd", pid);
    dir = opendir(dir_path);
    if (dir == NULL)
        return false;
    while (!found && (d = readdir(dir)) != NULL) {
        ssize_t n;

        snprintf(path, sizeof(path), "%s/%s", dir_path, d->d_name);
        n = readlink(path, text, sizeof(text) - 1);
        if (n > 0) {
            text[n] = '\0';
            found = strcmp(text, link_text) == 0;
        }
    }
    closedir(dir);
    return found;
}

/* "nginx (pid 12)", or "" */
static void find_holder(uint16_t port, char *buf, size_t n)
{
    uint64_t inode;
    char want[40];
    struct dirent *d;
    DIR *proc;

    buf[0] = '\0';
    if (!find_inode("/proc/net/tcp", port, &inode) && !find_inode("/proc/net/tcp6", port, &inode))
        return;
    snprintf(want, sizeof(want), "socket:[%" PRIu64 "]", inode);
    proc = opendir("/proc");
    if (proc == NULL)
        return;
    while (buf[0] == '\0' && (d = readdir(proc)) != NULL) {
        AUTO(mem_freep) char *name = NULL;
        char path[64];
        size_t len;

        if (d->d_name[0] < '1' || d->d_name[0] > '9' || !holds(d->d_name, want))
            continue;
        snprintf(path, sizeof(path), "/proc/%.16s/comm", d->d_name);
        if (file_read(path, 64, &name, &len, NULL) && len > 0)
            snprintf(buf, n, "%.*s (pid %.16s)", (int)len - 1, name, d->d_name);
    }
    closedir(proc);
}

/* ---- sockets ---- */

static int open_one(const struct conf_addr *a, bool v6_only, bool share, bool accepting)
{
    struct sockaddr_storage sa = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)&sa;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)&sa;
    socklen_t len = sizeof(*v4);
    int one = 1, only = v6_only, fd, saved;

    if (inet_pton(AF_INET, a->host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(a->port);
    } else if (inet_pton(AF_INET6, a->host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(a->port);
        len = sizeof(*v6);
    } else {
        errno = EINVAL;
        return -1;
    }
    fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* what it accepts inherits it */
    if (sa.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only));
    if (share)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)(void *)&sa, len) == 0 &&
        (!accepting || listen(fd, LISTEN_BACKLOG) == 0))
        return fd;
    saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static bool explain(const struct conf_addr *a, struct err *e)
{
    char text[80], holder[80];
    int error = errno;

    listen_format(a, text, sizeof(text));
    if (error == EADDRINUSE) {
        find_holder(a->port, holder, sizeof(holder));
        return err_set(
            e,
            "cannot listen on %s: the port is in use%s%s; stop that program or choose another port "
            "(listen: in the configuration, or --listen)",
            text, holder[0] != '\0' ? " by " : "", holder);
    }
    if (error == EACCES)
        return err_set(e, "cannot listen on %s: ports below 1024 need root or CAP_NET_BIND_SERVICE",
                       text);
    errno = error;
    return err_sys(e, "listen on %s", text);
}

bool listen_open(const struct conf_addr *a, bool v6_only, unsigned n, int *ret_fds, struct err *e)
{
    /* Sockets that share a port let any process of the same user join in: first make sure that
     * nobody has it. */
    int probe = open_one(a, v6_only, false, false);

    if (probe < 0)
        return explain(a, e);
    close(probe);
    for (unsigned i = 0; i < n; i++) {
        ret_fds[i] = open_one(a, v6_only, true, true);
        if (ret_fds[i] < 0) {
            explain(a, e);
            while (i-- > 0)
                close(ret_fds[i]);
            return false;
        }
    }
    return true;
}
