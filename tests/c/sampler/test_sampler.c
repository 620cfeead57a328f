/* The sampler: its pace, its thread, many threads, forks and who shares it. */

#include "spikes.h"

static void
test_samples_are_taken_and_the_thread_parks(void **state)
{
    struct mw_watch watch;
    struct mw_result result;
    int64_t before = status_of(sampler).samples;

    (void)state;
    assert_int_equal(mw_sampler_open(sampler, &watch, NULL), 0);
    assert_int_equal(status_of(sampler).open_windows, 1);
    WAIT_UNTIL(status_of(sampler).samples >= before + 20);
    assert_int_equal(mw_sampler_close(sampler, &watch, NULL, &result), 0);
    assert_true(result.duration_ns >= 18 * MW_NS_PER_MS);
    assert_in_range(watch.timeline.count, 12, MW_TIMELINE_POINTS);
    for (int32_t i = 1; i < watch.timeline.count; i++) {
        assert_true(watch.timeline.t_ns[i] > watch.timeline.t_ns[i - 1]);
    }
    WAIT_UNTIL(status_of(sampler).parked);
    before = status_of(sampler).samples;
    assert_int_equal(status_of(sampler).open_windows, 0);
    assert_true(status_of(sampler).running);
    /* Parked is parked: the thread waits, and only another window can wake it. */
    WAIT_UNTIL(sleeps_without_a_deadline() != 0);
    assert_int_equal(status_of(sampler).samples, before);
}

/* Windows that come and go faster than samples are due put none of them off. */
static void
test_quick_windows_do_not_starve_an_outer_one(void **state)
{
    struct mw_watch outer;
    struct mw_result result;
    int64_t before = status_of(sampler).samples;

    (void)state;
    assert_int_equal(mw_sampler_open(sampler, &outer, NULL), 0);
    REPEAT_UNTIL(status_of(sampler).samples >= before + 10)
    {
        struct mw_watch inner;

        assert_int_equal(mw_sampler_open(sampler, &inner, NULL), 0);
        mw_sampler_cancel(sampler, &inner);
    }
    assert_int_equal(mw_sampler_close(sampler, &outer, NULL, &result), 0);
    assert_true(outer.timeline.count >= 10);
}

static void
test_closing_twice_is_stale(void **state)
{
    struct mw_watch watch;
    struct mw_result result;

    (void)state;
    assert_int_equal(mw_sampler_open(sampler, &watch, NULL), 0);
    mw_sampler_cancel(sampler, &watch);
    mw_sampler_cancel(sampler, &watch);
    assert_int_equal(mw_sampler_close(sampler, &watch, NULL, &result), -ESTALE);
    assert_int_equal(status_of(sampler).open_windows, 0);
}

static void
test_pace(void **state)
{
    const int64_t ms = MW_NS_PER_MS;

    (void)state;
    assert_int_equal(mw_sampling_interval_next_age_ns(0), 1 * ms);
    assert_int_equal(mw_sampling_interval_next_age_ns(1 * ms), 2 * ms);
    assert_int_equal(mw_sampling_interval_next_age_ns(249 * ms + 1), 250 * ms);
    assert_int_equal(mw_sampling_interval_next_age_ns(250 * ms), 260 * ms);
    /* Late by three intervals: the next one, not three at once. */
    assert_int_equal(mw_sampling_interval_next_age_ns(1234567890), 1240 * ms);
    assert_int_equal(mw_sampling_interval_next_age_ns(59990 * ms), 60000 * ms);
    assert_int_equal(mw_sampling_interval_next_age_ns(60000 * ms), 60050 * ms);
}

static void *
open_and_close(void *argument)
{
    (void)argument;
    for (int i = 0; i < 200; i++) {
        struct mw_watch watch;
        struct mw_result result;

        if (mw_sampler_open(sampler, &watch, NULL) != 0 ||
            mw_sampler_close(sampler, &watch, NULL, &result) != 0 ||
            result.rss_peak_bytes < result.rss_end_bytes) {
            return (void *)1;
        }
    }
    return NULL;
}

