#include "linux/procps/process_tree.h"

#include <errno.h>
#include <linux/kcmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <libproc2/pids.h>

#include "linux/procps/process_list.h"

/* Without libproc2's macro PIDS_VAL; see process_list.c. */
enum { PSS_PID, PSS_RSS, PSS_PSS, PSS_ITEMS };

/* procps_pids_select() takes 255 at once. */
enum { BATCH = 200 };

struct child {
    int pid;
    unsigned long long began;
};

struct mw_process_tree {
    struct mw_process_list list;
    struct pids_info *some;
    struct child *children; /* the roots', of the newest reading, by pid */
    size_t child_count;
    size_t child_room;
    int64_t first_seen;
    size_t root_count;
    pid_t roots[];
};

static bool
is_root(const struct mw_process_tree *self, pid_t pid)
{
    for (size_t i = 0; i < self->root_count; i++) {
        if (self->roots[i] == pid) {
            return true;
        }
    }
    return false;
}

int
mw_process_tree_new(struct mw_process_tree **out, const pid_t *roots, size_t count)
{
    struct mw_process_tree *self = calloc(1, sizeof *self + count * sizeof *roots);
    int err;

    if (self == NULL) {
        return -ENOMEM;
    }
    self->root_count = count;
    memcpy(self->roots, roots, count * sizeof *roots);
    err = mw_process_list_init(&self->list);
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
    mw_process_list_release(&(*self)->list);
    free((*self)->children);
    free(*self);
    *self = NULL;
}

/* ---- descendants ---- */

/* Between vfork() and exec() a child uses its parent's memory. */
static bool
borrows(const struct mw_process_tree *self, const struct mw_process *process)
{
    const struct mw_process *parent =
        mw_process_list_find(&self->list, process->parent);
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
        for (size_t i = 0; i < self->list.count; i++) {
            struct mw_process *process = &self->list.processes[i];
            const struct mw_process *parent;

            if (process->descends || is_root(self, process->pid)) {
                continue;
            }
            parent = mw_process_list_find(&self->list, process->parent);
            process->descends =
                is_root(self, process->parent) || (parent != NULL && parent->descends);
            if (process->descends && borrows(self, process)) {
                process->rss_bytes = 0;
            }
            found = found || process->descends;
        }
    }
}

/* ---- the roots' own children, seen for the first time ---- */

static bool
was_there(const struct mw_process_tree *self, const struct mw_process *process)
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
is_child(const struct mw_process_tree *self, const struct mw_process *process)
{
    return process->descends && is_root(self, process->parent) &&
           process->rss_bytes > 0;
}

static int
meet_children(struct mw_process_tree *self)
{
    size_t count = 0;

    for (size_t i = 0; i < self->list.count; i++) {
        count += is_child(self, &self->list.processes[i]);
    }
    if (count > self->child_room) {
        struct child *children = realloc(self->children, 2 * count * sizeof *children);

        if (children == NULL) {
            return -ENOMEM;
        }
        self->children = children;
        self->child_room = 2 * count;
    }
    for (size_t i = 0; i < self->list.count; i++) {
        const struct mw_process *process = &self->list.processes[i];

        self->first_seen += is_child(self, process) && !was_there(self, process);
    }
    self->child_count = 0;
    for (size_t i = 0; i < self->list.count; i++) {
        const struct mw_process *process = &self->list.processes[i];

        if (is_child(self, process)) {
            self->children[self->child_count++] =
                (struct child){process->pid, process->began};
        }
    }
    return 0;
}

/* ---- PSS ---- */

/* MW_ABSENT once one is not known. */
static void
add(int64_t *sum, int64_t pss_bytes)
{
    *sum = pss_bytes == 0 || *sum == MW_ABSENT ? MW_ABSENT : *sum + pss_bytes;
}

/* Add the PSS of `pids`; the roots' separately. */
static int
add_pss(struct mw_process_tree *self, unsigned *pids, int count,
        struct mw_process_tree_reading *sum)
{
    struct pids_fetch *fetch;

    errno = 0;
    fetch = procps_pids_select(self->some, pids, count, PIDS_SELECT_PID);
    if (fetch == NULL) {
        return mw_procps_error();
    }
    for (int i = 0; i < fetch->counts->total; i++) {
        const struct pids_result *of = fetch->stacks[i]->head;
        int64_t rss_bytes = (int64_t)of[PSS_RSS].result.ul_int * 1024;
        /* 0: smaps_rollup could not be read, because RSS implies PSS. */
        int64_t pss_bytes = (int64_t)of[PSS_PSS].result.ul_int * 1024;

        if (rss_bytes == 0) {
            continue; /* it has ended since */
        }
        if (is_root(self, of[PSS_PID].result.s_int)) {
            add(&sum->own_pss_bytes, pss_bytes);
            continue;
        }
        sum->count++;
        sum->rss_bytes += rss_bytes;
        add(&sum->pss_bytes, pss_bytes);
    }
    return 0;
}

/* A hash (FNV-1a) of which processes descend from the roots. */
static uint64_t
identify(const struct mw_process_tree *self)
{
    uint64_t hash = 14695981039346656037U;

    for (size_t i = 0; i < self->list.count; i++) {
        const struct mw_process *process = &self->list.processes[i];

        if (process->descends && process->rss_bytes > 0) {
            hash = (hash ^ (uint64_t)process->pid) * 1099511628211U;
            hash = (hash ^ process->began) * 1099511628211U;
            hash = (hash ^ process->has_execed) * 1099511628211U;
        }
    }
    return hash;
}

static int
read_pss(struct mw_process_tree *self, struct mw_process_tree_reading *out)
{
    struct mw_process_tree_reading sum = {.first_seen = out->first_seen};
    unsigned pids[BATCH];
    int count = 0;
    int err = 0;

    for (size_t i = 0; i < self->list.count && err == 0; i++) {
        const struct mw_process *process = &self->list.processes[i];

        if (process->rss_bytes == 0 ||
            !(process->descends || is_root(self, process->pid))) {
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
    int err = mw_process_list_read(&self->list);

    if (err == 0) {
        mark_descendants(self);
        err = meet_children(self);
    }
    if (err != 0) {
        return err;
    }
    reading.first_seen = self->first_seen;
    for (size_t i = 0; i < self->list.count; i++) {
        if (self->list.processes[i].descends && self->list.processes[i].rss_bytes > 0) {
            reading.count++;
            reading.rss_bytes += self->list.processes[i].rss_bytes;
        }
    }
    if (with_pss && reading.count == 0) {
        reading.pss_bytes = 0; /* no descendants */
        reading.is_steady = true;
    }
    else if (with_pss) {
        uint64_t before = identify(self);

        err = read_pss(self, &reading);
        if (err == 0 && mw_process_list_read(&self->list) == 0) {
            mark_descendants(self);
            reading.is_steady = identify(self) == before;
        }
    }
    if (err == 0) {
        *out = reading;
    }
    return err;
}
