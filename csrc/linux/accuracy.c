#include "linux/accuracy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/thread.h"

enum {
    TRIES = 5,
    FRESH_PAGES = 8,
    COUNTERS = 3,     /* MM_FILEPAGES, MM_ANONPAGES, MM_SHMEMPAGES */
    LEAST_BATCH = 32, /* percpu_counter_batch, before there are 16 processors */
    TASK_EVENTS = 64, /* pages that a thread counted for itself before Linux 6.2 */
    MOST_PROBE_PAGES = 4096,
    STACK_BYTES = 64 * 1024,
};

static int64_t
counter_batch(void)
{
    int64_t online = sysconf(_SC_NPROCESSORS_ONLN);

    return 2 * online > LEAST_BATCH ? 2 * online : LEAST_BATCH;
}

/* ---- the processors that may hold a part of the counters ----
 *
 * These are the processors of the cpuset: any thread of the process may use them, now
 * or later. One thread's affinity is not enough: with OMP_PROC_BIND=true the main
 * thread has one processor and the others have all. Neither is that of all threads: a
 * later one may choose differently. All online processors would be too many: in a
 * cpuset of 2 processors on a machine of 64 the bound would be 97 MiB instead of 3. */

/* Ask for all processors: the kernel grants those of the cpuset. Changes the affinity
 * of the calling thread for a moment, so it must be memwatch's own. 0: unknown. */
static int64_t
processors_of_cpuset(void)
{
    cpu_set_t before;
    cpu_set_t all;
    cpu_set_t found;
    int64_t count = 0;

    memset(&all, 0xff, sizeof all);
    if (sched_getaffinity(0, sizeof before, &before) == 0 &&
        sched_setaffinity(0, sizeof all, &all) == 0) {
        if (sched_getaffinity(0, sizeof found, &found) == 0) {
            count = CPU_COUNT(&found);
        }
        sched_setaffinity(0, sizeof before, &before);
    }
    return count;
}

static void *
look(void *count)
{
    *(int64_t *)count = processors_of_cpuset();
    return NULL;
}

/* The same on a thread of its own; if that fails, the online processors. */
static int64_t
usable_processors(void)
{
    pthread_t thread;
    int64_t count = 0;

    if (mw_thread_start(&thread, NULL, STACK_BYTES, look, &count) == 0) {
        pthread_join(thread, NULL);
    }
    return count > 0 ? count : sysconf(_SC_NPROCESSORS_ONLN);
}

/* The cpuset's name of process `pid`; 0: the caller's. Returns its length or -errno. */
static ssize_t
read_cpuset(const char *root, pid_t pid, char *name, size_t size)
{
    int fd = mw_proc_open_file(root, pid, "cpuset", O_RDONLY);
    ssize_t length;

    if (fd < 0) {
        return fd;
    }
    do {
        length = read(fd, name, size);
    } while (length < 0 && errno == EINTR);
    length = length < 0 ? -errno : length;
    close(fd);
    return length;
}

static bool
is_in_our_cpuset(const char *root, pid_t pid)
{
    char ours[PATH_MAX] = "";
    char theirs[PATH_MAX] = "";
    ssize_t length = read_cpuset(root, 0, ours, sizeof ours);

    return length > 0 && read_cpuset(root, pid, theirs, sizeof theirs) == length &&
           memcmp(ours, theirs, (size_t)length) == 0;
}

static int64_t
bound_of(int64_t pages_per_counter, int64_t page_bytes)
{
    return COUNTERS * pages_per_counter * page_bytes;
}

/* Never lower: counts stay on a processor when the cpuset shrinks. */
static void
keep_processors(struct mw_accuracy *self, int64_t processors, int64_t page_bytes)
{
    int64_t bound_bytes = bound_of(processors * (counter_batch() - 1), page_bytes);

    if (processors > self->processors) {
        self->processors = processors;
    }
    if (bound_bytes > self->bound_bytes) {
        self->bound_bytes = bound_bytes;
    }
}

void
mw_accuracy_look_again(struct mw_accuracy *self, int64_t page_bytes)
{
    keep_processors(self, processors_of_cpuset(), page_bytes);
}

int64_t
mw_accuracy_bound(const struct mw_accuracy *self, int64_t threads, int64_t page_bytes)
{
    int64_t of_threads_bytes = 0;

    if (!self->exact && threads != MW_ABSENT) {
        /* Before the counters were per processor, each thread counted up to 64 pages
         * for itself. Which kind this kernel has cannot be seen. */
        of_threads_bytes = bound_of(threads * (TASK_EVENTS - 1), page_bytes);
    }
    return of_threads_bytes > self->bound_bytes ? of_threads_bytes : self->bound_bytes;
}

/* ---- the probe ---- */

/* Map fresh small pages and touch each. */
static int
touch(size_t pages, int64_t page_bytes, void **mapped)
{
    size_t length = pages * (size_t)page_bytes;
    volatile char *memory =
        mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED) {
        return -errno;
    }
    madvise((void *)memory, length, MADV_NOHUGEPAGE);
    for (size_t i = 0; i < length; i += (size_t)page_bytes) {
        memory[i] = 1;
    }
    *mapped = (void *)memory;
    return 0;
}