static void
test_many_threads(void **state)
{
    pthread_t threads[8];

    (void)state;
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, open_and_close, NULL), 0);
    }
    for (size_t i = 0; i < 8; i++) {
        void *failed;

        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_int_equal(status_of(sampler).open_windows, 0);
}

/* In the child: 0 where all is as it should be, else the number of the check. */
static int
check_in_child(struct mw_watch *of_parent)
{
    struct mw_sampler_status status = status_of(sampler);
    struct mw_result result;

    if (status.running || status.open_windows != 0) {
        return 1;
    }
    if (mw_sampler_close(sampler, of_parent, NULL, &result) != -ESTALE) {
        return 2;
    }
    /* Its own windows work, and reset its own mark only. */
    result = transient(8 * MIB);
    if (result.rss_peak_bytes < 8 * MIB || !status_of(sampler).running) {
        return 3;
    }
    return result.peak_from_kernel && result.peaked_bytes > 12 * MIB ? 4 : 0;
}

static void
test_fork(void **state)
{
    struct mw_accuracy accuracy = mw_sampler_accuracy(sampler);
    struct mw_watch watch;
    struct mw_result result;
    int status;
    pid_t child;

    (void)state;
    SKIP_UNDER_TSAN();
    SKIP_UNDER_VALGRIND();
    assert_int_equal(mw_sampler_open(sampler, &watch, NULL), 0);
    unmap(map_touched(100 * MIB), 100 * MIB);
    child = fork();
    if (child == 0) {
        _exit(check_in_child(&watch));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(mw_sampler_close(sampler, &watch, NULL, &result), 0);
    if (accuracy.hwm_resets) {
        assert_true(distance(result.peaked_bytes, 100 * MIB) <= accuracy.bound_bytes);
    }
}

static int
count_reading(void *self, struct mw_cpu *out)
{
    int *readings = self;

    ++*readings;
    *out = (struct mw_cpu){INT64_C(10) * *readings, INT64_C(20) * *readings, 70, 20};
    return 0;
}

static void
test_processors_are_read_at_both_ends(void **state)
{
    int readings = 0;
    struct mw_cpu_reader reader = {count_reading, &readings};
    struct mw_result result;

    (void)state;
    mw_sampler_set_cpu_reader(sampler, &reader);
    result = transient(MIB);
    assert_true(readings >= 2);
    assert_int_equal(result.system_mean_cpu_percent, 50);
    assert_int_equal(result.single_max_cpu_percent, 70);
    mw_sampler_set_cpu_reader(sampler, NULL);
    result = transient(MIB);
    assert_int_equal(result.system_mean_cpu_percent, MW_ABSENT);
}

static void
test_lifetime_peak_is_kept(void **state)
{
    struct mw_memory memory;

    (void)state;
    assert_int_equal(mw_sampler_read_memory(sampler, &memory), 0);
    transient(300 * MIB);
    assert_true(status_of(sampler).lifetime_peak_bytes >= 300 * MIB ||
                !mw_sampler_accuracy(sampler).hwm_resets);
}

static void
test_one_sampler_for_all_users(void **state)
{
    struct mw_sampler *second;

    (void)state;
    assert_int_equal(mw_process_sampler_acquire(&second), 0);
    assert_ptr_equal(second, sampler);
    mw_process_sampler_release(&second);
    assert_null(second);
    mw_process_sampler_release(&second);
    assert_true(transient(MIB).duration_ns > 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pace),
        cmocka_unit_test(test_samples_are_taken_and_the_thread_parks),
        cmocka_unit_test(test_quick_windows_do_not_starve_an_outer_one),
        cmocka_unit_test(test_closing_twice_is_stale),
        cmocka_unit_test(test_many_threads),
        cmocka_unit_test(test_fork),
        cmocka_unit_test(test_processors_are_read_at_both_ends),
        cmocka_unit_test(test_lifetime_peak_is_kept),
        cmocka_unit_test(test_one_sampler_for_all_users),
    };

    return cmocka_run_group_tests(tests, acquire, release);
}
