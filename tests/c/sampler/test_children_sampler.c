/* Windows on child processes, and the thread that reads them. */

#include "children.h"

static void
test_window(void **state)
{
    struct mw_children_watch watch;
    struct mw_children_result result;

    (void)state;
    assert_int_equal(mw_children_open(&watch, NULL), 0);
    set_reading(0, 0, 500);
    assert_int_equal(mw_children_close(&watch, &result), 0);
    assert_int_equal(result.count, 2);
    assert_int_equal(result.pss_bytes, 70);
    assert_int_equal(result.own_pss_bytes, 7);
    assert_int_equal(result.rss_bytes, 500);
    assert_int_equal(result.rss_peak_bytes, 500);
    assert_int_equal(result.count_peak, 2);
    assert_int_equal(result.pss_peak_bytes, 70);
    assert_int_equal(result.tree_pss_peak_bytes, 77);
    assert_int_equal(result.missed, 0);
    assert_int_equal(mw_children_close(&watch, &result), -ESTALE);
    mw_children_cancel(&watch);
}

static void
test_peak_counts_for_all_open_windows(void **state)
{
    struct mw_children_watch outer;
    struct mw_children_watch inner;
    struct mw_children_watch later;
    struct mw_children_watch dropped;
    struct mw_children_result result;

    (void)state;
    assert_int_equal(mw_children_open(&outer, NULL), 0);
    assert_int_equal(mw_children_open(&dropped, NULL), 0);
    assert_int_equal(mw_children_open(&inner, NULL), 0);
    mw_children_cancel(&dropped);
    set_reading(0, 0, 900);
    assert_int_equal(mw_children_close(&inner, &result), 0);
    assert_int_equal(result.rss_peak_bytes, 900);
    set_reading(0, 0, 100);
    assert_int_equal(mw_children_open(&later, NULL), 0);
    assert_int_equal(mw_children_close(&later, &result), 0);
    assert_int_equal(result.rss_peak_bytes, 100);
    assert_int_equal(mw_children_close(&outer, &result), 0);
    assert_int_equal(result.rss_bytes, 100);
    assert_int_equal(result.rss_peak_bytes, 900);
}

/* The thread takes samples by itself while a window is open: until it has. */
static void
test_samples_are_taken(void **state)
{
    struct mw_children_watch watch;
    struct mw_children_result result;
    int before;

    (void)state;
    assert_int_equal(mw_children_open(&watch, NULL), 0);
    set_reading(0, 0, 800);
    before = count_readings();
    WAIT_UNTIL(count_readings() >= before + 3);
    set_reading(0, 0, 0);
    assert_int_equal(mw_children_close(&watch, &result), 0);
    assert_int_equal(result.rss_peak_bytes, 800);
}

/* No window is told of another target's children. */
static void
test_targets_are_apart(void **state)
{
    struct mw_children_target *target;
    struct mw_children_watch own;
    struct mw_children_watch others;
    struct mw_children_result result;
    pid_t pid = getpid();

    (void)state;
    assert_int_equal(mw_children_target_new(&target, &pid, 1), 0);
    set_reading(0, 0, 900);
    assert_int_equal(mw_children_open(&own, NULL), 0);
    assert_int_equal(mw_children_close(&own, &result), 0);
    set_reading(0, 0, 500);
    assert_int_equal(mw_children_open(&others, target), 0);
    mw_children_announce(MW_CHILDREN_POPEN);
    assert_int_equal(mw_children_close(&others, &result), 0);
    assert_int_equal(result.rss_peak_bytes, 500);
    assert_int_equal(result.missed, MW_ABSENT); /* nobody announces its children */
    assert_int_equal(mw_children_open(&others, target), 0);
    mw_children_cancel(&others);
    mw_children_target_free(&target);
    assert_null(target);
    mw_children_target_free(&target);
}

/* The thread may be reading its tree. */
static void
test_target_freed_after_a_reading(void **state)
{
    enum { ROUNDS = 50 };
    pid_t pid = getpid();

    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        struct mw_children_target *target;
        struct mw_children_watch watch;
        int before = count_readings();

        assert_int_equal(mw_children_target_new(&target, &pid, 1), 0);
        assert_int_equal(mw_children_open(&watch, target), 0);
        WAIT_UNTIL(count_readings() > before);
        mw_children_cancel(&watch);
        mw_children_target_free(&target);
    }
}

static void
test_unreadable_files(void **state)
{
    struct mw_children_watch watch;
    struct mw_children_result result = {.count = 77};

    (void)state;
    assert_int_equal(mw_children_open(&watch, NULL), 0);
    set_reading(EMFILE, 0, 0);
    assert_int_equal(mw_children_close(&watch, &result), -EMFILE);
    assert_int_equal(result.count, 77);
    assert_int_equal(mw_children_close(&watch, &result), -ESTALE);
    mw_children_announce(MW_CHILDREN_POPEN);
    assert_int_equal(mw_children_open(&watch, NULL), -EMFILE);
    assert_false(watch.open);
    mw_children_cancel(&watch);
    set_reading(0, 0, 0);
    assert_int_equal(mw_children_open(&watch, NULL), 0);
    assert_int_equal(mw_children_close(&watch, &result), 0);
}

static void
test_unavailable_resources(void **state)
{
    (void)state;
    set_reading(0, 0, 0);
    thread_errno = ENOENT;
    assert_int_equal(acquire_family(), -ENOENT);
    thread_errno = EAGAIN;
    assert_int_equal(acquire_family(), -EAGAIN);
    assert_true(no_thread);
    thread_errno = 0;
    set_reading(EACCES, 0, 0);
    assert_int_equal(acquire_family(), -EACCES);
    assert_false(no_thread);
    set_reading(0, 0, 0);
    assert_int_equal(acquire_family(), 0);
    assert_int_equal(acquire_family(), 0);
    mw_children_release();
    mw_children_release();
}

/* Windows of several threads, and real readings. */
static void *
open_and_close(void *failed)
{
    for (int i = 0; i < 20; i++) {
        struct mw_children_watch watch;
        struct mw_children_result result;

        if (mw_children_open(&watch, NULL) != 0 ||
            mw_children_close(&watch, &result) != 0 || result.count != 0) {
            *(bool *)failed = true;
        }
    }
    return NULL;
}

static void
test_threads(void **state)
{
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    bool failed[THREADS] = {false};

    (void)state;
    pthread_mutex_lock(&tree_lock);
    is_real = true;
    pthread_mutex_unlock(&tree_lock);
    for (int i = 0; i < THREADS; i++) {
        pthread_create(&threads[i], NULL, open_and_close, &failed[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_false(failed[i]);
    }
    pthread_mutex_lock(&tree_lock);
    is_real = false;
    pthread_mutex_unlock(&tree_lock);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FAMILY(test_window),
        WITH_FAMILY(test_peak_counts_for_all_open_windows),
        WITH_FAMILY(test_samples_are_taken),
        WITH_FAMILY(test_targets_are_apart),
        WITH_FAMILY(test_target_freed_after_a_reading),
        WITH_FAMILY(test_unreadable_files),
        cmocka_unit_test(test_unavailable_resources),
        WITH_FAMILY(test_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
