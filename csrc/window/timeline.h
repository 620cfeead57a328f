/* A series of (time, RSS) that stays bounded: at most MW_TIMELINE_POINTS points, evenly
 * spread over all samples. When two points are merged the higher one stays with its
 * time, so the highest sample, the first and the last are always kept. Pure; the caller
 * serialises.
 *
 *     mw_timeline_init(&timeline, 0, rss_bytes);
 *     mw_timeline_add(&timeline, t_ns, rss_bytes); // for each sample
 *     mw_timeline_finish(&timeline, t_ns, rss_bytes);
 */

#ifndef MW_WINDOW_TIMELINE_H
#define MW_WINDOW_TIMELINE_H

#include <stdint.h>

enum { MW_TIMELINE_POINTS = 512 };

struct mw_timeline {
    int32_t count;
    int32_t stride;  /* samples that become one point */
    int32_t pending; /* samples taken since the last point: 0 .. stride - 1 */
    int64_t pending_t_ns;
    int64_t pending_rss_bytes;
    int64_t t_ns[MW_TIMELINE_POINTS]; /* as given, strictly in order of arrival */
    int64_t rss_bytes[MW_TIMELINE_POINTS];
};

/* Begin with the point (t_ns, rss_bytes). Does not touch the rest of the 8 KiB. */
void mw_timeline_init(struct mw_timeline *self, int64_t t_ns, int64_t rss_bytes);

void mw_timeline_add(struct mw_timeline *self, int64_t t_ns, int64_t rss_bytes);

/* End with the point (t_ns, rss_bytes). Call once. */
void mw_timeline_finish(struct mw_timeline *self, int64_t t_ns, int64_t rss_bytes);

#endif
