/* The figures that are measured: each with its unit and its source. Types only. */

#ifndef MW_BASE_SAMPLE_H
#define MW_BASE_SAMPLE_H

#include <stdint.h>

/* A figure that could not be read. Never 0, which would mean "none". */
#define MW_ABSENT INT64_MIN

/* A limit that is not set. */
#define MW_UNLIMITED INT64_MAX

/* One process at one moment, from one read of /proc/PID/status. A field that the kernel
 * did not print is MW_ABSENT. */
struct mw_memory {
    int64_t rss_bytes;   /* VmRSS: resident set size, anon + file + shmem */
    int64_t hwm_bytes;   /* VmHWM: highest RSS since its last reset */
    int64_t anon_bytes;  /* RssAnon: heap, stacks, private mappings written to */
    int64_t file_bytes;  /* RssFile: mapped files, programs and libraries */
    int64_t shmem_bytes; /* RssShmem: shared memory, tmpfs, shared anonymous */
    int64_t swap_bytes;  /* VmSwap: swapped-out anonymous memory */
    int64_t threads;     /* Threads */
};

#define MW_MEMORY_ABSENT                                                               \
    ((struct mw_memory){MW_ABSENT, MW_ABSENT, MW_ABSENT, MW_ABSENT, MW_ABSENT,         \
                        MW_ABSENT, MW_ABSENT})

/* All processors of the machine at one moment. Ticks are those of /proc/stat,
 * sysconf(_SC_CLK_TCK) a second (100 on Linux), summed over the processors. */
struct mw_cpu {
    int64_t busy_ticks;  /* since boot */
    int64_t total_ticks; /* since boot, busy and idle */
    /* Since the previous reading: the busiest processor, in percent, and the number of
     * ticks that this is computed from. */
    int64_t busiest_percent; /* MW_ABSENT: no tick passed */
    int64_t busiest_ticks;
};

/* Reads the processors. The sampler calls it from its own thread and from the thread
 * that opens or closes a window, one call at a time. Returns 0 or -errno. */
struct mw_cpu_reader {
    int (*read)(void *self, struct mw_cpu *out);
    void *self;
};

#endif
