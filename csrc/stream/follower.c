#include "stream/follower.h"

#include <stdlib.h>

/* The sampler's shortest interval. */
#define EVERY_SAMPLE_NS INT64_C(1000000)

/* Earlier than any time; differences do not overflow. */
#define LONG_AGO_NS (INT64_MIN / 4)

enum { MOST_OPEN = 2 * MW_BLACKBOX_CELLS };

struct list {
    struct mw_follower_item *items;
    size_t count;
};

static void
add(struct list *list, enum mw_message_kind kind, int64_t t_mono_ns, int64_t rss_bytes,
    const struct mw_blackbox_cell *cell)
{
    list->items[list->count++] = (struct mw_follower_item){
        .kind = kind, .t_mono_ns = t_mono_ns, .rss_bytes = rss_bytes, .cell = cell};
}

static const struct mw_blackbox_cell *
find(const struct mw_blackbox_view *view, int64_t number)
{
    for (int i = 0; i < view->cell_count; i++) {
        if (view->cells[i].number == number) {
            return &view->cells[i];
        }
    }
    return NULL;
}

/* When it closed; MW_UNLIMITED: it is open. Without a duration: when it opened. */
static int64_t
end_ns(const struct mw_blackbox_cell *cell)
{
    int64_t duration_ns = cell->result.duration_ns;

    if (cell->status == MW_BLACKBOX_OPEN) {
        return MW_UNLIMITED;
    }
    return duration_ns == MW_ABSENT ? cell->t_mono_ns : cell->t_mono_ns + duration_ns;
}

const struct mw_blackbox_cell *
mw_follower_cell_at(const struct mw_blackbox_view *view, int64_t t_mono_ns)
{
    const struct mw_blackbox_cell *newest = NULL;

    for (int i = 0; i < view->cell_count; i++) {
        const struct mw_blackbox_cell *cell = &view->cells[i];

        if (cell->t_mono_ns <= t_mono_ns && t_mono_ns <= end_ns(cell) &&
            (newest == NULL || cell->number > newest->number)) {
            newest = cell;
        }
    }
    return newest;
}

/* ---- cells ---- */

static void
add_open_cell(struct mw_follower *self, const struct mw_blackbox_cell *cell)
{
    self->open[self->open_count++] = (struct mw_follower_cell){.number = cell->number};
}

/* Returns how many messages are lost. */
static int64_t
find_new_cells(struct mw_follower *self, const struct mw_blackbox_view *view)
{
    int64_t lost_messages = 0;

    for (; self->next_cell < view->progress.opened; self->next_cell++) {
        const struct mw_blackbox_cell *cell = find(view, self->next_cell);

        if (cell != NULL && self->open_count < MOST_OPEN) {
            add_open_cell(self, cell);
        }
        else if (cell == NULL && self->next_cell < self->retried_before) {
            lost_messages += 2; /* open and close */
        }
        else {
            self->retried_before = view->progress.opened;
            break;
        }
    }
    return lost_messages;
}

/* List the cells that have opened or closed. Returns how many messages are lost. */
static int64_t
list_cells(struct mw_follower *self, int64_t t_now_ns, struct list *list,
           const struct mw_blackbox_view *view)
{
    int64_t lost_messages = 0;
    int kept = 0;

    for (int i = 0; i < self->open_count; i++) {
        struct mw_follower_cell open = self->open[i];
        const struct mw_blackbox_cell *cell = find(view, open.number);

        if (cell != NULL && !open.is_reported) {
            add(list, MW_MESSAGE_OPEN, cell->t_mono_ns, cell->rss_start_bytes, cell);
            open.is_reported = true;
        }
        if (cell == NULL && open.is_missing) {
            lost_messages += open.is_reported ? 1 : 2;
        }
        else if (cell == NULL || cell->status == MW_BLACKBOX_OPEN) {
            open.is_missing = cell == NULL;
            self->open[kept++] = open;
        }
        else {
            bool is_timed = cell->result.duration_ns != MW_ABSENT;

            add(list, MW_MESSAGE_CLOSE, is_timed ? end_ns(cell) : t_now_ns,
                cell->result.rss_end_bytes, cell);
        }
    }
    self->open_count = kept;
    return lost_messages;
}

