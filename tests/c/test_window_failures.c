/* Calls fail while windows are open: each window tells, and the next one is right. */

#include "failures.h"

static void
expect_no_window(struct mw_sampler *sampler)
{
    struct mw_sampler_status status;

    mw_sampler_read_status(sampler, &status);
    assert_int_equal(status.open_windows, 0);
}

/* A mark that cannot be reset is no error: the result says that it was sampled. Nor is
 * it that there is no thread: the watch says why. */
static bool
is_survived(const struct fault *fault, const struct mw_watch *watch,
            const struct mw_result *result)
{
    return fault->call == NULL ||
           (is(fault->call, "pwrite") && !result->peak_from_kernel) ||
           watch->thread_errno == fault->err;
}

static bool
status_running(struct mw_sampler *sampler)
{
    struct mw_sampler_status status;

    mw_sampler_read_status(sampler, &status);
    return status.running;
}

/* A sampler's first window starts the thread, and has a mark to reset. */
static void
test_windows(void **state)
{
    struct held before = held_now();
    struct fault fault;
    int without_thread = 0;
    int nth = 0;

    (void)state;
    do {
        struct mw_sampler *sampler;
        struct mw_watch watch = {.thread_errno = 0};
        struct mw_result result = {.duration_ns = 0};
        int err;

        assert_int_equal(mw_sampler_new(&sampler, MW_PROC_ROOT, 0), 0);
        unmap(map_touched(8 * MIB), 8 * MIB);
        faults_arm(++nth);
        err = mw_sampler_open(sampler, &watch, NULL);
        if (err == 0) {
            err = mw_sampler_close(sampler, &watch, NULL, &result);
        }
        fault = faults_disarm();
        assert_int_equal(err, is_survived(&fault, &watch, &result) ? 0 : -fault.err);
        if (fault.call != NULL && watch.thread_errno == fault.err) {
            without_thread++;
            assert_int_equal(watch.timeline.count, 2);
            assert_true(result.peak_from_kernel ||
                        !mw_sampler_accuracy(sampler).hwm_resets);
        }

        /* Opened or not, nothing is left of it, and the next one works. */
        expect_no_window(sampler);
        assert_int_equal(mw_sampler_close(sampler, &watch, NULL, &result), -ESTALE);
        assert_int_equal(mw_sampler_open(sampler, &watch, NULL), 0);
        assert_int_equal(watch.thread_errno, 0);
        assert_true(status_running(sampler));
        assert_int_equal(mw_sampler_close(sampler, &watch, NULL, &result), 0);
        mw_sampler_free(&sampler);
        expect_held(&before);
    } while (fault.call != NULL);
    /* Memory for the thread, five of pthread_*, and a reading at each end. */
    assert_true(nth > 8);
    assert_int_equal(without_thread, 6);
}

/* An outer window keeps what it knows when an inner one cannot be opened. */
static void
test_failed_inner_window_costs_the_outer_nothing(void **state)
{
    struct mw_sampler *sampler;
    struct mw_watch outer;
    struct mw_watch inner;
    struct mw_result result;

    (void)state;
    SKIP_UNDER_TSAN();
    SKIP_UNDER_VALGRIND();
    assert_int_equal(mw_sampler_new(&sampler, MW_PROC_ROOT, 0), 0);
    if (!mw_sampler_accuracy(sampler).hwm_resets) {
        mw_sampler_free(&sampler);
        skip();
    }
    unmap(map_touched(64 * MIB), 64 * MIB); /* the shadow that a sanitizer keeps */
    assert_int_equal(mw_sampler_open(sampler, &outer, NULL), 0);
    unmap(map_touched(64 * MIB), 64 * MIB);
    for (int nth = 1;; nth++) {
        struct fault fault;
        int err;

        faults_arm(nth);
        err = mw_sampler_open(sampler, &inner, NULL);
        fault = faults_disarm();
        if (err == 0) {
            mw_sampler_cancel(sampler, &inner);
        }
        if (fault.call == NULL) {
            break;
        }
        assert_true(err == -fault.err || is(fault.call, "pwrite"));
    }
    assert_int_equal(mw_sampler_close(sampler, &outer, NULL, &result), 0);
    assert_true(result.peaked_bytes >=
                64 * MIB - mw_sampler_accuracy(sampler).bound_bytes);
    mw_sampler_free(&sampler);
}

