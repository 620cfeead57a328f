/* Files of /proc are cut, or cannot be opened: a clear error or an absent figure, and
 * the next window is right again. */

#include "surroundings.h"

static void
test_status_cut_anywhere_at_the_close(void **state)
{
    char text[16384];
    ssize_t length;
    ssize_t mark_ends;
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);

    (void)state;
    NEEDS_MARK();
    length = read(fd, text, sizeof text);
    close(fd);
    assert_true(length > 0);
    mark_ends = (char *)memmem(text, (size_t)length, "\nVmRSS:", 7) - text + 1;
    for (long cut = 0; cut < length; cut++) {
        struct mw_watch watch;
        struct mw_result result;
        int err;

        assert_int_equal(mw_sampler_open(sampler, &watch, NULL), 0);
        status_is_cut_at = cut;
        err = mw_sampler_close(sampler, &watch, NULL, &result);
        status_is_cut_at = NEVER;
        if (err != 0) {
            assert_true(err == -EBADMSG || err == -ENODATA);
        }
        else {
            assert_true(cut > mark_ends);
            assert_true(result.peak_from_kernel);
            assert_true(result.rss_end_bytes > 0);
        }
    }
    assert_int_equal(status_of(sampler).open_windows, 0);
    assert_all_is_well();
}

static void
test_status_cut_anywhere_at_the_opening(void **state)
{
    (void)state;
    for (long cut = 0; cut < 700; cut++) {
        struct mw_watch watch;
        int err;

        status_is_cut_at = cut;
        err = mw_sampler_open(sampler, &watch, NULL);
        status_is_cut_at = NEVER;
        if (err == 0) {
            assert_true(watch.window.start.rss_bytes > 0);
            mw_sampler_cancel(sampler, &watch);
        }
        else {
            assert_true(err == -EBADMSG || err == -ENODATA);
        }
    }
    assert_int_equal(status_of(sampler).open_windows, 0);
}

static void
test_statm_cut_anywhere(void **state)
{
    (void)state;
    for (long cut = 0; cut < 12; cut++) {
        struct mw_watch watch;
        struct mw_result result;
        int64_t samples = status_of(sampler).samples;
        long reads_before = reads;

        statm_is_cut_at = cut;
        assert_int_equal(mw_sampler_open(sampler, &watch, NULL), 0);
        WAIT_UNTIL(reads >= reads_before + 5);
        /* The window before may have had one on its way. */
        assert_true(status_of(sampler).samples <= samples + 1);
        result = close_window(&watch);
        assert_true(result.rss_end_bytes > 0);
        statm_is_cut_at = NEVER;
    }
}

/* In the child: 0, or the number of the check that failed. */
static int
check_without_descriptors(void)
{
    struct rlimit few = {64, 64};
    struct mw_sampler *late = NULL;
    struct mw_watch watch;
    struct mw_result result;
    int last;

    if (setrlimit(RLIMIT_NOFILE, &few) != 0) {
        return 1;
    }
    last = take_all_descriptors();
    if (last < 0) {
        return 2;
    }
    /* Our own files are to be opened anew after the fork. One by one descriptors
     * come free: until all three can be had there is an error, not half a window. */
    for (int available = 0; available < 3; available++) {
        if (mw_sampler_open(sampler, &watch, NULL) != -EMFILE ||
            mw_sampler_new(&late, MW_PROC_ROOT, 0) != -EMFILE) {
            return 10 + available;
        }
        close(last - available);
    }
    if (mw_sampler_open(sampler, &watch, NULL) != 0) {
        return 20;
    }
    take_all_descriptors();
    spike(16 * MIB);
    if (mw_sampler_close(sampler, &watch, NULL, &result) != 0) {
        return 21;
    }
    if (mw_sampler_accuracy(sampler).hwm_errno != 0 ||
        (result.peak_from_kernel && result.peaked_bytes < 12 * MIB)) {
        return 22;
    }
    if (mw_sampler_open(sampler, &watch, NULL) != 0 ||
        mw_sampler_close(sampler, &watch, NULL, &result) != 0) {
        return 23;
    }
    return 0;
}

