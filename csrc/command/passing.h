/* Passes the signals on that a process sends to the caller while its command runs.
 *
 *     struct mw_passing passing = {.pid = pid, .pidfd = pidfd};
 *     err = mw_passing_begin(&passing, is_traced);
 *     mw_passing_end(&passing);
 */

#ifndef MW_COMMAND_PASSING_H
#define MW_COMMAND_PASSING_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

enum { MW_PASSED_ON = 7, MW_OF_TERMINAL = 3 };

struct mw_passing {
    pid_t pid; /* the command */
    int pidfd; /* the same; -1: the kernel has none */
    /* The caller's. */
    struct sigaction passed_on[MW_PASSED_ON];
    struct sigaction of_terminal[MW_OF_TERMINAL];
    struct sigaction of_children;
};

/* `is_traced`: ignore the terminal's signals to stop; the tracer sees to that. One at a
 * time in a process: -EBUSY. */
int mw_passing_begin(struct mw_passing *self, bool is_traced);

/* The caller has its handlers back. */
void mw_passing_end(const struct mw_passing *self);

#endif
