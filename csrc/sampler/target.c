#include "sampler/target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

int
mw_target_init(struct mw_target *self, const char *root, pid_t pid,
               const struct mw_accuracy *own)
{
    *self = (struct mw_target){
        .root = strdup(root),
        .pid = pid,
        .may_reset_other = own != NULL,
        .proc = MW_PROC_CLOSED,
    };
    if (own != NULL) {
        self->own = *own;
    }
    return self->root != NULL ? 0 : -ENOMEM;
}

void
mw_target_release(struct mw_target *self)
{
    mw_proc_close(&self->proc);
    free(self->root);
}

int
mw_target_open(struct mw_target *self, int64_t *hwm_bytes)
{
    struct mw_memory memory;
    int err = mw_proc_open(&self->proc, self->root, self->pid);

    if (err == 0) {
        err = mw_proc_read_memory(&self->proc, &memory);
    }
    if (err == 0) {
        *hwm_bytes = memory.hwm_bytes;
        if (self->pid != 0 && !self->may_reset_other) {
            /* The probe touches pages of this process, which the other's HWM does
             * not count. And that process may itself measure by its HWM. */
            mw_proc_forgo_hwm(&self->proc);
        }
        err = self->may_reset_other
                  ? mw_accuracy_of_other(&self->own, &self->proc, self->root, self->pid,
                                         &self->accuracy)
                  : mw_accuracy_probe(&self->proc, &self->accuracy);
    }
    if (err != 0) {
        mw_proc_close(&self->proc);
    }
    return err;
}

bool
mw_target_is_intact(const struct mw_target *self)
{
    /* A probe that failed for lack of memory is repeated. */
    return self->proc.status.fd >= 0 && self->accuracy.hwm_errno != ENOMEM &&
           mw_proc_is_intact(&self->proc);
}

void
mw_target_update_processors(struct mw_target *self, int64_t t_ns)
{
    if (t_ns - self->t_processors_ns >= MW_NS_PER_S) {
        self->t_processors_ns = t_ns;
        mw_accuracy_look_again(&self->accuracy, self->proc.page_bytes);
    }
}

int64_t
mw_target_bound(const struct mw_target *self, const struct mw_memory *start,
                const struct mw_memory *end)
{
    int64_t threads = start->threads > end->threads ? start->threads : end->threads;

    return mw_accuracy_bound(&self->accuracy, threads, self->proc.page_bytes);
}
