#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

/* Virtual time for a test whose whole world lives on one event loop: a program's own symbols come
 * before libc's, for libevent too. A wait that would sleep moves the clock on instead, so that
 * nothing depends on how fast or busy the machine is. Sockets are real: what was written is there
 * for the next turn of the loop. */

enum { HANG_MS = 10000 }; /* real time; a wait for nothing at all is the test's fault */

static struct timespec passed;

static void pass(int ms)
{
    passed.tv_sec += ms / 1000;
    passed.tv_nsec += ms % 1000 * 1000000L;
    if (passed.tv_nsec >= 1000000000L) {
        passed.tv_sec++;
        passed.tv_nsec -= 1000000000L;
    }
}

/* Monotonic: from 1000 s on. Real time: from 2026-01-01 on. */
int clock_gettime(clockid_t id, struct timespec *ts)
{
    *ts = passed;
    ts->tv_sec += id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE ? 1767225600 : 1000;
    return 0;
}

static int wait_real(int fd, struct epoll_event *events, int max, int ms)
{
    return (int)syscall(SYS_epoll_wait, fd, events, max, ms);
}

int epoll_wait(int fd, struct epoll_event *events, int max, int ms)
{
    int n = wait_real(fd, events, max, ms < 0 ? HANG_MS : 0);

    if (n == 0 && ms < 0) {
        (void)fputs("virtual clock: the loop waits for an event that nothing will bring\n", stderr);
        abort();
    }
    if (n == 0)
        pass(ms);
    return n;
}

/* libevent then waits for its timers by epoll_wait's own time-out. */
int timerfd_create(int id, int flags)
{
    (void)id;
    (void)flags;
    errno = ENOSYS;
    return -1;
}
