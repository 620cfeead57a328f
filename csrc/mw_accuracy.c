#include "mw_accuracy.h"

#include <errno.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    TRIES = 5,
    FRESH_PAGES = 8,
    COUNTERS = 3,     /* MM_FILEPAGES, MM_ANONPAGES, MM_SHMEMPAGES */
    LEAST_BATCH = 32, /* percpu_counter_batch, before there are 16 processors */
    TASK_EVENTS = 64, /* what a thread kept to itself before Linux 6.2 */
    MOST_PROBE_PAGES = 4096,
};

static int64_t
counter_batch(void)
{
    int64_t online = sysconf(_SC_NPROCESSORS_ONLN);

    return 2 * online > LEAST_BATCH ? 2 * online : LEAST_BATCH;
}

/* The processors that may hold a part of the counters: those that the process's
 * first thread may run on now. Not all that are online: a container of two
 * processors on a machine of 64 would be told a bound of 97 MiB. */
static int64_t
allowed_processors(pid_t pid)
{
    cpu_set_t allowed;

    if (sched_getaffinity(pid, sizeof allowed, &allowed) == 0) {
        return CPU_COUNT(&allowed);
    }
    return sysconf(_SC_NPROCESSORS_CONF); /* more than a cpu_set_t holds */
}

/* Fresh anonymous pages, touched one by one, of the small kind. */
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

/* Does a transient of `pages` raise the mark, and does a reset lower it again? A
 * part of it may be hidden: one batch of it must show. */
static int
mark_follows(const struct mw_proc *proc, size_t pages, bool *yes)
{
    int64_t shown_bytes = counter_batch() * proc->page_bytes;
    struct mw_memory before;
    struct mw_memory raised;
    struct mw_memory lowered;
    void *mapped = NULL;
    int err = mw_proc_reset_mark(proc);

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
        err = mw_proc_reset_mark(proc);
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

static int
find_bound(const struct mw_proc *proc, pid_t pid, bool exact, int64_t *bound_bytes)
{
    int64_t per_counter_pages = allowed_processors(pid) * (counter_batch() - 1);
    struct mw_memory memory;

    if (!exact) {
        /* Before the counters lived per processor each thread kept up to 64 pages
         * to itself; we cannot see which of the two kinds this one is. */
        int err = mw_proc_read_memory(proc, &memory);

        if (err != 0) {
            return err;
        }
        if (memory.threads != MW_ABSENT &&
            memory.threads * (TASK_EVENTS - 1) > per_counter_pages) {
            per_counter_pages = memory.threads * (TASK_EVENTS - 1);
        }
    }
    *bound_bytes = COUNTERS * per_counter_pages * proc->page_bytes;
    return 0;
}

int
mw_accuracy_probe(const struct mw_proc *proc, struct mw_accuracy *out)
{
    struct mw_accuracy found = {.exact = false, .mark_errno = proc->mark_errno};
    int err = 0;

    for (int i = 0; i < TRIES && err == 0 && !found.exact; i++) {
        err = counts_at_once(proc, &found.exact);
    }
    if (err != 0) {
        return err;
    }

    if (found.mark_errno == 0) {
        /* What other processors have counted and not handed in is missing from the
         * mark, most of the time little: begin with four batches, and give up only
         * when the transient was larger than all that can be missing. That may be
         * on any processor: the process can have been confined since it ran there. */
        int64_t online = sysconf(_SC_NPROCESSORS_ONLN);
        int64_t missing_pages = COUNTERS * online * (counter_batch() - 1);
        int64_t most_pages = missing_pages + 2 * counter_batch();
        int64_t pages = 2 * counter_batch();

        if (most_pages > MOST_PROBE_PAGES) {
            most_pages = MOST_PROBE_PAGES;
        }

        do {
            pages = 2 * pages < most_pages ? 2 * pages : most_pages;
            err = mark_follows(proc, (size_t)pages, &found.mark_resets);
        } while (err == 0 && !found.mark_resets && pages < most_pages);
        if (err != 0) {
            found.mark_errno = -err;
            found.mark_resets = false;
        }
    }

    err = find_bound(proc, getpid(), found.exact, &found.bound_bytes);
    if (err == 0) {
        *out = found;
    }
    return err;
}

int
mw_accuracy_of_other(const struct mw_accuracy *own, const struct mw_proc *proc,
                     pid_t pid, struct mw_accuracy *out)
{
    struct mw_accuracy found = {
        .exact = own->exact,
        .mark_resets = own->mark_resets && proc->mark_errno == 0,
        .mark_errno = proc->mark_errno != 0 ? proc->mark_errno : own->mark_errno,
    };
    int err = find_bound(proc, pid, found.exact, &found.bound_bytes);

    if (err == 0) {
        *out = found;
    }
    return err;
}
