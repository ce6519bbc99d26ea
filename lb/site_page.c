#include "common/base/buf.h"
#include "lb/site.h"

static const char page_head[] =
    "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta http-equiv=\"refresh\" content=\"5\">\n<title>lbctl</title>\n<style>\n"
    ":root{color-scheme:light "
    "dark;--bg:#f6f7f9;--card:#fff;--ink:#1c2330;--dim:#667085;--line:#e4e7ec;"
    "--ok:#067647;--bad:#b42318}\n"
    "@media(prefers-color-scheme:dark){:root{--bg:#0f1319;--card:#171d26;--ink:#e6eaf0;--dim:#"
    "94a0b3;"
    "--line:#283141;--ok:#47cd89;--bad:#f97066}}\n"
    "body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.5 system-ui,sans-serif}\n"
    "main{max-width:44rem;margin:3rem auto;padding:0 1rem}\n"
    "h1{font-size:1.5rem;margin:0 0 .25rem}p{margin:0 0 1.5rem;color:var(--dim)}\n"
    "table{width:100%;border-collapse:collapse;background:var(--card);border:1px solid var(--line);"
    "border-radius:.5rem;overflow:hidden}\n"
    "th,td{text-align:left;padding:.65rem 1rem;border-top:1px solid var(--line)}\n"
    "th{font-size:.8rem;font-weight:600;color:var(--dim);border-top:0}\n"
    ".n{text-align:right;font-variant-numeric:tabular-nums}.ok{color:var(--ok)}.bad{color:var(--"
    "bad)}\n"
    "</style>\n</head>\n<body>\n<main>\n<h1>lbctl</h1>\n<p>Load balancer and container "
    "orchestrator.";

static bool add_escaped(struct buf *b, const char *s)
{
    for (; *s != '\0'; s++) {
        switch (*s) {
        case '<':
            buf_adds(b, "&lt;");
            break;
        case '>':
            buf_adds(b, "&gt;");
            break;
        case '&':
            buf_adds(b, "&amp;");
            break;
        case '"':
            buf_adds(b, "&quot;");
            break;
        default:
            buf_add(b, s, 1);
        }
    }
    return !b->over;
}

static void add_row(struct buf *b, const struct table_service *ts)
{
    bool ok = ts->backends_n > 0 || ts->dir != NULL;

    buf_adds(b, "<tr><td>");
    add_escaped(b, ts->service->name);
    buf_printf(b,
               "</td><td class=\"%s\">%s</td><td class=\"n\">%u</td><td class=\"n\">%llu</td>"
               "<td class=\"n\">%llu</td></tr>\n",
               ok ? "ok" : "bad", ok ? "ready" : "no backend", ts->dir != NULL ? 1 : ts->backends_n,
               (unsigned long long)CELLS_SUM(ts->service, in_flight),
               (unsigned long long)CELLS_SUM(ts->service, requests));
}

bool site_render(const struct table *t, struct buf *out)
{
    unsigned ready = 0, n = t != NULL ? t->services_n : 0;

    for (unsigned i = 0; i < n; i++)
        ready += t->services[i].backends_n > 0 || t->services[i].dir != NULL;
    buf_adds(out, page_head);
    if (t == NULL)
        buf_adds(out, " Starting: no services are known yet.</p>\n");
    else
        buf_printf(out, " %u of %u services ready.</p>\n", ready, n);
    if (n > 0) {
        buf_adds(
            out,
            "<table>\n<thead><tr><th>Service</th><th>State</th><th class=\"n\">Ready</th>"
            "<th class=\"n\">In flight</th><th class=\"n\">Requests</th></tr></thead>\n<tbody>\n");
        for (unsigned i = 0; i < n; i++)
            add_row(out, &t->services[i]);
        buf_adds(out, "</tbody>\n</table>\n");
    }
    buf_adds(out, "</main>\n</body>\n</html>\n");
    return !out->over;
}
