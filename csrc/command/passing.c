#include "command/passing.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The command that runs; 0: none. Not a pointer: a handler may still run, on another
 * thread, when the command has ended. */
static atomic_int command_pid;
static atomic_int command_pidfd;

static const int PASSED_ON[MW_PASSED_ON] = {SIGINT,  SIGQUIT, SIGTERM, SIGHUP,
                                            SIGUSR1, SIGUSR2, SIGCONT};
static const int OF_TERMINAL[MW_OF_TERMINAL] = {SIGTSTP, SIGTTIN, SIGTTOU};

static void
pass_on(int number, siginfo_t *info, void *context)
{
    pid_t pid = atomic_load(&command_pid);
    int pidfd = atomic_load(&command_pidfd);
    int before = errno;

    (void)context;
    /* What the kernel sends, for Ctrl-C, it sends to all processes in front. */
    if (pid != 0 && info->si_code <= 0 && info->si_pid != pid) {
        if (pidfd < 0) {
            kill(pid, number);
        }
        else {
            syscall(SYS_pidfd_send_signal, pidfd, number, NULL, 0);
        }
    }
    errno = before;
}

int
mw_passing_begin(struct mw_passing *self, bool is_traced)
{
    struct sigaction passing = {.sa_sigaction = pass_on,
                                .sa_flags = SA_SIGINFO | SA_RESTART};
    struct sigaction ignoring = {.sa_handler = SIG_IGN};
    int none = 0;

    if (!atomic_compare_exchange_strong(&command_pid, &none, self->pid)) {
        return -EBUSY;
    }
    atomic_store(&command_pidfd, self->pidfd);
    for (int i = 0; i < MW_PASSED_ON; i++) {
        sigaction(PASSED_ON[i], NULL, &self->passed_on[i]);
        /* Under nohup the command ignores SIGHUP too. */
        if (self->passed_on[i].sa_handler != SIG_IGN) {
            sigaction(PASSED_ON[i], &passing, NULL);
        }
    }
    for (int i = 0; i < MW_OF_TERMINAL; i++) {
        sigaction(OF_TERMINAL[i], NULL, &self->of_terminal[i]);
        /* A tracer that is stopped cannot let its command stop: tracer.c stops both. */
        if (is_traced) {
            sigaction(OF_TERMINAL[i], &ignoring, NULL);
        }
    }
    /* Where it is ignored the kernel keeps no wait status. */
    sigaction(SIGCHLD, NULL, &self->of_children);
    if (self->of_children.sa_handler == SIG_IGN) {
        sigaction(SIGCHLD, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    }
    return 0;
}

void
mw_passing_end(const struct mw_passing *self)
{
    for (int i = 0; i < MW_PASSED_ON; i++) {
        sigaction(PASSED_ON[i], &self->passed_on[i], NULL);
    }
    for (int i = 0; i < MW_OF_TERMINAL; i++) {
        sigaction(OF_TERMINAL[i], &self->of_terminal[i], NULL);
    }
    sigaction(SIGCHLD, &self->of_children, NULL);
    atomic_store(&command_pid, 0);
}
