#include "stream/abort_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"

enum {
    SPARE_DESCRIPTORS = 16,
    SPARE_THREADS = 4, /* libzmq's two, the publisher's, and one more */
    SPARE_BYTES = 1024 * 1024,
};

#define REMOVAL_TIMEOUT_NS (500 * MW_NS_PER_MS)
#define REMOVAL_POLL_NS (100 * MW_NS_PER_US)

/* ---- checks ---- */

static int
check_descriptors(void)
{
    int fds[SPARE_DESCRIPTORS];
    int count = 0;
    int err = 0;

    while (count < SPARE_DESCRIPTORS && err == 0) {
        fds[count] = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        err = fds[count] < 0 ? -errno : 0;
        count += err == 0;
    }
    while (count > 0) {
        close(fds[--count]);
    }
    return err;
}

static int
check_memory(void)
{
    /* cppcheck-suppress constVariablePointer ; munmap() takes void * */
    void *spare = mmap(NULL, SPARE_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    /* cppcheck-suppress nullPointerOutOfMemory ; it is MAP_FAILED, not NULL */
    return spare == MAP_FAILED || munmap(spare, SPARE_BYTES) != 0 ? -errno : 0;
}

struct spare_thread {
    pthread_t thread;
    pthread_mutex_t *gate; /* locked until all threads exist */
    pid_t tid;
};

static void *
wait_at_gate(void *argument)
{
    struct spare_thread *self = argument;

    self->tid = (pid_t)syscall(SYS_gettid);
    pthread_mutex_lock(self->gate);
    pthread_mutex_unlock(self->gate);
    return NULL;
}

static bool
is_removed(pid_t tid)
{
    char path[64];

    (void)snprintf(path, sizeof path, "/proc/self/task/%d", (int)tid);
    return access(path, F_OK) != 0;
}

int
mw_abort_guard_check_threads(void)
{
    struct spare_thread spare[SPARE_THREADS];
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    int64_t t_end_ns;
    int count = 0;
    int err = 0;

    pthread_mutex_lock(&gate);
    while (count < SPARE_THREADS && err == 0) {
        spare[count].gate = &gate;
        err =
            mw_thread_start(&spare[count].thread, NULL, 0, wait_at_gate, &spare[count]);
        count += err == 0;
    }
    pthread_mutex_unlock(&gate);
    for (int i = 0; i < count; i++) {
        pthread_join(spare[i].thread, NULL);
    }
    pthread_mutex_destroy(&gate);
    t_end_ns = mw_clock_mono_ns() + REMOVAL_TIMEOUT_NS;
    for (int i = 0; i < count && err == 0; i++) {
        while (!is_removed(spare[i].tid) && err == 0) {
            nanosleep(&(struct timespec){.tv_nsec = REMOVAL_POLL_NS}, NULL);
            err = mw_clock_mono_ns() < t_end_ns ? 0 : -EAGAIN;
        }
    }
    return err;
}

int
mw_abort_guard_check_files_and_memory(void)
{
    int err = check_descriptors();

    return err == 0 ? check_memory() : err;
}

/* ---- the guard ---- */
static struct {
    pid_t tid; /* of the thread that runs act() */
    sigjmp_buf return_point;
    struct sigaction before;
} guard;

static void
on_abort(int number)
{
    if ((pid_t)syscall(SYS_gettid) == guard.tid) {
        siglongjmp(guard.return_point, 1);
    }
    /* Another thread called abort(): restore the usual effect. */
    sigaction(number, &guard.before, NULL);
    (void)raise(number);
}

int
mw_abort_guard_run(int (*act)(const void *context), const void *context, bool *aborted)
{
    struct sigaction ours = {.sa_handler = on_abort, .sa_flags = SA_NODEFER};
    int err;

    guard.tid = (pid_t)syscall(SYS_gettid);
    sigemptyset(&ours.sa_mask);
    if (sigsetjmp(guard.return_point, 1) == 0) {
        sigaction(SIGABRT, &ours, &guard.before);
        err = act(context);
        *aborted = false;
    }
    else {
        err = -EAGAIN;
        *aborted = true;
    }
    sigaction(SIGABRT, &guard.before, NULL);
    return err;
}
