/* Other processes that end, belong to another user, or are hidden. */

#include "surroundings.h"

static pid_t
start_child(int *gate)
{
    int ends[2];
    pid_t child;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    child = fork();
    if (child == 0) {
        char end;

        close(ends[1]);
        _exit(read(ends[0], &end, 1) == 0 ? 0 : 1);
    }
    close(ends[0]);
    *gate = ends[1];
    return child;
}

/* A child, and an open window on it by a sampler of its own. */
static pid_t
watch_child(int *gate, struct mw_sampler **other, struct mw_watch *watch)
{
    pid_t child = start_child(gate);

    assert_int_equal(mw_sampler_new(other, MW_PROC_ROOT, child), 0);
    assert_int_equal(mw_sampler_open(*other, watch, NULL), 0);
    return child;
}

static void
test_process_dies_with_a_window_open(void **state)
{
    struct mw_sampler *other;
    struct mw_watch watch;
    struct mw_result result;
    int64_t since_ns;
    int64_t samples;
    long reads_before;
    siginfo_t info;
    int gate;
    pid_t child;

    (void)state;
    SKIP_UNDER_TSAN();
    child = watch_child(&gate, &other, &watch);
    WAIT_UNTIL(status_of(other).samples >= 2);

    /* Dead and not yet waited for it holds nothing, and nothing is not 0 bytes. */
    kill(child, SIGKILL);
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    samples = status_of(other).samples + 1; /* one may be on its way */
    since_ns = real_ns();
    reads_before = reads;
    WAIT_UNTIL(reads >= reads_before + 5);
    assert_true(status_of(other).samples <= samples);
    assert_true(reads - reads_before <= (real_ns() - since_ns) / MW_NS_PER_MS + 5);
    for (int32_t i = 0; i < watch.timeline.count; i++) {
        assert_true(watch.timeline.rss_bytes[i] > 0);
    }
    assert_int_equal(mw_sampler_close(other, &watch, NULL, &result), -ENODATA);
    assert_int_equal(mw_sampler_open(other, &watch, NULL), -ENODATA);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(mw_sampler_open(other, &watch, NULL), -ESRCH);
    assert_int_equal(status_of(other).open_windows, 0);
    WAIT_UNTIL(status_of(other).parked);
    mw_sampler_free(&other);
    close(gate);
}

static void
test_process_has_ended_at_the_close(void **state)
{
    struct mw_sampler *other;
    struct mw_watch watch;
    struct mw_result result;
    int gate;
    pid_t child;

    (void)state;
    SKIP_UNDER_TSAN();
    child = watch_child(&gate, &other, &watch);
    close(gate);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(mw_sampler_close(other, &watch, NULL, &result), -ESRCH);
    WAIT_UNTIL(!status_of(other).running || status_of(other).parked);
    mw_sampler_free(&other);
}

/* Its mark is not ours to reset: it may itself be measuring by it. */
static void
test_another_process_keeps_its_mark(void **state)
{
    struct mw_sampler *other;
    struct mw_watch watch;
    struct mw_result result;
    long resets_before = resets;
    int gate;
    pid_t child;

    (void)state;
    SKIP_UNDER_TSAN();
    child = watch_child(&gate, &other, &watch);
    assert_int_equal(mw_sampler_close(other, &watch, NULL, &result), 0);
    assert_sampled(&result);
    assert_true(mw_sampler_accuracy(other).hwm_errno != 0);
    assert_int_equal(resets, resets_before);
    mw_sampler_free(&other);
    close(gate);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static int
become_nobody(void)
{
    return geteuid() == 0 &&
                   (setgroups(0, NULL) != 0 || setgid(65534) != 0 || setuid(65534) != 0)
               ? -1
               : 0;
}

/* `pid` is another user's: it can be looked at, its mark cannot be reset. */
static int
check_another_users(pid_t pid)
{
    struct mw_proc proc;
    struct mw_memory memory;
    struct mw_sampler *other;
    struct mw_watch watch;
    struct mw_result result;

    if (mw_proc_open(&proc, MW_PROC_ROOT, pid) != 0 ||
        mw_proc_read_memory(&proc, &memory) != 0 || memory.rss_bytes <= 0) {
        return 1;
    }
    if (proc.hwm_errno != EACCES || mw_proc_reset_hwm(&proc) != -EACCES) {
        return 2;
    }
    mw_proc_close(&proc);
    if (mw_sampler_new(&other, MW_PROC_ROOT, pid) != 0 ||
        mw_sampler_open(other, &watch, NULL) != 0 ||
        mw_sampler_close(other, &watch, NULL, &result) != 0) {
        return 3;
    }
    if (result.peak_from_kernel || result.peak_error_bytes != MW_ABSENT ||
        mw_sampler_accuracy(other).hwm_errno != EACCES) {
        return 4;
    }
    mw_sampler_free(&other);
    return 0;
}

static int
check_roots(void)
{
    /* Our parent, where we can give up being root, else the machine's first. */
    pid_t pid = geteuid() == 0 ? getppid() : 1;

    return become_nobody() == 0 ? check_another_users(pid) : 50;
}

static void
test_process_of_another_user(void **state)
{
    (void)state;
    SKIP_UNDER_TSAN();
    if (geteuid() != 0 && access("/proc/1/status", R_OK) != 0) {
        skip(); /* there is nobody else to be seen */
    }
    assert_int_equal(exit_status_of(check_roots), 0);
}

/* The first process of a namespace, root's: nobody else sees it. */
static int
check_hidden(void)
{
    struct mw_sampler *own;
    struct mw_sampler *other;
    struct mw_proc proc;
    struct mw_watch watch;
    struct mw_result result;

    if (become_nobody() != 0) {
        return 1;
    }
    if (mw_proc_open(&proc, MW_PROC_ROOT, 1) != -ENOENT ||
        mw_sampler_new(&other, MW_PROC_ROOT, 1) != -ENOENT) {
        return 2;
    }
    if (mw_sampler_new(&own, MW_PROC_ROOT, 0) != 0 ||
        mw_sampler_open(own, &watch, NULL) != 0 ||
        mw_sampler_close(own, &watch, NULL, &result) != 0 ||
        result.rss_end_bytes <= 0) {
        return 3;
    }
    mw_sampler_free(&own);
    return 0;
}

static int
check_with_proc_hidden(void)
{
    /* In a pid namespace of its own: before Linux 5.8 all mounts of one share it. */
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("proc", "/proc", "proc", 0, "hidepid=2") != 0) {
        return NO_NAMESPACE;
    }
    return exit_status_of(check_hidden);
}

static int
check_in_a_namespace(void)
{
    if (unshare(CLONE_NEWNS | CLONE_NEWPID) != 0) {
        return NO_NAMESPACE;
    }
    return exit_status_of(check_with_proc_hidden);
}

static void
test_hidden_processes(void **state)
{
    (void)state;
    SKIP_UNDER_TSAN();
    assert_passes_with_mounts(check_in_a_namespace);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_process_dies_with_a_window_open),
        cmocka_unit_test(test_process_has_ended_at_the_close),
        cmocka_unit_test(test_another_process_keeps_its_mark),
        cmocka_unit_test(test_process_of_another_user),
        cmocka_unit_test(test_hidden_processes),
    };

    return cmocka_run_group_tests(tests, acquire_without_faults, release);
}
