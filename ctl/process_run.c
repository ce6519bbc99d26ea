#include "ctl/process_run.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "ctl/process_box.h"

enum { RUN_FAILED = 127, ID_MAX = INT32_MAX };

/* The lock stays open in the program and its children: no O_CLOEXEC. */
static bool take_lock(const char *dir)
{
    AUTO(mem_freep) char *path = mem_printf("%s/lock", dir);
    int fd = open(path, O_RDONLY | O_CREAT, 0600); /* NOLINT: inherited on purpose */

    return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0;
}

static bool open_output(const char *dir)
{
    AUTO(mem_freep) char *path = mem_printf("%s/out.log", dir);
    int out = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    int in = open("/dev/null", O_RDONLY | O_CLOEXEC);

    return out >= 0 && in >= 0 && dup2(in, 0) == 0 && dup2(out, 1) == 1 && dup2(out, 2) == 2;
}

static bool write_pid(const char *dir)
{
    AUTO(mem_freep) char *path = mem_printf("%s/pid", dir);
    AUTO(mem_freep)
    char *text = mem_printf("%d %llu %s\n", (int)getpid(),
                            (unsigned long long)box_started(getpid()), clock_boot_id());

    return file_write_atomic(path, text, strlen(text), 0600, NULL);
}

static bool limit(int what, uint64_t n)
{
    const struct rlimit r = {n, n};

    return n == 0 || setrlimit((__rlimit_resource_t)what, &r) == 0;
}

static bool set_limits(const struct box *b)
{
    const struct rlimit none = {0, 0};

    return limit(RLIMIT_AS, box_uint(b, "mem_limit")) &&
           limit(RLIMIT_NPROC, box_uint(b, "pids_limit")) && setrlimit(RLIMIT_CORE, &none) == 0 &&
           prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

/* USER, UID, USER:GROUP or UID:GID. */
static bool find_user(const char *text, uid_t *ret_uid, gid_t *ret_gid)
{
    const char *colon = strchr(text, ':');
    AUTO(mem_freep)
    char *user = mem_strndup(text, colon != NULL ? (size_t)(colon - text) : strlen(text));
    const struct passwd *pw = getpwnam(user);
    const struct group *gr = colon != NULL ? getgrnam(colon + 1) : NULL;
    uint64_t uid = 0, gid = 0;

    if (pw == NULL && !str_to_u64(sv_of(user), 0, ID_MAX, &uid, NULL))
        return false;
    if (pw != NULL) {
        uid = pw->pw_uid;
        gid = pw->pw_gid;
    } else {
        gid = uid;
    }
    if (gr != NULL)
        gid = gr->gr_gid;
    else if (colon != NULL && !str_to_u64(sv_of(colon + 1), 0, ID_MAX, &gid, NULL))
        return false;
    *ret_uid = (uid_t)uid;
    *ret_gid = (gid_t)gid;
    return true;
}

static bool become(const char *user)
{
    uid_t uid = 0;
    gid_t gid = 0;

    if (user[0] == '\0')
        return true;
    if (!find_user(user, &uid, &gid)) {
        errno = ENOENT;
        return false;
    }
    return setgroups(1, &gid) == 0 && setgid(gid) == 0 && setuid(uid) == 0;
}

/* The strings of a member, ended by NULL; they live as long as the process. */
static char **strings(const struct box *b, const char *key)
{
    const json_t *list = json_object_get(b->meta, key), *item;
    char **v = mem_array(json_array_size(list) + 2, sizeof(*v));
    size_t i;

    json_array_foreach(list, i, item)
    {
        v[i] = mem_strdup(json_string_value(item));
    }
    return v;
}

static char **environment(const struct box *b)
{
    char **env = strings(b, "env");
    size_t n = 0;

    for (; env[n] != NULL; n++)
        if (strncmp(env[n], "PATH=", 5) == 0)
            return env;
    env[n] = mem_strdup("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    return env;
}

static int failed(const char *what)
{
    (void)fprintf(stderr, "lbctl: %s: %s\n", what, strerror(errno));
    return RUN_FAILED;
}

int process_run(const char *dir)
{
    const char *slash = strrchr(dir, '/');
    AUTO(mem_freep) char *base = mem_strndup(dir, slash != NULL ? (size_t)(slash - dir) : 0);
    struct box b;
    struct err e;
    char **argv;

    if (slash == NULL || !box_read(base, slash + 1, &b, &e))
        return failed("this is no instance's directory");
    if (b.state != RT_CREATED || !take_lock(dir))
        return 0; /* somebody was faster */
    (void)umask(022);
    if (!open_output(dir))
        return failed("the output cannot be written");
    if (!set_limits(&b))
        return failed("the limits cannot be set");
    if (!write_pid(dir))
        return failed("the process cannot be recorded");
    if (!become(box_str(&b, "user")))
        return failed("cannot become that user");
    argv = strings(&b, "argv");
    if (argv[0] == NULL || chdir("/") < 0)
        return failed("no command");
    (void)execvpe(argv[0], argv, environment(&b));
    return failed(argv[0]);
}
