#include "linux/procps/machine.h"

#include <errno.h>
#include <stdlib.h>

#include <libproc2/meminfo.h>
#include <libproc2/stat.h>

struct mw_machine {
    struct meminfo_info *meminfo;
    struct stat_info *stat;
};

int
mw_machine_new(struct mw_machine **out)
{
    struct mw_machine *self = calloc(1, sizeof *self);
    int err;

    if (self == NULL) {
        return -ENOMEM;
    }
    err = procps_meminfo_new(&self->meminfo);
    if (err == 0) {
        err = procps_stat_new(&self->stat);
    }
    if (err != 0) {
        mw_machine_free(&self);
        return err;
    }
    *out = self;
    return 0;
}

void
mw_machine_free(struct mw_machine **self)
{
    if (*self == NULL) {
        return;
    }
    if ((*self)->stat != NULL) {
        procps_stat_unref(&(*self)->stat);
    }
    if ((*self)->meminfo != NULL) {
        procps_meminfo_unref(&(*self)->meminfo);
    }
    free(*self);
    *self = NULL;
}

/* libproc2 sets errno, but not always. */
static int
last_error(void)
{
    return errno != 0 ? -errno : -EIO;
}

int
mw_machine_read_memory(struct mw_machine *self, struct mw_machine_memory *out)
{
    enum meminfo_item items[] = {MEMINFO_MEM_TOTAL, MEMINFO_MEM_AVAILABLE};
    struct meminfo_stack *stack;

    errno = 0;
    stack = procps_meminfo_select(self->meminfo, items, 2);
    if (stack == NULL) {
        return last_error();
    }
    /* libproc2 gives kB. */
    out->total_bytes = (int64_t)stack->head[0].result.ul_int * 1024;
    out->available_bytes = (int64_t)stack->head[1].result.ul_int * 1024;
    return 0;
}

enum tic { BUSY, TOTAL, DELTA_BUSY, DELTA_TOTAL, TICS };

int
mw_machine_read_cpu(struct mw_machine *self, struct mw_cpu *out)
{
    enum stat_item items[TICS] = {
        [BUSY] = STAT_TIC_SUM_BUSY,
        [TOTAL] = STAT_TIC_SUM_TOTAL,
        [DELTA_BUSY] = STAT_TIC_SUM_DELTA_BUSY,
        [DELTA_TOTAL] = STAT_TIC_SUM_DELTA_TOTAL,
    };
    struct stat_reaped *reaped;
    struct mw_cpu cpu = {.busiest_percent = MW_ABSENT};

    errno = 0;
    reaped = procps_stat_reap(self->stat, STAT_REAP_CPUS_ONLY, items, TICS);
    if (reaped == NULL) {
        return last_error();
    }
    cpu.busy_ticks = (int64_t)reaped->summary->head[BUSY].result.ull_int;
    cpu.total_ticks = (int64_t)reaped->summary->head[TOTAL].result.ull_int;
    for (int i = 0; i < reaped->cpus->total; i++) {
        const struct stat_result *processor = reaped->cpus->stacks[i]->head;
        int64_t busy = processor[DELTA_BUSY].result.sl_int;
        int64_t total = processor[DELTA_TOTAL].result.sl_int;
        int64_t percent;

        if (total <= 0 || busy < 0 || busy > total) {
            continue; /* no tick passed, or iowait ran backwards */
        }
        percent = (busy * 100 + total / 2) / total;
        if (percent > cpu.busiest_percent) {
            cpu.busiest_percent = percent;
            cpu.busiest_ticks = total;
        }
    }
    *out = cpu;
    return 0;
}