static void
test_out_of_descriptors(void **state)
{
    (void)state;
    SKIP_UNDER_TSAN();
    assert_int_equal(exit_status_of(check_without_descriptors), 0);
}

static void
test_files_without_identity(void **state)
{
    struct mw_proc proc;

    (void)state;
    fstat_errno = EIO;
    assert_int_equal(mw_proc_open(&proc, MW_PROC_ROOT, 0), -EIO);
    assert_int_equal(proc.statm.fd, -1);
    mw_proc_close(&proc);
}

static void
test_machine_out_of_descriptors(void **state)
{
    struct mw_sampler *other = NULL;
    struct mw_watch watch;

    (void)state;
    open_errno = ENFILE;
    assert_int_equal(mw_sampler_new(&other, MW_PROC_ROOT, 0), -ENFILE);
    assert_null(other);
    /* What is open stays open. */
    assert_int_equal(mw_sampler_open(sampler, &watch, NULL), 0);
    close_window(&watch);
    open_errno = 0;
    assert_int_equal(mw_sampler_new(&other, MW_PROC_ROOT, 0), 0);
    mw_sampler_free(&other);
}

/* Opens a window whose files were lost, in a thread of its own. */
struct opener {
    struct mw_watch watch;
    atomic_bool is_done;
};

static void *
open_in_thread(void *argument)
{
    struct opener *opener = argument;

    is_opener = true;
    if (mw_sampler_open(sampler, &opener->watch, NULL) != 0) {
        abort();
    }
    opener->is_done = true;
    return NULL;
}

/* Point each descriptor of ours below /proc/self at another file. */
static void
lose_files(int other)
{
    for (int fd = 3; fd < 64; fd++) {
        char link[64];
        char target[256] = "";
        ssize_t length;

        (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        length = readlink(link, target, sizeof target - 1);
        if (length > 0 && fd != other && strstr(target, "/proc/") == target) {
            dup2(other, fd);
        }
    }
}

/* The thread reads the files while their window closes and another one finds them lost:
 * they are opened anew only when it has read. */
static void
test_files_are_not_reopened_while_the_thread_reads(void **state)
{
    const struct mw_blackbox_identity given = {0};
    struct opener opener = {.is_done = false};
    struct mw_watch watch;
    struct mw_result result;
    pthread_t thread;
    char *root = make_root();
    char path[128];
    int other = open("/dev/null", O_RDONLY);

    (void)state;
    SKIP_UNDER_VALGRIND();
    (void)snprintf(path, sizeof path, "%s/1-1.box", root);
    assert_int_equal(mw_recording_start(sampler, path, NULL, &given), 0);
    assert_int_equal(mw_sampler_open(sampler, &watch, NULL), 0);
    hold_status = true;
    WAIT_UNTIL(status_is_held);
    assert_int_equal(mw_sampler_close(sampler, &watch, NULL, &result), 0);
    lose_files(other);
    assert_int_equal(pthread_create(&thread, NULL, open_in_thread, &opener), 0);
    for (int i = 0; i < 10000; i++) {
        sched_yield();
    }
    assert_false(opener.is_done);
    hold_status = false;
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(mw_sampler_close(sampler, &opener.watch, NULL, &result), 0);
    assert_true(result.rss_end_bytes > 0);
    mw_recording_stop(sampler);
    close(other);
    remove_root(root);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_files_are_not_reopened_while_the_thread_reads,
                                  no_faults),
        cmocka_unit_test_teardown(test_status_cut_anywhere_at_the_close, no_faults),
        cmocka_unit_test_teardown(test_status_cut_anywhere_at_the_opening, no_faults),
        cmocka_unit_test_teardown(test_statm_cut_anywhere, no_faults),
        cmocka_unit_test(test_out_of_descriptors),
        cmocka_unit_test_teardown(test_files_without_identity, no_faults),
        cmocka_unit_test_teardown(test_machine_out_of_descriptors, no_faults),
    };

    return cmocka_run_group_tests(tests, acquire_without_faults, release);
}
