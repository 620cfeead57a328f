/* Everything from many threads at once, while the sampler's own thread runs. What is
 * checked here is little; ThreadSanitizer and helgrind check the rest. */

#include "support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/clock.h"
#include "own_sampler.h"

enum { THREADS = 8, ROUNDS = 100 };

static atomic_bool done; /* the readers may stop: relaxed, it guards nothing */

#define FAILED ((void *)1)

/* Windows that overlap in every way: nested, crossed, closed and cancelled. */
static void *
open_and_close(void *argument)
{
    (void)argument;
    for (int i = 0; i < ROUNDS; i++) {
        struct mw_watch first;
        struct mw_watch second;
        struct mw_result result;

        if (mw_sampler_open(sampler, &first, NULL) != 0 ||
            mw_sampler_open(sampler, &second, NULL) != 0) {
            return FAILED;
        }
        if (mw_sampler_close(sampler, i % 2 ? &first : &second, NULL, &result) != 0 ||
            result.rss_peak_bytes < result.rss_end_bytes || result.duration_ns < 0) {
            return FAILED;
        }
        mw_sampler_cancel(sampler, i % 2 ? &second : &first);
    }
    return NULL;
}

static void *
read_all(void *argument)
{
    int64_t samples = 0;

    (void)argument;
    while (!atomic_load_explicit(&done, memory_order_relaxed)) {
        struct mw_sampler_status status;
        struct mw_memory memory;

        mw_sampler_read_status(sampler, &status);
        if (status.samples < samples || status.open_windows < 1 || status.missed < 0) {
            return FAILED;
        }
        samples = status.samples;
        if (mw_sampler_read_memory(sampler, &memory) != 0 || memory.rss_bytes <= 0 ||
            mw_sampler_accuracy(sampler).bound_bytes <= 0) {
            return FAILED;
        }
    }
    return NULL;
}

/* Plain memory: the sampler promises one call at a time, and none once the reader
 * is withdrawn. */
static int
count_reading(void *self, struct mw_cpu *out)
{
    int *readings = self;

    ++*readings;
    *out = (struct mw_cpu){INT64_C(10) * *readings, INT64_C(20) * *readings, 70, 20};
    return 0;
}

static void *
set_and_withdraw(void *argument)
{
    (void)argument;
    while (!atomic_load_explicit(&done, memory_order_relaxed)) {
        int *readings = calloc(1, sizeof *readings);
        struct mw_cpu_reader reader = {count_reading, readings};
        struct mw_watch watch;
        struct mw_result result;
        int err;

        if (readings == NULL) {
            return FAILED;
        }
        mw_sampler_set_cpu_reader(sampler, &reader);
        err = mw_sampler_open(sampler, &watch, NULL);
        if (err == 0) {
            err = mw_sampler_close(sampler, &watch, NULL, &result);
        }
        mw_sampler_remove_cpu_reader(sampler, &reader);
        if (err != 0 || *readings < 2) {
            free(readings);
            return FAILED;
        }
        free(readings);
    }
    return NULL;
}

static void *
acquire_and_release(void *argument)
{
    (void)argument;
    for (int i = 0; i < ROUNDS; i++) {
        struct mw_sampler *same;

        if (mw_process_sampler_acquire(&same) != 0) {
            return FAILED;
        }
        if (same != sampler) {
            return FAILED;
        }
        mw_process_sampler_release(&same);
    }
    return NULL;
}

static void
start(pthread_t *thread, void *(*run)(void *))
{
    assert_int_equal(pthread_create(thread, NULL, run, NULL), 0);
}

static void
expect_success(pthread_t thread)
{
    void *failed;

    assert_int_equal(pthread_join(thread, &failed), 0);
    assert_null(failed);
}

static void
test_everything_at_once(void **state)
{
    pthread_t workers[THREADS];
    pthread_t readers[3];
    struct mw_sampler_status status;
    struct mw_watch outer;
    struct mw_result result;

    (void)state;
    atomic_store(&done, false);
    /* Open throughout, so that there are samples all the while. */
    assert_int_equal(mw_sampler_open(sampler, &outer, NULL), 0);
    start(&readers[0], read_all);
    start(&readers[1], read_all);
    start(&readers[2], set_and_withdraw);
    for (int i = 0; i < THREADS; i++) {
        start(&workers[i], i == 0 ? acquire_and_release : open_and_close);
    }
    for (int i = 0; i < THREADS; i++) {
        expect_success(workers[i]);
    }
    WAIT_UNTIL(status_of(sampler).samples >= 5);
    atomic_store(&done, true);
    for (int i = 0; i < 3; i++) {
        expect_success(readers[i]);
    }
    assert_int_equal(mw_sampler_close(sampler, &outer, NULL, &result), 0);
    mw_sampler_read_status(sampler, &status);
    assert_int_equal(status.open_windows, 0);
}

/* The last user stops the thread, the next starts another: in any order of calls. */
static void *
come_and_go(void *argument)
{
    (void)argument;
    for (int i = 0; i < ROUNDS / 10; i++) {
        struct mw_sampler *own;
        struct mw_watch watch;
        struct mw_result result;
        int err = mw_process_sampler_acquire(&own);

        if (err != 0) {
            return FAILED;
        }
        err = mw_sampler_open(own, &watch, NULL);
        if (err == 0) {
            err = mw_sampler_close(own, &watch, NULL, &result);
        }
        mw_process_sampler_release(&own);
        if (err != 0) {
            return FAILED;
        }
    }
    return NULL;
}

static void
test_users_come_and_go(void **state)
{
    pthread_t threads[THREADS];

    (void)state;
    mw_process_sampler_release(&sampler); /* so that there is a last one at times */
    for (int i = 0; i < THREADS; i++) {
        start(&threads[i], come_and_go);
    }
    for (int i = 0; i < THREADS; i++) {
        expect_success(threads[i]);
    }
    assert_int_equal(mw_process_sampler_acquire(&sampler), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_at_once),
        cmocka_unit_test(test_users_come_and_go),
    };

    return cmocka_run_group_tests(tests, acquire, release);
}
