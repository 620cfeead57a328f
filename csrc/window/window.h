/* One window: what was read when it opened, while it was open and when it
 * closed -> what it cost. Pure: no I/O, no lock; the caller serialises. */

#ifndef MW_WINDOW_WINDOW_H
#define MW_WINDOW_WINDOW_H

#include <stdbool.h>

#include "base/sample.h"

struct mw_window {
    int64_t t_open_ns;       /* CLOCK_MONOTONIC */
    struct mw_memory start;  /* with the mark reset, if it is */
    bool marked;             /* the mark was reset when the window opened */
    int64_t hwm_bytes;       /* highest mark while open; MW_ABSENT: never raised */
    int64_t sampled_bytes;   /* highest sample; MW_ABSENT: none */
    int64_t cpu_busy_ticks;  /* at the start; MW_ABSENT: not read */
    int64_t cpu_total_ticks; /* at the start */
    int64_t busiest_percent; /* of one processor over one interval; MW_ABSENT */
    int64_t busiest_ticks;   /* the length of that interval */
};

/* What a window cost. Bytes, nanoseconds, percent; MW_ABSENT where unknown. */
struct mw_result {
    int64_t duration_ns; /* MW_ABSENT: the clock stood, or ran backwards */
    int64_t rss_start_bytes;
    int64_t rss_end_bytes;
    int64_t rss_peak_bytes;   /* the highest of mark, samples, start and end */
    int64_t used_bytes;       /* end - start; negative where memory was given back */
    int64_t peaked_bytes;     /* max(0, peak - end) */
    bool peak_from_kernel;    /* else sampled: a lower bound */
    int64_t peak_error_bytes; /* what the counters may have kept from the mark;
                                 MW_ABSENT where sampled */
    int64_t anon_bytes;       /* at the end, as are the next three */
    int64_t file_bytes;
    int64_t shmem_bytes;
    int64_t swap_bytes;
    int64_t system_mean_cpu_percent; /* of all processors, over the window */
    int64_t single_max_cpu_percent;  /* of the busiest, over its busiest interval */
};

/* Nothing is known. */
#define MW_RESULT_ABSENT                                                               \
    ((struct mw_result){.duration_ns = MW_ABSENT,                                      \
                        .rss_start_bytes = MW_ABSENT,                                  \
                        .rss_end_bytes = MW_ABSENT,                                    \
                        .rss_peak_bytes = MW_ABSENT,                                   \
                        .used_bytes = MW_ABSENT,                                       \
                        .peaked_bytes = MW_ABSENT,                                     \
                        .peak_error_bytes = MW_ABSENT,                                 \
                        .anon_bytes = MW_ABSENT,                                       \
                        .file_bytes = MW_ABSENT,                                       \
                        .shmem_bytes = MW_ABSENT,                                      \
                        .swap_bytes = MW_ABSENT,                                       \
                        .system_mean_cpu_percent = MW_ABSENT,                          \
                        .single_max_cpu_percent = MW_ABSENT})

/* Begin. `marked` says whether the mark was reset before `start` was read, and
 * `start` tells it. */
void mw_window_open(struct mw_window *self, int64_t t_ns, const struct mw_memory *start,
                    bool marked);

/* The RSS was `rss_bytes` at some moment between open and close. */
void mw_window_add_sample(struct mw_window *self, int64_t rss_bytes);

/* The kernel raised the mark to `hwm_bytes` since the window opened. A mark that
 * only stands where its reset left it is not to be added: the reset sets it from
 * the approximate counters, at times above an RSS that was never reached. */
void mw_window_add_hwm(struct mw_window *self, int64_t hwm_bytes);

/* The processors at the window's start (the first call) and at any time after
 * it. Percentages rest on ticks of 10 ms: they are absent in a window too short
 * for one. */
void mw_window_add_cpu(struct mw_window *self, const struct mw_cpu *cpu);

/* How far the peak is above the start, at least 0. Bytes; MW_ABSENT where one of the
 * two is unknown. Not kept, as a black box has no place for it. */
int64_t mw_result_risen_bytes(const struct mw_result *result);

/* The highest RSS that is known so far. */
int64_t mw_window_peak(const struct mw_window *self);

/* End. Where `end` does not tell the mark the peak is sampled. `bound_bytes` is how
 * far the mark may be off. `cpu`, which may be NULL, was added before. */
void
mw_window_close(const struct mw_window *self, int64_t t_ns, const struct mw_memory *end,
                const struct mw_cpu *cpu, int64_t bound_bytes, struct mw_result *out);

#endif
