/* A thread that calls somebody at absolute times, and waits in between.
 *
 * A time is only ever moved forward: to wake a sleeping thread costs 4 us, so what
 * is no longer wanted is left to come, and whoever is called looks whether there is
 * anything to do. All signals are blocked in the thread: they are for those that
 * were there before it. */

#ifndef MW_TICKER_H
#define MW_TICKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define MW_TICKER_NEVER INT64_MAX

struct mw_ticker {
    bool running; /* the thread exists; the owner's */
    pthread_t thread;
    void (*tick)(void *context);
    void *context;

    pthread_mutex_t lock; /* guards the two below; nothing is called with it held */
    pthread_cond_t wake;
    int64_t t_due_ns;
    bool stopping;
};

#define MW_TICKER_STOPPED ((struct mw_ticker){.running = false})

/* Start the thread, with nothing due; it will call `tick`. The owner keeps *self in
 * place, and serialises this, stop and abandon. -errno: no thread to be had. */
int mw_ticker_start(struct mw_ticker *self, void (*tick)(void *context), void *context);

/* Call at `t_mono_ns`, or at what was asked for before where that is earlier. Any
 * thread, `tick` itself too. */
void mw_ticker_call_at(struct mw_ticker *self, int64_t t_mono_ns);

/* When the next call is due; MW_TICKER_NEVER: the thread is parked. Any thread. */
int64_t mw_ticker_due_ns(struct mw_ticker *self);

/* Stop and join the thread: not with a lock held that `tick` takes. */
void mw_ticker_stop(struct mw_ticker *self);

/* In a forked child: the thread stayed behind. */
void mw_ticker_abandon(struct mw_ticker *self);

#endif
