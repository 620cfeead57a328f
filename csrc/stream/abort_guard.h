/* Calls into a library that calls abort() if it gets no thread, descriptor or memory.
 * Check first that these are available; then run the library's code under the guard,
 * which turns an abort() that happens nevertheless into an error.
 *
 *     err = mw_abort_guard_check_threads();
 *     if (err == 0) {
 *         err = mw_abort_guard_run(set_up, context, &aborted);
 *     }
 *
 * Functions return 0 or -errno. */

#ifndef MW_STREAM_ABORT_GUARD_H
#define MW_STREAM_ABORT_GUARD_H

#include <stdbool.h>

/* Check that 16 descriptors and 1 MiB are available. */
int mw_abort_guard_check_files_and_memory(void);

/* Check that four threads with default attributes can exist at once. Their stacks stay
 * in the C library's cache for the library's threads. A joined thread counts against
 * limits until the kernel has removed it; this waits for that, 500 ms at most. Errors:
 * those of pthread_create(); -EAGAIN: timeout. */
int mw_abort_guard_check_threads(void);

/* Return act(context), which is 0 or -errno. If this thread calls abort() in it, return
 * -EAGAIN and set *aborted: what act() used is then in an unknown state, perhaps with
 * locks held, and must never be used or freed. SIGABRT has a handler meanwhile, so the
 * process may make only one call at a time and must not fork(). An abort() of another
 * thread has its usual effect. */
int
mw_abort_guard_run(int (*act)(const void *context), const void *context, bool *aborted);

#endif
