/* The program that is measured: the test's own, which acts when it is started with
 * "--act NAME NUMBER". All acts end by _exit(): LeakSanitizer cannot run while traced.
 */

#ifndef MW_TEST_ACTOR_H
#define MW_TEST_ACTOR_H

#include "support.h"

#include <dirent.h>
#include <pthread.h>
#include <sys/resource.h>

#include "command/command.h"

/* The test's program; in valgrind /proc/self/exe would be valgrind. */
static inline const char *
own_path(void)
{
    static char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);

    assert_true(length > 0);
    return path;
}

#define ACT(name, number)                                                              \
    ((const char *const[]){own_path(), "--act", name, number, NULL})

enum { DONE = 7, LIMIT_S = 100 };

static inline _Noreturn void
become(const char *name, const char *number)
{
    /* NOLINTNEXTLINE(clang-analyzer-optin.taint.GenericTaint): a program of ours */
    execv(own_path(), (char *const *)ACT(name, number));
    _exit(1);
}

static inline void
touch(int number)
{
    if (number > 0) {
        unmap(map_touched(number * MIB), number * MIB);
    }
}

/* ---- acts ---- */

static inline void
act_touch(int number)
{
    touch(number);
}

static inline void
act_end_with(int number)
{
    _exit(number);
}

/* Its child has the memory for a millisecond. */
static inline void
act_spike(int number)
{
    if (fork() == 0) {
        char *memory = map_touched(number * MIB);

        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        unmap(memory, number * MIB);
        _exit(0);
    }
    wait(NULL);
}

static inline void
act_touch_then_exec(int number)
{
    touch(number);
    become("touch", "0");
}

/* Its child had more than itself: the peaks are not to be confused. */
static inline void
act_wait_then_exec(int number)
{
    if (fork() == 0) {
        touch(number);
        _exit(0);
    }
    wait(NULL);
    become("touch", "0");
}

/* As a shell does, or Python. */
static inline void
act_start_by_fork(int number)
{
    touch(number);
    if (fork() == 0) {
        become("touch", "0");
    }
    wait(NULL);
}

static inline void
act_start_by_vfork(int number)
{
    const char *const *argv = ACT("touch", "0");
    char *memory = map_touched(number * MIB);
    pid_t child = vfork(); /* NOLINT: it is what is tested */

    if (child == 0) {
        execv(argv[0], (char *const *)argv);
        _exit(1);
    }
    wait(NULL);
    unmap(memory, number * MIB);
}

/* The state of a thread, as in /proc/PID/stat; 0: it is gone. */
static inline char
state_of(pid_t pid)
{
    char path[64];
    char text[512] = "";
    char *name_end;
    FILE *file;

    (void)snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    file = fopen(path, "r");
    if (file == NULL) {
        return 0;
    }
    name_end = fgets(text, sizeof text, file) == NULL ? NULL : strrchr(text, ')');
    (void)fclose(file);
    return name_end == NULL ? 0 : name_end[2];
}

static inline void *
outlive_first_thread(void *number)
{
    WAIT_UNTIL(state_of(getpid()) == 'Z');
    map_touched(*(int *)number * MIB);
    _exit(DONE);
}

static inline void
act_first_thread_ends(int number)
{
    static int kept;
    pthread_t thread;

    kept = number;
    pthread_create(&thread, NULL, outlive_first_thread, &kept);
    pthread_exit(NULL);
}

static inline void *
exec_in_thread(void *argument)
{
    (void)argument;
    become("start_by_fork", "0");
}

static inline void
act_exec_in_thread(int number)
{
    pthread_t thread;

    touch(number);
    pthread_create(&thread, NULL, exec_in_thread, NULL);
    pthread_join(thread, NULL);
}

static inline void
act_die(int number)
{
    signal(number, SIG_DFL); /* a sanitizer has a handler */
    raise(number);
}

static inline void
say(const void *what, size_t size)
{
    if (write(STDOUT_FILENO, what, size) != (ssize_t)size) {
        _exit(1);
    }
}

static inline _Noreturn void *
live_on(void *argument)
{
    (void)argument;
    alarm(LIMIT_S);
    while (true) {
        pause();
    }
}

static inline void
act_wait_for_signal(int number)
{
    (void)number;
    say("", 1);
    live_on(NULL);
}

