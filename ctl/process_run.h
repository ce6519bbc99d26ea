#ifndef LBCTL_CTL_PROCESS_RUN_H
#define LBCTL_CTL_PROCESS_RUN_H

/* What ctld's own program does as the child (ctld --run-instance DIR): takes the instance's lock,
 * writes down which process it is, and only then becomes the program that meta.json names. So an
 * instance never runs unrecorded, whenever ctld dies, and never twice. Returns the exit code when
 * it could not; the reason stands in the instance's output. */
int process_run(const char *dir);

#endif
