/* A program whose peak is known beforehand: known_peaks MODE MIB [COMMAND ...].
 *
 * touch      holds MIB until its end
 * transient  holds MIB for a millisecond
 * fork       a forked child does
 * vfork      a child that was started by vfork and exec does
 * exec       holds MIB, and becomes a program that holds 1
 * threads    its second thread does, after the first one has ended
 * spawn      holds MIB, starts COMMAND by posix_spawn, and writes a line to stderr:
 *            the ru_maxrss of that child, in KiB, as wait4 tells it
 * base       writes a line to stderr: its own VmHWM, in KiB
 * compute    counts MIB times 2**20 steps
 */

#include <errno.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static void *
hold(size_t mib)
{
    void *pages = mmap(NULL, (mib + 1) << 20, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (pages == MAP_FAILED)
        exit(3);
    memset(pages, 1, mib << 20);
    return pages;
}

static void
transient(size_t mib)
{
    struct timespec millisecond = {.tv_nsec = 1000000};
    void *pages = hold(mib);

    nanosleep(&millisecond, NULL);
    munmap(pages, (mib + 1) << 20);
}

static void *
thread(void *argument)
{
    struct timespec until_the_first_has_ended = {.tv_nsec = 100000000};

    nanosleep(&until_the_first_has_ended, NULL);
    transient(*(size_t *)argument);
    exit(0);
}

static int
wait_for(pid_t child)
{
    int status;

    return waitpid(child, &status, 0) == child && status == 0 ? 0 : 4;
}

static int
spawn(char **command)
{
    pid_t child;
    int status;
    struct rusage used;

    if (posix_spawn(&child, command[0], NULL, NULL, command, environ) != 0)
        return 5;
    if (wait4(child, &status, 0, &used) != child || status != 0)
        return 4;
    fprintf(stderr, "ru_maxrss %ld\n", used.ru_maxrss);
    return 0;
}

static int
base(void)
{
    char line[256];
    FILE *status = fopen("/proc/self/status", "r");

    while (status != NULL && fgets(line, sizeof line, status) != NULL)
        if (strncmp(line, "VmHWM:", 6) == 0)
            fputs(line, stderr);
    return 0;
}

static int
compute(size_t mib)
{
    volatile unsigned long sum = 0;

    for (size_t i = 0; i < mib << 20; i++)
        sum += i;
    return 0;
}

int
main(int argc, char **argv)
{
    const char *mode = argc > 2 ? argv[1] : "";
    static size_t mib;
    pthread_t second;
    pid_t child;

    mib = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    if (strcmp(mode, "touch") == 0) {
        hold(mib);
        return 0;
    }
    if (strcmp(mode, "transient") == 0) {
        transient(mib);
        return 0;
    }
    if (strcmp(mode, "fork") == 0) {
        child = fork();
        if (child == 0) {
            transient(mib);
            _exit(0);
        }
        return wait_for(child);
    }
    if (strcmp(mode, "vfork") == 0) {
        child = vfork();
        if (child == 0) {
            execl(argv[0], argv[0], "transient", argv[2], (char *)NULL);
            _exit(1);
        }
        return wait_for(child);
    }
    if (strcmp(mode, "exec") == 0) {
        hold(mib);
        execl(argv[0], argv[0], "touch", "1", (char *)NULL);
        return 1;
    }
    if (strcmp(mode, "threads") == 0) {
        if (pthread_create(&second, NULL, thread, &mib) != 0)
            return 3;
        pthread_exit(NULL);
    }
    if (strcmp(mode, "spawn") == 0 && argc > 3) {
        hold(mib);
        return spawn(argv + 3);
    }
    if (strcmp(mode, "base") == 0)
        return base();
    if (strcmp(mode, "compute") == 0)
        return compute(mib);
    fprintf(stderr, "usage: known_peaks MODE MIB [COMMAND ...]\n");
    return 2;
}
