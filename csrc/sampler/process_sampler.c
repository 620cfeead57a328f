#include "sampler/process_sampler.h"

#include <pthread.h>

#include "linux/proc.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards what follows */
static struct mw_sampler *own;
static struct mw_process_sampler_other *newest;
static int users;
static int handlers_errno; /* 0: installed, which is for ever */

static pthread_once_t handlers_once = PTHREAD_ONCE_INIT;

static void
before_fork(void)
{
    pthread_mutex_lock(&lock);
    if (own != NULL) {
        mw_sampler_before_fork(own);
    }
    for (struct mw_process_sampler_other *each = newest; each != NULL;
         each = each->next) {
        mw_sampler_before_fork(each->sampler);
    }
}

static void
after_fork_in_parent(void)
{
    if (own != NULL) {
        mw_sampler_after_fork_in_parent(own);
    }
    for (struct mw_process_sampler_other *each = newest; each != NULL;
         each = each->next) {
        mw_sampler_after_fork_in_parent(each->sampler);
    }
    pthread_mutex_unlock(&lock);
}

static void
after_fork_in_child(void)
{
    if (own != NULL) {
        mw_sampler_after_fork_in_child(own);
    }
    for (struct mw_process_sampler_other *each = newest; each != NULL;
         each = each->next) {
        mw_sampler_after_fork_in_child(each->sampler);
    }
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

    /* At first without the lock: a fork would leave it locked to a child for which no
     * handler is there yet. Once more with it, where there was no memory then. */
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
    mw_sampler_free(&last); /* joins: not with the lock held */
}

int
mw_process_sampler_open_other(struct mw_process_sampler_other *other,
                              struct mw_sampler *sampler, pid_t pid)
{
    struct mw_accuracy accuracy = mw_sampler_accuracy(sampler);
    int err;

    *other = (struct mw_process_sampler_other){NULL, NULL, NULL};
    err = mw_sampler_new_of(&other->sampler, MW_PROC_ROOT, pid, &accuracy);
    if (err == 0) {
        pthread_mutex_lock(&lock);
        other->next = newest;
        if (newest != NULL) {
            newest->previous = other;
        }
        newest = other;
        pthread_mutex_unlock(&lock);
    }
    return err;
}

void
mw_process_sampler_close_other(struct mw_process_sampler_other *other)
{
    if (other->sampler == NULL) {
        return;
    }
    pthread_mutex_lock(&lock);
    if (other->previous != NULL) {
        other->previous->next = other->next;
    }
    else {
        newest = other->next;
    }
    if (other->next != NULL) {
        other->next->previous = other->previous;
    }
    pthread_mutex_unlock(&lock);
    mw_sampler_free(&other->sampler); /* joins: not with the lock held */
}
