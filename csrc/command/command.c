#include "command/command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"
#include "command/passing.h"
#include "command/tracer.h"
#include "linux/proc.h"
#include "window/sampling_interval.h"

enum { STACK_BYTES = 256 << 10, EXEC_LIMIT_MS = 5000 };

/* The thread owns all fields from one post of a semaphore to the next. */
struct mw_command {
    const char *const *argv; /* the caller's; not used after start() */
    int streams[3];
    bool trace;
    sigset_t mask; /* of the caller: the command gets it */
    pthread_t thread;
    bool has_thread;
    sem_t is_started;
    sem_t may_run;
    int start_err; /* 0 or -errno */
    int trace_errno;
    pid_t pid;
    int pidfd;   /* -1: the kernel has none (before 5.3) */
    int go;      /* a byte here lets the process exec; end of file ends it */
    int failure; /* gives the errno of a failed exec, or the end of file */
    bool is_wanted;
    struct mw_command_result result;
};

static const struct mw_command_result NOTHING_KNOWN = {
    .peak_bytes = MW_ABSENT,
    .end_bytes = MW_ABSENT,
    .largest_peak_bytes = MW_ABSENT,
    .started = MW_ABSENT,
    .alive = MW_ABSENT,
    .unknown_bytes = MW_ABSENT,
};

/* ---- the process, before its exec: system calls only ---- */

/* The caller's handlers would swallow a signal that came before the exec. */
static void
drop_handlers(void)
{
    for (int number = 1; number < NSIG; number++) {
        struct sigaction action;

        if (sigaction(number, NULL, &action) == 0 && action.sa_handler != SIG_IGN) {
            (void)signal(number, SIG_DFL);
        }
    }
}

static _Noreturn void
become_command(const struct mw_command *self, int go, int failure)
{
    char byte;
    ssize_t got;
    int reason;

    do {
        got = read(go, &byte, 1);
    } while (got < 0 && errno == EINTR);
    if (got != 1) {
        _exit(127); /* the command is not wanted any more */
    }
    for (int i = 0; i < 3; i++) {
        if (self->streams[i] != i && dup2(self->streams[i], i) < 0) {
            _exit(127);
        }
    }
    /* exec keeps what is ignored, and Python ignores these. */
    (void)signal(SIGPIPE, SIG_DFL);
    (void)signal(SIGXFSZ, SIG_DFL);
    drop_handlers();
    pthread_sigmask(SIG_SETMASK, &self->mask, NULL);
    execvp(self->argv[0], (char *const *)self->argv);
    reason = errno;
    if (write(failure, &reason, sizeof reason) < 0) {
        _exit(126);
    }
    _exit(127);
}

static int
start_process(struct mw_command *self)
{
    int go[2];
    int failure[2];
    int err;

    if (pipe2(go, O_CLOEXEC) != 0) {
        return -errno;
    }
    if (pipe2(failure, O_CLOEXEC) != 0) {
        err = -errno;
        goto close_go;
    }
    self->pid = fork();
    if (self->pid == 0) {
        close(go[1]);
        become_command(self, go[0], failure[1]);
    }
    if (self->pid < 0) {
        err = -errno;
        close(failure[0]);
        close(failure[1]);
        goto close_go;
    }
    close(go[0]);
    close(failure[1]);
    self->go = go[1];
    self->failure = failure[0];
    self->pidfd = (int)syscall(SYS_pidfd_open, self->pid, 0); /* sets O_CLOEXEC */
    return 0;
close_go:
    close(go[0]);
    close(go[1]);
    return err;
}

/* Whether the exec failed, when the process has ended or `failure` has something. */
static int
read_failure(int failure)
{
    struct pollfd shown = {.fd = failure, .events = POLLIN};
    int reason = 0;

    /* Another thread's fork() may have a copy of the other end: no wait for its end. */
    if (poll(&shown, 1, 0) != 1 || read(failure, &reason, sizeof reason) < 0) {
        return 0;
    }
    return reason;
}

/* ---- the thread ---- */

static void
follow_by_tracing(struct mw_command *self, struct rusage *usage)
{
    struct mw_tracer tracer = {.pid = self->pid, .result = &self->result};

    self->result.started = 1;
    self->result.unknown_bytes = 0;
    while (mw_tracer_step(&tracer, &self->result.wait_status)) {
    }
    *usage = tracer.usage;
    self->result.alive =
        self->result.started > tracer.ended ? self->result.started - tracer.ended : 0;
}

static void
note_sample(struct mw_command *self, const struct mw_proc *proc)
{
    struct mw_memory memory;

    if (mw_proc_read_memory(proc, &memory) != 0) {
        return;
    }
    if (memory.hwm_bytes > self->result.peak_bytes) {
        self->result.peak_bytes = memory.hwm_bytes;
    }
    self->result.end_bytes = memory.rss_bytes;
}

