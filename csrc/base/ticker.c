#include "base/ticker.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/clock.h"

/* How long to wait where the clock is not the one that the kernel waits by. */
#define NAP_NS (10 * MW_NS_PER_MS)

/* A tick may read /proc and call libproc2, whose own buffers are on the heap. */
enum { STACK_BYTES = 256 * 1024 };

struct mw_ticker {
    pthread_t thread;
    void (*tick)(void *context);
    void *context;

    pthread_mutex_t lock; /* guards the two below; nothing is called with it held */
    pthread_cond_t wake;
    int64_t t_due_ns;
    bool stopping;
};

static int
init_sync(struct mw_ticker *self)
{
    pthread_condattr_t monotonic;
    int err = pthread_condattr_init(&monotonic);

    if (err != 0) {
        return -err;
    }
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    err = pthread_cond_init(&self->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (err == 0) {
        err = pthread_mutex_init(&self->lock, NULL);
        if (err != 0) {
            pthread_cond_destroy(&self->wake);
        }
    }
    return -err;
}

static void
release_sync(struct mw_ticker *self)
{
    pthread_mutex_destroy(&self->lock);
    pthread_cond_destroy(&self->wake);
}

/* With the lock held: a while by no clock of ours. */
static void
nap(struct mw_ticker *self)
{
    pthread_mutex_unlock(&self->lock);
    nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
    pthread_mutex_lock(&self->lock);
}

/* With the lock held: wait until something is due. false: we are to stop. */
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
            /* A clock that stands, or is behind (libfaketime): whoever we call asks
             * to be called at the same time again, and that is over already. */
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

static int
start_thread(struct mw_ticker *self, const char *name)
{
    pthread_attr_t attributes;
    sigset_t all;
    sigset_t before;
    int err = pthread_attr_init(&attributes);

    if (err != 0) {
        return -err;
    }
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    err = pthread_create(&self->thread, &attributes, run, self);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (err == 0) {
        pthread_setname_np(self->thread, name);
    }
    return -err;
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
    err = init_sync(self);
    if (err == 0) {
        err = start_thread(self, name);
        if (err != 0) {
            release_sync(self);
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
        pthread_cond_signal(&self->wake); /* unlocked: it wakes to a free lock */
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
    release_sync(self);
    *out = NULL; /* first: a child that is forked now would free it once more */
    free(self);
}

void
mw_ticker_abandon(struct mw_ticker **self)
{
    /* Lock and condition may be in use by who is not here: they are not destroyed. */
    free(*self);
    *self = NULL;
}
