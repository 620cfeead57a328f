#include "window/timeline.h"

static void
set_point(struct mw_timeline *self, int32_t i, int64_t t_ns, int64_t rss_bytes)
{
    self->t_ns[i] = t_ns;
    self->rss_bytes[i] = rss_bytes;
}

void
mw_timeline_init(struct mw_timeline *self, int64_t t_ns, int64_t rss_bytes)
{
    self->count = 1;
    self->stride = 1;
    self->pending = 0;
    set_point(self, 0, t_ns, rss_bytes);
}

/* Merge the points after the first two by two. */
static void
thin(struct mw_timeline *self)
{
    int32_t to = 1;

    for (int32_t from = 1; from < self->count; from += 2) {
        int32_t kept = from;

        if (from + 1 < self->count &&
            self->rss_bytes[from + 1] > self->rss_bytes[from]) {
            kept = from + 1;
        }
        set_point(self, to++, self->t_ns[kept], self->rss_bytes[kept]);
    }
    self->count = to;
    self->stride *= 2;
}

static void
push(struct mw_timeline *self, int64_t t_ns, int64_t rss_bytes)
{
    /* Keep room for the last point. */
    if (self->count == MW_TIMELINE_POINTS - 1) {
        thin(self);
    }
    set_point(self, self->count++, t_ns, rss_bytes);
}

static void
flush(struct mw_timeline *self)
{
    self->pending = 0;
    push(self, self->pending_t_ns, self->pending_rss_bytes);
}

void
mw_timeline_add(struct mw_timeline *self, int64_t t_ns, int64_t rss_bytes)
{
    if (self->pending == 0 || rss_bytes > self->pending_rss_bytes) {
        self->pending_t_ns = t_ns;
        self->pending_rss_bytes = rss_bytes;
    }
    if (++self->pending >= self->stride) {
        flush(self);
    }
}

void
mw_timeline_finish(struct mw_timeline *self, int64_t t_ns, int64_t rss_bytes)
{
    if (self->pending > 0) {
        flush(self);
    }
    if (t_ns > self->t_ns[self->count - 1]) {
        set_point(self, self->count++, t_ns, rss_bytes);
    }
}
