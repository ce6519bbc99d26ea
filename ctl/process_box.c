#include "ctl/process_box.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"

enum { STAT_MAX = 1024, STAT_STATE = 3, STAT_STARTED = 22, PID_MAX = 4194304, COPY_BYTES = 65536 };

static void path_of(char ret[BOX_PATH_MAX], const char *dir, const char *file)
{
    (void)snprintf(ret, BOX_PATH_MAX, "%s/%s", dir, file);
}

/* ---- processes ---- */

/* The n-th word (from 1) of /proc/PID/stat; the second one, in parentheses, may hold blanks. */
static bool stat_word(const char *text, unsigned n, struct sv *ret)
{
    const char *p = strrchr(text, ')');

    if (p == NULL)
        return false;
    for (unsigned i = 2; i < n; i++) {
        p = strchr(p, ' ');
        if (p == NULL)
            return false;
        p++;
    }
    *ret = (struct sv){p, strcspn(p, " \n")};
    return true;
}

static bool read_stat(pid_t pid, char *ret_state, uint64_t *ret_started)
{
    char path[64];
    AUTO(mem_freep) char *text = NULL;
    struct sv state, started;
    size_t n = 0;

    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (!file_read(path, STAT_MAX, &text, &n, NULL) || !stat_word(text, STAT_STATE, &state) ||
        !stat_word(text, STAT_STARTED, &started) || state.n != 1)
        return false;
    *ret_state = state.p[0];
    return str_to_u64(started, 0, UINT64_MAX, ret_started, NULL);
}

uint64_t box_started(pid_t pid)
{
    uint64_t started = 0;
    char state;

    return read_stat(pid, &state, &started) ? started : 0;
}

bool box_alive(pid_t pid, uint64_t started, bool *ret_stopped)
{
    uint64_t now = 0;
    char state = 'X';

    if (pid <= 0 || !read_stat(pid, &state, &now) || now != started)
        return false;
    *ret_stopped = state == 'T';
    return state != 'Z' && state != 'X';
}

/* ---- making ---- */

static void add_strs(json_t *argv, const struct conf_strs *v)
{
    for (size_t i = 0; i < v->n; i++)
        (void)json_array_append_new(argv, json_string(v->v[i]));
}

static json_t *build_meta(const struct rt_spec *spec)
{
    const struct conf_service *s = spec->service;
    json_t *argv = json_array(), *env = json_array();

    add_strs(argv, &s->entrypoint);
    add_strs(argv, &s->command);
    for (size_t i = 0; i < s->environment.n; i++)
        (void)json_array_append_new(
            env, json_sprintf("%s=%s", s->environment.v[i].key,
                              s->environment.v[i].value != NULL ? s->environment.v[i].value : ""));
    (void)json_array_append_new(
        env, json_sprintf("PORT=%u", spec->host_port != 0 ? spec->host_port : s->port));
    return json_pack(
        "{s:s, s:s, s:i, s:I, s:s, s:s, s:i, s:o, s:o, s:s, s:s, s:I, s:I, s:I, s:i}", "project",
        spec->project, "service", s->name, "slot", (int)spec->slot, "generation",
        (json_int_t)spec->generation, "token", spec->token, "conf_hash", spec->conf_hash, "port",
        (int)spec->host_port, "argv", argv, "env", env, "user", s->user != NULL ? s->user : "",
        "stop_signal", s->stop_signal != NULL ? s->stop_signal : "SIGTERM", "mem_limit",
        (json_int_t)s->mem_limit, "pids_limit", (json_int_t)s->pids_limit, "log_max_size",
        (json_int_t)s->log_max_size, "log_max_files", (int)s->log_max_files);
}

