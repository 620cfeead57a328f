#include "window/window.h"

#include <stddef.h>

/* A processor's share over less than this rests on so few ticks that it jumps
 * between 0 and 100: it counts only where there is no longer interval. */
enum { SOLID_TICKS = 5 };

static int64_t
higher(int64_t a, int64_t b)
{
    /* MW_ABSENT is below every figure, so it loses by itself. */
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
        /* What the reading says of the time before it is not ours. */
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
mw_result_risen_bytes(const struct mw_result *result)
{
    if (result->rss_peak_bytes == MW_ABSENT || result->rss_start_bytes == MW_ABSENT) {
        return MW_ABSENT;
    }
    return higher(0, result->rss_peak_bytes - result->rss_start_bytes);
}

int64_t
mw_window_peak(const struct mw_window *self)
{
    return higher(higher(self->start.rss_bytes, self->sampled_bytes), self->hwm_bytes);
}

void
mw_window_close(const struct mw_window *self, int64_t t_ns, const struct mw_memory *end,
                const struct mw_cpu *cpu, int64_t bound_bytes, struct mw_result *out)
{
    int64_t peak = higher(mw_window_peak(self), end->rss_bytes);
    /* What the mark rose to since it was last told is lost with an end that does
     * not tell it. */
    bool from_kernel = self->marked && end->hwm_bytes != MW_ABSENT;

    *out = (struct mw_result){
        .duration_ns = t_ns > self->t_open_ns ? t_ns - self->t_open_ns : MW_ABSENT,
        .rss_start_bytes = self->start.rss_bytes,
        .rss_end_bytes = end->rss_bytes,
        .rss_peak_bytes = peak,
        .used_bytes = end->rss_bytes - self->start.rss_bytes,
        .peaked_bytes = peak - end->rss_bytes,
        .peak_from_kernel = from_kernel,
        .peak_error_bytes = from_kernel ? bound_bytes : MW_ABSENT,
        .anon_bytes = end->anon_bytes,
        .file_bytes = end->file_bytes,
        .shmem_bytes = end->shmem_bytes,
        .swap_bytes = end->swap_bytes,
        .system_mean_cpu_percent = MW_ABSENT,
        .single_max_cpu_percent = MW_ABSENT,
    };
    close_cpu(self, cpu, out);
}
