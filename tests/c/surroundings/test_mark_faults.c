/* The high-water mark cannot be read or reset: its figures are absent, or sampled, and
 * the next window is right again. */

#include "surroundings.h"

static void
open_before_spike(struct mw_watch *watch)
{
    assert_int_equal(mw_sampler_open(sampler, watch, NULL), 0);
    spike(64 * MIB);
}

static void
test_no_mark_at_the_close(void **state)
{
    struct mw_watch watch;
    struct mw_result result;

    (void)state;
    NEEDS_MARK();
    open_before_spike(&watch);
    mark_is_hidden = true;
    result = close_window(&watch);
    assert_sampled(&result);
    assert_all_is_well();
}

/* What the mark knows when nobody has reset it is another time's peak. */
static void
test_no_mark_at_the_opening(void **state)
{
    struct mw_watch watch;
    struct mw_result result;

    (void)state;
    NEEDS_MARK();
    spike(64 * MIB);
    mark_is_hidden = true;
    assert_int_equal(mw_sampler_open(sampler, &watch, NULL), 0);
    mark_is_hidden = false;
    result = close_window(&watch);
    assert_sampled(&result);
    assert_true(result.peaked_bytes < 32 * MIB);
    assert_all_is_well();
}

static void
test_inner_window_without_a_mark_leaves_the_outer_one_its_own(void **state)
{
    struct mw_watch outer;
    struct mw_watch inner;
    struct mw_result result;

    (void)state;
    NEEDS_MARK();
    open_before_spike(&outer);
    mark_is_hidden = true;
    assert_int_equal(mw_sampler_open(sampler, &inner, NULL), 0);
    result = close_window(&inner);
    assert_sampled(&result);
    mark_is_hidden = false;
    result = close_window(&outer);
    assert_from_kernel(&result, 64 * MIB);
}

static void
test_no_mark_once_it_is_reset(void **state)
{
    struct mw_watch outer;
    struct mw_watch inner;
    struct mw_result result;

    (void)state;
    NEEDS_MARK();
    open_before_spike(&outer);
    reset_hides_mark = true;
    assert_int_equal(mw_sampler_open(sampler, &inner, NULL), 0);
    assert_true(mark_is_hidden);
    no_faults(NULL);
    spike(16 * MIB);
    result = close_window(&inner);
    assert_sampled(&result);
    result = close_window(&outer);
    assert_from_kernel(&result, 64 * MIB);
    assert_all_is_well();
}

static void
test_reset_that_fails_in_between(void **state)
{
    struct mw_watch outer;
    struct mw_watch inner;
    struct mw_result result;

    (void)state;
    NEEDS_MARK();
    open_before_spike(&outer);
    reset_errno = EACCES;
    assert_int_equal(mw_sampler_open(sampler, &inner, NULL), 0);
    result = close_window(&inner);
    assert_sampled(&result);
    assert_true(result.peaked_bytes < 32 * MIB); /* the outer one's is not its own */
    result = close_window(&outer);
    assert_from_kernel(&result, 64 * MIB);
    assert_all_is_well();
}

/* A peak since the process began that the kernel never told is not made up of what
 * we happen to have seen. */
static void
test_unknown_lifetime_peak_is_absent(void **state)
{
    struct mw_sampler *other;
    struct mw_watch watch;
    struct mw_result result;
    char *root = make_root();

    (void)state;
    write_file(root, "self/statm", "1000 200 100 5 0 300 0\n");
    write_file(root, "self/status", "Name:\tx\nVmRSS:\t     400 kB\nThreads:\t1\n");
    assert_int_equal(mw_sampler_new(&other, root, 0), 0);
    assert_false(mw_sampler_accuracy(other).hwm_resets);
    assert_int_equal(mw_sampler_accuracy(other).hwm_errno, ENOENT);
    assert_int_equal(mw_sampler_open(other, &watch, NULL), 0);
    WAIT_UNTIL(status_of(other).samples >= 3);
    assert_int_equal(mw_sampler_close(other, &watch, NULL, &result), 0);
    assert_sampled(&result);
    assert_int_equal(result.rss_peak_bytes, 200 * sysconf(_SC_PAGESIZE));
    assert_int_equal(status_of(other).lifetime_peak_bytes, MW_ABSENT);
    mw_sampler_free(&other);
    remove_root(root);
}

/* The thread has read the mark, and before it comes to tell it another window opens and
 * resets it: to that one it is none of its own. */
static void
test_mark_that_is_too_old(void **state)
{
    const struct mw_blackbox_identity given = {0};
    struct mw_watch outer;
    struct mw_watch inner;
    struct mw_result result;
    char *root = make_root();
    char path[128];
    int64_t samples;

    (void)state;
    SKIP_UNDER_TSAN();
    SKIP_UNDER_VALGRIND();
    (void)snprintf(path, sizeof path, "%s/1-1.box", root);
    assert_int_equal(mw_recording_start(sampler, path, NULL, &given), 0);
    assert_int_equal(mw_sampler_open(sampler, &outer, NULL), 0);
    spike(32 * MIB);
    hold_status = true;
    WAIT_UNTIL(status_is_held);
    assert_int_equal(mw_sampler_open(sampler, &inner, NULL), 0);
    samples = status_of(sampler).samples;
    hold_status = false;
    WAIT_UNTIL(status_of(sampler).samples > samples + 1);
    assert_int_equal(mw_sampler_close(sampler, &inner, NULL, &result), 0);
    assert_true(result.peaked_bytes < 8 * MIB);
    assert_int_equal(mw_sampler_close(sampler, &outer, NULL, &result), 0);
    assert_from_kernel(&result, 32 * MIB);
    mw_recording_stop(sampler);
    remove_root(root);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_no_mark_at_the_close, no_faults),
        cmocka_unit_test_teardown(test_no_mark_at_the_opening, no_faults),
        cmocka_unit_test_teardown(
            test_inner_window_without_a_mark_leaves_the_outer_one_its_own, no_faults),
        cmocka_unit_test_teardown(test_no_mark_once_it_is_reset, no_faults),
        cmocka_unit_test_teardown(test_reset_that_fails_in_between, no_faults),
        cmocka_unit_test_teardown(test_mark_that_is_too_old, no_faults),
        cmocka_unit_test(test_unknown_lifetime_peak_is_absent),
    };

    return cmocka_run_group_tests(tests, acquire_without_faults, release);
}
