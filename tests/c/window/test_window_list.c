#include "support.h"

#include "window/window_list.h"

static struct mw_memory
memory_of(int64_t rss_bytes, int64_t hwm_bytes)
{
    struct mw_memory memory = MW_MEMORY_ABSENT;

    memory.rss_bytes = rss_bytes;
    memory.hwm_bytes = hwm_bytes;
    return memory;
}

static int64_t
peak_of(struct mw_window_list *windows, struct mw_watch *watch, int64_t rss_bytes)
{
    struct mw_memory end = memory_of(rss_bytes, rss_bytes);
    struct mw_result result;

    mw_window_list_close(windows, watch, 100, &end);
    mw_window_close(&watch->window, 100, &end,
                    &(struct mw_closing){NULL, MIB, MW_ABSENT}, &result);
    return result.rss_peak_bytes;
}

/* As the sampler does it: tell the old mark, drop it, open at the new one. */
static void
open_marked(struct mw_window_list *windows, struct mw_watch *watch, int64_t t_ns,
            int64_t old_mark_bytes, int64_t rss_bytes, int64_t new_mark_bytes)
{
    struct mw_memory start = memory_of(rss_bytes, new_mark_bytes);

    mw_window_list_add_hwm(windows, old_mark_bytes);
    mw_window_list_drop_hwm(windows);
    mw_window_list_open(windows, watch, t_ns, &start, true);
}

static void
test_inner_window_does_not_take_the_outer_peak(void **state)
{
    struct mw_window_list windows;
    struct mw_watch outer;
    struct mw_watch inner;

    (void)state;
    mw_window_list_init(&windows, 0);
    open_marked(&windows, &outer, 1, 50 * MIB, 50 * MIB, 50 * MIB);
    open_marked(&windows, &inner, 2, 300 * MIB, 50 * MIB, 50 * MIB);
    mw_window_list_add_hwm(&windows, 120 * MIB);
    assert_int_equal(peak_of(&windows, &inner, 50 * MIB), 120 * MIB);
    assert_int_equal(peak_of(&windows, &outer, 50 * MIB), 300 * MIB);
    assert_int_equal(windows.count, 0);
    assert_null(windows.newest);
}

static void
test_outer_window_sees_the_inner_peak(void **state)
{
    struct mw_window_list windows;
    struct mw_watch outer;
    struct mw_watch inner;

    (void)state;
    mw_window_list_init(&windows, 0);
    open_marked(&windows, &outer, 1, 50 * MIB, 50 * MIB, 50 * MIB);
    open_marked(&windows, &inner, 2, 50 * MIB, 50 * MIB, 50 * MIB);
    mw_window_list_add_hwm(&windows, 120 * MIB);
    /* Overlapping, not nested: the one opened first closes first. */
    assert_int_equal(peak_of(&windows, &outer, 50 * MIB), 120 * MIB);
    assert_int_equal(peak_of(&windows, &inner, 50 * MIB), 120 * MIB);
}

/* The reset takes the mark from the approximate counters: it may stand above an
 * RSS that was never reached. */
static void
test_mark_that_was_not_raised_is_not_a_peak(void **state)
{
    struct mw_window_list windows;
    struct mw_watch watch;

    (void)state;
    mw_window_list_init(&windows, 0);
    open_marked(&windows, &watch, 1, 50 * MIB, 50 * MIB, 50 * MIB + 32768);
    mw_window_list_add_hwm(&windows, 50 * MIB + 32768);
    assert_int_equal(peak_of(&windows, &watch, 50 * MIB), 50 * MIB);
}

static void
test_window_without_a_reset_does_not_get_the_mark(void **state)
{
    struct mw_window_list windows;
    struct mw_watch marked;
    struct mw_watch unmarked;
    struct mw_memory start = memory_of(50 * MIB, 400 * MIB);

    (void)state;
    mw_window_list_init(&windows, 0);
    open_marked(&windows, &marked, 1, 50 * MIB, 50 * MIB, 50 * MIB);
    mw_window_list_open(&windows, &unmarked, 2, &start, false);
    mw_window_list_add_hwm(&windows, 400 * MIB);
    assert_int_equal(peak_of(&windows, &unmarked, 50 * MIB), 50 * MIB);
    assert_int_equal(peak_of(&windows, &marked, 50 * MIB), 400 * MIB);
}

static void
test_sample_taken_before_a_window_is_not_its(void **state)
{
    struct mw_window_list windows;
    struct mw_watch first;
    struct mw_watch second;

    (void)state;
    mw_window_list_init(&windows, 0);
    open_marked(&windows, &first, 10, MIB, MIB, MIB);
    open_marked(&windows, &second, 20, MIB, MIB, MIB);
    mw_window_list_add_sample(&windows, 15, 90 * MIB);
    assert_int_equal(peak_of(&windows, &second, MIB), MIB);
    assert_int_equal(peak_of(&windows, &first, MIB), 90 * MIB);
    assert_int_equal(first.timeline.count, 3);
    assert_int_equal(second.timeline.count, 2);
}

static void
test_forgetting_in_any_order(void **state)
{
    struct mw_window_list windows;
    struct mw_watch a;
    struct mw_watch b;
    struct mw_watch c;

    (void)state;
    mw_window_list_init(&windows, 0);
    open_marked(&windows, &a, 1, MIB, MIB, MIB);
    open_marked(&windows, &b, 2, MIB, MIB, MIB);
    open_marked(&windows, &c, 3, MIB, MIB, MIB);
    mw_window_list_forget(&windows, &b);
    assert_ptr_equal(windows.newest, &c);
    assert_ptr_equal(c.next, &a);
    assert_ptr_equal(a.previous, &c);
    mw_window_list_forget(&windows, &c);
    assert_ptr_equal(windows.newest, &a);
    mw_window_list_forget(&windows, &a);
    assert_null(windows.newest);
    assert_int_equal(windows.count, 0);
    assert_false(a.open || b.open || c.open);
}

static void
test_lifetime_peak_outlives_resets(void **state)
{
    struct mw_window_list windows;
    struct mw_watch watch;

    (void)state;
    mw_window_list_init(&windows, 700 * MIB);
    open_marked(&windows, &watch, 1, 600 * MIB, 50 * MIB, 50 * MIB);
    assert_int_equal(windows.lifetime_peak_bytes, 700 * MIB);
    mw_window_list_forget(&windows, &watch);
    open_marked(&windows, &watch, 2, 800 * MIB, 50 * MIB, 50 * MIB);
    assert_int_equal(windows.lifetime_peak_bytes, 800 * MIB);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inner_window_does_not_take_the_outer_peak),
        cmocka_unit_test(test_outer_window_sees_the_inner_peak),
        cmocka_unit_test(test_mark_that_was_not_raised_is_not_a_peak),
        cmocka_unit_test(test_window_without_a_reset_does_not_get_the_mark),
        cmocka_unit_test(test_sample_taken_before_a_window_is_not_its),
        cmocka_unit_test(test_forgetting_in_any_order),
        cmocka_unit_test(test_lifetime_peak_outlives_resets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
