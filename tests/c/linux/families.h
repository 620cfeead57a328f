/* Processes with children; the linker puts the calls below before those of libproc2. */

#ifndef MW_TEST_FAMILIES_H
#define MW_TEST_FAMILIES_H

#include "support.h"

#include <sched.h>
#include <stdbool.h>
#include <sys/prctl.h>

#include <libproc2/pids.h>

#include "linux/procps/process_tree.h"

/* The linker's --wrap has these come here first. libproc2 tells an error by what a
 * function returns or by errno, and at times leaves errno alone. */
static const char *failing; /* NULL: none */
static int failing_errno;
static int calls_to_go; /* that many calls of it go well before */

/* A PSS that cannot be read comes as 0, and so does the RSS of who has ended. */
static enum { AS_IT_IS, PSS_DENIED, ENDED } selected;

static inline bool
fails(const char *call)
{
    if (failing == NULL || strcmp(call, failing) != 0 || calls_to_go-- > 0) {
        return false;
    }
    errno = failing_errno;
    return true;
}

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *
__wrap_calloc(size_t count, size_t size)
{
    return fails("calloc") ? NULL : __real_calloc(count, size);
}

void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *
__wrap_realloc(void *memory, size_t size)
{
    return fails("realloc") ? NULL : __real_realloc(memory, size);
}

int __real_procps_pids_new(struct pids_info **info, enum pids_item *items, int count);
int __wrap_procps_pids_new(struct pids_info **info, enum pids_item *items, int count);
int
__wrap_procps_pids_new(struct pids_info **info, enum pids_item *items, int count)
{
    return fails("pids_new") ? -failing_errno
                             : __real_procps_pids_new(info, items, count);
}

struct pids_fetch *
__real_procps_pids_reap(struct pids_info *info, enum pids_fetch_type which);
struct pids_fetch *
__wrap_procps_pids_reap(struct pids_info *info, enum pids_fetch_type which);
struct pids_fetch *
__wrap_procps_pids_reap(struct pids_info *info, enum pids_fetch_type which)
{
    return fails("pids_reap") ? NULL : __real_procps_pids_reap(info, which);
}

struct pids_fetch *__real_procps_pids_select(struct pids_info *info, unsigned *these,
                                             int count, enum pids_select_type which);
struct pids_fetch *__wrap_procps_pids_select(struct pids_info *info, unsigned *these,
                                             int count, enum pids_select_type which);
struct pids_fetch *
__wrap_procps_pids_select(struct pids_info *info, unsigned *these, int count,
                          enum pids_select_type which)
{
    struct pids_fetch *fetch;

    if (fails("pids_select")) {
        return NULL;
    }
    fetch = __real_procps_pids_select(info, these, count, which);
    for (int i = 0; fetch != NULL && i < fetch->counts->total; i++) {
        struct pids_result *of = fetch->stacks[i]->head;

        for (int k = 0; k < 3; k++) {
            if ((selected == PSS_DENIED && of[k].item == PIDS_SMAP_PSS) ||
                (selected == ENDED && of[k].item != PIDS_ID_PID)) {
                of[k].result.ul_int = 0;
            }
        }
    }
    return fetch;
}

static inline int
new_own_tree(struct mw_process_tree **out)
{
    return mw_process_tree_new(out, &(pid_t){getpid()}, 1);
}

/* A child that holds so much of its own, and has `children` that do; they end with
 * it. */
static inline pid_t
start_child(int64_t bytes, int children)
{
    int ready[2];
    char byte = 0;
    pid_t child;

    assert_int_equal(pipe(ready), 0);
    child = fork();
    if (child == 0) {
        bool forked = true;

        for (int i = 0; i < children && forked; i++) {
            forked = fork() != 0;
        }
        if (!forked) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
        }
        if (bytes > 0) {
            volatile char *held = map_touched(bytes);

            held[0] = 2;
        }
        (void)!write(ready[1], &byte, 1);
        for (;;) {
            pause();
        }
    }
    close(ready[1]);
    for (int i = 0; i <= children; i++) {
        assert_int_equal(read(ready[0], &byte, 1), 1);
    }
    close(ready[0]);
    return child;
}

static inline void
end_it(pid_t child)
{
    int status;

    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
}

#endif
