/* Clocks that stand, run backwards or jump, and signals that interrupt everything. */

#include "surroundings.h"

#define NAP_NS (10 * MW_NS_PER_MS) /* what the thread makes of a clock that stands */

static void
test_clock_that_stands(void **state)
{
    struct mw_watch watch;
    struct mw_result result;
    int64_t since_ns;
    int64_t samples;
    long readings;

    (void)state;
    clock_ns = real_ns();
    clock_stands = true;
    assert_int_equal(mw_sampler_open(sampler, &watch, NULL), 0);
    spike(16 * MIB);
    since_ns = real_ns();
    readings = clock_readings;
    /* The thread naps at least so long each time that it finds the clock standing,
     * and reads it a few times in between. */
    WAIT_UNTIL(clock_readings - readings >= 40);
    readings = clock_readings - readings;
    assert_true(readings <= 4 * ((real_ns() - since_ns) / NAP_NS + 2));
    result = close_window(&watch);
    assert_int_equal(result.duration_ns, MW_ABSENT);
    assert_int_equal(watch.timeline.count, 1);
    if (mw_sampler_accuracy(sampler).hwm_resets) {
        assert_true(result.peak_from_kernel);
        assert_true(result.peaked_bytes > 12 * MIB);
    }

    /* It goes on: so do the samples, in a window that was open all the while. */
    clock_ns = real_ns();
    assert_int_equal(mw_sampler_open(sampler, &watch, NULL), 0);
    samples = status_of(sampler).samples;
    clock_stands = false;
    WAIT_UNTIL(status_of(sampler).samples >= samples + 3);
    result = close_window(&watch);
    assert_true(result.duration_ns > 0);
    WAIT_UNTIL(status_of(sampler).parked);
}

static void
test_clock_that_runs_backwards(void **state)
{
    struct mw_watch watch;
    struct mw_result result;

    (void)state;
    assert_int_equal(mw_sampler_open(sampler, &watch, NULL), 0);
    clock_ns = real_ns() - 3600 * MW_NS_PER_S;
    clock_stands = true;
    result = close_window(&watch);
    assert_int_equal(result.duration_ns, MW_ABSENT);
    assert_true(result.rss_end_bytes > 0);
    clock_stands = false;
    WAIT_UNTIL(status_of(sampler).parked);
}

static void
test_clock_that_jumps_forward(void **state)
{
    struct mw_watch watch;
    struct mw_result result;
    int64_t samples = status_of(sampler).samples;

    (void)state;
    assert_int_equal(mw_sampler_open(sampler, &watch, NULL), 0);
    clock_ahead_ns = 3600 * MW_NS_PER_S;
    WAIT_UNTIL(status_of(sampler).samples > samples);
    result = close_window(&watch);
    assert_true(result.duration_ns >= 3600 * MW_NS_PER_S);
    assert_true(watch.timeline.t_ns[watch.timeline.count - 1] == result.duration_ns);
    clock_ahead_ns = 0;
    /* The thread waits for a time that is an hour off; it is stopped all the same. */
    release(NULL);
    assert_int_equal(acquire_without_faults(NULL), 0);
}

static volatile sig_atomic_t signals;

static void
count_signal(int number)
{
    (void)number;
    signals++;
}

static void
test_signal_storm(void **state)
{
    static const struct {
        int timer;
        int signal;
    } storms[] = {{ITIMER_REAL, SIGALRM}, {ITIMER_PROF, SIGPROF}};

    (void)state;
    NEEDS_MARK();
    for (size_t i = 0; i < 2; i++) {
        struct itimerval every = {{0, 100}, {0, 100}};
        struct sigaction action = {.sa_handler = count_signal}; /* no SA_RESTART */
        struct sigaction before;
        struct mw_watch outer;
        struct mw_result result;

        assert_int_equal(sigaction(storms[i].signal, &action, &before), 0);
        signals = 0;
        assert_int_equal(mw_sampler_open(sampler, &outer, NULL), 0);
        assert_int_equal(setitimer(storms[i].timer, &every, NULL), 0);
        REPEAT_UNTIL(signals >= 50)
        {
            struct mw_memory memory;
            struct mw_sampler *other;
            struct mw_watch watch;

            assert_int_equal(mw_sampler_open(sampler, &watch, NULL), 0);
            spike(4 * MIB);
            result = close_window(&watch);
            assert_from_kernel(&result, 4 * MIB);
            assert_int_equal(mw_sampler_read_memory(sampler, &memory), 0);
            assert_int_equal(mw_sampler_new(&other, MW_PROC_ROOT, getppid()), 0);
            mw_sampler_free(&other);
        }
        assert_int_equal(
            setitimer(storms[i].timer, &(struct itimerval){{0, 0}, {0, 0}}, NULL), 0);
        result = close_window(&outer);
        assert_true(result.peak_from_kernel);
        assert_int_equal(sigaction(storms[i].signal, &before, NULL), 0);
    }
    assert_all_is_well();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_clock_that_stands, no_faults),
        cmocka_unit_test_teardown(test_clock_that_runs_backwards, no_faults),
        cmocka_unit_test_teardown(test_clock_that_jumps_forward, no_faults),
        cmocka_unit_test(test_signal_storm),
    };

    return cmocka_run_group_tests(tests, acquire_without_faults, release);
}
