#include "ctl/lbctl/show.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/str.h"

enum { CELL_MAX = 64, ID_SHOWN = 12 };

/* The columns of the table: their heads, and which are numbers, set to the right. */
enum column {
    COL_SERVICE,
    COL_SLOT,
    COL_PORT,
    COL_CONTAINER,
    COL_STATE,
    COL_HEALTH,
    COL_SINCE,
    COL_REQUESTS,
    COL_IN_FLIGHT,
    COLS
};

static const struct {
    const char *head;
    bool right;
} columns[COLS] = {
    [COL_SERVICE] = {"SERVICE", false},    [COL_SLOT] = {"SLOT", true},
    [COL_PORT] = {"PORT", true},           [COL_CONTAINER] = {"CONTAINER", false},
    [COL_STATE] = {"STATE", false},        [COL_HEALTH] = {"HEALTH", false},
    [COL_SINCE] = {"SINCE", true},         [COL_REQUESTS] = {"REQUESTS", true},
    [COL_IN_FLIGHT] = {"IN-FLIGHT", true},
};

struct row {
    char cell[COLS][CELL_MAX];
};

static const char *str_of(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));

    return s != NULL ? s : "-";
}

static uint64_t num_of(const json_t *o, const char *name)
{
    json_int_t n = json_integer_value(json_object_get(o, name));

    return n > 0 ? (uint64_t)n : 0;
}

const char *show_age(uint64_t ms, char *buf, size_t n)
{
    uint64_t s = ms / 1000;

    if (ms < 1000)
        (void)snprintf(buf, n, "%" PRIu64 "ms", ms);
    else if (s < 60)
        (void)snprintf(buf, n, "%" PRIu64 "s", s);
    else if (s < 3600)
        (void)snprintf(buf, n, "%" PRIu64 "m%02us", s / 60, (unsigned)(s % 60));
    else if (s < 86400)
        (void)snprintf(buf, n, "%" PRIu64 "h%02um", s / 3600, (unsigned)(s / 60 % 60));
    else
        (void)snprintf(buf, n, "%" PRIu64 "d%02uh", s / 86400, (unsigned)(s / 3600 % 24));
    return buf;
}

static void put_str(char cell[CELL_MAX], const char *s)
{
    (void)str_quote(sv_of(s[0] != '\0' ? s : "-"), cell, CELL_MAX);
}

static void put_num(char cell[CELL_MAX], uint64_t n)
{
    (void)snprintf(cell, CELL_MAX, "%" PRIu64, n);
}

static void fill_row(struct row *r, const char *service, const json_t *slot)
{
    char id[ID_SHOWN + 1];

    (void)snprintf(id, sizeof id, "%s", str_of(slot, "id"));
    put_str(r->cell[COL_SERVICE], service);
    put_num(r->cell[COL_SLOT], num_of(slot, "slot"));
    if (num_of(slot, "port") != 0)
        put_num(r->cell[COL_PORT], num_of(slot, "port"));
    else
        put_str(r->cell[COL_PORT], "-");
    put_str(r->cell[COL_CONTAINER], id);
    put_str(r->cell[COL_STATE], str_of(slot, "state"));
    put_str(r->cell[COL_HEALTH], str_of(slot, "health"));
    (void)show_age(num_of(slot, "since_ms"), r->cell[COL_SINCE], CELL_MAX);
    put_num(r->cell[COL_REQUESTS], num_of(slot, "requests"));
    put_num(r->cell[COL_IN_FLIGHT], num_of(slot, "in_flight"));
}

static size_t count_slots(const json_t *services)
{
    const json_t *s;
    size_t i, n = 0;

    json_array_foreach(services, i, s)
    {
        n += json_array_size(json_object_get(s, "slots"));
    }
    return n;
}

static void print_row(struct buf *out, const struct row *r, const size_t width[COLS])
{
    size_t keep;

    for (unsigned c = 0; c < COLS; c++) {
        const char *gap = c > 0 ? "  " : "";

        if (columns[c].right)
            (void)buf_printf(out, "%s%*s", gap, (int)width[c], r->cell[c]);
        else
            (void)buf_printf(out, "%s%-*s", gap, (int)width[c], r->cell[c]);
    }
    for (keep = out->len; keep > 0 && out->data[keep - 1] == ' '; keep--)
        ;
    out->len = keep;
    (void)buf_adds(out, "\n");
}

