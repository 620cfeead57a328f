#include "support.h"

#include <grp.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/time.h>

#include "linux/probe.h"

static void
assert_nothing_is_left(int descriptors)
{
    assert_int_equal(count_descriptors(), descriptors);
    assert_int_equal(waitpid(-1, NULL, __WALL), -1);
    assert_int_equal(errno, ECHILD);
}

static void
test_trial_of_a_child(void **state)
{
    int descriptors = count_descriptors();
    struct mw_probe probe;

    (void)state;
    assert_int_equal(mw_probe_run(&probe), 0);
    assert_int_equal(probe.rss_errno, 0);
    /* What else can be had is the machine's: but who cannot seize has no last mark. */
    assert_true(probe.seize_errno == 0 || probe.last_hwm_errno == probe.seize_errno);
    assert_nothing_is_left(descriptors);
}

/* 0, or the number of the check that failed. */
static int
check_without_rights(void)
{
    struct mw_probe probe;

    if (geteuid() == 0 &&
        (setgroups(0, NULL) != 0 || setgid(65534) != 0 || setuid(65534) != 0)) {
        return 1;
    }
    /* The child has it from us: nobody may look into it. */
    if (prctl(PR_SET_DUMPABLE, 0) != 0 || mw_probe_run(&probe) != 0) {
        return 2;
    }
    if (probe.rss_errno != 0 || probe.pss_errno != EACCES ||
        probe.hwm_errno != EACCES) {
        return 3;
    }
    return probe.seize_errno == EPERM && probe.last_hwm_errno == EPERM ? 0 : 4;
}

static int
check_without_descriptors(void)
{
    struct rlimit few = {32, 32};
    struct mw_probe probe;
    int last = -1;
    int fd;

    setrlimit(RLIMIT_NOFILE, &few);
    while ((fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0) {
        last = fd;
    }
    /* As many as it needs come free one by one: each time it fails as a whole. */
    for (int available = 0; available < 4; available++) {
        if (mw_probe_run(&probe) != -EMFILE || waitpid(-1, NULL, __WALL) != -1) {
            return 1 + available;
        }
        close(last - available);
    }
    return mw_probe_run(&probe) == 0 && probe.rss_errno == 0 ? 0 : 10;
}

static int
check_while_children_are_ignored(void)
{
    struct mw_probe probe;

    signal(SIGCHLD, SIG_IGN);
    return mw_probe_run(&probe) == 0 && probe.rss_errno == 0 ? 0 : 1;
}

static void
do_nothing(int number)
{
    (void)number;
}

static int
check_in_a_signal_storm(void)
{
    struct sigaction action = {.sa_handler = do_nothing}; /* no SA_RESTART */
    struct itimerval every = {{0, 100}, {0, 100}};
    struct mw_probe probe;

    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &every, NULL);
    for (int i = 0; i < 20; i++) {
        if (mw_probe_run(&probe) != 0 || probe.rss_errno == EINTR ||
            probe.pss_errno == EINTR || probe.hwm_errno == EINTR ||
            probe.seize_errno == EINTR || probe.last_hwm_errno == EINTR) {
            return 1;
        }
    }
    return 0;
}

static void
test_trial_without_rights(void **state)
{
    (void)state;
    assert_int_equal(exit_status_of(check_without_rights), 0);
}

static void
test_trial_without_descriptors(void **state)
{
    (void)state;
    assert_int_equal(exit_status_of(check_without_descriptors), 0);
}

static void
test_trial_where_children_are_ignored(void **state)
{
    (void)state;
    assert_int_equal(exit_status_of(check_while_children_are_ignored), 0);
}

static void
test_trial_in_a_signal_storm(void **state)
{
    (void)state;
    assert_int_equal(exit_status_of(check_in_a_signal_storm), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trial_of_a_child),
        cmocka_unit_test(test_trial_without_rights),
        cmocka_unit_test(test_trial_without_descriptors),
        cmocka_unit_test(test_trial_where_children_are_ignored),
        cmocka_unit_test(test_trial_in_a_signal_storm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