/* Also what a crash left half made, or half removed. */
static bool remove_tree(const char *dir, struct err *e)
{
    DIR *d = opendir(dir);
    const struct dirent *entry;

    if (d == NULL)
        return errno == ENOENT || err_sys(e, "%s", dir);
    while ((entry = readdir(d)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            (void)unlinkat(dirfd(d), entry->d_name, 0);
    (void)closedir(d);
    return rmdir(dir) == 0 || errno == ENOENT || err_sys(e, "%s", dir);
}

bool box_create(const char *base, const struct rt_spec *spec, struct err *e)
{
    char draft[BOX_PATH_MAX], dir[BOX_PATH_MAX], path[BOX_PATH_MAX];
    json_t *meta = build_meta(spec);
    AUTO(mem_freep) char *text = meta != NULL ? json_dumps(meta, JSON_INDENT(1)) : NULL;
    bool ok;

    json_decref(meta);
    if (text == NULL)
        return err_set(e, "a text of service '%s' is no UTF-8", spec->service->name);
    (void)snprintf(draft, sizeof draft, "%s/.%s", base, spec->token);
    path_of(dir, base, spec->token);
    path_of(path, draft, "meta.json");
    ok = remove_tree(draft, e) && file_mkdir_p(draft, 0700, e) &&
         file_write_atomic(path, text, strlen(text), 0600, e);
    if (ok && rename(draft, dir) < 0)
        ok = err_sys(e, "%s", dir);
    if (!ok)
        (void)remove_tree(draft, NULL);
    return ok;
}

/* ---- reading ---- */

const char *box_str(const struct box *b, const char *key)
{
    const char *s = json_string_value(json_object_get(b->meta, key));

    return s != NULL ? s : "";
}

uint64_t box_uint(const struct box *b, const char *key)
{
    json_int_t n = json_integer_value(json_object_get(b->meta, key));

    return n > 0 ? (uint64_t)n : 0;
}

/* "PID STARTED BOOT" */
static bool read_pid(struct box *b)
{
    char path[BOX_PATH_MAX], *save = NULL, *word[3] = {NULL};
    AUTO(mem_freep) char *text = NULL;
    uint64_t pid = 0;
    size_t n = 0;

    path_of(path, b->dir, "pid");
    if (!file_read(path, STAT_MAX, &text, &n, NULL))
        return false;
    save = text;
    for (size_t i = 0; i < ARRAY_LEN(word); i++)
        word[i] = strsep(&save, " \n");
    if (word[2] == NULL || !str_to_u64(sv_of(word[0]), 1, PID_MAX, &pid, NULL) ||
        !str_to_u64(sv_of(word[1]), 0, UINT64_MAX, &b->started, NULL))
        return false;
    b->pid = strcmp(word[2], clock_boot_id()) == 0 ? (pid_t)pid : -1; /* -1: before a reboot */
    return true;
}

static bool is_locked(const struct box *b)
{
    char path[BOX_PATH_MAX];
    bool locked;
    int fd;

    path_of(path, b->dir, "lock");
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    locked = flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
    (void)close(fd);
    return locked;
}

static int read_exit(const struct box *b)
{
    char path[BOX_PATH_MAX];
    AUTO(mem_freep) char *text = NULL;
    uint64_t code;
    size_t n = 0;

    path_of(path, b->dir, "exit");
    if (!file_read(path, STAT_MAX, &text, &n, NULL) ||
        !str_to_u64((struct sv){text, n}, 0, BOX_EXIT_UNKNOWN, &code, NULL))
        return BOX_EXIT_UNKNOWN;
    return (int)code;
}

static void read_state(struct box *b)
{
    bool stopped = false;

    if (!read_pid(b)) {
        b->pid = 0;
        b->state = is_locked(b) ? RT_RUNNING : RT_CREATED;
    } else if (box_alive(b->pid, b->started, &stopped)) {
        b->state = stopped ? RT_PAUSED : RT_RUNNING;
    } else {
        b->state = RT_EXITED;
        b->exit_code = read_exit(b);
    }
}

bool box_read(const char *base, const char *id, struct box *ret, struct err *e)
{
    struct box b = {0};
    char path[BOX_PATH_MAX];
    AUTO(mem_freep) char *text = NULL;
    size_t n = 0;

    if (id[0] == '.' || id[0] == '\0' || strchr(id, '/') != NULL || strlen(id) > BOX_ID_MAX)
        return err_set(e, "this is no id of an instance");
    (void)snprintf(b.id, sizeof b.id, "%s", id);
    path_of(b.dir, base, id);
    path_of(path, b.dir, "meta.json");
    if (!file_read(path, BOX_META_MAX, &text, &n, e))
        return false;
    b.meta = json_loadb(text, n, 0, NULL);
    if (b.meta == NULL || box_str(&b, "token")[0] == '\0') {
        json_decref(b.meta);
        return err_set(e, "%s is damaged", path);
    }
    read_state(&b);
    *ret = b;
    return true;
}

void box_fini(struct box *b)
{
    json_decref(b->meta);
    b->meta = NULL;
}

bool box_remove(const struct box *b, struct err *e)
{
    char meta[BOX_PATH_MAX];

    /* First what makes it an instance: a half removed one is none. */
    path_of(meta, b->dir, "meta.json");
    if (unlink(meta) < 0 && errno != ENOENT)
        return err_sys(e, "%s", meta);
    return remove_tree(b->dir, e);
}

void box_write_exit(const struct box *b, int code)
{
    char path[BOX_PATH_MAX], digits[16];
    struct err e;

    path_of(path, b->dir, "exit");
    (void)snprintf(digits, sizeof digits, "%d", code);
    if (!file_write_atomic(path, digits, strlen(digits), 0600, &e))
        log_warn("exit code not saved", "reason=\"%s\"", e.msg);
}

char **box_ids(const char *base)
{
    char **ids = mem_array(1, sizeof(*ids));
    DIR *d = opendir(base);
    const struct dirent *entry;
    size_t n = 0;

    while (d != NULL && (entry = readdir(d)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        ids = mem_grow(ids, n + 2, sizeof(*ids));
        ids[n++] = mem_strdup(entry->d_name);
        ids[n] = NULL;
    }
    if (d != NULL)
        (void)closedir(d);
    return ids;
}

void box_free_ids(char **ids)
{
    for (size_t i = 0; ids[i] != NULL; i++)
        mem_free(ids[i]);
    mem_free(ids);
}

/* ---- output ---- */

static bool copy_bytes(int from, int to)
{
    AUTO(mem_freep) char *bytes = mem_zalloc(COPY_BYTES);
    ssize_t n;

    while ((n = read(from, bytes, COPY_BYTES)) > 0)
        if (write(to, bytes, (size_t)n) != n)
            return false;
    return n == 0;
}

static bool copy_and_empty(const char *log, const char *to)
{
    int from = open(log, O_RDWR | O_CLOEXEC), into = -1;
    bool ok = false;

    if (from >= 0)
        into = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    /* Emptied whether or not the copy could be written: a full disk must not grow fuller. */
    if (into >= 0)
        ok = copy_bytes(from, into);
    ok = from >= 0 && ftruncate(from, 0) == 0 && ok;
    if (into >= 0)
        (void)close(into);
    if (from >= 0)
        (void)close(from);
    return ok;
}

void box_rotate(const struct box *b)
{
    uint64_t files = box_uint(b, "log_max_files"), max = box_uint(b, "log_max_size");
    AUTO(mem_freep) char *first = NULL;
    char log[BOX_PATH_MAX];
    struct stat st;

    path_of(log, b->dir, "out.log");
    if (max == 0 || stat(log, &st) < 0 || (uint64_t)st.st_size < max)
        return;
    for (uint64_t i = files > 1 ? files - 1 : 1; i > 1; i--) {
        AUTO(mem_freep) char *from = mem_printf("%s.%llu", log, (unsigned long long)i - 1);
        AUTO(mem_freep) char *to = mem_printf("%s.%llu", log, (unsigned long long)i);

        (void)rename(from, to);
    }
    first = mem_printf("%s.1", log);
    if (!copy_and_empty(log, files > 1 ? first : "/dev/null"))
        log_warn("output not rotated", "file=%s reason=\"%s\"", log, strerror(errno));
}
