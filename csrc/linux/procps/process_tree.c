#include "linux/procps/process_tree.h"

#include <errno.h>
#include <linux/kcmp.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <libproc2/pids.h>

/* Without libproc2's macro PIDS_VAL: it has four parameters up to 4.0.4, and three from
 * 4.0.5. */

enum { PID, PARENT, STATE, FLAGS, BEGAN, SIZE, RSS, ITEMS };
enum { PSS_PID, PSS_RSS, PSS_PSS, PSS_ITEMS };

/* procps_pids_select() takes 255 at once. */
enum { BATCH = 200 };

/* PF_FORKNOEXEC, of the kernel's flags of a process. */
#define FORKED_ONLY 0x40UL

struct process {
    int pid;
    int parent;
    bool has_execed;
    unsigned long size_kib;
    int64_t rss_bytes;        /* 0: has ended, or has no memory of its own */
    unsigned long long began; /* identifies it with its pid */
    bool descends;            /* from the root */
};

struct child {
    int pid;
    unsigned long long began;
};

struct mw_process_tree {
    pid_t root;
    struct pids_info *all;
    struct pids_info *some;
    struct process *processes; /* of the newest reading, by pid */
    size_t count;
    size_t room;
    struct child *children; /* the root's, of the newest reading, by pid */
    size_t child_count;
    size_t child_room;
    int64_t first_seen;
};

int
mw_process_tree_new(struct mw_process_tree **out, pid_t root)
{
    enum pids_item all[ITEMS] = {
        [PID] = PIDS_ID_PID,  [PARENT] = PIDS_ID_PPID,   [STATE] = PIDS_STATE,
        [FLAGS] = PIDS_FLAGS, [BEGAN] = PIDS_TICS_BEGAN, [SIZE] = PIDS_MEM_VIRT,
        [RSS] = PIDS_MEM_RES,
    };
    struct mw_process_tree *self = calloc(1, sizeof *self);
    int err;

    if (self == NULL) {
        return -ENOMEM;
    }
    self->root = root;
    err = procps_pids_new(&self->all, all, ITEMS);
    if (err == 0) {
        enum pids_item some[PSS_ITEMS] = {
            [PSS_PID] = PIDS_ID_PID,
            [PSS_RSS] = PIDS_MEM_RES,
            [PSS_PSS] = PIDS_SMAP_PSS,
        };

        err = procps_pids_new(&self->some, some, PSS_ITEMS);
    }
    if (err != 0) {
        mw_process_tree_free(&self);
        return err;
    }
    *out = self;
    return 0;
}

void
mw_process_tree_free(struct mw_process_tree **self)
{
    if (*self == NULL) {
        return;
    }
    if ((*self)->some != NULL) {
        procps_pids_unref(&(*self)->some);
    }
    if ((*self)->all != NULL) {
        procps_pids_unref(&(*self)->all);
    }
    free((*self)->processes);
    free((*self)->children);
    free(*self);
    *self = NULL;
}

/* libproc2 sets errno, but not always. */
static int
last_error(void)
{
    return errno != 0 ? -errno : -EIO;
}

/* ---- all processes ---- */

static int
by_pid(const void *a, const void *b)
{
    const struct process *left = a;
    const struct process *right = b;

    return (left->pid > right->pid) - (left->pid < right->pid);
}

static const struct process *
find(const struct mw_process_tree *self, int pid)
{
    struct process wanted = {.pid = pid};

    return self->count == 0 ? NULL
                            : bsearch(&wanted, self->processes, self->count,
                                      sizeof *self->processes, by_pid);
}

