/* Memory that is held for a moment. */

#ifndef MW_TEST_SPIKES_H
#define MW_TEST_SPIKES_H

#include "support.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "base/clock.h"
#include "own_sampler.h"
#include "window/sampling_interval.h"

static inline struct mw_result
transient(int64_t bytes)
{
    struct mw_watch watch;
    struct mw_result result;

    assert_int_equal(mw_sampler_open(sampler, &watch, NULL), 0);
    unmap(map_touched(bytes), bytes);
    assert_int_equal(mw_sampler_close(sampler, &watch, NULL, &result), 0);
    return result;
}

#endif
