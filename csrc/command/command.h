/* Runs a command and reads the high-water mark (HWM) of each of its processes while the
 * memory still exists: every process and thread is traced and stopped at its exit.
 *
 * A thread of its own starts the command and traces it, because Linux accepts calls for
 * a tracee from its tracer only. That thread never waits for other children of the
 * caller. When it ends, processes that are still alive go on, untraced.
 *
 * Where tracing is not permitted, the HWM of the command's own process is sampled as
 * often as a window (window/sampling_interval.h): what the time since the last sample
 * added is missed.
 *
 *     err = mw_command_start(&command, argv, (int[]){0, 1, 2}, true);
 *     pid = mw_command_pid(command);           // it waits: nothing has run yet
 *     err = mw_command_run(command, &result);  // returns at its end
 *     mw_command_free(&command);
 *
 * Functions return 0 or -errno. */

#ifndef MW_COMMAND_COMMAND_H
#define MW_COMMAND_COMMAND_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/sample.h"

struct mw_command; /* opaque */

struct mw_command_result {
    int exec_errno;      /* why the command could not be executed; 0: it was */
    int wait_status;     /* as waitpid() gives it */
    int64_t duration_ns; /* from the exec to the end, CLOCK_MONOTONIC */
    int64_t user_ns;     /* CPU time, with that of children that were waited for */
    int64_t system_ns;
    int64_t peak_bytes; /* of the command's own process; MW_ABSENT: not read */
    int64_t end_bytes;  /* RSS of that process at its end; MW_ABSENT: not read */
    int64_t largest_peak_bytes; /* of the process with the highest; MW_ABSENT */
    pid_t largest_pid;          /* which one that is */
    char largest_name[16];      /* its name at the end (comm); empty: unknown */
    int64_t started;            /* processes, with the command; MW_ABSENT: untraced */
    int64_t alive;              /* of them, at the command's end; MW_ABSENT: untraced */
    /* A program of the command's process that was replaced by exec may have had a peak
     * of so much; 0: all are known. MW_ABSENT: untraced. */
    int64_t unknown_bytes;
};

/* Start a process for argv[0], searched in PATH, with the caller's folder and
 * environment, and with the descriptors `streams` as stdin, stdout and stderr; SIGPIPE
 * and SIGXFSZ, which Python ignores, have their defaults. It waits before its exec, so
 * the caller can prepare measuring. */
int mw_command_start(struct mw_command **out, const char *const argv[],
                     const int streams[3], bool trace);

/* The process that waits, and then is the command. */
pid_t mw_command_pid(const struct mw_command *self);

/* Why it could not be traced, an errno; 0: it is traced, or `trace` was false. */
int mw_command_trace_errno(const struct mw_command *self);

/* Let the command run; returns when it has ended. Meanwhile signals that a process
 * sends to the caller are passed on (INT, QUIT, TERM, HUP, USR1, USR2, CONT); those of
 * the terminal reach the command by themselves. When the terminal stops the command,
 * the caller's process stops too. One command at a time in a process: -EBUSY. */
int mw_command_run(struct mw_command *self, struct mw_command_result *out);

/* A command that has not run is ended. NULL has no effect. */
void mw_command_free(struct mw_command **self);

#endif