/* Takes the lock that guards the count of readings. */
static bool
has_read_twice(struct mw_sampler *sampler, const struct mw_cpu_reader *reader)
{
    bool has;

    mw_sampler_set_cpu_reader(sampler, NULL);
    has = *(int *)reader->self > 1;
    mw_sampler_set_cpu_reader(sampler, reader);
    return has;
}

/* The thread cannot read: there is no sample, and the window has its two ends. */
static void
test_samples_that_cannot_be_taken(void **state)
{
    char *root = make_root();
    struct mw_sampler *sampler;
    struct mw_sampler_status status;
    struct mw_watch watch;
    struct mw_result result;
    int readings = 0;
    struct mw_cpu_reader reader = {refuse_or_count, &readings};

    (void)state;
    write_file(root, "self/statm", "1000 200 100 5 0 300 0\n");
    write_file(root, "self/status", "Name:\tx\nVmRSS:\t     400 kB\nThreads:\t1\n");
    assert_int_equal(mw_sampler_new(&sampler, root, 0), 0);
    write_file(root, "self/statm", "");
    mw_sampler_set_cpu_reader(sampler, &reader);
    assert_int_equal(mw_sampler_open(sampler, &watch, NULL), 0);
    /* The thread reads the processors after a sample, taken or not. */
    WAIT_UNTIL(has_read_twice(sampler, &reader));
    assert_int_equal(mw_sampler_close(sampler, &watch, NULL, &result), 0);
    mw_sampler_read_status(sampler, &status);
    assert_int_equal(status.samples, 0);
    assert_int_equal(result.rss_peak_bytes, 400 * 1024);
    assert_int_equal(watch.timeline.count, 2);
    mw_sampler_free(&sampler);
    remove_root(root);
}

static int
record_and_remove(void *context)
{
    const struct mw_blackbox_identity given = {0};
    struct mw_blackbox_writer *writer = NULL;
    int err = mw_blackbox_writer_new(&writer, context, NULL, &given, 0);

    assert_int_equal(err == 0, writer != NULL);
    mw_blackbox_writer_free(&writer);
    assert_int_equal(access(context, F_OK), -1);
    return err;
}

/* What cannot be found out about the process is absent. */
static bool
is_of_identity(const struct fault *fault)
{
    return is(fault->call, "read") || is(fault->call, "pread") ||
           (is(fault->call, "open") && !ends_with(fault->path, ".box.new"));
}

static int
read_box(void *context)
{
    struct mw_blackbox_reader *reader = NULL;
    enum mw_blackbox_fault fault;
    int err = mw_blackbox_reader_new(&reader, context, &fault);

    assert_int_equal(err == 0, reader != NULL);
    mw_blackbox_reader_free(&reader);
    return err;
}

static void
test_black_box(void **state)
{
    const struct mw_blackbox_identity given = {0};
    struct mw_blackbox_writer *writer = NULL;
    char *root = make_root();
    char path[128];

    (void)state;
    (void)snprintf(path, sizeof path, "%s/1-1.box", root);
    assert_true(walk((struct operation){record_and_remove, is_of_identity, path}) > 5);
    assert_int_equal(mw_blackbox_writer_new(&writer, path, NULL, &given, 0), 0);
    assert_true(walk((struct operation){read_box, NULL, path}) >= 5);
    assert_true(walk_interrupted((struct operation){read_box, NULL, path}) >= 4);
    mw_blackbox_writer_free(&writer);
    assert_int_equal(rmdir(root), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_failed_inner_window_costs_the_outer_nothing),
        cmocka_unit_test(test_samples_that_cannot_be_taken),
        cmocka_unit_test(test_black_box),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
