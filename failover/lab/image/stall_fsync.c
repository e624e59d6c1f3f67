/* Stalls the flushing of WAL while a trigger file exists, as a device that hangs would.
 *
 * Loaded into PostgreSQL through LD_PRELOAD, and only where the lab asks for it. A call of fsync
 * or fdatasync on a file under pg_wal does not return while TRIGGER exists. Other files are left
 * alone. The wait cannot be interrupted by a signal that has a handler, as a real one could not.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TRIGGER "/run/failover-lab/stall-fsync"

static void stall(int descriptor)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0)
        return;
    path[length] = '\0';
    if (strstr(path, "/pg_wal/") == NULL)
        return;
    const struct timespec pause = {0, 2 * 1000 * 1000};
    while (access(TRIGGER, F_OK) == 0)
        nanosleep(&pause, NULL);
}

int fsync(int descriptor)
{
    static int (*real)(int);
    if (real == NULL)
        real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    stall(descriptor);
    return real(descriptor);
}

int fdatasync(int descriptor)
{
    static int (*real)(int);
    if (real == NULL)
        real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    stall(descriptor);
    return real(descriptor);
}
