#include "sampler/children/pace.h"

#include "base/clock.h"

#define PAUSE_NS (20 * MW_NS_PER_MS)
#define CREDIT_NS (50 * MW_NS_PER_MS)

/* Sleep 49 ms after a reading of 1 ms: at most 2 % of a processor. */
enum { SLEEP_FACTOR = 49 };

int64_t
mw_children_pause_ns(int64_t cost_ns)
{
    return cost_ns * SLEEP_FACTOR > PAUSE_NS ? cost_ns * SLEEP_FACTOR : PAUSE_NS;
}

int64_t
mw_children_refill_credit_ns(int64_t credit_ns, int64_t elapsed_ns)
{
    int64_t refilled_ns = credit_ns + elapsed_ns / (SLEEP_FACTOR + 1);

    return refilled_ns < CREDIT_NS ? refilled_ns : CREDIT_NS;
}

bool
mw_children_should_read_pss(int64_t rss_bytes, int64_t rss_at_pss, int64_t credit_ns)
{
    return rss_bytes > 0 && credit_ns > 0 &&
           (credit_ns > CREDIT_NS / 2 ||
            mw_children_is_well_above(rss_bytes, rss_at_pss));
}

bool
mw_children_is_well_above(int64_t bytes, int64_t reference_bytes)
{
    return bytes - reference_bytes > reference_bytes / 8;
}
