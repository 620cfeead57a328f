/* One window: computes its result from the readings at its start, while it was open,
 * and at its end. Pure; the caller serialises.
 *
 *     mw_window_open(&window, t_ns, &start, true);
 *     mw_window_add_sample(&window, rss_bytes);
 *     mw_window_add_hwm(&window, hwm_bytes);
 *     mw_window_close(&window, t_ns, &end, &closing, &result); // result.used_bytes
 */

#ifndef MW_WINDOW_WINDOW_H
#define MW_WINDOW_WINDOW_H

#include <stdbool.h>
#include <stddef.h>

#include "base/sample.h"

struct mw_window {
    int64_t t_open_ns;       /* CLOCK_MONOTONIC */
    struct mw_memory start;  /* with the mark reset, if it is */
    bool marked;             /* the high-water mark was reset when it opened */
    int64_t hwm_bytes;       /* highest mark while open; MW_ABSENT: never raised */
    int64_t sampled_bytes;   /* highest sample; MW_ABSENT: none */
    int64_t cpu_busy_ticks;  /* at the start; MW_ABSENT: not read */
    int64_t cpu_total_ticks; /* at the start */
    int64_t busiest_percent; /* of one processor over one interval; MW_ABSENT */
    int64_t busiest_ticks;   /* the length of that interval */
};

/* Figures at the end of the window: copied fields of struct mw_memory. */
#define MW_END_FIGURES(FIGURE)                                                         \
    FIGURE(anon_bytes)                                                                 \
    FIGURE(file_bytes)                                                                 \
    FIGURE(shmem_bytes)                                                                \
    FIGURE(swap_bytes)                                                                 \
    FIGURE(threads)

/* The figures of a closed window, each an int64_t: the one list of them. A figure is a
 * field of struct mw_result and, by the same name, a key of what memwatch._core
 * returns and of the JSON of messages, and a field of CellReport in
 * python/memwatch/report.py, which documents it. To add a field of struct mw_memory,
 * add a line above; to add another figure, add a line below and set it in
 * mw_window_close(). */
#define MW_RESULT_FIGURES(FIGURE)                                                      \
    FIGURE(duration_ns) /* MW_ABSENT if the clock did not advance */                   \
    FIGURE(rss_start_bytes)                                                            \
    FIGURE(rss_end_bytes)                                                              \
    FIGURE(rss_peak_bytes)   /* highest of high-water mark, samples, start, end */     \
    FIGURE(used_bytes)       /* end - start */                                         \
    FIGURE(peaked_bytes)     /* max(0, peak - end) */                                  \
    FIGURE(risen_bytes)      /* max(0, peak - start) */                                \
    FIGURE(drift_bytes)      /* start - end of the window before */                    \
    FIGURE(peak_error_bytes) /* what the kernel's counters may have held back */       \
    MW_END_FIGURES(FIGURE)                                                             \
    FIGURE(system_mean_cpu_percent) /* all processors, over the window */              \
    FIGURE(single_max_cpu_percent)  /* the busiest, over its busiest interval */

/* The result. Bytes, nanoseconds, percent; MW_ABSENT: unknown. */
struct mw_result {
#define FIELD(name) int64_t name;
    MW_RESULT_FIGURES(FIELD)
#undef FIELD
    bool peak_from_kernel; /* else sampled: a lower bound */
};

struct mw_figure {
    const char *name;
    size_t offset; /* in struct mw_result */
};

#define INDEX(name) MW_RESULT_##name,
enum { MW_RESULT_FIGURES(INDEX) MW_RESULT_FIGURE_COUNT };
#undef INDEX
extern const struct mw_figure mw_result_figures[MW_RESULT_FIGURE_COUNT];

/* Of them, MW_END_FIGURES. */
#define INDEX(name) MW_END_##name,
enum { MW_END_FIGURES(INDEX) MW_END_FIGURE_COUNT };
#undef INDEX
extern const struct mw_figure mw_end_figures[MW_END_FIGURE_COUNT];

/* The value of mw_result_figures[i]. */
int64_t mw_result_get(const struct mw_result *self, int i);

/* "kernel" or "sampled"; NULL if there is no peak. */
const char *mw_result_peak_method(const struct mw_result *self);

/* A result with all figures unknown. */
struct mw_result mw_result_absent(void);

/* Open the window. `marked`: the mark was reset before `start` was read. */
void mw_window_open(struct mw_window *self, int64_t t_ns, const struct mw_memory *start,
                    bool marked);

/* The RSS was `rss_bytes` at some moment between open and close. */
void mw_window_add_sample(struct mw_window *self, int64_t rss_bytes);

/* The kernel raised the mark to `hwm_bytes` since the window opened. Do not add the
 * value that a reset left: it comes from approximate counters and can be higher than
 * any RSS that was reached. */
void mw_window_add_hwm(struct mw_window *self, int64_t hwm_bytes);

/* The processors at the window's start (the first call) and at later times. Percentages
 * are computed from ticks of 10 ms: absent in a shorter window. */
void mw_window_add_cpu(struct mw_window *self, const struct mw_cpu *cpu);

/* The highest RSS that is known so far. */
int64_t mw_window_peak(const struct mw_window *self);

/* Further input of mw_window_close(). */
struct mw_closing {
    const struct mw_cpu *cpu;       /* the processors, already added; NULL: not read */
    int64_t bound_bytes;            /* how far the high-water mark may be off */
    int64_t previous_rss_end_bytes; /* of the window before; MW_ABSENT: unknown */
};

/* Close the window. The peak is sampled if `end` has no high-water mark. */
void
mw_window_close(const struct mw_window *self, int64_t t_ns, const struct mw_memory *end,
                const struct mw_closing *closing, struct mw_result *out);

#endif
