/* What the files of the sampler share. Nobody else includes it. */

#ifndef MW_SAMPLER_SAMPLER_PRIVATE_H
#define MW_SAMPLER_SAMPLER_PRIVATE_H

#include "sampler/sampler.h"

#include <pthread.h>

#include "base/ticker.h"

struct mw_sampler {
    pthread_mutex_t lock;  /* guards everything below */
    pthread_mutex_t files; /* locked after it: the thread reads the target's
                              files with this alone; who opens or closes them
                              holds both */
    struct mw_target target;
    struct mw_window_list windows;     /* the open windows */
    struct mw_cpu_reader cpu;          /* read == NULL: nobody asks */
    int64_t t_cpu_ns;                  /* when the processors were last read */
    struct mw_blackbox_writer *writer; /* NULL: no black box is written */
    int64_t t_hwm_ns;                  /* when the mark was last read for it */

    struct mw_ticker *ticker; /* calls tick() below; NULL: there is no thread */
    int thread_errno;         /* why not: pthread_create() failed; 0: not tried */
    int64_t t_next_ns;        /* when the next sample is due, with a window open */
    int64_t interval_ns;      /* and how long after it another */
    int64_t resets;           /* of the mark, so far */
    int64_t samples;
    int64_t missed;
};

/* With the lock held: open the files of the target again, if a fork or somebody who
 * closes descriptors in bulk has closed them. While a window is open they stay as they
 * are. Returns 0 or -errno. */
int mw_sampler_reopen_files(struct mw_sampler *self);

#endif
