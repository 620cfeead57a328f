#include "base/ticker.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/thread.h"

/* How long to wait if our clock is not the one that the kernel waits by. */
#define NAP_NS (10 * MW_NS_PER_MS)

/* A tick may read /proc and call libproc2, whose own buffers are on the heap. */
enum { STACK_BYTES = 256 * 1024 };

struct mw_ticker {
    pthread_t thread;
    void (*tick)(void *context);
    void *context;

    pthread_mutex_t lock; /* guards the two below; not held during a call */
    pthread_cond_t wake;
    int64_t t_due_ns;
    bool stopping;
};

/* With the lock held: wait by the kernel's clock. */
static void
nap(struct mw_ticker *self)
{
    pthread_mutex_unlock(&self->lock);
    nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
    pthread_mutex_lock(&self->lock);
}

/* With the lock held: wait until a call is due. false: stop the thread. */
static bool
wait_until_due(struct mw_ticker *self)
{
    while (!self->stopping) {
        struct timespec deadline;

        if (self->t_due_ns == MW_TICKER_NEVER) {
            pthread_cond_wait(&self->wake, &self->lock);
            continue;
        }
        deadline = mw_clock_deadline(self->t_due_ns);
        if (pthread_cond_timedwait(&self->wake, &self->lock, &deadline) == ETIMEDOUT) {
            /* Our clock stands or is behind (libfaketime): `tick` will ask for the same
             * time again. Do not spin. */
            if (mw_clock_mono_ns() < self->t_due_ns) {
                nap(self);
            }
            return !self->stopping;
        }
    }
    return false;
}

static void *
run(void *argument)
{
    struct mw_ticker *self = argument;

    pthread_mutex_lock(&self->lock);
    while (wait_until_due(self)) {
        self->t_due_ns = MW_TICKER_NEVER;
        pthread_mutex_unlock(&self->lock);
        self->tick(self->context);
        pthread_mutex_lock(&self->lock);
    }
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

int
mw_ticker_new(struct mw_ticker **out, const char *name, void (*tick)(void *context),
              void *context)
{
    struct mw_ticker *self = calloc(1, sizeof *self);
    int err;

    if (self == NULL) {
        return -ENOMEM;
    }
    self->tick = tick;
    self->context = context;
    self->t_due_ns = MW_TICKER_NEVER;
    err = mw_thread_init_sync(&self->lock, &self->wake);
    if (err == 0) {
        err = mw_thread_start(&self->thread, name, STACK_BYTES, run, self);
        if (err != 0) {
            mw_thread_release_sync(&self->lock, &self->wake);
        }
    }
    if (err != 0) {
        free(self);
        return err;
    }
    *out = self;
    return 0;
}

void
mw_ticker_call_at(struct mw_ticker *self, int64_t t_mono_ns)
{
    bool earlier;

    pthread_mutex_lock(&self->lock);
    earlier = t_mono_ns < self->t_due_ns;
    if (earlier) {
        self->t_due_ns = t_mono_ns;
    }
    pthread_mutex_unlock(&self->lock);
    if (earlier) {
        pthread_cond_signal(&self->wake); /* after unlocking: the thread needs it */
    }
}

int64_t
mw_ticker_due_ns(struct mw_ticker *self)
{
    int64_t t_due_ns;

    pthread_mutex_lock(&self->lock);
    t_due_ns = self->t_due_ns;
    pthread_mutex_unlock(&self->lock);
    return t_due_ns;
}

void
mw_ticker_free(struct mw_ticker **out)
{
    struct mw_ticker *self = *out;

    if (self == NULL) {
        return;
    }
    pthread_mutex_lock(&self->lock);
    self->stopping = true;
    pthread_mutex_unlock(&self->lock);
    pthread_cond_signal(&self->wake);
    pthread_join(self->thread, NULL);
    mw_thread_release_sync(&self->lock, &self->wake);
    *out = NULL; /* before free(): a child forked in between would free it again */
    free(self);
}

void
mw_ticker_abandon(struct mw_ticker **self)
{
    /* Not destroyed: the thread may have been using them at the fork(). */
    free(*self);
    *self = NULL;
}
