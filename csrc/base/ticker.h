/* A thread that makes a call at absolute times and waits in between.
 *
 * A due time can be moved forward, but not cancelled: waking a sleeping thread costs
 * 4 us, so a call that is no longer needed happens, and finds nothing to do.
 *
 *     err = mw_ticker_new(&ticker, "memwatch", tick, self);
 *     mw_ticker_call_at(ticker, mw_clock_mono_ns() + MW_NS_PER_MS);
 *     mw_ticker_free(&ticker);
 */

#ifndef MW_BASE_TICKER_H
#define MW_BASE_TICKER_H

#include <stdint.h>

#define MW_TICKER_NEVER INT64_MAX

struct mw_ticker; /* opaque */

/* Start a thread of that name, at most 15 characters, that calls `tick`; nothing is
 * due. The caller owns *out and frees it. -errno: no memory or no thread. */
int mw_ticker_new(struct mw_ticker **out, const char *name, void (*tick)(void *context),
                  void *context);

/* Stop and join the thread. Do not hold a lock that `tick` takes. */
void mw_ticker_free(struct mw_ticker **out);

/* Call at `t_mono_ns`, or at the time that is already due if that is earlier. Any
 * thread, `tick` included. If CLOCK_MONOTONIC as we read it is behind the kernel's, the
 * calls are at least 10 ms apart, and early. */
void mw_ticker_call_at(struct mw_ticker *self, int64_t t_mono_ns);

/* When the next call is due; MW_TICKER_NEVER: the thread is parked. Any thread. */
int64_t mw_ticker_due_ns(struct mw_ticker *self);

/* In a forked child, which does not have the thread: free the memory. */
void mw_ticker_abandon(struct mw_ticker **self);

#endif
