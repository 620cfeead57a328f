/* Follows a black box: lists what changed since the last view of it, as the messages to
 * send. Cells that opened or closed are listed always, samples at most one per
 * interval. Pure.
 *
 *     mw_follower_init(&follower, &view, interval_ns);
 *     // after each refresh of the reader:
 *     count = mw_follower_advance(&follower, t_now_ns, &view, samples, sample_count,
 *                                 lost_samples, items, &lost_messages);
 */

#ifndef MW_STREAM_FOLLOWER_H
#define MW_STREAM_FOLLOWER_H

#include "stream/message_json.h"

enum { MW_FOLLOWER_ITEMS = MW_BLACKBOX_SAMPLES + 2 * MW_BLACKBOX_CELLS };

/* One message to send. */
struct mw_follower_item {
    enum mw_message_kind kind; /* sample, open or close */
    int64_t t_mono_ns;
    int64_t rss_bytes;                   /* MW_ABSENT: unknown */
    const struct mw_blackbox_cell *cell; /* in the view; for a sample the newest cell
                                            that was open at its time, or NULL */
};

/* A cell that was open in the last view. */
struct mw_follower_cell {
    int64_t number;
    bool is_reported; /* its opening was listed */
    bool is_missing;  /* the last view did not have it */
};

struct mw_follower {
    int64_t interval_ns;
    int64_t t_sample_ns;    /* of the last sample that was listed */
    int64_t next_sample;    /* number of the first sample not yet seen */
    int64_t next_cell;      /* number of the first cell not yet listed */
    int64_t retried_before; /* cells with lower numbers get no further retry */
    int open_count;
    struct mw_follower_cell open[2 * MW_BLACKBOX_CELLS]; /* closing ones and new ones */
};

/* Start at `view`: cells that have closed are not listed; cells that are open are
 * listed by the first advance. With an interval of 1 ms or less every sample is listed.
 */
void mw_follower_init(struct mw_follower *self, const struct mw_blackbox_view *view,
                      int64_t interval_ns);

/* The newest cell of the view that was open at that time; NULL: none. */
const struct mw_blackbox_cell *
mw_follower_cell_at(const struct mw_blackbox_view *view, int64_t t_mono_ns);

/* List the changes in `view`, taken at `t_now_ns`, and the `count` samples since the
 * last call; `lost_samples` more were overwritten in the box. A cell whose slot was
 * being written is not in the view; it is retried once before it counts as lost. Writes
 * the items in order of time; `items` holds MW_FOLLOWER_ITEMS. Adds the messages that
 * can no longer be sent to *lost_messages. Returns the number of items. */
size_t mw_follower_advance(struct mw_follower *self, int64_t t_now_ns,
                           const struct mw_blackbox_view *view,
                           const struct mw_blackbox_sample *samples, size_t count,
                           int64_t lost_samples, struct mw_follower_item *items,
                           int64_t *lost_messages);

#endif
