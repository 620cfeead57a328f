/* What has happened in a black box since it was last looked at, as a list of what is to
 * be told: cells that opened and closed, and samples, at most one an interval. Pure. */

#ifndef MW_STREAM_FOLLOWER_H
#define MW_STREAM_FOLLOWER_H

#include "stream/message_json.h"

enum { MW_FOLLOWER_ITEMS = MW_BLACKBOX_SAMPLES + 2 * MW_BLACKBOX_CELLS };

/* One thing to be told. */
struct mw_follower_item {
    enum mw_message_kind kind; /* sample, open or close */
    int64_t t_mono_ns;
    int64_t rss_bytes;                   /* MW_ABSENT where it is not known */
    const struct mw_blackbox_cell *cell; /* in the view; of a sample the youngest that
                                       was open then, NULL: none was */
};

/* A cell that is open, as far as was seen. */
struct mw_follower_open {
    int64_t number;
    bool is_told;
    bool is_missing; /* the last look did not find it */
};

struct mw_follower {
    int64_t interval_ns;
    int64_t t_sample_ns;    /* of the last one that was told */
    int64_t next_sample;    /* number of the first that was not looked at */
    int64_t next_cell;      /* number of the first that was not told */
    int64_t doubted_before; /* cells below that were looked for already */
    int open_count;
    struct mw_follower_open
        open[2 * MW_BLACKBOX_CELLS]; /* those to be closed, and new ones */
};

/* Begin with what the view shows: what is over is not told, what is open is, at the
 * first look. `interval_ns` up to 1 ms: every sample is told. */
void mw_follower_init(struct mw_follower *self, const struct mw_blackbox_view *view,
                      int64_t interval_ns);

/* The youngest cell of the view that was open at that time; NULL: none was. */
const struct mw_blackbox_cell *
mw_follower_open_at(const struct mw_blackbox_view *view, int64_t t_mono_ns);

/* What is to be told of the view, taken at `t_now_ns`, and of the samples that are new
 * since the last look, `lost` of which the box has no longer: in order of time, into
 * `items` of MW_FOLLOWER_ITEMS. A slot that was just being written is not in the view,
 * and gets another look before it counts as lost. Returns how many items there are;
 * *gone is raised by the messages that would have been told of what is lost. */
size_t mw_follower_advance(struct mw_follower *self, int64_t t_now_ns,
                           const struct mw_blackbox_view *view,
                           const struct mw_blackbox_sample *samples, size_t count,
                           int64_t lost, struct mw_follower_item *items, int64_t *gone);

#endif