/* ---- samples ---- */

/* List the newest sample, and before it those that are an interval apart. */
static void
list_samples(struct mw_follower *self, struct list *list,
             const struct mw_blackbox_view *view,
             const struct mw_blackbox_sample *samples, size_t count)
{
    bool all = self->interval_ns <= EVERY_SAMPLE_NS;
    int64_t t_newest_ns = self->t_sample_ns;
    int64_t t_listed_ns = MW_UNLIMITED;

    for (size_t i = count; i-- > 0;) {
        const struct mw_blackbox_sample *sample = &samples[i];
        /* Only half an interval after the last: neither clock keeps time exactly. */
        bool is_due =
            all || (sample->t_mono_ns - self->t_sample_ns >= self->interval_ns / 2 &&
                    t_listed_ns - sample->t_mono_ns >= self->interval_ns);

        if (is_due) {
            add(list, MW_MESSAGE_SAMPLE, sample->t_mono_ns, sample->rss_bytes,
                mw_follower_cell_at(view, sample->t_mono_ns));
            t_listed_ns = sample->t_mono_ns;
            t_newest_ns = t_newest_ns > t_listed_ns ? t_newest_ns : t_listed_ns;
        }
    }
    self->t_sample_ns = t_newest_ns;
}

/* How many messages `lost` samples would have been, up to the next one's time. */
static int64_t
count_lost_messages(const struct mw_follower *self, int64_t lost, int64_t t_next_ns)
{
    int64_t most = (t_next_ns - self->t_sample_ns) / self->interval_ns;

    if (self->interval_ns <= EVERY_SAMPLE_NS || lost < most) {
        return lost;
    }
    return most > 0 ? most : 0;
}

/* ---- both ---- */

/* By time; at equal times: open, sample, close. */
static int
compare(const void *a, const void *b)
{
    static const int ranks[] = {
        [MW_MESSAGE_OPEN] = 0, [MW_MESSAGE_SAMPLE] = 1, [MW_MESSAGE_CLOSE] = 2};
    const struct mw_follower_item *one = a;
    const struct mw_follower_item *other = b;

    if (one->t_mono_ns != other->t_mono_ns) {
        return one->t_mono_ns < other->t_mono_ns ? -1 : 1;
    }
    return ranks[one->kind] - ranks[other->kind];
}

void
mw_follower_init(struct mw_follower *self, const struct mw_blackbox_view *view,
                 int64_t interval_ns)
{
    *self = (struct mw_follower){.interval_ns = interval_ns > 0 ? interval_ns : 1,
                                 .t_sample_ns = LONG_AGO_NS,
                                 .next_sample = view->progress.samples,
                                 .next_cell = view->progress.opened};
    for (int i = 0; i < view->cell_count; i++) {
        if (view->cells[i].status == MW_BLACKBOX_OPEN) {
            add_open_cell(self, &view->cells[i]);
        }
    }
    self->retried_before = self->next_cell;
}

size_t
mw_follower_advance(struct mw_follower *self, int64_t t_now_ns,
                    const struct mw_blackbox_view *view,
                    const struct mw_blackbox_sample *samples, size_t count,
                    int64_t lost_samples, struct mw_follower_item *items,
                    int64_t *lost_messages)
{
    struct list list = {.items = items};

    if (lost_samples > 0) {
        *lost_messages += count_lost_messages(self, lost_samples,
                                              count > 0 ? samples[0].t_mono_ns : 0);
    }
    *lost_messages += find_new_cells(self, view);
    *lost_messages += list_cells(self, t_now_ns, &list, view);
    list_samples(self, &list, view, samples, count);
    qsort(list.items, list.count, sizeof *list.items, compare);
    return list.count;
}
