/* Monotonic time in nanoseconds, and deadlines on it. */

#ifndef MW_BASE_CLOCK_H
#define MW_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define MW_NS_PER_US INT64_C(1000)
#define MW_NS_PER_MS INT64_C(1000000)
#define MW_NS_PER_S INT64_C(1000000000)

/* Nanoseconds on `clock` (vDSO, no system call). Any thread. */
static inline int64_t
mw_clock_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * MW_NS_PER_S + now.tv_nsec;
}

static inline int64_t
mw_clock_mono_ns(void)
{
    return mw_clock_ns(CLOCK_MONOTONIC);
}

/* Processor time of the calling thread. */
static inline int64_t
mw_clock_thread_cpu_ns(void)
{
    return mw_clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

/* As the monotonic clock, but it goes on while the machine is suspended. */
static inline int64_t
mw_clock_boot_ns(void)
{
    return mw_clock_ns(CLOCK_BOOTTIME);
}

/* Nanoseconds since 1970, to tell dates by: this clock can be set. */
static inline int64_t
mw_clock_real_ns(void)
{
    return mw_clock_ns(CLOCK_REALTIME);
}

/* The absolute CLOCK_MONOTONIC time `t_mono_ns` as the C library wants it. */
static inline struct timespec
mw_clock_deadline(int64_t t_mono_ns)
{
    return (struct timespec){.tv_sec = (time_t)(t_mono_ns / MW_NS_PER_S),
                             .tv_nsec = (long)(t_mono_ns % MW_NS_PER_S)};
}

#endif
