/* Follows a tree of processes by ptrace(2), and reads the figures of each process where
 * it ends. All functions on the thread that traces.
 *
 *     err = mw_tracer_seize(pid);
 *     while (mw_tracer_step(&tracer, &status)) {
 *     }
 *     // the process has ended with `status`
 */

#ifndef MW_COMMAND_TRACER_H
#define MW_COMMAND_TRACER_H

#include <stdbool.h>
#include <sys/resource.h>

#include "command/command.h"

struct mw_tracer {
    pid_t pid; /* the first process */
    struct mw_command_result *result;
    struct rusage usage;       /* of the first process, when it has ended */
    int64_t ended;             /* processes */
    int64_t before_exec_bytes; /* the highest mark of the caller's image in it */
    bool has_executed;
};

/* Trace `pid`, a child of the calling thread, and all that it will start. -errno. */
int mw_tracer_seize(pid_t pid);

/* Wait for the next event, and let its thread go on. Returns false when the first
 * process has ended; then *status is its wait status. */
bool mw_tracer_step(struct mw_tracer *self, int *status);

#endif
