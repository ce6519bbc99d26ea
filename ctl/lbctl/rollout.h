#ifndef LBCTL_CTL_LBCTL_ROLLOUT_H
#define LBCTL_CTL_LBCTL_ROLLOUT_H

#include <jansson.h>
#include <stdbool.h>

/* Follows a reload by ctld's status: says on stdout what has been rolled. before: the status of
 * before; plan: ctld's answer to reload. True: every service that changed is in its new form with
 * as many ready instances as wished; false: a new form does not become ready (its service keeps the
 * old instances where it can), or ctld is lost; stderr says which. There is no deadline but that:
 * drains may take as long as the file grants. */
bool rollout_wait(const char *socket, const json_t *before, const json_t *plan);

#endif
