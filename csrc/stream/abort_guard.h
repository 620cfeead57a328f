/* A library that calls abort() where it can get no thread, descriptor or memory: what
 * it needs is tried for before it is entered, and what others take between that and the
 * library's own try is an error instead of the process's end.
 *
 *     err = mw_abort_guard_check_threads();
 *     if (err == 0) {
 *         err = mw_abort_guard_run(set_up, context, &aborted);
 *     } */

#ifndef MW_STREAM_ABORT_GUARD_H
#define MW_STREAM_ABORT_GUARD_H

#include <stdbool.h>

/* Whether 16 descriptors and 1 MiB can be had now. -errno. */
int mw_abort_guard_check_files_and_memory(void);

/* Whether four threads with the default attributes can be had at once. Their stacks
 * stay in the C library's cache, for the library's threads to take. A thread that was
 * joined counts against limits until the kernel has removed it: that is waited for, 500
 * ms at most. -errno of pthread_create(). */
int mw_abort_guard_check_threads(void);

/* What act(context) returns, 0 or -errno. Where this thread calls abort() in it:
 * -EAGAIN and *aborted; what it used is then in an unknown state, with locks held, and
 * is never to be used or freed again. SIGABRT has a handler meanwhile: so one call at a
 * time in a process, and no fork(). Another thread's abort() does what it would have
 * done. */
int
mw_abort_guard_run(int (*act)(const void *context), const void *context, bool *aborted);

#endif
