#ifndef LBCTL_BASE_NOTIFY_H
#define LBCTL_BASE_NOTIFY_H

/* Tell the supervisor that started us (sd_notify(3) protocol, $NOTIFY_SOCKET) how we are:
 * "READY=1", "STOPPING=1". Without such a supervisor, and on any failure, nothing happens. Never
 * blocks. */
void notify_supervisor(const char *state);

#endif
