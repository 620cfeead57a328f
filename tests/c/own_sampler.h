/* What the tests of the own process's sampler share: it, from setup to teardown. */

#ifndef OWN_SAMPLER_H
#define OWN_SAMPLER_H

#include <time.h>

#include "mw_self.h"

static struct mw_sampler *sampler;

static inline int
acquire(void **state)
{
    (void)state;
    return mw_self_acquire(&sampler);
}

static inline int
release(void **state)
{
    (void)state;
    mw_self_release(&sampler);
    return sampler == NULL ? 0 : -1;
}

static inline struct mw_sampler_status
status_of(struct mw_sampler *of)
{
    struct mw_sampler_status status;

    mw_sampler_read_status(of, &status);
    return status;
}

#define WAIT_UNTIL(condition)                                                          \
    while (!(condition)) {                                                             \
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);                        \
    }

#endif