static int
read_all(struct mw_process_tree *self)
{
    struct pids_fetch *fetch;
    size_t total;

    errno = 0;
    fetch = procps_pids_reap(self->all, PIDS_FETCH_TASKS_ONLY);
    if (fetch == NULL) {
        return last_error();
    }
    total = (size_t)fetch->counts->total;
    if (total > self->room) {
        size_t room = total + total / 2;
        struct process *processes = realloc(self->processes, room * sizeof *processes);

        if (processes == NULL) {
            return -ENOMEM;
        }
        self->processes = processes;
        self->room = room;
    }
    for (size_t i = 0; i < total; i++) {
        const struct pids_result *of = fetch->stacks[i]->head;
        bool ended = of[STATE].result.s_ch == 'Z' || of[STATE].result.s_ch == 'X';

        self->processes[i] = (struct process){
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

/* Between vfork() and exec() a child uses its parent's memory. */
static bool
borrows(const struct mw_process_tree *self, const struct process *process)
{
    const struct process *parent = find(self, process->parent);
    long order;

    if (process->has_execed || parent == NULL) {
        return false;
    }
    order = syscall(SYS_kcmp, parent->pid, process->pid, KCMP_VM, 0UL, 0UL);
    if (order >= 0) {
        return order == 0;
    }
    /* kcmp() may be forbidden. The figures are the same too, if nothing has changed
     * between reading the two; after fork() a child lacks the file-backed pages. */
    return process->size_kib == parent->size_kib &&
           process->rss_bytes == parent->rss_bytes;
}

/* Parents usually have lower pids: one round finds nearly all. */
static void
mark_descendants(struct mw_process_tree *self)
{
    bool found = true;

    while (found) {
        found = false;
        for (size_t i = 0; i < self->count; i++) {
            struct process *process = &self->processes[i];
            const struct process *parent;

            if (process->descends || process->pid == self->root) {
                continue;
            }
            parent = find(self, process->parent);
            process->descends =
                process->parent == self->root || (parent != NULL && parent->descends);
            if (process->descends && borrows(self, process)) {
                process->rss_bytes = 0;
            }
            found = found || process->descends;
        }
    }
}

/* ---- the root's own children, seen for the first time ---- */

static bool
was_there(const struct mw_process_tree *self, const struct process *process)
{
    for (size_t i = 0; i < self->child_count; i++) {
        if (self->children[i].pid == process->pid &&
            self->children[i].began == process->began) {
            return true;
        }
    }
    return false;
}

static bool
is_child(const struct mw_process_tree *self, const struct process *process)
{
    return process->parent == self->root && process->rss_bytes > 0;
}

static int
meet_children(struct mw_process_tree *self)
{
    size_t count = 0;

    for (size_t i = 0; i < self->count; i++) {
        count += is_child(self, &self->processes[i]);
    }
    if (count > self->child_room) {
        struct child *children = realloc(self->children, 2 * count * sizeof *children);

        if (children == NULL) {
            return -ENOMEM;
        }
        self->children = children;
        self->child_room = 2 * count;
    }
    for (size_t i = 0; i < self->count; i++) {
        const struct process *process = &self->processes[i];

        self->first_seen += is_child(self, process) && !was_there(self, process);
    }
    self->child_count = 0;
    for (size_t i = 0; i < self->count; i++) {
        const struct process *process = &self->processes[i];

        if (is_child(self, process)) {
            self->children[self->child_count++] =
                (struct child){process->pid, process->began};
        }
    }
    return 0;
}

/* ---- PSS ---- */

/* Add the PSS of `pids`; the root's separately. */
static int
add_pss(struct mw_process_tree *self, unsigned *pids, int count,
        struct mw_process_tree_reading *sum)
{
    struct pids_fetch *fetch;

    errno = 0;
    fetch = procps_pids_select(self->some, pids, count, PIDS_SELECT_PID);
    if (fetch == NULL) {
        return last_error();
    }
    for (int i = 0; i < fetch->counts->total; i++) {
        const struct pids_result *of = fetch->stacks[i]->head;
        int64_t rss_bytes = (int64_t)of[PSS_RSS].result.ul_int * 1024;
        /* 0: smaps_rollup could not be read, because RSS implies PSS. */
        int64_t pss_bytes = (int64_t)of[PSS_PSS].result.ul_int * 1024;

        if (of[PSS_PID].result.s_int == self->root) {
            sum->own_pss_bytes = pss_bytes > 0 ? pss_bytes : MW_ABSENT;
        }
        else if (rss_bytes > 0) { /* else it has ended since */
            sum->count++;
            sum->rss_bytes += rss_bytes;
            if (pss_bytes == 0 || sum->pss_bytes == MW_ABSENT) {
                sum->pss_bytes = MW_ABSENT;
            }
            else {
                sum->pss_bytes += pss_bytes;
            }
        }
    }
    return 0;
}

static int
read_pss(struct mw_process_tree *self, struct mw_process_tree_reading *out)
{
    struct mw_process_tree_reading sum = {
        .first_seen = out->first_seen,
        .own_pss_bytes = MW_ABSENT,
    };
    unsigned pids[BATCH];
    int count = 0;
    int err = 0;

    pids[count++] = (unsigned)self->root;
    for (size_t i = 0; i < self->count && err == 0; i++) {
        const struct process *process = &self->processes[i];

        if (!process->descends || process->rss_bytes == 0) {
            continue;
        }
        pids[count++] = (unsigned)process->pid;
        if (count == BATCH) {
            err = add_pss(self, pids, count, &sum);
            count = 0;
        }
    }
    if (err == 0 && count > 0) {
        err = add_pss(self, pids, count, &sum);
    }
    if (err == 0) {
        *out = sum;
    }
    return err;
}

int
mw_process_tree_read(struct mw_process_tree *self, bool with_pss,
                     struct mw_process_tree_reading *out)
{
    struct mw_process_tree_reading reading = {.pss_bytes = MW_ABSENT,
                                              .own_pss_bytes = MW_ABSENT};
    int err = read_all(self);

    if (err == 0) {
        mark_descendants(self);
        err = meet_children(self);
    }
    if (err != 0) {
        return err;
    }
    reading.first_seen = self->first_seen;
    for (size_t i = 0; i < self->count; i++) {
        if (self->processes[i].descends && self->processes[i].rss_bytes > 0) {
            reading.count++;
            reading.rss_bytes += self->processes[i].rss_bytes;
        }
    }
    if (with_pss && reading.count == 0) {
        reading.pss_bytes = 0; /* no descendants */
    }
    else if (with_pss) {
        err = read_pss(self, &reading);
    }
    if (err == 0) {
        *out = reading;
    }
    return err;
}
