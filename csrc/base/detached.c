#include "base/detached.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/thread.h"

struct errand {
    void (*act)(void *context);
    void *context;

    pthread_mutex_t lock; /* guards the two below */
    pthread_cond_t done;
    bool is_done;
    bool is_left; /* nobody waits any more: the thread frees this */
};

static void
release(struct errand *self)
{
    mw_thread_release_sync(&self->lock, &self->done);
    free(self);
}

static void *
run(void *argument)
{
    struct errand *self = argument;
    bool is_left;

    self->act(self->context);
    pthread_mutex_lock(&self->lock);
    self->is_done = true;
    is_left = self->is_left;
    pthread_cond_signal(&self->done);
    pthread_mutex_unlock(&self->lock);
    if (is_left) {
        release(self);
    }
    return NULL;
}

static int
new_errand(struct errand **out)
{
    struct errand *self = calloc(1, sizeof *self);
    int err;

    if (self == NULL) {
        return -ENOMEM;
    }
    err = mw_thread_init_sync(&self->lock, &self->done);
    if (err != 0) {
        free(self);
        return err;
    }
    *out = self;
    return 0;
}

/* Returns whether it was done in time; if not, the thread frees it. */
static bool
wait_until(struct errand *self, int64_t t_end_ns)
{
    struct timespec deadline = mw_clock_deadline(t_end_ns);
    bool is_done;
    int err = 0;

    pthread_mutex_lock(&self->lock);
    while (!self->is_done && err == 0) {
        err = pthread_cond_timedwait(&self->done, &self->lock, &deadline);
    }
    is_done = self->is_done;
    self->is_left = !is_done;
    pthread_mutex_unlock(&self->lock);
    return is_done;
}

int
mw_detached_run(void (*act)(void *context), void *context, int64_t patience_ns)
{
    struct errand *errand;
    pthread_t thread;
    int err = new_errand(&errand);

    if (err != 0) {
        return err;
    }
    errand->act = act;
    errand->context = context;
    err = mw_thread_start(&thread, NULL, 0, run, errand);
    if (err != 0) {
        release(errand);
        return err;
    }
    if (wait_until(errand, mw_clock_mono_ns() + patience_ns)) {
        pthread_join(thread, NULL);
        release(errand);
    }
    else {
        pthread_detach(thread); /* it frees the errand, or already has */
    }
    return 0;
}
