/* Preloaded, it stands between a Python process and the C library, and makes at will
 * what hardly any machine does by itself. tests/test_faults.py builds it. */

#define _GNU_SOURCE
#undef _FILE_OFFSET_BITS

#include <dlfcn.h>
#include <netdb.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

atomic_int clock_stands;   /* CLOCK_MONOTONIC, where it stood when this was set */
atomic_int mark_is_hidden; /* /proc/PID/status has no VmHWM */
atomic_int name_asked;     /* how often for silent.example, whose server is silent */

int
clock_gettime(clockid_t clock, struct timespec *now)
{
    static int (*real)(clockid_t, struct timespec *);
    int failed;

    if (real == NULL) {
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    }
    failed = real(clock, now);
    if (clock == CLOCK_MONOTONIC && failed == 0) {
        static struct timespec stopped;

        if (clock_stands) {
            *now = stopped;
        }
        else {
            stopped = *now;
        }
    }
    return failed;
}

ssize_t
pread64(int fd, void *text, size_t room, off64_t offset)
{
    static ssize_t (*real)(int, void *, size_t, off64_t);
    ssize_t length;

    if (real == NULL) {
        real = (ssize_t (*)(int, void *, size_t, off64_t))dlsym(RTLD_NEXT, "pread64");
    }
    length = real(fd, text, room, offset);
    if (mark_is_hidden && length > 0) {
        char *line = memmem(text, (size_t)length, "\nVmHWM:", 7);

        if (line != NULL) {
            memcpy(line, "\nVmXXX:", 7);
        }
    }
    return length;
}

ssize_t
pread(int fd, void *text, size_t room, off_t offset)
{
    return pread64(fd, text, room, offset);
}

int
getaddrinfo(const char *restrict name, const char *restrict service,
            const struct addrinfo *restrict hints, struct addrinfo **restrict out)
{
    static int (*real)(const char *, const char *, const struct addrinfo *,
                       struct addrinfo **);

    if (name != NULL && strcmp(name, "silent.example") == 0) {
        name_asked++;
        sleep(600); /* longer than any test waits */
        return EAI_AGAIN;
    }
    if (real == NULL) {
        real = (int (*)(const char *, const char *, const struct addrinfo *,
                        struct addrinfo **))dlsym(RTLD_NEXT, "getaddrinfo");
    }
    return real(name, service, hints, out);
}
