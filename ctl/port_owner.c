#include "ctl/port_owner.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/str.h"

enum { FIELD_LOCAL = 1, FIELD_STATE = 3, FIELD_INODE = 9, FIELDS = 10, LINE_LEN = 512 };

/* The next word of a line that words and blanks make up. */
static char *next_word(char **at)
{
    char *w;

    do
        w = strsep(at, " \n");
    while (w != NULL && w[0] == '\0');
    return w;
}

/* A line of /proc/net/tcp: does it listen on the port (four hex digits behind a colon)? Its inode.
 */
static bool take_line(char *line, const char *port, char *inode, size_t n)
{
    char *word[FIELDS] = {NULL}, *at = line;

    for (unsigned i = 0; i < FIELDS; i++)
        if ((word[i] = next_word(&at)) == NULL)
            return false;
    if (strcmp(word[FIELD_STATE], "0A") != 0 || strlen(word[FIELD_LOCAL]) < 5 ||
        strcmp(word[FIELD_LOCAL] + strlen(word[FIELD_LOCAL]) - 5, port) != 0)
        return false;
    (void)snprintf(inode, n, "socket:[%s]", word[FIELD_INODE]);
    return true;
}

static bool find_socket(const char *path, const char *port, char *inode, size_t n)
{
    FILE *f = fopen(path, "re");
    char line[LINE_LEN];
    bool found = false;

    for (unsigned i = 0; f != NULL && !found && i < PORT_OWNER_LINES_MAX; i++) {
        if (fgets(line, sizeof line, f) == NULL)
            break;
        found = take_line(line, port, inode, n);
    }
    if (f != NULL)
        (void)fclose(f);
    return found;
}

static bool has_socket(const char *pid, const char *inode, unsigned *links)
{
    char path[64], target[64];
    const struct dirent *d;
    bool found = false;
    DIR *dir;

    (void)snprintf(path, sizeof path, "/proc/%.20s/fd", pid);
    dir = opendir(path);
    while (dir != NULL && !found && *links < PORT_OWNER_LINKS_MAX && (d = readdir(dir)) != NULL) {
        ssize_t got = readlinkat(dirfd(dir), d->d_name, target, sizeof target - 1);

        ++*links;
        if (got > 0) {
            target[got] = '\0';
            found = strcmp(target, inode) == 0;
        }
    }
    if (dir != NULL)
        (void)closedir(dir);
    return found;
}

static void name_process(const char *pid, char *buf, size_t n)
{
    char path[64], name[32] = "", q[64];
    FILE *f;

    (void)snprintf(path, sizeof path, "/proc/%.20s/comm", pid);
    f = fopen(path, "re");
    if (f != NULL) {
        if (fgets(name, sizeof name, f) != NULL)
            name[strcspn(name, "\n")] = '\0';
        (void)fclose(f);
    }
    (void)snprintf(buf, n, "pid %.20s (%s)", pid,
                   name[0] != '\0' ? str_quote(sv_of(name), q, sizeof q) : "ended meanwhile");
}

const char *port_owner(uint16_t port, char *buf, size_t n)
{
    char hex[8], inode[64];
    const struct dirent *d;
    unsigned links = 0;
    DIR *proc;

    buf[0] = '\0';
    (void)snprintf(hex, sizeof hex, ":%04X", port);
    if (!find_socket("/proc/net/tcp", hex, inode, sizeof inode) &&
        !find_socket("/proc/net/tcp6", hex, inode, sizeof inode))
        return buf;
    (void)snprintf(buf, n, "a process that we may not see");
    proc = opendir("/proc");
    while (proc != NULL && (d = readdir(proc)) != NULL) {
        if (d->d_name[0] < '1' || d->d_name[0] > '9' || !has_socket(d->d_name, inode, &links))
            continue;
        name_process(d->d_name, buf, n);
        break;
    }
    if (proc != NULL)
        (void)closedir(proc);
    return buf;
}