static void
unmap(void *mapped, size_t pages, int64_t page_bytes)
{
    munmap(mapped, pages * (size_t)page_bytes);
}

static int
counts_at_once(const struct mw_proc *proc, bool *yes)
{
    void *mapped = NULL;
    int64_t before;
    int64_t after;
    int err = mw_proc_read_rss(proc, &before);

    if (err == 0) {
        err = touch(FRESH_PAGES, proc->page_bytes, &mapped);
    }
    if (err == 0) {
        err = mw_proc_read_rss(proc, &after);
        unmap(mapped, FRESH_PAGES, proc->page_bytes);
    }
    if (err == 0) {
        *yes = after - before == FRESH_PAGES * proc->page_bytes;
    }
    return err;
}

/* Does a transient of `pages` raise the high-water mark, and does a reset lower it? A
 * part of it may be hidden: one batch must show. */
static int
hwm_follows(const struct mw_proc *proc, size_t pages, bool *yes)
{
    int64_t shown_bytes = counter_batch() * proc->page_bytes;
    struct mw_memory before;
    struct mw_memory raised;
    struct mw_memory lowered;
    void *mapped = NULL;
    int err = mw_proc_reset_hwm(proc);

    if (err == 0) {
        err = mw_proc_read_memory(proc, &before);
    }
    if (err == 0) {
        err = touch(pages, proc->page_bytes, &mapped);
    }
    if (err == 0) {
        unmap(mapped, pages, proc->page_bytes);
        err = mw_proc_read_memory(proc, &raised);
    }
    if (err == 0) {
        err = mw_proc_reset_hwm(proc);
    }
    if (err == 0) {
        err = mw_proc_read_memory(proc, &lowered);
    }
    if (err == 0) {
        *yes = before.hwm_bytes != MW_ABSENT && raised.hwm_bytes != MW_ABSENT &&
               lowered.hwm_bytes != MW_ABSENT &&
               raised.hwm_bytes - before.hwm_bytes >= shown_bytes &&
               raised.hwm_bytes - lowered.hwm_bytes >= shown_bytes;
    }
    return err;
}

/* Set the bound for that many processors and the current threads. */
static int
find_bound(struct mw_accuracy *self, const struct mw_proc *proc, int64_t processors)
{
    struct mw_memory memory;
    int err = 0;

    keep_processors(self, processors, proc->page_bytes);
    if (!self->exact) {
        err = mw_proc_read_memory(proc, &memory);
        if (err == 0) {
            self->bound_bytes =
                mw_accuracy_bound(self, memory.threads, proc->page_bytes);
        }
    }
    return err;
}

int
mw_accuracy_probe(const struct mw_proc *proc, struct mw_accuracy *out)
{
    struct mw_accuracy found = {.exact = false, .hwm_errno = proc->hwm_errno};
    int err = 0;

    for (int i = 0; i < TRIES && err == 0 && !found.exact; i++) {
        err = counts_at_once(proc, &found.exact);
    }
    if (err != 0) {
        return err;
    }

    if (found.hwm_errno == 0) {
        /* The mark lacks what other processors have counted but not yet added, usually
         * little: begin with four batches, and give up only after a transient that was
         * larger than all that can be missing. That may be on any online processor:
         * the process may have been confined since it ran there. */
        int64_t online = sysconf(_SC_NPROCESSORS_ONLN);
        int64_t missing_pages = COUNTERS * online * (counter_batch() - 1);
        int64_t most_pages = missing_pages + 2 * counter_batch();
        int64_t pages = 2 * counter_batch();

        if (most_pages > MOST_PROBE_PAGES) {
            most_pages = MOST_PROBE_PAGES;
        }

        do {
            pages = 2 * pages < most_pages ? 2 * pages : most_pages;
            err = hwm_follows(proc, (size_t)pages, &found.hwm_resets);
        } while (err == 0 && !found.hwm_resets && pages < most_pages);
        if (err != 0) {
            found.hwm_errno = -err;
            found.hwm_resets = false;
        }
    }

    err = find_bound(&found, proc, usable_processors());
    if (err == 0) {
        *out = found;
    }
    return err;
}

int
mw_accuracy_of_other(const struct mw_accuracy *own, const struct mw_proc *proc,
                     const char *root, pid_t pid, struct mw_accuracy *out)
{
    struct mw_accuracy found = {
        .exact = own->exact,
        .hwm_resets = own->hwm_resets && proc->hwm_errno == 0,
        .hwm_errno = proc->hwm_errno != 0 ? proc->hwm_errno : own->hwm_errno,
    };
    int err = find_bound(&found, proc,
                         is_in_our_cpuset(root, pid) ? own->processors
                                                     : sysconf(_SC_NPROCESSORS_ONLN));

    if (err == 0) {
        *out = found;
    }
    return err;
}
