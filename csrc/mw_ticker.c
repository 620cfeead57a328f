#include "mw_ticker.h"

#include <errno.h>
#include <signal.h>

#include "mw_clock.h"

/* A tick may read /proc and call libproc2, whose own buffers are on the heap. */
enum { STACK_BYTES = 256 * 1024 };

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
            return true;
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
start_thread(struct mw_ticker *self)
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
        pthread_setname_np(self->thread, "memwatch");
        self->running = true;
    }
    return -err;
}

int
mw_ticker_start(struct mw_ticker *self, void (*tick)(void *context), void *context)
{
    int err;

    *self = MW_TICKER_STOPPED;
    self->tick = tick;
    self->context = context;
    self->t_due_ns = MW_TICKER_NEVER;
    err = init_sync(self);
    if (err != 0) {
        return err;
    }
    err = start_thread(self);
    if (err != 0) {
        release_sync(self);
    }
    return err;
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
mw_ticker_stop(struct mw_ticker *self)
{
    if (!self->running) {
        return;
    }
    pthread_mutex_lock(&self->lock);
    self->stopping = true;
    pthread_mutex_unlock(&self->lock);
    pthread_cond_signal(&self->wake);
    pthread_join(self->thread, NULL);
    self->running = false;
    release_sync(self);
}

void
mw_ticker_abandon(struct mw_ticker *self)
{
    /* Lock and condition may be in use by who is not here: not even destroyed. */
    self->running = false;
}
