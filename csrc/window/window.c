#include "window/window.h"

#include <string.h>

#define FIGURE(name) {#name, offsetof(struct mw_result, name)},
const struct mw_figure mw_result_figures[MW_RESULT_FIGURE_COUNT] = {
    MW_RESULT_FIGURES(FIGURE)};
const struct mw_figure mw_end_figures[MW_END_FIGURE_COUNT] = {MW_END_FIGURES(FIGURE)};
#undef FIGURE

int64_t
mw_result_get(const struct mw_result *self, int i)
{
    int64_t value;

    memcpy(&value, (const char *)self + mw_result_figures[i].offset, sizeof value);
    return value;
}

const char *
mw_result_peak_method(const struct mw_result *self)
{
    if (self->rss_peak_bytes == MW_ABSENT) {
        return NULL;
    }
    return self->peak_from_kernel ? "kernel" : "sampled";
}

struct mw_result
mw_result_absent(void)
{
#define ABSENT(name) .name = MW_ABSENT,
    return (struct mw_result){MW_RESULT_FIGURES(ABSENT)};
#undef ABSENT
}

/* Over fewer ticks a processor's share jumps between 0 and 100: such an interval counts
 * only if there is no longer one. */
enum { SOLID_TICKS = 5 };

static int64_t
higher(int64_t a, int64_t b)
{
    /* MW_ABSENT is lower than every figure. */
    return a > b ? a : b;
}

void
mw_window_open(struct mw_window *self, int64_t t_ns, const struct mw_memory *start,
               bool marked)
{
    *self = (struct mw_window){
        .t_open_ns = t_ns,
        .start = *start,
        .marked = marked,
        .hwm_bytes = MW_ABSENT,
        .sampled_bytes = MW_ABSENT,
        .cpu_busy_ticks = MW_ABSENT,
        .cpu_total_ticks = MW_ABSENT,
        .busiest_percent = MW_ABSENT,
        .busiest_ticks = 0,
    };
}

void
mw_window_add_sample(struct mw_window *self, int64_t rss_bytes)
{
    self->sampled_bytes = higher(self->sampled_bytes, rss_bytes);
}

void
mw_window_add_hwm(struct mw_window *self, int64_t hwm_bytes)
{
    self->hwm_bytes = higher(self->hwm_bytes, hwm_bytes);
}

void
mw_window_add_cpu(struct mw_window *self, const struct mw_cpu *cpu)
{
    if (self->cpu_total_ticks == MW_ABSENT) {
        /* The first reading: its interval was before the window. */
        self->cpu_busy_ticks = cpu->busy_ticks;
        self->cpu_total_ticks = cpu->total_ticks;
        return;
    }
    if (cpu->busiest_percent == MW_ABSENT) {
        return;
    }
    if (cpu->busiest_ticks < SOLID_TICKS) {
        if (cpu->busiest_ticks > self->busiest_ticks) {
            self->busiest_percent = cpu->busiest_percent;
            self->busiest_ticks = cpu->busiest_ticks;
        }
        return;
    }
    if (self->busiest_ticks < SOLID_TICKS) {
        self->busiest_percent = MW_ABSENT;
    }
    self->busiest_percent = higher(self->busiest_percent, cpu->busiest_percent);
    self->busiest_ticks = higher(self->busiest_ticks, cpu->busiest_ticks);
}

static void
close_cpu(const struct mw_window *self, const struct mw_cpu *cpu, struct mw_result *out)
{
    int64_t busy;
    int64_t total;

    if (cpu == NULL || self->cpu_total_ticks == MW_ABSENT) {
        return;
    }
    busy = cpu->busy_ticks - self->cpu_busy_ticks;
    total = cpu->total_ticks - self->cpu_total_ticks;
    /* iowait, which counts as idle, may run backwards: see proc(5). */
    if (total > 0 && busy >= 0 && busy <= total) {
        out->system_mean_cpu_percent = (busy * 100 + total / 2) / total;
        out->single_max_cpu_percent = self->busiest_percent;
    }
}

int64_t
mw_window_peak(const struct mw_window *self)
{
    return higher(higher(self->start.rss_bytes, self->sampled_bytes), self->hwm_bytes);
}

void
mw_window_close(const struct mw_window *self, int64_t t_ns, const struct mw_memory *end,
                const struct mw_closing *closing, struct mw_result *out)
{
    int64_t peak = higher(mw_window_peak(self), end->rss_bytes);
    int64_t before = closing->previous_rss_end_bytes;

    *out = mw_result_absent();
    if (t_ns > self->t_open_ns) {
        out->duration_ns = t_ns - self->t_open_ns;
    }
    out->rss_start_bytes = self->start.rss_bytes;
    out->rss_end_bytes = end->rss_bytes;
    out->rss_peak_bytes = peak;
    out->used_bytes = end->rss_bytes - self->start.rss_bytes;
    out->peaked_bytes = peak - end->rss_bytes;
    out->risen_bytes = peak - self->start.rss_bytes;
    if (before != MW_ABSENT) {
        out->drift_bytes = self->start.rss_bytes - before;
    }
    /* Without the high-water mark at the end, a peak since the last read is lost. */
    out->peak_from_kernel = self->marked && end->hwm_bytes != MW_ABSENT;
    if (out->peak_from_kernel) {
        out->peak_error_bytes = closing->bound_bytes;
    }
#define COPY(name) out->name = end->name;
    MW_END_FIGURES(COPY)
#undef COPY
    close_cpu(self, closing->cpu, out);
}
