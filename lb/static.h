#ifndef LBCTL_LB_STATIC_H
#define LBCTL_LB_STATIC_H

#include "common/base/str.h"

/* Answers from a directory (a service with `static: DIR`), in the site's thread. Files go out in
 * segments straight from the file system, whatever their size; links are followed as long as they
 * stay inside the directory. */
struct evhttp_request;
struct statics;

struct statics *statics_new(void);
void statics_free(struct statics *s);

/* Answer a GET or HEAD for the rest of a path behind its route's prefix. `path` is the whole path,
 * as sent, with the query: for redirects. */
void static_answer(struct statics *s, struct evhttp_request *req, const char *dir, struct sv rest,
                   const char *path);
/* A short answer in plain text; body NULL: none. */
void static_answer_text(struct evhttp_request *req, unsigned status, const char *text);

#endif
