/* How often a window is sampled. Pure. */

#ifndef MW_WINDOW_SAMPLING_INTERVAL_H
#define MW_WINDOW_SAMPLING_INTERVAL_H

#include "base/clock.h"

#define MW_SAMPLING_INTERVAL_FIRST_NS (1 * MW_NS_PER_MS)

/* A window that is `age_ns` old is sampled next at the age this returns: every 1 ms in
 * the first quarter second, every 10 ms in the first minute, every 50 ms then.
 * Multiples of the interval, so that late samples do not add up. */
static inline int64_t
mw_sampling_interval_next_age_ns(int64_t age_ns)
{
    int64_t interval_ns = 50 * MW_NS_PER_MS;

    if (age_ns < 250 * MW_NS_PER_MS) {
        interval_ns = MW_SAMPLING_INTERVAL_FIRST_NS;
    }
    else if (age_ns < 60 * MW_NS_PER_S) {
        interval_ns = 10 * MW_NS_PER_MS;
    }
    return (age_ns / interval_ns + 1) * interval_ns;
}

#endif
