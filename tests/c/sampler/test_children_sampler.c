#include "support.h"

#include <pthread.h>
#include <stdbool.h>

#include "base/clock.h"
#include "linux/procps/process_tree.h"
#include "sampler/children_sampler.h"

/* libproc2 has no call that frees what it keeps for a thread that has read by it: it
 * is lost when the thread ends, which is why there is one thread for all. */
#ifdef __SANITIZE_ADDRESS__
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *
__lsan_default_suppressions(void)
{
    return "leak:libproc2.so";
}
#endif

/* The linker's --wrap has these come here first: what the thread reads is ours. */
static int tree_errno; /* fails with it */
static int thread_errno;
static int readings;
static int64_t seen;
static int64_t rss_bytes;
static bool is_real;
static pthread_mutex_t tree_lock = PTHREAD_MUTEX_INITIALIZER; /* guards all that */

int __real_mw_process_tree_read(struct mw_process_tree *self, bool with_pss,
                                struct mw_process_tree_reading *out);
int __wrap_mw_process_tree_read(struct mw_process_tree *self, bool with_pss,
                                struct mw_process_tree_reading *out);
int
__wrap_mw_process_tree_read(struct mw_process_tree *self, bool with_pss,
                            struct mw_process_tree_reading *out)
{
    int err;

    pthread_mutex_lock(&tree_lock);
    readings++;
    err = is_real ? __real_mw_process_tree_read(self, with_pss, out) : -tree_errno;
    if (err == 0 && !is_real) {
        *out = (struct mw_process_tree_reading){
            .count = 2,
            .rss_bytes = rss_bytes,
            .first_seen = seen,
            .pss_bytes = with_pss ? 70 : MW_ABSENT,
            .own_pss_bytes = with_pss ? 7 : MW_ABSENT,
        };
    }
    pthread_mutex_unlock(&tree_lock);
    return err;
}

int __real_mw_process_tree_new(struct mw_process_tree **out, pid_t root);
int __wrap_mw_process_tree_new(struct mw_process_tree **out, pid_t root);
int
__wrap_mw_process_tree_new(struct mw_process_tree **out, pid_t root)
{
    return thread_errno == ENOENT ? -ENOENT : __real_mw_process_tree_new(out, root);
}

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*run)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*run)(void *), void *argument);
int
__wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                      void *(*run)(void *), void *argument)
{
    return thread_errno == EAGAIN
               ? EAGAIN
               : __real_pthread_create(thread, attributes, run, argument);
}

static void
set_reading(int err, int64_t now_seen, int64_t now_rss_bytes)
{
    pthread_mutex_lock(&tree_lock);
    tree_errno = err;
    seen = now_seen;
    rss_bytes = now_rss_bytes;
    pthread_mutex_unlock(&tree_lock);
}

static int
count_readings(void)
{
    int count;

    pthread_mutex_lock(&tree_lock);
    count = readings;
    pthread_mutex_unlock(&tree_lock);
    return count;
}

static bool no_thread; /* as it was told last */

static int
acquire_family(void)
{
    return mw_children_acquire(&no_thread);
}

static int
acquire(void **state)
{
    (void)state;
    thread_errno = 0;
    set_reading(0, 0, 0);
    return acquire_family();
}

static int
release(void **state)
{
    (void)state;
    mw_children_release();
    return 0;
}

static void
test_pause(void **state)
{
    (void)state;
    assert_int_equal(mw_children_pause_ns(0), 20 * MW_NS_PER_MS);
    assert_int_equal(mw_children_pause_ns(400 * MW_NS_PER_US), 20 * MW_NS_PER_MS);
    assert_int_equal(mw_children_pause_ns(2 * MW_NS_PER_MS), 98 * MW_NS_PER_MS);
}

static void
test_window(void **state)
{
    struct mw_children_watch watch;
    struct mw_children_result result;

    (void)state;
    assert_int_equal(mw_children_open(&watch), 0);
    set_reading(0, 0, 500);
    assert_int_equal(mw_children_close(&watch, &result), 0);
    assert_int_equal(result.count, 2);
    assert_int_equal(result.pss_bytes, 70);
    assert_int_equal(result.own_pss_bytes, 7);
    assert_int_equal(result.rss_bytes, 500);
    assert_int_equal(result.rss_peak_bytes, 500);
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
    assert_int_equal(mw_children_open(&outer), 0);
    assert_int_equal(mw_children_open(&dropped), 0);
    assert_int_equal(mw_children_open(&inner), 0);
    mw_children_cancel(&dropped);
    set_reading(0, 0, 900);
    assert_int_equal(mw_children_close(&inner, &result), 0);
    assert_int_equal(result.rss_peak_bytes, 900);
    set_reading(0, 0, 100);
    assert_int_equal(mw_children_open(&later), 0);
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
    assert_int_equal(mw_children_open(&watch), 0);
    set_reading(0, 0, 800);
    before = count_readings();
    WAIT_UNTIL(count_readings() >= before + 3);
    set_reading(0, 0, 0);
    assert_int_equal(mw_children_close(&watch, &result), 0);
    assert_int_equal(result.rss_peak_bytes, 800);
}

