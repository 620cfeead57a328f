#include "support.h"

#include "window/window.h"

static struct mw_memory
memory_of(int64_t rss_bytes)
{
    struct mw_memory memory = MW_MEMORY_ABSENT;

    memory.rss_bytes = rss_bytes;
    memory.hwm_bytes = rss_bytes;
    memory.anon_bytes = rss_bytes / 2;
    return memory;
}

static struct mw_result
close_at(const struct mw_window *window, int64_t rss_bytes)
{
    struct mw_memory end = memory_of(rss_bytes);
    struct mw_result result;

    mw_window_close(window, 2500, &end, &(struct mw_closing){NULL, MIB, 49 * MIB},
                    &result);
    return result;
}

static void
open_at(struct mw_window *window, int64_t rss_bytes, bool marked)
{
    struct mw_memory start = memory_of(rss_bytes);

    mw_window_open(window, 1000, &start, marked);
}

static void
test_nothing_happened(void **state)
{
    struct mw_window window;
    struct mw_result result;

    (void)state;
    open_at(&window, 50 * MIB, true);
    result = close_at(&window, 50 * MIB);
    assert_int_equal(result.duration_ns, 1500);
    assert_int_equal(result.used_bytes, 0);
    assert_int_equal(result.rss_peak_bytes, 50 * MIB);
    assert_int_equal(result.peaked_bytes, 0);
    assert_int_equal(result.peak_error_bytes, MIB); /* a few pages may have hidden */
    assert_true(result.peak_from_kernel);
    assert_int_equal(result.anon_bytes, 25 * MIB);
    assert_int_equal(result.file_bytes, MW_ABSENT);
    assert_int_equal(result.system_mean_cpu_percent, MW_ABSENT);
    assert_int_equal(result.single_max_cpu_percent, MW_ABSENT);
}

static void
test_transient_seen_by_the_mark(void **state)
{
    struct mw_window window;
    struct mw_result result;

    (void)state;
    open_at(&window, 50 * MIB, true);
    mw_window_add_sample(&window, 60 * MIB);
    mw_window_add_hwm(&window, 450 * MIB);
    mw_window_add_hwm(&window, 440 * MIB);
    result = close_at(&window, 51 * MIB);
    assert_int_equal(result.used_bytes, MIB);
    assert_int_equal(result.rss_peak_bytes, 450 * MIB);
    assert_int_equal(result.peaked_bytes, 399 * MIB);
    assert_int_equal(result.risen_bytes, 400 * MIB);
    assert_int_equal(result.drift_bytes, MIB);
    assert_int_equal(result.peak_error_bytes, MIB);
}

static void
test_sample_above_the_mark_is_the_peak(void **state)
{
    struct mw_window window;
    struct mw_result result;

    (void)state;
    open_at(&window, 50 * MIB, true);
    mw_window_add_hwm(&window, 70 * MIB);
    mw_window_add_sample(&window, 71 * MIB);
    result = close_at(&window, 50 * MIB);
    assert_int_equal(result.rss_peak_bytes, 71 * MIB);
}

static void
test_giving_back_is_negative_use(void **state)
{
    struct mw_window window;
    struct mw_result result;

    (void)state;
    open_at(&window, 50 * MIB, true);
    result = close_at(&window, 20 * MIB);
    assert_int_equal(result.used_bytes, -30 * MIB);
    assert_int_equal(result.rss_peak_bytes, 50 * MIB);
    assert_int_equal(result.peaked_bytes, 30 * MIB);
    assert_int_equal(result.risen_bytes, 0);
    assert_string_equal(mw_result_peak_method(&result), "kernel");
}

static void
test_without_the_mark_it_is_a_lower_bound(void **state)
{
    struct mw_window window;
    struct mw_result result;

    (void)state;
    open_at(&window, 50 * MIB, false);
    mw_window_add_sample(&window, 80 * MIB);
    result = close_at(&window, 50 * MIB);
    assert_false(result.peak_from_kernel);
    assert_int_equal(result.rss_peak_bytes, 80 * MIB);
    assert_int_equal(result.peak_error_bytes, MW_ABSENT);
}

static void
test_absent_result_has_no_figure(void **state)
{
    struct mw_result result = mw_result_absent();

    (void)state;
    for (int i = 0; i < MW_RESULT_FIGURE_COUNT; i++) {
        assert_int_equal(mw_result_get(&result, i), MW_ABSENT);
    }
    assert_null(mw_result_peak_method(&result));
}

static struct mw_cpu
cpu_of(int64_t busy, int64_t total, int64_t busiest_percent, int64_t busiest_ticks)
{
    return (struct mw_cpu){busy, total, busiest_percent, busiest_ticks};
}

static struct mw_result
close_with_cpu(struct mw_window *window, struct mw_cpu cpu)
{
    struct mw_memory end = memory_of(50 * MIB);
    struct mw_result result;

    mw_window_add_cpu(window, &cpu);
    mw_window_close(window, 2500, &end, &(struct mw_closing){&cpu, MIB, MW_ABSENT},
                    &result);
    return result;
}

static void
test_cpu_over_the_window(void **state)
{
    struct mw_window window;
    struct mw_cpu start = cpu_of(1000, 10000, 100, 400);
    struct mw_cpu middle = cpu_of(1012, 10020, 90, 10);
    struct mw_result result;

    (void)state;
    open_at(&window, 50 * MIB, true);
    mw_window_add_cpu(&window, &start); /* its 100 % lie before the window */
    mw_window_add_cpu(&window, &middle);
    /* One tick, all busy: too little to be called 100 %. */
    result = close_with_cpu(&window, cpu_of(1015, 10040, 100, 1));
    assert_int_equal(result.system_mean_cpu_percent, 38); /* 15 of 40 */
    assert_int_equal(result.single_max_cpu_percent, 90);
}

static void
test_cpu_of_a_window_of_one_tick(void **state)
{
    struct mw_window window;
    struct mw_cpu start = cpu_of(1000, 10000, MW_ABSENT, 0);
    struct mw_result result;

    (void)state;
    open_at(&window, 50 * MIB, true);
    mw_window_add_cpu(&window, &start);
    result = close_with_cpu(&window, cpu_of(1001, 10002, 100, 1));
    assert_int_equal(result.system_mean_cpu_percent, 50);
    assert_int_equal(result.single_max_cpu_percent, 100);
}

static void
test_cpu_without_a_tick_is_absent(void **state)
{
    struct mw_window window;
    struct mw_cpu start = cpu_of(1000, 10000, 50, 100);
    struct mw_result result;

    (void)state;
    open_at(&window, 50 * MIB, true);
    mw_window_add_cpu(&window, &start);
    result = close_with_cpu(&window, cpu_of(1000, 10000, MW_ABSENT, 0));
    assert_int_equal(result.system_mean_cpu_percent, MW_ABSENT);
    assert_int_equal(result.single_max_cpu_percent, MW_ABSENT);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_happened),
        cmocka_unit_test(test_transient_seen_by_the_mark),
        cmocka_unit_test(test_sample_above_the_mark_is_the_peak),
        cmocka_unit_test(test_giving_back_is_negative_use),
        cmocka_unit_test(test_absent_result_has_no_figure),
        cmocka_unit_test(test_without_the_mark_it_is_a_lower_bound),
        cmocka_unit_test(test_cpu_over_the_window),
        cmocka_unit_test(test_cpu_of_a_window_of_one_tick),
        cmocka_unit_test(test_cpu_without_a_tick_is_absent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