static void
follow_by_sampling(struct mw_command *self, struct rusage *usage)
{
    struct pollfd executed = {.fd = self->failure, .events = POLLIN};
    struct pollfd ended = {.fd = self->pidfd, .events = POLLIN};
    int64_t t_begin_ns = mw_clock_mono_ns();
    struct mw_proc proc = MW_PROC_CLOSED;
    pid_t found = 0;

    /* Until then it is a copy of this process. */
    poll(&executed, 1, EXEC_LIMIT_MS);
    if (mw_proc_open(&proc, MW_PROC_ROOT, self->pid) != 0) {
        proc = MW_PROC_CLOSED;
    }
    while (found == 0 || (found < 0 && errno == EINTR)) {
        int64_t age_ns = mw_clock_mono_ns() - t_begin_ns;
        int64_t wait_ns = mw_sampling_interval_next_age_ns(age_ns) - age_ns;
        struct timespec wait = mw_clock_deadline(wait_ns);

        note_sample(self, &proc);
        ppoll(&ended, 1, &wait, NULL);
        found = wait4(self->pid, &self->result.wait_status, WNOHANG, usage);
    }
    mw_proc_close(&proc);
    self->result.largest_peak_bytes = self->result.peak_bytes;
    self->result.largest_pid = self->pid;
}

static int64_t
in_ns(struct timeval time)
{
    return time.tv_sec * MW_NS_PER_S + time.tv_usec * MW_NS_PER_US;
}

static void
wait_for(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0) {
        /* EINTR */
    }
}

static void *
follow(void *argument)
{
    struct mw_command *self = argument;
    struct mw_command_result *result = &self->result;
    struct rusage usage = {0};
    int64_t t_begin_ns;
    bool is_traced;

    self->start_err = start_process(self);
    if (self->start_err == 0 && self->trace) {
        self->trace_errno = -mw_tracer_seize(self->pid);
    }
    is_traced = self->trace && self->trace_errno == 0;
    sem_post(&self->is_started);
    if (self->start_err != 0) {
        return NULL;
    }
    wait_for(&self->may_run);
    t_begin_ns = mw_clock_mono_ns();
    if (self->is_wanted) {
        while (write(self->go, "", 1) < 0 && errno == EINTR) {
        }
    }
    else {
        /* Another thread's fork() may have a copy of `go`: then it would not end. */
        kill(self->pid, SIGKILL);
    }
    close(self->go);
    if (is_traced) {
        follow_by_tracing(self, &usage);
    }
    else {
        follow_by_sampling(self, &usage);
    }
    result->duration_ns = mw_clock_mono_ns() - t_begin_ns;
    result->user_ns = in_ns(usage.ru_utime);
    result->system_ns = in_ns(usage.ru_stime);
    result->exec_errno = read_failure(self->failure);
    close(self->failure);
    return NULL;
}

/* ---- the interface ---- */

int
mw_command_start(struct mw_command **out, const char *const argv[],
                 const int streams[3], bool trace)
{
    struct mw_command *self = calloc(1, sizeof *self);
    int err;

    if (self == NULL) {
        return -ENOMEM;
    }
    self->argv = argv;
    memcpy(self->streams, streams, sizeof self->streams);
    self->trace = trace;
    self->pidfd = -1;
    self->result = NOTHING_KNOWN;
    pthread_sigmask(SIG_BLOCK, NULL, &self->mask);
    sem_init(&self->is_started, 0, 0);
    sem_init(&self->may_run, 0, 0);
    err = mw_thread_start(&self->thread, "mw-command", STACK_BYTES, follow, self);
    if (err == 0) {
        self->has_thread = true;
        wait_for(&self->is_started);
        err = self->start_err;
    }
    if (err != 0) {
        mw_command_free(&self);
        return err;
    }
    *out = self;
    return 0;
}

pid_t
mw_command_pid(const struct mw_command *self)
{
    return self->pid;
}

int
mw_command_trace_errno(const struct mw_command *self)
{
    return self->trace_errno;
}

static void
end_thread(struct mw_command *self, bool is_wanted)
{
    self->is_wanted = is_wanted;
    sem_post(&self->may_run);
    pthread_join(self->thread, NULL);
    self->has_thread = false;
}

int
mw_command_run(struct mw_command *self, struct mw_command_result *out)
{
    struct mw_passing passing = {.pid = self->pid, .pidfd = self->pidfd};
    int err = mw_passing_begin(&passing, self->trace && self->trace_errno == 0);

    if (err != 0) {
        return err;
    }
    if (self->has_thread) {
        end_thread(self, true);
        *out = self->result;
    }
    else {
        err = -EINVAL; /* it has run */
    }
    mw_passing_end(&passing);
    return err;
}

void
mw_command_free(struct mw_command **self)
{
    struct mw_command *command = *self;

    if (command == NULL) {
        return;
    }
    if (command->has_thread) {
        end_thread(command, false);
    }
    if (command->pidfd >= 0) {
        close(command->pidfd);
    }
    sem_destroy(&command->is_started);
    sem_destroy(&command->may_run);
    free(command);
    *self = NULL;
}
