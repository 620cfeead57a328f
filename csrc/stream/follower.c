#include "stream/follower.h"

#include <stdlib.h>

/* The sampler is no faster than that. */
#define EVERY_SAMPLE_NS INT64_C(1000000)

/* Before any clock began, and far from where a difference would overflow. */
#define LONG_AGO_NS (INT64_MIN / 4)

enum { MOST_OPEN = 2 * MW_BLACKBOX_CELLS };

/* What is being listed. */
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

/* When it closed; MW_UNLIMITED: it has not, or nobody knows. */
static int64_t
end_of(const struct mw_blackbox_cell *cell)
{
    int64_t duration_ns = cell->result.duration_ns;

    if (cell->status == MW_BLACKBOX_OPEN) {
        return MW_UNLIMITED;
    }
    return duration_ns == MW_ABSENT ? cell->t_mono_ns : cell->t_mono_ns + duration_ns;
}

const struct mw_blackbox_cell *
mw_follower_open_at(const struct mw_blackbox_view *view, int64_t t_mono_ns)
{
    const struct mw_blackbox_cell *youngest = NULL;

    for (int i = 0; i < view->cell_count; i++) {
        const struct mw_blackbox_cell *cell = &view->cells[i];

        if (cell->t_mono_ns <= t_mono_ns && t_mono_ns <= end_of(cell) &&
            (youngest == NULL || cell->number > youngest->number)) {
            youngest = cell;
        }
    }
    return youngest;
}

/* ---- cells ---- */

static void
remember(struct mw_follower *self, const struct mw_blackbox_cell *cell)
{
    self->open[self->open_count++] = (struct mw_follower_open){.number = cell->number};
}

static int64_t
look_for_new(struct mw_follower *self, const struct mw_blackbox_view *view)
{
    int64_t gone = 0;

    for (; self->next_cell < view->opened; self->next_cell++) {
        const struct mw_blackbox_cell *cell = find(view, self->next_cell);

        if (cell != NULL && self->open_count < MOST_OPEN) {
            remember(self, cell);
        }
        else if (cell == NULL && self->next_cell < self->doubted_before) {
            gone += 2; /* its opening and its closing */
        }
        else {
            self->doubted_before = view->opened;
            break;
        }
    }
    return gone;
}

/* Those that have opened and not been told so, and those that have closed. */
static int64_t
look_for_changes(struct mw_follower *self, int64_t t_now_ns, struct list *list,
                 const struct mw_blackbox_view *view)
{
    int64_t gone = 0;
    int kept = 0;

    for (int i = 0; i < self->open_count; i++) {
        struct mw_follower_open open = self->open[i];
        const struct mw_blackbox_cell *cell = find(view, open.number);

        if (cell != NULL && !open.is_told) {
            add(list, MW_MESSAGE_OPEN, cell->t_mono_ns, cell->rss_start_bytes, cell);
            open.is_told = true;
        }
        if (cell == NULL && open.is_missing) {
            gone += open.is_told ? 1 : 2;
        }
        else if (cell == NULL || cell->status == MW_BLACKBOX_OPEN) {
            open.is_missing = cell == NULL;
            self->open[kept++] = open;
        }
        else {
            bool is_timed = cell->result.duration_ns != MW_ABSENT;

            add(list, MW_MESSAGE_CLOSE, is_timed ? end_of(cell) : t_now_ns,
                cell->result.rss_end_bytes, cell);
        }
    }
    self->open_count = kept;
    return gone;
}

/* ---- samples ---- */

/* The newest, and before it those that are an interval apart. */
static void
choose_samples(struct mw_follower *self, struct list *list,
               const struct mw_blackbox_view *view,
               const struct mw_blackbox_sample *samples, size_t count)
{
    bool all = self->interval_ns <= EVERY_SAMPLE_NS;
    int64_t t_newest_ns = self->t_sample_ns;
    int64_t t_chosen_ns = MW_UNLIMITED;

    for (size_t i = count; i-- > 0;) {
        const struct mw_blackbox_sample *sample = &samples[i];
        /* Half an interval of leave for the last: neither clock keeps time exactly. */
        bool is_due =
            all || (sample->t_mono_ns - self->t_sample_ns >= self->interval_ns / 2 &&
                    t_chosen_ns - sample->t_mono_ns >= self->interval_ns);

        if (is_due) {
            add(list, MW_MESSAGE_SAMPLE, sample->t_mono_ns, sample->rss_bytes,
                mw_follower_open_at(view, sample->t_mono_ns));
            t_chosen_ns = sample->t_mono_ns;
            t_newest_ns = t_newest_ns > t_chosen_ns ? t_newest_ns : t_chosen_ns;
        }
    }
    self->t_sample_ns = t_newest_ns;
}

/* How many messages those that were lost would have been. */
static int64_t
messages_of(const struct mw_follower *self, int64_t lost, int64_t t_next_ns)
{
    int64_t most = (t_next_ns - self->t_sample_ns) / self->interval_ns;

    if (self->interval_ns <= EVERY_SAMPLE_NS || lost < most) {
        return lost;
    }
    return most > 0 ? most : 0;
}

/* ---- all of it ---- */

/* By time; at the same time a cell opens before it is sampled, and then closes. */
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
                                 .next_sample = view->samples,
                                 .next_cell = view->opened};
    for (int i = 0; i < view->cell_count; i++) {
        if (view->cells[i].status == MW_BLACKBOX_OPEN) {
            remember(self, &view->cells[i]);
        }
    }
    self->doubted_before = self->next_cell;
}

size_t
mw_follower_advance(struct mw_follower *self, int64_t t_now_ns,
                    const struct mw_blackbox_view *view,
                    const struct mw_blackbox_sample *samples, size_t count,
                    int64_t lost, struct mw_follower_item *items, int64_t *gone)
{
    struct list list = {.items = items};

    if (lost > 0) {
        *gone += messages_of(self, lost, count > 0 ? samples[0].t_mono_ns : 0);
    }
    *gone += look_for_new(self, view);
    *gone += look_for_changes(self, t_now_ns, &list, view);
    choose_samples(self, &list, view, samples, count);
    qsort(list.items, list.count, sizeof *list.items, compare);
    return list.count;
}