static void show_table(const json_t *services, struct buf *out)
{
    size_t n = count_slots(services), at = 0, i, k;
    struct row *rows = mem_array(n + 1, sizeof(*rows));
    size_t width[COLS] = {0};
    const json_t *s, *slot;

    for (unsigned c = 0; c < COLS; c++)
        put_str(rows[0].cell[c], columns[c].head);
    json_array_foreach(services, i, s)
    {
        json_array_foreach(json_object_get(s, "slots"), k, slot)
        {
            fill_row(&rows[++at], str_of(s, "name"), slot);
        }
    }
    for (size_t r = 0; r <= at; r++)
        for (unsigned c = 0; c < COLS; c++)
            if (strlen(rows[r].cell[c]) > width[c])
                width[c] = strlen(rows[r].cell[c]);
    for (size_t r = 0; r <= at; r++)
        print_row(out, &rows[r], width);
    mem_free(rows);
}

static void show_scaling(const json_t *s, struct buf *out)
{
    const json_t *sc = json_object_get(s, "scaling"), *last = json_object_get(sc, "last");
    const char *mode = str_of(s, "mode"), *clock = str_of(sc, "clock");
    char q[200], age[32];

    if (strcmp(mode, "fixed") == 0)
        return;
    if (strcmp(mode, "static") == 0) {
        (void)buf_printf(out, "%s: files of ", str_quote(sv_of(str_of(s, "name")), q, sizeof q));
        (void)buf_printf(out, "%s, served by lbd itself, %" PRIu64 " requests\n",
                         str_quote(sv_of(str_of(s, "static")), q, sizeof q), num_of(s, "requests"));
        return;
    }
    (void)buf_printf(
        out, "%s: %s, %" PRIu64 " of %" PRIu64 "..%" PRIu64 " instances, %" PRIu64 " counted",
        str_quote(sv_of(str_of(s, "name")), q, sizeof q), mode, num_of(s, "wish"), num_of(s, "min"),
        num_of(s, "max"), num_of(sc, "count"));
    if (strcmp(clock, "armed") == 0)
        (void)buf_printf(out, "; decision in %s, now it would be %" PRIu64,
                         show_age(num_of(sc, "next_decision_ms"), age, sizeof age),
                         num_of(sc, "would_be"));
    else if (strcmp(clock, "unarmed") == 0)
        (void)buf_adds(out, "; the next request starts the clock");
    else if (json_is_integer(json_object_get(sc, "pin_left_ms")))
        (void)buf_printf(out, "; the pin ends in %s",
                         show_age(num_of(sc, "pin_left_ms"), age, sizeof age));
    else
        (void)buf_adds(out, "; not scaled by load");
    (void)buf_adds(out, "\n");
    if (json_is_object(last))
        (void)buf_printf(out, "  last decision %s ago: %" PRIu64 " -> %" PRIu64 ", %s\n",
                         show_age(num_of(last, "ago_ms"), age, sizeof age), num_of(last, "from"),
                         num_of(last, "to"), str_quote(sv_of(str_of(last, "reason")), q, sizeof q));
}

static void show_daemons(const json_t *doc, struct buf *out)
{
    const json_t *lbd = json_object_get(doc, "lbd"), *engine = json_object_get(doc, "engine");
    char q[200], v[100], age[32];

    if (json_is_true(json_object_get(lbd, "connected")))
        (void)buf_printf(out, "lbd: pid %" PRIu64 ", table %" PRIu64 ", %" PRIu64 " connections",
                         num_of(lbd, "pid"), num_of(lbd, "generation"), num_of(lbd, "connections"));
    else
        (void)buf_printf(out, "lbd: not reached for %s",
                         show_age(num_of(lbd, "since_ms"), age, sizeof age));
    (void)buf_printf(out, "; engine: %s %s", str_of(engine, "runtime"),
                     str_quote(sv_of(str_of(engine, "version")), v, sizeof v));
    if (!json_is_true(json_object_get(engine, "up")))
        (void)buf_printf(out, " does not answer for %s: %s",
                         show_age(num_of(engine, "since_ms"), age, sizeof age),
                         str_quote(sv_of(str_of(engine, "error")), q, sizeof q));
    (void)buf_adds(out, "\n");
}

