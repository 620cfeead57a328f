#include "linux/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "linux/proc.h"

enum {
    SPIKE_BYTES = 8 << 20, /* how far the child's mark is above its RSS */
    SHOWN_BYTES = 4 << 20, /* how much of it must show: counters may hide some */
    STEP_BYTES = 4096,     /* no page is smaller */
    ROLLUP_ROOM = 4096,    /* smaps_rollup is 0.7 KiB */
    EXIT_STOP = SIGTRAP | PTRACE_EVENT_EXIT << 8,
};

/* ---- the child ---- */

/* A forked process whose parent may have threads: system calls only. */
static _Noreturn void
live(int peer)
{
    char byte = 0;
    volatile char *memory = mmap(NULL, SPIKE_BYTES, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory != MAP_FAILED) {
        madvise((void *)memory, SPIKE_BYTES, MADV_NOHUGEPAGE);
        for (int i = 0; i < SPIKE_BYTES; i += STEP_BYTES) {
            memory[i] = 1;
        }
        munmap((void *)memory, SPIKE_BYTES);
        send(peer, &byte, 1, MSG_NOSIGNAL);
        /* Wait for a byte, or for the parent's end. */
        recv(peer, &byte, 1, 0);
    }
    _exit(0);
}

static ssize_t
receive(int peer)
{
    char byte;
    ssize_t got;

    do {
        got = recv(peer, &byte, 1, 0);
    } while (got < 0 && errno == EINTR);
    return got;
}

static int
start(pid_t *child, int *peer)
{
    sigset_t all;
    sigset_t before;
    int ends[2];
    int err;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        return -errno;
    }
    /* The child inherits our signal handlers, which must not run in it. */
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    *child = fork();
    if (*child == 0) {
        close(ends[1]);
        live(ends[0]);
    }
    err = *child < 0 ? -errno : 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    close(ends[0]);
    if (err != 0) {
        close(ends[1]);
        return err;
    }
    *peer = ends[1];
    return 0;
}

/* Wait for its next stop. false: it has ended. */
static bool
await(pid_t child, int *status)
{
    pid_t found;

    do {
        found = waitpid(child, status, __WALL);
    } while (found < 0 && errno == EINTR);
    return found == child && WIFSTOPPED(*status);
}

static void
end(pid_t child, int peer)
{
    int status;

    close(peer);
    kill(child, SIGKILL);
    /* If it is traced it may be stopped at its exit, where SIGKILL has no effect. */
    ptrace(PTRACE_CONT, child, NULL, NULL);
    while (await(child, &status)) {
        ptrace(PTRACE_CONT, child, NULL, NULL);
    }
}

/* ---- the tries; each returns 0 or an errno ---- */

static int
try_pss(pid_t child)
{
    char text[ROLLUP_ROOM];
    ssize_t length;
    int err = 0;
    int fd = mw_proc_open_file(MW_PROC_ROOT, child, "smaps_rollup", O_RDONLY);

    if (fd < 0) {
        return -fd;
    }
    do {
        length = read(fd, text, sizeof text);
    } while (length < 0 && errno == EINTR);
    if (length < 0) {
        err = errno;
    }
    else if (memmem(text, (size_t)length, "\nPss:", strlen("\nPss:")) == NULL) {
        err = ENODATA;
    }
    close(fd);
    return err;
}

static int
try_hwm(const struct mw_proc *proc)
{
    struct mw_memory before;
    struct mw_memory after;
    int err = mw_proc_read_memory(proc, &before);

    if (err == 0) {
        err = mw_proc_reset_hwm(proc);
    }
    if (err == 0) {
        err = mw_proc_read_memory(proc, &after);
    }
    if (err != 0) {
        return -err;
    }
    if (before.hwm_bytes == MW_ABSENT || after.hwm_bytes == MW_ABSENT) {
        return ENODATA;
    }
    return before.hwm_bytes - after.hwm_bytes >= SHOWN_BYTES ? 0 : EOPNOTSUPP;
}

static int
try_seize(pid_t child)
{
    return ptrace(PTRACE_SEIZE, child, NULL, PTRACE_O_TRACEEXIT) == 0 ? 0 : errno;
}

/* Let a seized child exit, and read its mark when it stops there. */
static int
try_last_hwm(const struct mw_proc *proc, pid_t child, int peer)
{
    struct mw_memory memory;
    char byte = 0;
    int status;

    if (send(peer, &byte, 1, MSG_NOSIGNAL) != 1) {
        return errno;
    }
    while (await(child, &status)) {
        if (status >> 8 == EXIT_STOP) {
            int err = -mw_proc_read_memory(proc, &memory);

            return err == 0 && memory.hwm_bytes == MW_ABSENT ? ENODATA : err;
        }
        ptrace(PTRACE_CONT, child, NULL, NULL);
    }
    return EOPNOTSUPP; /* it did not stop */
}

int
mw_probe_run(struct mw_probe *out)
{
    struct mw_probe found;
    struct mw_proc proc;
    struct mw_memory memory;
    pid_t child = -1;
    int peer = -1;
    int err = start(&child, &peer);

    if (err != 0) {
        return err;
    }
    if (receive(peer) != 1) {
        err = -ENOMEM; /* it could not map its memory, or was killed */
        goto out;
    }
    found.pss_errno = try_pss(child);
    err = mw_proc_open(&proc, MW_PROC_ROOT, child);
    if (err == -EMFILE || err == -ENFILE) {
        goto out; /* our own limit */
    }
    found.rss_errno = err != 0 ? -err : -mw_proc_read_memory(&proc, &memory);
    found.hwm_errno = err != 0 ? -err : try_hwm(&proc);
    found.seize_errno = try_seize(child);
    found.last_hwm_errno = found.seize_errno;
    if (found.seize_errno == 0) {
        found.last_hwm_errno = err != 0 ? -err : try_last_hwm(&proc, child, peer);
    }
    mw_proc_close(&proc);
    *out = found;
    err = 0;
out:
    end(child, peer);
    return err;
}
