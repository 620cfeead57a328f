/* What malloc has handed out, and the free memory that it retains.
 *
 *     if (mw_malloc_stats_read(&stats) == 0) ... // stats.retained_bytes
 */

#ifndef MW_LINUX_MALLOC_STATS_H
#define MW_LINUX_MALLOC_STATS_H

#include <stdbool.h>
#include <stdint.h>

struct mw_malloc_stats {
    /* mallinfo2().fordblks: free memory in all arenas of malloc, fast bins and the
     * releasable top included. An upper bound of its part in RSS: some of its pages may
     * never have been touched, or have been returned. Does not include memory from
     * mmap(), such as large blocks and Python's arenas, nor the threads' caches. */
    int64_t retained_bytes;
    /* uordblks + hblkhd: what it has handed out and not got back, large blocks
     * included; with its own bookkeeping and the threads' caches. */
    int64_t in_use_bytes;
    int64_t duration_ns; /* how long reading took: malloc walks its free memory */
};

/* Ask malloc; it locks its arenas one after the other. Any thread. -ENOSYS: there is no
 * mallinfo2() (glibc before 2.33, musl), or the process uses another, preloaded malloc.
 */
int mw_malloc_stats_read(struct mw_malloc_stats *out);

/* malloc_trim(0): return free memory of all arenas to the system; takes milliseconds.
 * Whether it is glibc's malloc, which alone can. */
bool mw_malloc_trim(void);

#endif
