#include "window/window_list.h"

#include <stddef.h>

void
mw_window_list_init(struct mw_window_list *self, int64_t lifetime_peak_bytes)
{
    *self = (struct mw_window_list){.lifetime_peak_bytes = lifetime_peak_bytes};
}

static void
keep_lifetime_peak(struct mw_window_list *self, int64_t bytes)
{
    if (self->lifetime_peak_bytes != MW_ABSENT && bytes > self->lifetime_peak_bytes) {
        self->lifetime_peak_bytes = bytes;
    }
}

void
mw_window_list_open(struct mw_window_list *self, struct mw_watch *watch, int64_t t_ns,
                    const struct mw_memory *start, bool marked)
{
    if (marked) {
        self->hwm_floor_bytes = start->hwm_bytes;
    }
    mw_window_open(&watch->window, t_ns, start, marked);
    mw_timeline_init(&watch->timeline, 0, start->rss_bytes);

    watch->previous = NULL;
    watch->next = self->newest;
    if (self->newest != NULL) {
        self->newest->previous = watch;
    }
    self->newest = watch;
    self->count++;
    watch->open = true;
    watch->unfinished = true;
}

void
mw_window_list_forget(struct mw_window_list *self, struct mw_watch *watch)
{
    if (watch->previous != NULL) {
        watch->previous->next = watch->next;
    }
    else {
        self->newest = watch->next;
    }
    if (watch->next != NULL) {
        watch->next->previous = watch->previous;
    }
    self->count--;
    watch->open = false;
}

void
mw_window_list_close(struct mw_window_list *self, struct mw_watch *watch, int64_t t_ns,
                     const struct mw_memory *end)
{
    mw_window_list_forget(self, watch);
    mw_window_list_finish(watch, t_ns, end);
}

int64_t
mw_window_list_last_seen(const struct mw_window_list *self,
                         const struct mw_watch *watch, struct mw_memory *end)
{
    bool sampled = self->t_sample_ns > watch->window.t_open_ns;

    *end = MW_MEMORY_ABSENT;
    end->rss_bytes = sampled ? self->sample_bytes : watch->window.start.rss_bytes;
    return sampled ? self->t_sample_ns : watch->window.t_open_ns;
}

void
mw_window_list_finish(struct mw_watch *watch, int64_t t_ns, const struct mw_memory *end)
{
    watch->unfinished = false;
    mw_timeline_finish(&watch->timeline, t_ns - watch->window.t_open_ns,
                       end->rss_bytes);
}

void
mw_window_list_add_hwm(struct mw_window_list *self, int64_t hwm_bytes)
{
    keep_lifetime_peak(self, hwm_bytes);
    if (hwm_bytes <= self->hwm_floor_bytes) {
        return;
    }
    for (struct mw_watch *watch = self->newest; watch != NULL; watch = watch->next) {
        if (watch->window.marked) {
            mw_window_add_hwm(&watch->window, hwm_bytes);
        }
    }
}

void
mw_window_list_drop_hwm(struct mw_window_list *self)
{
    self->hwm_floor_bytes = 0;
}

void
mw_window_list_add_sample(struct mw_window_list *self, int64_t t_ns, int64_t rss_bytes)
{
    keep_lifetime_peak(self, rss_bytes);
    self->t_sample_ns = t_ns;
    self->sample_bytes = rss_bytes;
    for (struct mw_watch *watch = self->newest; watch != NULL; watch = watch->next) {
        int64_t age_ns = t_ns - watch->window.t_open_ns;

        if (age_ns > 0) {
            mw_window_add_sample(&watch->window, rss_bytes);
            mw_timeline_add(&watch->timeline, age_ns, rss_bytes);
        }
    }
}

void
mw_window_list_add_reading(struct mw_window_list *self, int64_t rss_bytes)
{
    for (struct mw_watch *watch = self->newest; watch != NULL; watch = watch->next) {
        mw_window_add_sample(&watch->window, rss_bytes);
    }
}

void
mw_window_list_add_cpu(struct mw_window_list *self, const struct mw_cpu *cpu)
{
    for (struct mw_watch *watch = self->newest; watch != NULL; watch = watch->next) {
        mw_window_add_cpu(&watch->window, cpu);
    }
}
