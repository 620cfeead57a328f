#include "base/thread.h"

#include <signal.h>
#include <time.h>

static int
create(pthread_t *out, const pthread_attr_t *attributes, void *(*run)(void *argument),
       void *argument)
{
    sigset_t all;
    sigset_t before;
    int err;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    err = pthread_create(out, attributes, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -err;
}

int
mw_thread_start(pthread_t *out, const char *name, size_t stack_bytes,
                void *(*run)(void *argument), void *argument)
{
    pthread_attr_t attributes;
    int err = -pthread_attr_init(&attributes);

    if (err != 0) {
        return err;
    }
    if (stack_bytes != 0) {
        pthread_attr_setstacksize(&attributes, stack_bytes);
    }
    err = create(out, &attributes, run, argument);
    pthread_attr_destroy(&attributes);
    if (err == 0 && name != NULL) {
        pthread_setname_np(*out, name);
    }
    return err;
}

int
mw_thread_init_condition(pthread_cond_t *condition)
{
    pthread_condattr_t monotonic;
    int err = -pthread_condattr_init(&monotonic);

    if (err == 0) {
        pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        err = -pthread_cond_init(condition, &monotonic);
        pthread_condattr_destroy(&monotonic);
    }
    return err;
}

int
mw_thread_init_sync(pthread_mutex_t *lock, pthread_cond_t *condition)
{
    int err = mw_thread_init_condition(condition);

    if (err == 0) {
        err = -pthread_mutex_init(lock, NULL);
        if (err != 0) {
            pthread_cond_destroy(condition);
        }
    }
    return err;
}

void
mw_thread_release_sync(pthread_mutex_t *lock, pthread_cond_t *condition)
{
    pthread_mutex_destroy(lock);
    pthread_cond_destroy(condition);
}
