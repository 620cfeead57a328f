/* Monotonic time in nanoseconds, and deadlines on it. */

#ifndef MW_CLOCK_H
#define MW_CLOCK_H

#include <stdint.h>
#include <time.h>

#define MW_NS_PER_US INT64_C(1000)
#define MW_NS_PER_MS INT64_C(1000000)
#define MW_NS_PER_S INT64_C(1000000000)

/* Nanoseconds on CLOCK_MONOTONIC (vDSO, no system call). Any thread. */
static inline int64_t
mw_clock_mono_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * MW_NS_PER_S + now.tv_nsec;
}

/* Nanoseconds since 1970, to tell dates by: this clock can be set. Any thread. */
static inline int64_t
mw_clock_real_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * MW_NS_PER_S + now.tv_nsec;
}

/* The absolute CLOCK_MONOTONIC time `t_mono_ns` as the C library wants it. */
static inline struct timespec
mw_clock_deadline(int64_t t_mono_ns)
{
    return (struct timespec){.tv_sec = (time_t)(t_mono_ns / MW_NS_PER_S),
                             .tv_nsec = (long)(t_mono_ns % MW_NS_PER_S)};
}

#endif
