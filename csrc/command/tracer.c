#include "command/tracer.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command/process_figures.h"
#include "linux/proc.h"

enum { SLACK_BYTES = 1 << 20 };

/* ---- what is known of the memory ---- */

static void
raise_to(int64_t *value, int64_t other)
{
    if (other != MW_ABSENT && (*value == MW_ABSENT || *value < other)) {
        *value = other;
    }
}

/* A thread is at its exit: that of the last one of a process still has the memory. */
static void
note_exit(struct mw_tracer *self, pid_t tid)
{
    struct mw_command_result *result = self->result;
    struct mw_process_figures figures;

    if (mw_process_figures_read(&figures, MW_PROC_ROOT, tid) != 0) {
        return;
    }
    if (figures.pid == self->pid) {
        raise_to(&result->peak_bytes, figures.memory.hwm_bytes);
        result->end_bytes = figures.memory.rss_bytes;
    }
    if (figures.memory.hwm_bytes != MW_ABSENT &&
        figures.memory.hwm_bytes > result->largest_peak_bytes) {
        result->largest_peak_bytes = figures.memory.hwm_bytes;
        result->largest_pid = figures.pid;
        memcpy(result->largest_name, figures.name, sizeof figures.name);
    }
}

/* The kernel's figures for the same memory differ a little: that of a process at its
 * exit is a sum over all processors, ru_maxrss is not. */
static bool
is_clearly_more(int64_t bytes, int64_t other)
{
    int64_t tolerance = other / 100 > SLACK_BYTES ? other / 100 : SLACK_BYTES;

    return other == MW_ABSENT || bytes > other + tolerance;
}

/* Until its exec a process is a copy of its parent, or runs in the parent's memory. */
static bool
is_of_parent(pid_t pid, int64_t maxrss_bytes)
{
    struct mw_process_figures figures;

    return mw_process_figures_read(&figures, MW_PROC_ROOT, pid) == 0 &&
           figures.parent != 0 &&
           mw_process_figures_read(&figures, MW_PROC_ROOT, figures.parent) == 0 &&
           !is_clearly_more(maxrss_bytes, figures.memory.hwm_bytes);
}

/* A process has replaced its program, and the memory of the old one is gone. Its mark
 * is in ru_maxrss, which is the highest of this process, of the children it has waited
 * for, and of the process that started it by vfork(); all of those are read themselves.
 * Except one: the first process began as a copy of ours. */
static void
note_exec(struct mw_tracer *self, pid_t pid, int64_t maxrss_bytes)
{
    struct mw_command_result *result = self->result;
    bool is_first = pid == self->pid;

    if (is_first && !self->has_executed) {
        self->has_executed = true;
        self->before_exec_bytes = maxrss_bytes;
        return;
    }
    if (is_first && maxrss_bytes <= self->before_exec_bytes) {
        raise_to(&result->unknown_bytes, maxrss_bytes);
        return;
    }
    if (!is_clearly_more(maxrss_bytes, result->largest_peak_bytes)) {
        /* It may be a child's. */
        if (is_first && is_clearly_more(maxrss_bytes, result->peak_bytes)) {
            raise_to(&result->unknown_bytes, maxrss_bytes);
        }
        return;
    }
    if (is_first) {
        raise_to(&result->peak_bytes, maxrss_bytes);
    }
    else if (is_of_parent(pid, maxrss_bytes)) {
        return;
    }
    result->largest_peak_bytes = maxrss_bytes;
    result->largest_pid = pid;
    result->largest_name[0] = '\0';
}

/* clone() makes threads and processes. */
static bool
is_thread_of(pid_t process, pid_t tid)
{
    char path[64];

    (void)snprintf(path, sizeof path, MW_PROC_ROOT "/%ld/task/%ld", (long)process,
                   (long)tid);
    return access(path, F_OK) == 0;
}

static void
note_start(struct mw_tracer *self, pid_t parent, int event)
{
    unsigned long started = 0;

    ptrace(PTRACE_GETEVENTMSG, parent, NULL, &started);
    if (event != PTRACE_EVENT_CLONE || !is_thread_of(parent, (pid_t)started)) {
        self->result->started++;
    }
}

/* ---- stops ---- */

static bool
is_stop_signal(int number)
{
    return number == SIGSTOP || number == SIGTSTP || number == SIGTTIN ||
           number == SIGTTOU;
}

/* The threads of a process that is stopped, as by Ctrl-Z, must stay so until SIGCONT.
 */
static void
let_be_stopped(const struct mw_tracer *self, pid_t tid, int number)
{
    ptrace(PTRACE_LISTEN, tid, NULL, NULL);
    if (tid == self->pid && number != SIGSTOP) {
        /* Only if we stop too does the shell know that its job has stopped. */
        kill(getpid(), SIGSTOP);
    }
}

static void
handle_stop(struct mw_tracer *self, pid_t tid, int status, const struct rusage *usage)
{
    int event = status >> 16;
    int number = WSTOPSIG(status);

    switch (event) {
    case 0: /* a signal is about to be delivered */
        ptrace(PTRACE_CONT, tid, NULL, (long)number);
        return;
    case PTRACE_EVENT_STOP:
        if (is_stop_signal(number)) {
            let_be_stopped(self, tid, number);
            return;
        }
        break; /* a new thread or process begins */
    case PTRACE_EVENT_EXIT:
        note_exit(self, tid);
        break;
    case PTRACE_EVENT_EXEC:
        note_exec(self, tid, (int64_t)usage->ru_maxrss * 1024);
        break;
    case PTRACE_EVENT_FORK:
    case PTRACE_EVENT_VFORK:
    case PTRACE_EVENT_CLONE:
        note_start(self, tid, event);
        break;
    default:
        break;
    }
    ptrace(PTRACE_CONT, tid, NULL, NULL);
}

int
mw_tracer_seize(pid_t pid)
{
    long options = PTRACE_O_TRACEEXIT | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEFORK |
                   PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE;

    return ptrace(PTRACE_SEIZE, pid, NULL, options) == 0 ? 0 : -errno;
}

/* Not another thread of one: by that pid it is no member of its own group. */
static bool
is_process(pid_t tid)
{
    return syscall(SYS_tgkill, tid, tid, 0) == 0 || errno != ESRCH;
}

bool
mw_tracer_step(struct mw_tracer *self, int *status)
{
    siginfo_t next = {.si_pid = 0};
    struct rusage usage;
    bool was_process;
    pid_t tid;

    /* Never the children of other threads. */
    if (waitid(P_ALL, 0, &next, WEXITED | WNOWAIT | __WALL | __WNOTHREAD) != 0) {
        return errno == EINTR;
    }
    /* A thread may end before the others of its process, also the first one, and the
     * one that calls exec gets the first one's place: a process has ended when it is
     * waited for, after which nobody can tell that it was one. */
    tid = next.si_pid;
    was_process = is_process(tid);
    if (wait4(tid, status, WNOHANG | __WALL | __WNOTHREAD, &usage) != tid) {
        return true; /* it was killed, or replaced by a thread, in between */
    }
    if (WIFSTOPPED(*status)) {
        handle_stop(self, tid, *status, &usage);
        return true;
    }
    self->ended += was_process;
    if (tid != self->pid) {
        return true;
    }
    self->usage = usage;
    return false;
}
