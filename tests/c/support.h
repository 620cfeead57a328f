/* What the C tests share: cmocka with what it needs before it, files, pages. */

#ifndef SUPPORT_H
#define SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MIB (INT64_C(1) << 20)

/* ThreadSanitizer keeps several bytes of its own for each of ours, and forbids
 * threads after fork: what is left to test then is who holds which lock. */
#ifdef __SANITIZE_THREAD__
#define SKIP_UNDER_TSAN() skip()
#else
#define SKIP_UNDER_TSAN() ((void)0)
#endif

/* In valgrind its own memory, which grows as it translates, is part of the process's
 * RSS: figures cannot be checked there, only who owns what and who holds which lock. */
#ifdef __has_include
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif
#ifdef RUNNING_ON_VALGRIND
#define SKIP_UNDER_VALGRIND()                                                          \
    do {                                                                               \
        if (RUNNING_ON_VALGRIND) {                                                     \
            skip();                                                                    \
        }                                                                              \
    } while (0)
#else
#define SKIP_UNDER_VALGRIND() ((void)0)
#endif

/* A test that waits fails after so long. time() because no test replaces it. */
#define WAIT_LIMIT_S 60

/* The head of a loop that does something until `condition` is true. */
#define REPEAT_UNTIL(condition)                                                        \
    for (time_t t_begin_s = time(NULL);                                                \
         !(condition) && is_in_time(t_begin_s, #condition);)
#define WAIT_UNTIL(condition)                                                          \
    REPEAT_UNTIL(condition)                                                            \
    {                                                                                  \
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);                        \
    }

static inline bool
is_in_time(time_t t_begin_s, const char *condition)
{
    if (time(NULL) - t_begin_s > WAIT_LIMIT_S) {
        fail_msg("not true after %d s: %s", WAIT_LIMIT_S, condition);
    }
    return true;
}

/* Private memory of the small kind of page, every page touched. */
static inline char *
map_touched(int64_t bytes)
{
    char *memory = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(memory, MAP_FAILED);
    madvise(memory, (size_t)bytes, MADV_NOHUGEPAGE);
    for (int64_t i = 0; i < bytes; i += 4096) {
        memory[i] = 1;
    }
    return memory;
}

static inline void
unmap(char *memory, int64_t bytes)
{
    munmap(memory, (size_t)bytes);
}

/* Descriptors of this process, with the one that counts them. */
static inline int
count_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;

    assert_non_null(folder);
    while (readdir(folder) != NULL) {
        count++;
    }
    closedir(folder);
    return count;
}

/* A child that is content kills itself: of one that exits valgrind would have
 * everything freed that its parent still had when it forked. */
_Noreturn static inline void
end_child(int failed)
{
#ifdef COVERAGE
    void __gcov_dump(void);

    __gcov_dump(); /* which otherwise only exit() does */
#endif
    if (failed == 0) {
        kill(getpid(), SIGKILL);
    }
    _exit(failed);
}

/* What `check` returns in a child of ours, where it may give up what it likes; not what
 * valgrind needs for itself. */
static inline int
exit_status_of(int (*check)(void))
{
    int status;
    pid_t child;

    SKIP_UNDER_VALGRIND();
    child = fork();
    if (child == 0) {
        end_child(check());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status)) {
        assert_int_equal(WTERMSIG(status), SIGKILL);
        return 0;
    }
    return WEXITSTATUS(status);
}

/* What a check returns that is not allowed to make its namespaces or mounts. */
enum { NO_NAMESPACE = 200 };

/* Fails unless `check` returns 0; it runs in a child, as root, and may mount. */
static inline void
assert_passes_with_mounts(int (*check)(void))
{
    int found;

    if (geteuid() != 0) {
        skip(); /* only root can mount */
    }
    found = exit_status_of(check);
    if (found == NO_NAMESPACE) {
        skip(); /* not even root, in a container */
    }
    assert_int_equal(found, 0);
}

static inline int64_t
distance(int64_t a, int64_t b)
{
    return a > b ? a - b : b - a;
}

/* A temporary folder that plays a root of /proc or of cgroups. */
static inline char *
make_root(void)
{
    static char root[] = "/tmp/memwatch-test-XXXXXX";

    memcpy(root + sizeof root - 7, "XXXXXX", 6);
    assert_non_null(mkdtemp(root));
    return root;
}

/* ROOT/NAME with this text; folders on the way are made. */
static inline void
write_file(const char *root, const char *name, const char *text)
{
    char path[4096];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* ROOT/NAME, a link to `target`. */
static inline void
make_link(const char *root, const char *name, const char *target)
{
    char path[4096];

    write_file(root, name, "");
    (void)snprintf(path, sizeof path, "%s/%s", root, name);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink(target, path), 0);
}

static inline void
remove_root(const char *root)
{
    char command[4096];

    snprintf(command, sizeof command, "rm -rf '%s'", root);
    assert_int_equal(system(command), 0);
}

#endif