/* `number` 1: it lives on in its second thread. */
static inline void
act_leave_daemon(int number)
{
    pid_t child = fork();

    if (child == 0) {
        pthread_t thread;

        if (number == 0) {
            live_on(NULL);
        }
        pthread_create(&thread, NULL, live_on, NULL);
        pthread_exit(NULL);
    }
    WAIT_UNTIL(number == 0 || state_of(child) == 'Z');
    say(&child, sizeof child);
}

/* How often the thread that samples this process has gone to sleep. */
static inline long
count_sleeps(void)
{
    char path[400];
    char line[256];
    long count = 0;
    struct dirent *entry;
    DIR *folder;

    (void)snprintf(path, sizeof path, "/proc/%ld/task", (long)getppid());
    folder = opendir(path);
    while ((entry = readdir(folder)) != NULL) {
        bool is_sampler = false;
        FILE *file;

        (void)snprintf(path, sizeof path, "/proc/%ld/task/%s/status", (long)getppid(),
                       entry->d_name);
        file = fopen(path, "r");
        while (file != NULL && fgets(line, sizeof line, file) != NULL) {
            is_sampler |= strcmp(line, "Name:\tmw-command\n") == 0;
            if (is_sampler && strncmp(line, "voluntary_ctxt_switches:", 24) == 0) {
                count = strtol(line + 24, NULL, 10);
            }
        }
        if (file != NULL) {
            (void)fclose(file);
        }
    }
    closedir(folder);
    return count;
}

/* For 100 ms, and until it has been looked at. */
static inline void
act_hold(int number)
{
    char *memory = map_touched(number * MIB);
    long sleeps = count_sleeps();

    nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    WAIT_UNTIL(count_sleeps() >= sleeps + 3);
    unmap(memory, number * MIB);
}

/* Returns if the test itself is wanted. */
static inline void
act_if_asked(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*act)(int number);
    } acts[] = {
        {"touch", act_touch},
        {"end_with", act_end_with},
        {"spike", act_spike},
        {"touch_then_exec", act_touch_then_exec},
        {"wait_then_exec", act_wait_then_exec},
        {"start_by_fork", act_start_by_fork},
        {"start_by_vfork", act_start_by_vfork},
        {"first_thread_ends", act_first_thread_ends},
        {"exec_in_thread", act_exec_in_thread},
        {"die", act_die},
        {"wait_for_signal", act_wait_for_signal},
        {"leave_daemon", act_leave_daemon},
        {"hold", act_hold},
    };

    if (argc != 4 || strcmp(argv[1], "--act") != 0) {
        return;
    }
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        if (strcmp(argv[2], acts[i].name) == 0) {
            acts[i].act((int)strtol(argv[3], NULL, 10));
            _exit(DONE);
        }
    }
    _exit(1);
}

/* ---- running it ---- */

struct outcome {
    pid_t pid;
    struct mw_command_result result;
};

static inline struct mw_command *
start(const char *const argv[], int output, bool trace)
{
    struct mw_command *command = NULL;

    assert_int_equal(
        mw_command_start(&command, argv, (int[]){0, output, STDERR_FILENO}, trace), 0);
    if (mw_command_trace_errno(command) != 0) {
        mw_command_free(&command);
        skip(); /* this machine does not permit tracing */
    }
    return command;
}

static inline struct outcome
run(const char *const argv[], int output, bool trace)
{
    struct mw_command *command = start(argv, output, trace);
    struct outcome found = {.pid = mw_command_pid(command)};

    assert_int_equal(mw_command_run(command, &found.result), 0);
    mw_command_free(&command);
    assert_null(command);
    return found;
}

/* An act that ends as it should. */
static inline struct outcome
run_act(const char *name, const char *number, bool trace)
{
    struct outcome found = run(ACT(name, number), STDOUT_FILENO, trace);

    assert_int_equal(found.result.exec_errno, 0);
    assert_true(WIFEXITED(found.result.wait_status));
    assert_int_equal(WEXITSTATUS(found.result.wait_status), DONE);
    return found;
}

static inline struct outcome
trace_act(const char *name, const char *number)
{
    SKIP_UNDER_TSAN();
    SKIP_UNDER_VALGRIND();
    return run_act(name, number, true);
}

#endif
