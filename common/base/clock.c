#include "common/base/clock.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static uint64_t read_ms(clockid_t id)
{
    struct timespec ts = {0};

    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

uint64_t clock_mono_ms(void)
{
    return read_ms(CLOCK_MONOTONIC);
}

uint64_t clock_wall_ms(void)
{
    return read_ms(CLOCK_REALTIME);
}

const char *clock_rfc3339(uint64_t wall_ms, char *buf, size_t n)
{
    time_t t = (time_t)(wall_ms / 1000);
    struct tm tm = {0};
    size_t used;

    gmtime_r(&t, &tm);
    used = strftime(buf, n, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(buf + used, n - used, ".%03uZ", (unsigned)(wall_ms % 1000));
    return buf;
}

static char boot_id[37];

static void read_boot_id(void)
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

    if (fd >= 0) {
        ssize_t n = read(fd, boot_id, sizeof(boot_id) - 1);

        boot_id[n > 0 ? n : 0] = '\0';
        close(fd);
    }
}

const char *clock_boot_id(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, read_boot_id);
    return boot_id;
}
