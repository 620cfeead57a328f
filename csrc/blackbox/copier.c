#include "blackbox/copier.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"
#include "blackbox/copy.h"

/* A round is three writes: at most 10 a second. */
#define ROUND_INTERVAL_NS (300 * MW_NS_PER_MS)

#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE (1U << 1)
#endif

enum {
    STACK_BYTES = 256 * 1024,
    MOST_DESCRIPTORS = 65536,
};

struct mw_blackbox_copier {
    pthread_t thread;
    pthread_mutex_t lock; /* guards the four below; never held while writing */
    pthread_cond_t changed;
    bool is_stopping; /* set by the owner */
    bool is_done;     /* set by the thread at its end */
    bool is_left;     /* set by the owner, who stopped waiting: the thread frees this */
    int last_errno;

    struct mw_blackbox_copy copy; /* the thread's alone */
};

/* ---- the thread ---- */

static void
release(struct mw_blackbox_copier *self)
{
    mw_blackbox_copy_release(&self->copy);
    mw_thread_release_sync(&self->lock, &self->changed);
    free(self);
}

/* An empty descriptor table for this thread: if it kept the process's descriptors, the
 * writing end of a pipe, for example, would never close. */
static int
unshare_descriptors(void)
{
#ifdef SYS_close_range
    if (syscall(SYS_close_range, 0U, ~0U, CLOSE_RANGE_UNSHARE) == 0) {
        return 0;
    }
#endif
    if (unshare(CLONE_FILES) != 0) {
        return -errno;
    }
    for (int fd = 0; fd < MOST_DESCRIPTORS; fd++) {
        close(fd);
    }
    return 0;
}

/* Store the result and wait for the next round. false: stop. */
static bool
wait_for_next_round(struct mw_blackbox_copier *self, int err, int64_t t_next_ns)
{
    struct timespec deadline = mw_clock_deadline(t_next_ns);
    bool is_stopping;

    pthread_mutex_lock(&self->lock);
    self->last_errno = -err;
    pthread_cond_signal(&self->changed);
    while (!self->is_stopping && pthread_cond_timedwait(&self->changed, &self->lock,
                                                        &deadline) != ETIMEDOUT) {
    }
    is_stopping = self->is_stopping;
    pthread_mutex_unlock(&self->lock);
    return !is_stopping;
}

static void *
run(void *argument)
{
    struct mw_blackbox_copier *self = argument;
    const int unshare_err = unshare_descriptors();
    bool is_left;
    int64_t t_next_ns;
    int err;

    do {
        t_next_ns = mw_clock_mono_ns() + ROUND_INTERVAL_NS;
        err = unshare_err != 0 ? unshare_err : mw_blackbox_copy_write(&self->copy);
    } while (wait_for_next_round(self, err, t_next_ns));
    mw_blackbox_copy_remove(&self->copy);
    pthread_mutex_lock(&self->lock);
    self->is_done = true;
    is_left = self->is_left;
    pthread_cond_signal(&self->changed);
    pthread_mutex_unlock(&self->lock);
    if (is_left) {
        release(self);
    }
    return NULL;
}

/* ---- the owner ---- */

/* Wait until is_over() is true, at most `patience_ns`. With the lock held. */
static void
wait_for(struct mw_blackbox_copier *self,
         bool (*is_over)(const struct mw_blackbox_copier *), int64_t patience_ns)
{
    struct timespec deadline = mw_clock_deadline(mw_clock_mono_ns() + patience_ns);

    while (!is_over(self) &&
           pthread_cond_timedwait(&self->changed, &self->lock, &deadline) == 0) {
    }
}

static bool
has_begun(const struct mw_blackbox_copier *self)
{
    return self->last_errno != EINPROGRESS;
}

static bool
has_ended(const struct mw_blackbox_copier *self)
{
    return self->is_done;
}

int
mw_blackbox_copier_new(struct mw_blackbox_copier **out, int source_fd, const char *path,
                       int64_t patience_ns)
{
    struct mw_blackbox_copier *self = calloc(1, sizeof *self);
    int err;

    if (self == NULL) {
        return -ENOMEM;
    }
    self->last_errno = EINPROGRESS;
    err = mw_thread_init_sync(&self->lock, &self->changed);
    if (err != 0) {
        free(self);
        return err;
    }
    err = mw_blackbox_copy_init(&self->copy, source_fd, path);
    if (err == 0) {
        err = mw_thread_start(&self->thread, NULL, STACK_BYTES, run, self);
    }
    if (err != 0) {
        release(self);
        return err;
    }
    pthread_mutex_lock(&self->lock);
    wait_for(self, has_begun, patience_ns);
    err = has_begun(self) ? -self->last_errno : 0;
    pthread_mutex_unlock(&self->lock);
    if (err != 0) {
        mw_blackbox_copier_free(&self, patience_ns);
        return err;
    }
    *out = self;
    return 0;
}

void
mw_blackbox_copier_free(struct mw_blackbox_copier **out, int64_t patience_ns)
{
    struct mw_blackbox_copier *self = *out;
    pthread_t thread;
    bool is_done;

    if (self == NULL) {
        return;
    }
    *out = NULL;
    thread = self->thread;
    pthread_mutex_lock(&self->lock);
    self->is_stopping = true;
    pthread_cond_signal(&self->changed);
    wait_for(self, has_ended, patience_ns);
    is_done = self->is_done;
    self->is_left = !is_done;
    pthread_mutex_unlock(&self->lock);
    if (is_done) {
        pthread_join(thread, NULL);
        release(self);
    }
    else {
        pthread_detach(thread);
    }
}

void
mw_blackbox_copier_abandon(struct mw_blackbox_copier **out)
{
    /* Not destroyed: the thread may have been using lock and condition at the fork().
     */
    if (*out != NULL) {
        mw_blackbox_copy_release(&(*out)->copy);
        free(*out);
        *out = NULL;
    }
}

int
mw_blackbox_copier_errno(struct mw_blackbox_copier *self)
{
    int last_errno;

    pthread_mutex_lock(&self->lock);
    last_errno = self->last_errno;
    pthread_mutex_unlock(&self->lock);
    return last_errno;
}
