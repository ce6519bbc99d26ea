#ifndef ACTS_ANSWER_H
#define ACTS_ANSWER_H

#include "acts-service/service.h"

/* What handlers of all programs do: take the body, turn rows into answers. */

/* The body of the request, or false after having answered. */
bool answer_body(struct ask *a, char **ret, size_t *ret_n) MUST_CHECK;
/* "[n]" from the first column; a question without a row gets `none` as its status. */
void answer_number(struct ask *a, const struct db_reply *r, int none, const char *none_text);
/* {} with 200 or 201 when there was a row, else 400 with the text. */
void answer_row(struct ask *a, const struct db_reply *r, int status, const char *none_text);
/* There are rows to write; false after having answered: 204, or that the database failed. */
bool answer_has_rows(struct ask *a, const struct db_reply *r) MUST_CHECK;
/* Ask the statement about what the path names; 400 with the text when nothing can have that name.
 */
void answer_by_name(struct ask *a, unsigned stmt, const char *none_text,
                    void (*done)(struct ask *a, const struct db_reply *r));
/* Text that cannot be in the database names nothing in it: no need to ask (and the server would
 * refuse it). */
bool answer_is_storable(struct sv s);

/* GET and DELETE of /_count, by the statements that the program names. */
void answer_count(struct ask *a);
void answer_count_reset(struct ask *a);

#endif
