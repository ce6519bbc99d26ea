#include "ctl/docker_progress.h"

#include <stdio.h>
#include <string.h>

#include "common/base/str.h"
#include "ctl/docker_json.h"

/* ---- the question ---- */

static bool is_id(const char *image)
{
    static const char algorithm[] = "sha256:";

    return sv_starts(sv_of(image), algorithm) &&
           strspn(image + sizeof(algorithm) - 1, "0123456789abcdef") == DOCKER_ID_MAX &&
           strlen(image) == sizeof(algorithm) - 1 + DOCKER_ID_MAX;
}

bool docker_pull_target(const char *image, struct buf *ret, struct err *e)
{
    const char *digest = strchr(image, '@'), *slash, *colon, *tag;
    size_t name_n = digest != NULL ? (size_t)(digest - image) : strlen(image);

    if (is_id(image))
        return err_set(e, "an image's id cannot be pulled; write NAME:TAG or NAME@DIGEST");
    slash = memrchr(image, '/', name_n);
    colon = memrchr(slash != NULL ? slash : image, ':',
                    name_n - (slash != NULL ? (size_t)(slash - image) : 0));
    tag = colon != NULL ? colon + 1 : "latest";
    if (digest != NULL)
        tag = digest + 1;
    if (colon != NULL)
        name_n = (size_t)(colon - image);
    if (name_n == 0 || tag[0] == '\0' || tag == digest)
        return err_set(e, "this is no name of an image; write NAME:TAG or NAME@DIGEST");
    (void)buf_adds(ret, "/images/create?fromImage=");
    docker_encode(ret, image, name_n);
    (void)buf_adds(ret, "&tag=");
    docker_encode(ret, tag, strcspn(tag, "@"));
    return !ret->over || err_set(e, "the image's name is too long");
}

bool docker_look_target(const char *image, struct buf *ret, struct err *e)
{
    (void)buf_adds(ret, "/images/");
    docker_encode(ret, image, strlen(image));
    (void)buf_adds(ret, "/json");
    return !ret->over || err_set(e, "the image's name is too long");
}

/* ---- the answer ---- */

void docker_progress_init(struct docker_progress *p)
{
    *p = (struct docker_progress){.line = ""};
    json_stream_init(&p->in, "pull", DOCKER_PROGRESS_OBJECT_MAX);
}

void docker_progress_fini(struct docker_progress *p)
{
    json_stream_fini(&p->in);
}

static const char *member(const json_t *obj, const char *key)
{
    return json_string_value(json_object_get(obj, key));
}

/* "1a2b: Downloading, 3 of 7 MB" */
static void take_line(struct docker_progress *p, const json_t *root, const char *status)
{
    const json_t *detail = json_object_get(root, "progressDetail");
    json_int_t current = json_integer_value(json_object_get(detail, "current"));
    json_int_t total = json_integer_value(json_object_get(detail, "total"));
    const char *id = member(root, "id");
    char text[DOCKER_PROGRESS_LINE_MAX];
    int n = snprintf(text, sizeof(text), "%.40s%s%.60s", id != NULL ? id : "",
                     id != NULL ? ": " : "", status);

    if (current > 0 && total > 0 && n > 0 && (size_t)n < sizeof(text)) {
        bool small = total < 10 * 1000 * 1000;
        json_int_t unit = small ? 1000 : 1000 * 1000;

        (void)snprintf(text + n, sizeof(text) - (size_t)n, ", %lld of %lld %s",
                       (long long)(current / unit), (long long)(total / unit), small ? "kB" : "MB");
    }
    docker_printable(sv_of(text), p->line, sizeof(p->line));
}

static void on_object(void *arg, const json_t *root) /* json_stream_fn */
{
    struct docker_progress *p = arg;
    const char *status = member(root, "status"), *error = member(root, "error");

    if (error == NULL)
        error = member(json_object_get(root, "errorDetail"), "message");
    if (error == NULL &&
        (json_object_get(root, "error") != NULL || json_object_get(root, "errorDetail") != NULL))
        error = "an error without words";
    if (error != NULL && p->error[0] == '\0')
        docker_printable(sv_of(error[0] != '\0' ? error : "an error without words"), p->error,
                         sizeof(p->error));
    if (status != NULL)
        take_line(p, root, status);
}

bool docker_progress_feed(struct docker_progress *p, const char *data, size_t n, struct err *e)
{
    return json_stream_feed(&p->in, data, n, on_object, p, e);
}

bool docker_progress_end(const struct docker_progress *p, struct err *e)
{
    if (p->error[0] != '\0')
        return err_set(e, "%s", p->error);
    return !json_stream_is_cut(&p->in) ||
           err_set(e, "the engine's answer ended in the middle of an object");
}
