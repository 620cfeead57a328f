#include "sampler/process_sampler.h"

#include <pthread.h>

#include "linux/proc.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards what follows */
static struct mw_sampler *own;
static struct mw_external_sampler *newest;
static int users;
static int handlers_errno; /* 0: installed; they cannot be removed */

static pthread_once_t handlers_once = PTHREAD_ONCE_INIT;

/* With the lock held. */
static void
for_each_sampler(void (*call)(struct mw_sampler *))
{
    if (own != NULL) {
        call(own);
    }
    for (struct mw_external_sampler *each = newest; each != NULL; each = each->next) {
        call(each->sampler);
    }
}

static void
before_fork(void)
{
    pthread_mutex_lock(&lock);
    for_each_sampler(mw_sampler_before_fork);
}

static void
after_fork_in_parent(void)
{
    for_each_sampler(mw_sampler_after_fork_in_parent);
    pthread_mutex_unlock(&lock);
}

static void
after_fork_in_child(void)
{
    for_each_sampler(mw_sampler_after_fork_in_child);
    pthread_mutex_unlock(&lock);
}

static void
install_handlers(void)
{
    handlers_errno =
        pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

int
mw_process_sampler_acquire(struct mw_sampler **out)
{
    int err;

    /* Without the lock: before the handlers exist, a fork() would leave it locked in
     * the child. If that failed for lack of memory, try again with the lock. */
    pthread_once(&handlers_once, install_handlers);
    pthread_mutex_lock(&lock);
    if (handlers_errno != 0) {
        install_handlers();
    }
    err = -handlers_errno;
    if (err == 0 && own == NULL) {
        err = mw_sampler_new(&own, MW_PROC_ROOT, 0);
    }
    if (err == 0) {
        users++;
        *out = own;
    }
    pthread_mutex_unlock(&lock);
    return err;
}

void
mw_process_sampler_release(struct mw_sampler **sampler)
{
    struct mw_sampler *last = NULL;

    if (*sampler == NULL) {
        return;
    }
    *sampler = NULL;
    pthread_mutex_lock(&lock);
    if (--users == 0) {
        last = own;
        own = NULL;
    }
    pthread_mutex_unlock(&lock);
    mw_sampler_free(&last); /* joins the thread, so not with the lock held */
}

int
mw_external_sampler_open(struct mw_external_sampler *self, struct mw_sampler *sampler,
                         pid_t pid)
{
    struct mw_accuracy accuracy = mw_sampler_accuracy(sampler);
    int err;

    *self = (struct mw_external_sampler){NULL, NULL, NULL};
    err = mw_sampler_new_with_reset(&self->sampler, MW_PROC_ROOT, pid, &accuracy);
    if (err == 0) {
        pthread_mutex_lock(&lock);
        self->next = newest;
        if (newest != NULL) {
            newest->previous = self;
        }
        newest = self;
        pthread_mutex_unlock(&lock);
    }
    return err;
}

void
mw_external_sampler_close(struct mw_external_sampler *self)
{
    if (self->sampler == NULL) {
        return;
    }
    pthread_mutex_lock(&lock);
    if (self->previous != NULL) {
        self->previous->next = self->next;
    }
    else {
        newest = self->next;
    }
    if (self->next != NULL) {
        self->next->previous = self->previous;
    }
    pthread_mutex_unlock(&lock);
    mw_sampler_free(&self->sampler); /* joins the thread, so not with the lock held */
}
