#include "sampler/children/windows.h"

#include <stddef.h>

#include "sampler/children/pace.h"

void
mw_children_windows_add(struct mw_children_watch **newest,
                        struct mw_children_watch *watch,
                        struct mw_children_target *target, int64_t t_open_ns)
{
    *watch = (struct mw_children_watch){
        .next = *newest,
        .open = true,
        .target = target,
        .t_open_ns = t_open_ns,
        .pss_peak_bytes = MW_ABSENT,
        .tree_pss_peak_bytes = MW_ABSENT,
    };
    if (*newest != NULL) {
        (*newest)->previous = watch;
    }
    *newest = watch;
}

void
mw_children_windows_remove(struct mw_children_watch **newest,
                           struct mw_children_watch *watch)
{
    if (watch->previous != NULL) {
        watch->previous->next = watch->next;
    }
    else {
        *newest = watch->next;
    }
    if (watch->next != NULL) {
        watch->next->previous = watch->previous;
    }
    watch->open = false;
}

bool
mw_children_windows_include(const struct mw_children_watch *newest,
                            const struct mw_children_target *target)
{
    for (; newest != NULL; newest = newest->next) {
        if (newest->target == target) {
            return true;
        }
    }
    return false;
}

static int64_t
larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* MW_ABSENT is less than any figure. */
static void
add_reading(struct mw_children_watch *self,
            const struct mw_process_tree_reading *reading)
{
    self->count_peak = larger(self->count_peak, reading->count);
    self->rss_peak_bytes = larger(self->rss_peak_bytes, reading->rss_bytes);
    if (reading->pss_bytes == MW_ABSENT || !reading->is_steady) {
        return;
    }
    self->pss_peak_bytes = larger(self->pss_peak_bytes, reading->pss_bytes);
    self->rss_with_pss = larger(self->rss_with_pss, reading->rss_bytes);
    if (reading->own_pss_bytes != MW_ABSENT) {
        self->tree_pss_peak_bytes = larger(self->tree_pss_peak_bytes,
                                           reading->pss_bytes + reading->own_pss_bytes);
    }
}

void
mw_children_windows_add_sample(struct mw_children_watch *newest,
                               const struct mw_children_target *target, int64_t t_ns,
                               const struct mw_process_tree_reading *reading)
{
    for (struct mw_children_watch *each = newest; each != NULL; each = each->next) {
        if (each->target == target && each->t_open_ns <= t_ns) {
            add_reading(each, reading);
        }
    }
}

void
mw_children_window_compute(const struct mw_children_watch *watch,
                           const struct mw_process_tree_reading *end,
                           struct mw_children_result *out)
{
    bool has_pss_peak =
        !mw_children_is_well_above(watch->rss_peak_bytes, watch->rss_with_pss);

    *out = (struct mw_children_result){
        .count = end->count,
        .pss_bytes = end->pss_bytes,
        .rss_bytes = end->rss_bytes,
        .own_pss_bytes = end->own_pss_bytes,
        .count_peak = watch->count_peak,
        .rss_peak_bytes = watch->rss_peak_bytes,
        .pss_peak_bytes = has_pss_peak ? watch->pss_peak_bytes : MW_ABSENT,
        .tree_pss_peak_bytes = watch->tree_pss_peak_bytes,
        .missed = MW_ABSENT,
    };
}
