/* What readings of child processes make of windows, and how often they are taken. */

#include "support.h"

#include "base/clock.h"
#include "sampler/children/pace.h"
#include "sampler/children/windows.h"

static void
test_pause(void **state)
{
    (void)state;
    assert_int_equal(mw_children_pause_ns(0), 20 * MW_NS_PER_MS);
    assert_int_equal(mw_children_pause_ns(400 * MW_NS_PER_US), 20 * MW_NS_PER_MS);
    assert_int_equal(mw_children_pause_ns(2 * MW_NS_PER_MS), 98 * MW_NS_PER_MS);
}

static void
test_pss_is_read_within_its_credit(void **state)
{
    const int64_t full_ns = 50 * MW_NS_PER_MS;

    (void)state;
    assert_false(mw_children_should_read_pss(0, 0, full_ns));
    /* While half of the credit is left, and later only if RSS has grown. */
    assert_true(mw_children_should_read_pss(100, 100, full_ns));
    assert_false(mw_children_should_read_pss(100, 100, full_ns / 2));
    assert_true(mw_children_should_read_pss(113, 100, full_ns / 2));
    assert_false(mw_children_should_read_pss(112, 100, full_ns / 2));
    assert_false(mw_children_should_read_pss(200, 100, 0));
    assert_int_equal(mw_children_refill_credit_ns(full_ns, MW_NS_PER_S), full_ns);
    assert_int_equal(mw_children_refill_credit_ns(-full_ns, MW_NS_PER_S),
                     -30 * MW_NS_PER_MS);
}

/* Highest RSS without PSS: then no PSS is called the peak. */
static void
test_pss_peak_that_was_not_read_is_absent(void **state)
{
    const struct mw_process_tree_reading high = {.count = 3,
                                                 .rss_bytes = 900,
                                                 .pss_bytes = MW_ABSENT,
                                                 .own_pss_bytes = MW_ABSENT};
    const struct mw_process_tree_reading low = {.count = 2,
                                                .rss_bytes = 799,
                                                .pss_bytes = 300,
                                                .own_pss_bytes = 50,
                                                .is_steady = true};
    struct mw_process_tree_reading near = low;
    struct mw_children_watch watch;
    struct mw_children_watch *newest = NULL;
    struct mw_children_result result;

    (void)state;
    near.rss_bytes = 800;
    mw_children_windows_add(&newest, &watch, NULL, 100);
    mw_children_windows_add_sample(newest, NULL, 99, &near); /* before it opened */
    mw_children_windows_add_sample(newest, NULL, 100, &high);
    mw_children_window_compute(&watch, &low, &result);
    assert_int_equal(result.count_peak, 3);
    assert_int_equal(result.rss_peak_bytes, 900);
    assert_int_equal(result.pss_peak_bytes, MW_ABSENT);
    assert_int_equal(result.tree_pss_peak_bytes, MW_ABSENT);
    mw_children_windows_add_sample(newest, NULL, 101, &low);
    mw_children_window_compute(&watch, &low, &result);
    assert_int_equal(result.pss_peak_bytes, MW_ABSENT);
    assert_int_equal(result.tree_pss_peak_bytes, 350); /* a lower bound */
    near.is_steady = false; /* what its processes share may count twice */
    mw_children_windows_add_sample(newest, NULL, 102, &near);
    mw_children_window_compute(&watch, &low, &result);
    assert_int_equal(result.pss_peak_bytes, MW_ABSENT);
    near.is_steady = true;
    mw_children_windows_add_sample(newest, NULL, 103, &near);
    mw_children_window_compute(&watch, &low, &result);
    assert_int_equal(result.pss_peak_bytes, 300);
    mw_children_windows_remove(&newest, &watch);
    assert_null(newest);
    assert_false(watch.open);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_pss_is_read_within_its_credit),
        cmocka_unit_test(test_pss_peak_that_was_not_read_is_absent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
