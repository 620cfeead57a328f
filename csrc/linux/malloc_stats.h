/* What the allocator holds and nobody uses. */

#ifndef MW_LINUX_MALLOC_STATS_H
#define MW_LINUX_MALLOC_STATS_H

#include <stdint.h>

struct mw_malloc_stats {
    int64_t retained_bytes; /* mallinfo2().fordblks: free in all of malloc's arenas.
                               Its fast bins are in it (fsmblks would count them
                               twice), and the top that it could give back. An upper
                               bound for what RSS has of it: pages may be among it that
                               were never touched or are given back. Not in it: what is
                               mmap()ed, as large blocks and Python's own arenas are,
                               and what threads keep for themselves (tcache). */
    int64_t duration_ns;    /* how long that took: malloc goes through what is free */
};

/* Ask malloc. It locks its arenas, one after the other, meanwhile. Any thread.
 * -ENOSYS where mallinfo2() is not to be had (glibc before 2.33, musl) or is not of the
 * malloc that the process uses (another one is preloaded). */
int mw_malloc_stats_read(struct mw_malloc_stats *out);

#endif