static void
test_children_are_counted_once_however_started(void **state)
{
    struct mw_children_watch watch;
    struct mw_children_result result;

    (void)state;
    assert_int_equal(mw_children_open(&watch), 0);
    mw_children_announce(MW_CHILDREN_POPEN); /* by vfork: not seen */
    mw_children_announce(MW_CHILDREN_POPEN);
    mw_children_announce(MW_CHILDREN_SPAWN);
    mw_children_announce(MW_CHILDREN_SPAWN); /* one of its own */
    mw_children_announce(MW_CHILDREN_SYSTEM);
    mw_children_announce(MW_CHILDREN_FORK); /* it comes to nothing */
    assert_int_equal(mw_children_close(&watch, &result), 0);
    assert_int_equal(result.missed, 4);

    /* More seen than started: then it cannot be told. */
    assert_int_equal(mw_children_open(&watch), 0);
    mw_children_announce(MW_CHILDREN_POPEN);
    set_reading(0, 2, 0);
    assert_int_equal(mw_children_close(&watch, &result), 0);
    assert_int_equal(result.missed, MW_ABSENT);
}

static void
test_forks_are_counted(void **state)
{
    struct mw_children_watch watch;
    struct mw_children_result result;

    (void)state;
    SKIP_UNDER_VALGRIND(); /* it would have the child free what its parent has */
    assert_int_equal(mw_children_open(&watch), 0);
    mw_children_announce(MW_CHILDREN_FORK);
    for (int i = 0; i < 3; i++) {
        pid_t child;

        if (i > 0) {
            mw_children_announce(i == 1 ? MW_CHILDREN_FORK : MW_CHILDREN_POPEN);
        }
        child = fork();
        if (child == 0) {
            end_child(0);
        }
        assert_int_equal(waitpid(child, NULL, 0), child);
    }
    set_reading(0, 1, 0); /* one was seen */
    assert_int_equal(mw_children_close(&watch, &result), 0);
    assert_int_equal(result.missed, 2);
}

static void
test_children_of_before_are_not_this_windows(void **state)
{
    struct mw_children_watch watch;
    struct mw_children_result result;

    (void)state;
    mw_children_announce(MW_CHILDREN_POPEN);
    set_reading(0, 1, 0);
    assert_int_equal(mw_children_open(&watch), 0);
    assert_int_equal(mw_children_close(&watch, &result), 0);
    assert_int_equal(result.missed, 0);
}

static void
test_unreadable_files(void **state)
{
    struct mw_children_watch watch;
    struct mw_children_result result = {.count = 77};

    (void)state;
    assert_int_equal(mw_children_open(&watch), 0);
    set_reading(EMFILE, 0, 0);
    assert_int_equal(mw_children_close(&watch, &result), -EMFILE);
    assert_int_equal(result.count, 77);
    assert_int_equal(mw_children_close(&watch, &result), -ESTALE);
    mw_children_announce(MW_CHILDREN_POPEN);
    assert_int_equal(mw_children_open(&watch), -EMFILE);
    assert_false(watch.open);
    mw_children_cancel(&watch);
    set_reading(0, 0, 0);
    assert_int_equal(mw_children_open(&watch), 0);
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

static int
start_anew(void)
{
    struct mw_children_watch watch;
    struct mw_children_result result;

    return mw_children_open(&watch) != 0 || mw_children_close(&watch, &result) != 0 ||
           result.count != 2;
}

static void
test_forked_child_starts_again(void **state)
{
    struct mw_children_watch watch;
    struct mw_children_result result;
    int status;
    pid_t child;

    (void)state;
    SKIP_UNDER_TSAN();
    SKIP_UNDER_VALGRIND();
    assert_int_equal(mw_children_open(&watch), 0);
    mw_children_announce(MW_CHILDREN_FORK); /* none was announced that did not come */
    pthread_mutex_lock(&tree_lock);         /* or the thread has it when we fork */
    child = fork();
    pthread_mutex_unlock(&tree_lock);
    if (child == 0) {
        end_child(watch.open || start_anew());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    set_reading(0, 1, 0);
    assert_int_equal(mw_children_close(&watch, &result), 0);
    assert_int_equal(result.missed, 0);
}

/* Windows of several threads, and real readings. */
static void *
open_and_close(void *failed)
{
    for (int i = 0; i < 20; i++) {
        struct mw_children_watch watch;
        struct mw_children_result result;

        if (mw_children_open(&watch) != 0 || mw_children_close(&watch, &result) != 0 ||
            result.count != 0) {
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

#define WITH_FAMILY(test) cmocka_unit_test_setup_teardown(test, acquire, release)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_unavailable_resources),
        WITH_FAMILY(test_window),
        WITH_FAMILY(test_peak_counts_for_all_open_windows),
        WITH_FAMILY(test_samples_are_taken),
        WITH_FAMILY(test_children_are_counted_once_however_started),
        WITH_FAMILY(test_forks_are_counted),
        WITH_FAMILY(test_children_of_before_are_not_this_windows),
        WITH_FAMILY(test_unreadable_files),
        WITH_FAMILY(test_forked_child_starts_again),
        WITH_FAMILY(test_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
