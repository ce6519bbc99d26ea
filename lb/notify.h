#ifndef LBCTL_LB_NOTIFY_H
#define LBCTL_LB_NOTIFY_H

/* Tell the service manager, if one listens ($NOTIFY_SOCKET, see sd_notify(3)): "READY=1", "STOPPING=1". */
void notify_manager(const char *state);

#endif
