#include "acts-service/body.h"

#include "acts-service/check.h"
#include "acts-service/jscan.h"

/* The members of an upload, and of a new user. A member met twice counts with its last value, as
 * common parsers have it. */
enum { F_ID, F_USERNAME, F_TIMESTAMP, F_CAPTION, F_CATEGORY, F_IMAGE, F_MAX };
static const char *const act_key[F_MAX] = {"actId",   "username",     "timestamp",
                                           "caption", "categoryName", "imgB64"};
enum { U_NAME, U_PASSWORD, U_MAX };
static const char *const user_key[U_MAX] = {"username", "password"};

struct field {
    enum jtok tok; /* JT_ERROR: absent */
    struct sv text;
};

/* The members named in keys[0..n) of the object that the text is; `never`, if not NULL, must not be
 * there. */
static bool read_object(char *p, size_t len, const char *const *keys, size_t n, const char *never,
                        struct field *f, struct err *e)
{
    struct jscan j;
    enum jtok tok = JT_ERROR;

    jscan_init(&j, p, len);
    tok = jscan_next(&j);
    if (tok != JT_OBJ)
        return err_set(e, "%s", tok == JT_ERROR ? j.why : "the body must be a JSON object");
    while ((tok = jscan_next(&j)) == JT_KEY) {
        struct sv key = j.text;
        size_t i = 0;

        if (never != NULL && sv_eq(key, never))
            return err_set(e, "%s must not be given", never);
        tok = jscan_next(&j);
        while (i < n && !sv_eq(key, keys[i]))
            i++;
        if (i < n)
            f[i] = (struct field){tok, j.text};
        if (!jscan_skip(&j, tok))
            return err_set(e, "%s", j.why);
    }
    if (tok != JT_OBJ_END || jscan_next(&j) != JT_END)
        return err_set(e, "%s", j.why);
    return true;
}

static bool id_of(enum jtok tok, struct sv text, struct sv *ret, struct err *e)
{
    if ((tok != JT_NUM && tok != JT_STR) || !check_id(text, ret))
        return err_set(e, "an act id must be a whole number that is not negative");
    return true;
}

static bool text_of(const struct field *f, const char *key, struct sv *ret, struct err *e)
{
    if (f->tok != JT_STR)
        return err_set(e, "%s is missing or not a string", key);
    if (!check_text(f->text))
        return err_set(e, "%s must not contain the character NUL", key);
    *ret = f->text;
    return true;
}

static bool image_of(char *body, struct sv text, struct sv *ret, struct err *e)
{
    size_t n = text.n;

    if (!check_base64(body + (text.p - body), &n)) /* the same bytes, writable */
        return err_set(e, "imgB64 must be base64 (RFC 4648 section 4) and not empty");
    *ret = (struct sv){text.p, n};
    return true;
}

bool body_act(char *p, size_t n, struct act_in *ret, struct err *e)
{
    struct field f[F_MAX] = {{JT_ERROR, {NULL, 0}}};
    struct act_in a;

    if (!read_object(p, n, act_key, F_MAX, "upvotes", f, e))
        return false;
    if (f[F_ID].tok == JT_ERROR)
        return err_set(e, "actId is missing");
    if (!id_of(f[F_ID].tok, f[F_ID].text, &a.id, e) ||
        !text_of(&f[F_USERNAME], act_key[F_USERNAME], &a.username, e) ||
        !text_of(&f[F_CAPTION], act_key[F_CAPTION], &a.caption, e) ||
        !text_of(&f[F_CATEGORY], act_key[F_CATEGORY], &a.category, e))
        return false;
    if (a.category.n == 0)
        return err_set(e, "categoryName must not be empty");
    if (a.username.n == 0)
        return err_set(e, "username must not be empty");
    if (f[F_TIMESTAMP].tok != JT_STR || !check_ts(f[F_TIMESTAMP].text, &a.ts))
        return err_set(e, "timestamp must be a real date and time as DD-MM-YYYY:SS-MM-HH");
    if (f[F_IMAGE].tok != JT_STR)
        return err_set(e, "imgB64 is missing or not a string");
    if (!image_of(p, f[F_IMAGE].text, &a.image, e))
        return false;
    *ret = a;
    return true;
}

bool body_user(char *p, size_t n, struct user_in *ret, struct err *e)
{
    struct field f[U_MAX] = {{JT_ERROR, {NULL, 0}}};
    struct user_in u;

    if (!read_object(p, n, user_key, U_MAX, NULL, f, e) ||
        !text_of(&f[U_NAME], user_key[U_NAME], &u.name, e) ||
        !text_of(&f[U_PASSWORD], user_key[U_PASSWORD], &u.password, e))
        return false;
    if (u.name.n == 0)
        return err_set(e, "username must not be empty");
    if (!check_sha1(u.password))
        return err_set(e, "password must be the 40 hexadecimal digits of a SHA-1");
    *ret = u;
    return true;
}

static bool one_element(char *p, size_t n, enum jtok *ret_tok, struct sv *ret, struct err *e)
{
    struct jscan j;
    enum jtok tok = JT_ERROR;

    jscan_init(&j, p, n);
    tok = jscan_next(&j);
    if (tok != JT_ARR)
        return err_set(e, "%s",
                       tok == JT_ERROR ? j.why : "the body must be an array of one element");
    *ret_tok = jscan_next(&j);
    *ret = j.text;
    if (*ret_tok == JT_ARR_END)
        return err_set(e, "the array must have exactly one element");
    if (!jscan_skip(&j, *ret_tok))
        return err_set(e, "%s", j.why);
    tok = jscan_next(&j);
    if (tok == JT_ARR_END)
        tok = jscan_next(&j);
    if (tok != JT_END)
        return err_set(e, "%s",
                       tok == JT_ERROR ? j.why : "the array must have exactly one element");
    return true;
}

bool body_name(char *p, size_t n, const char *what, struct sv *ret, struct err *e)
{
    struct sv text;
    enum jtok tok = JT_ERROR;

    if (!one_element(p, n, &tok, &text, e))
        return false;
    if (tok != JT_STR || text.n == 0)
        return err_set(e, "%s must be a string that is not empty", what);
    if (!check_text(text))
        return err_set(e, "%s must not contain the character NUL", what);
    *ret = text;
    return true;
}

bool body_id(char *p, size_t n, struct sv *ret, struct err *e)
{
    struct sv text;
    enum jtok tok = JT_ERROR;

    return one_element(p, n, &tok, &text, e) && id_of(tok, text, ret, e);
}

bool body_has_name(char *p, size_t n, struct sv name, bool *ret, struct err *e)
{
    struct jscan j;
    enum jtok tok = JT_ERROR;
    bool found = false;

    jscan_init(&j, p, n);
    tok = jscan_next(&j);
    if (tok != JT_ARR)
        return err_set(e, "%s", tok == JT_ERROR ? j.why : "not an array");
    while ((tok = jscan_next(&j)) == JT_STR)
        found = found || (j.text.n == name.n && memcmp(j.text.p, name.p, name.n) == 0);
    if (tok != JT_ARR_END || jscan_next(&j) != JT_END)
        return err_set(e, "%s", j.why != NULL ? j.why : "not an array of strings");
    *ret = found;
    return true;
}
