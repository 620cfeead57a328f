/* Shared by sampler.c and sampler_state.c only: the sampler's state. */

#ifndef MW_SAMPLER_SAMPLER_PRIVATE_H
#define MW_SAMPLER_SAMPLER_PRIVATE_H

#include "sampler/sampler.h"

#include <pthread.h>

#include "base/ticker.h"

struct mw_sampler {
    pthread_mutex_t lock; /* guards everything below */
    pthread_mutex_t
        files; /* taken after `lock`. The thread reads the target's files
                  with this lock only; opening and closing them takes both */
    struct mw_target target;
    struct mw_window_list windows;     /* the open windows */
    struct mw_cpu_reader cpu;          /* read == NULL: no reader is set */
    int64_t t_cpu_ns;                  /* when CPU times were last read */
    struct mw_blackbox_writer *writer; /* NULL: no black box is written */
    int64_t t_hwm_ns;                  /* when a sample last included the HWM */

    struct mw_ticker *ticker; /* calls tick(); NULL: there is no thread */
    int thread_errno;         /* why pthread_create() failed; 0: it did not */
    int64_t t_next_ns;        /* when the next sample is due, if a window is open */
    int64_t interval_ns;      /* from that sample to the one after it */
    int64_t resets;           /* of the HWM, so far */
    int64_t samples;
    int64_t missed;
};

/* With `lock` held: open the target's files again if fork() or a program that closes
 * descriptors in bulk has closed them. No effect while a window is open. Returns 0 or
 * -errno. */
int mw_sampler_reopen_files(struct mw_sampler *self);

#endif
