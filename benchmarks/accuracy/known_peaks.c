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

#define SELF "/proc/self/exe"

static size_t mib;
static char **command;

/* A page more is mapped, so that nothing is asked for 0 bytes. */
static size_t
length(void)
{
    return (mib << 20) + 4096;
}

static void *
hold(void)
{
    void *pages = mmap(NULL, length(), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (pages == MAP_FAILED) {
        _exit(3);
    }
    memset(pages, 1, mib << 20);
    return pages;
}

static int
touch(void)
{
    return hold() == NULL;
}

static int
transient(void)
{
    struct timespec millisecond = {.tv_nsec = 1000000};
    void *pages = hold();

    (void)nanosleep(&millisecond, NULL);
    return munmap(pages, length());
}

static int
wait_for(pid_t child)
{
    int status;

    return waitpid(child, &status, 0) == child && status == 0 ? 0 : 4;
}

static int
in_fork(void)
{
    pid_t child = fork();

    if (child == 0) {
        _exit(transient());
    }
    return wait_for(child);
}

static int
in_vfork(void)
{
    char number[24];
    pid_t child;

    (void)snprintf(number, sizeof number, "%zu", mib);
    /* NOLINTNEXTLINE(bugprone-*,cert-*,clang-analyzer-*): it is what is measured */
    child = vfork();
    if (child == 0) {
        (void)execl(SELF, SELF, "transient", number, (char *)NULL);
        _exit(1);
    }
    return wait_for(child);
}

static int
becomes_another(void)
{
    (void)hold();
    return execl(SELF, SELF, "touch", "1", (char *)NULL);
}

static void *
second_thread(void *unused)
{
    struct timespec until_the_first_has_ended = {.tv_nsec = 100000000};

    (void)unused;
    (void)nanosleep(&until_the_first_has_ended, NULL);
    _exit(transient());
}

static int
in_threads(void)
{
    pthread_t second;

    if (pthread_create(&second, NULL, second_thread, NULL) != 0) {
        return 3;
    }
    pthread_exit(NULL);
}

static int
spawn(void)
{
    pid_t child;
    int status;
    struct rusage used;

    (void)hold();
    if (command[0] == NULL ||
        posix_spawn(&child, command[0], NULL, NULL, command, environ) != 0) {
        return 5;
    }
    if (wait4(child, &status, 0, &used) != child || status != 0) {
        return 4;
    }
    (void)fprintf(stderr, "ru_maxrss %ld\n", used.ru_maxrss);
    return 0;
}

static int
base(void)
{
    char line[256];
    FILE *status = fopen("/proc/self/status", "r");

    if (status == NULL) {
        return 6;
    }
    while (fgets(line, sizeof line, status) != NULL) {
        if (strncmp(line, "VmHWM:", 6) == 0) {
            (void)fputs(line, stderr);
        }
    }
    return fclose(status);
}

static int
compute(void)
{
    volatile size_t sum = 0;

    for (size_t i = 0; i < mib << 20; i++) {
        sum += i;
    }
    return 0;
}

static const struct mode {
    const char *name;
    int (*run)(void);
} modes[] = {
    {"touch", touch},          {"transient", transient},
    {"fork", in_fork},         {"vfork", in_vfork},
    {"exec", becomes_another}, {"threads", in_threads},
    {"spawn", spawn},          {"base", base},
    {"compute", compute},
};

int
main(int argc, char **argv)
{
    if (argc > 2) {
        mib = strtoul(argv[2], NULL, 10);
        command = argv + 3;
        for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
            if (strcmp(argv[1], modes[i].name) == 0) {
                return modes[i].run();
            }
        }
    }
    (void)fprintf(stderr, "usage: known_peaks MODE MIB [COMMAND ...]\n");
    return 2;
}
