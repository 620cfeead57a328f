/* Starts threads with all signals blocked: the process's own threads handle signals.
 *
 *     err = mw_thread_start(&thread, "memwatch", 256 * 1024, run, self);
 */

#ifndef MW_BASE_THREAD_H
#define MW_BASE_THREAD_H

#include <pthread.h>
#include <stddef.h>

/* Start run(argument). `stack_bytes` 0: the default size; `name`, at most 15 bytes, may
 * be NULL. Returns 0 or -errno. */
int mw_thread_start(pthread_t *out, const char *name, size_t stack_bytes,
                    void *(*run)(void *argument), void *argument);

/* Initialise a condition whose timed waits are by CLOCK_MONOTONIC. Returns 0 or -errno.
 */
int mw_thread_init_condition(pthread_cond_t *condition);

/* The same, and the lock that belongs to it; on failure neither is initialised. */
int mw_thread_init_sync(pthread_mutex_t *lock, pthread_cond_t *condition);

void mw_thread_release_sync(pthread_mutex_t *lock, pthread_cond_t *condition);

#endif
