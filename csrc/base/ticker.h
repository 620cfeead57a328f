/* A thread that calls somebody at absolute times, and waits in between.
 *
 * A time is only ever moved forward: to wake a sleeping thread costs 4 us, so what
 * is no longer wanted is left to come, and whoever is called looks whether there is
 * anything to do. All signals are blocked in the thread: they are for those that
 * were there before it. */

#ifndef MW_BASE_TICKER_H
#define MW_BASE_TICKER_H

#include <stdint.h>

#define MW_TICKER_NEVER INT64_MAX

struct mw_ticker; /* opaque */

/* Start a thread of that name (15 characters at most), with nothing due; it will call
 * `tick`. The caller owns *out and
 * frees it. -errno: no memory or no thread to be had. */
int mw_ticker_new(struct mw_ticker **out, const char *name, void (*tick)(void *context),
                  void *context);

/* Stop and join the thread: not with a lock held that `tick` takes. */
void mw_ticker_free(struct mw_ticker **out);

/* Call at `t_mono_ns`, or at what was asked for before where that is earlier. Any
 * thread, `tick` itself too. Where CLOCK_MONOTONIC as we read it is behind the one
 * that the kernel waits by, calls come at least 10 ms apart, and before their time. */
void mw_ticker_call_at(struct mw_ticker *self, int64_t t_mono_ns);

/* When the next call is due; MW_TICKER_NEVER: the thread is parked. Any thread. */
int64_t mw_ticker_due_ns(struct mw_ticker *self);

/* In a forked child, where the thread is not: free what is left of it. */
void mw_ticker_abandon(struct mw_ticker **self);

#endif
