#include "mw_self.h"

#include <pthread.h>
#include <stdbool.h>

#include "mw_proc.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards what follows */
static struct mw_sampler *own;
static int users;
static bool handlers_installed; /* once: they cannot be taken away again */

static void
before_fork(void)
{
    pthread_mutex_lock(&lock);
    if (own != NULL) {
        mw_sampler_before_fork(own);
    }
}

static void
after_fork_in_parent(void)
{
    if (own != NULL) {
        mw_sampler_after_fork_in_parent(own);
    }
    pthread_mutex_unlock(&lock);
}

static void
after_fork_in_child(void)
{
    if (own != NULL) {
        mw_sampler_after_fork_in_child(own);
    }
    pthread_mutex_unlock(&lock);
}

/* With the lock held, which no fork waits for before the handlers are installed. */
static int
install_handlers(void)
{
    int err = 0;

    if (!handlers_installed) {
        err = pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
        handlers_installed = err == 0;
    }
    return -err;
}

int
mw_self_acquire(struct mw_sampler **out)
{
    int err;

    pthread_mutex_lock(&lock);
    err = install_handlers();
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
mw_self_release(struct mw_sampler **sampler)
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
