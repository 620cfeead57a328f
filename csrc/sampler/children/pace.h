/* How often to read child processes, so that it takes little of a processor. Pure.
 * Costs are processor time: on a busy machine a reading takes longer, but no more. */

#ifndef MW_SAMPLER_CHILDREN_PACE_H
#define MW_SAMPLER_CHILDREN_PACE_H

#include <stdbool.h>
#include <stdint.h>

/* How long to sleep after a reading that took `cost_ns`: 20 ms, or so long that
 * readings take 2 % of the time. */
int64_t mw_children_pause_ns(int64_t cost_ns);

/* How long reading PSS may take, `elapsed_ns` after it was `credit_ns`: 2 % of the
 * time, and 50 ms in advance. What a reading takes is subtracted; it may become
 * negative. */
int64_t mw_children_refill_credit_ns(int64_t credit_ns, int64_t elapsed_ns);

/* Whether to read PSS: `rss_bytes` was read just now, `rss_at_pss` when PSS was read
 * last. At once if RSS has grown by more than 1/8, else while half of the credit is
 * left, because PSS may grow without RSS: after a fork(), by writing. */
bool
mw_children_should_read_pss(int64_t rss_bytes, int64_t rss_at_pss, int64_t credit_ns);

/* Whether `bytes` are more than 1/8 above `reference_bytes`. */
bool mw_children_is_well_above(int64_t bytes, int64_t reference_bytes);

#endif