void show_status(const json_t *doc, struct buf *out)
{
    const json_t *services = json_object_get(doc, "services"),
                 *totals = json_object_get(doc, "totals"), *r, *s;
    char q[700];
    size_t i;

    show_table(services, out);
    (void)buf_printf(out,
                     "\ntotal: %" PRIu64 " of %" PRIu64 " ready, %" PRIu64 " requests, %" PRIu64
                     " in flight; state: %s\n",
                     num_of(totals, "ready"), num_of(totals, "wish"), num_of(totals, "requests"),
                     num_of(totals, "in_flight"),
                     str_quote(sv_of(str_of(doc, "state")), q, sizeof q));
    json_array_foreach(services, i, s)
    {
        show_scaling(s, out);
    }
    show_daemons(doc, out);
    json_array_foreach(json_object_get(doc, "reasons"), i, r)
    {
        const char *text = json_string_value(r);

        (void)buf_printf(out, "! %s\n", str_quote(sv_of(text != NULL ? text : "-"), q, sizeof q));
    }
}

static void show_change(const json_t *row, struct buf *out)
{
    const char *change = str_of(row, "change");
    const json_t *key;
    uint64_t n = num_of(row, "instances");
    char q[200];
    size_t i;

    (void)buf_printf(out, "%s: %s", str_quote(sv_of(str_of(row, "name")), q, sizeof q), change);
    json_array_foreach(json_object_get(row, "keys"), i, key)
    {
        (void)buf_printf(out, "%s%s", i == 0 ? " (" : ", ",
                         str_quote(sv_of(json_string_value(key)), q, sizeof q));
    }
    if (i > 0)
        (void)buf_adds(out, ")");
    if (strcmp(change, "recreated") == 0)
        (void)buf_printf(out, ": %" PRIu64 " rolled one at a time, %s", n,
                         json_is_true(json_object_get(row, "surge"))
                             ? "beside one more where a port is free"
                             : "in place");
    else if (strcmp(change, "removed") == 0)
        (void)buf_printf(out, ": %" PRIu64 " drained and removed", n);
    else if (strcmp(change, "added") == 0)
        (void)buf_printf(out, ": %" PRIu64 " started", n);
    (void)buf_adds(out, "\n");
}

void show_plan(const json_t *plan, struct buf *out)
{
    const json_t *row, *key;
    char q[200];
    size_t i;

    json_array_foreach(json_object_get(plan, "services"), i, row)
    {
        show_change(row, out);
    }
    json_array_foreach(json_object_get(plan, "lbd"), i, key)
    {
        (void)buf_printf(out, "%s: lbd reads it when it starts: restart lbd\n",
                         str_quote(sv_of(json_string_value(key)), q, sizeof q));
    }
    if (!json_is_true(json_object_get(plan, "changes")) &&
        json_array_size(json_object_get(plan, "errors")) == 0)
        (void)buf_adds(out, "nothing to do: the file says what is in force\n");
}

/* A drain record in words: what the stop after it stands on. */
static void show_receipt(const json_t *in, struct buf *out)
{
    char took[32];

    if (json_object_get(in, "generation") == NULL)
        return;
    (void)buf_printf(out,
                     " (table %" PRIu64 ", %" PRIu64 " in flight at the mark, %" PRIu64
                     " after %s, %" PRIu64 " requests after the mark)",
                     num_of(in, "generation"), num_of(in, "in_flight_at_mark"),
                     num_of(in, "in_flight"), show_age(num_of(in, "took_ms"), took, sizeof took),
                     num_of(in, "after_mark"));
}

void show_event(const json_t *event, struct buf *out)
{
    const json_t *slot = json_object_get(event, "slot");
    char at[64], who[100], what[64], q[1300];

    (void)str_quote(sv_of(str_of(event, "at")), at, sizeof at);
    (void)str_quote(sv_of(str_of(event, "service")), who, sizeof who);
    (void)buf_printf(out, "%s  %s", at, who);
    if (json_is_integer(slot))
        (void)buf_printf(out, "/%" PRIu64, num_of(event, "slot"));
    (void)buf_printf(out, "  %s", str_quote(sv_of(str_of(event, "kind")), what, sizeof what));
    (void)buf_printf(out, "  %s [%s]", str_quote(sv_of(str_of(event, "text")), q, sizeof q),
                     str_quote(sv_of(str_of(event, "code")), what, sizeof what));
    show_receipt(json_object_get(event, "inputs"), out);
    if (strcmp(str_of(event, "kind"), "stop") == 0 &&
        num_of(json_object_get(event, "inputs"), "receipt") > 0)
        (void)buf_printf(out, " (receipt: event %" PRIu64 ")",
                         num_of(json_object_get(event, "inputs"), "receipt"));
    (void)buf_adds(out, "\n");
}
