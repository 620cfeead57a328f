#include "linux/procps/process_list.h"

#include <stdlib.h>

#include <libproc2/pids.h>

/* Without libproc2's macro PIDS_VAL: it has four parameters up to 4.0.4, and three from
 * 4.0.5. */

enum { PID, PARENT, STATE, FLAGS, BEGAN, SIZE, RSS, ITEMS };

/* PF_FORKNOEXEC, of the kernel's flags of a process. */
#define FORKED_ONLY 0x40UL

int
mw_process_list_init(struct mw_process_list *self)
{
    enum pids_item items[ITEMS] = {
        [PID] = PIDS_ID_PID,  [PARENT] = PIDS_ID_PPID,   [STATE] = PIDS_STATE,
        [FLAGS] = PIDS_FLAGS, [BEGAN] = PIDS_TICS_BEGAN, [SIZE] = PIDS_MEM_VIRT,
        [RSS] = PIDS_MEM_RES,
    };

    *self = (struct mw_process_list){0};
    return procps_pids_new(&self->all, items, ITEMS);
}

void
mw_process_list_release(struct mw_process_list *self)
{
    if (self->all != NULL) {
        procps_pids_unref(&self->all);
    }
    free(self->processes);
    *self = (struct mw_process_list){0};
}

static int
by_pid(const void *a, const void *b)
{
    const struct mw_process *left = a;
    const struct mw_process *right = b;

    return (left->pid > right->pid) - (left->pid < right->pid);
}

const struct mw_process *
mw_process_list_find(const struct mw_process_list *self, int pid)
{
    struct mw_process wanted = {.pid = pid};

    return self->count == 0 ? NULL
                            : bsearch(&wanted, self->processes, self->count,
                                      sizeof *self->processes, by_pid);
}

int
mw_process_list_read(struct mw_process_list *self)
{
    struct pids_fetch *fetch;
    size_t total;

    errno = 0;
    fetch = procps_pids_reap(self->all, PIDS_FETCH_TASKS_ONLY);
    if (fetch == NULL) {
        return mw_procps_error();
    }
    total = (size_t)fetch->counts->total;
    if (total > self->room) {
        size_t room = total + total / 2;
        struct mw_process *processes =
            realloc(self->processes, room * sizeof *processes);

        if (processes == NULL) {
            return -ENOMEM;
        }
        self->processes = processes;
        self->room = room;
    }
    for (size_t i = 0; i < total; i++) {
        const struct pids_result *of = fetch->stacks[i]->head;
        bool ended = of[STATE].result.s_ch == 'Z' || of[STATE].result.s_ch == 'X';

        self->processes[i] = (struct mw_process){
            .pid = of[PID].result.s_int,
            .parent = of[PARENT].result.s_int,
            .has_execed = (of[FLAGS].result.ul_int & FORKED_ONLY) == 0,
            .size_kib = of[SIZE].result.ul_int,
            /* libproc2 gives KiB, and 0 where statm was gone. */
            .rss_bytes = ended ? 0 : (int64_t)of[RSS].result.ul_int * 1024,
            .began = of[BEGAN].result.ull_int,
        };
    }
    self->count = total;
    if (total > 0) {
        qsort(self->processes, total, sizeof *self->processes, by_pid);
    }
    return 0;
}
