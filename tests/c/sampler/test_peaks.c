/* Peaks of known size, kept memory, nested windows, and a kernel without a mark. */

#include "spikes.h"

static void
test_transients_of_all_sizes(void **state)
{
    struct mw_accuracy accuracy = mw_sampler_accuracy(sampler);
    static const int64_t sizes[] = {1 * MIB, 16 * MIB, 256 * MIB};

    (void)state;
    SKIP_UNDER_TSAN();
    SKIP_UNDER_VALGRIND();
    if (!accuracy.hwm_resets) {
        skip();
    }
    transient(256 * MIB); /* AddressSanitizer's shadow of it stays */
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct mw_result result = transient(sizes[i]);

        assert_true(result.peak_from_kernel);
        assert_true(distance(result.peaked_bytes, sizes[i]) <= accuracy.bound_bytes);
        assert_true(distance(result.used_bytes, 0) <= 65536 || !accuracy.exact);
        assert_int_equal(result.peak_error_bytes, accuracy.bound_bytes);
    }
}

/* As OMP_PROC_BIND=true has it: the main thread on one processor, the others on all. */
struct elsewhere {
    pthread_barrier_t barrier;
    const cpu_set_t *processors;
    int fd; /* a file of MOST_PAGES */
    int rounds;
};

enum { MOST_PAGES = 64 };

/* `pages` of each of the three kinds that are counted: private, shared, of a file. */
static void
map_kinds(char *maps[3], int fd, int64_t pages)
{
    const int flags[3] = {MAP_PRIVATE | MAP_ANONYMOUS, MAP_SHARED | MAP_ANONYMOUS,
                          MAP_SHARED};
    int64_t page_bytes = sysconf(_SC_PAGESIZE);

    for (int i = 0; i < 3; i++) {
        maps[i] = mmap(NULL, (size_t)(pages * page_bytes), PROT_READ | PROT_WRITE,
                       flags[i], i == 2 ? fd : -1, 0);
        assert_ptr_not_equal(maps[i], MAP_FAILED);
        for (int64_t page = 0; page < pages; page++) {
            maps[i][page * page_bytes] = 1;
        }
    }
}

static void
unmap_kinds(char *maps[3], int64_t pages)
{
    for (int i = 0; i < 3; i++) {
        unmap(maps[i], pages * sysconf(_SC_PAGESIZE));
    }
}

/* What a thread on another processor counts is kept there in part: the main thread's
 * transients come short of it. */
static void *
touch_elsewhere(void *argument)
{
    struct elsewhere *self = argument;

    sched_setaffinity(0, sizeof *self->processors, self->processors);
    for (int i = 0; i < self->rounds; i++) {
        int64_t pages = 1 + i % MOST_PAGES;
        char *maps[3];

        map_kinds(maps, self->fd, pages);
        pthread_barrier_wait(&self->barrier);
        pthread_barrier_wait(&self->barrier); /* the transients were */
        unmap_kinds(maps, pages);
    }
    return NULL;
}

static void
test_the_bound_holds_for_threads_on_other_processors(void **state)
{
    enum { ROUNDS = 200, EACH = 10 }; /* 2,000 transients */
    char path[] = "/tmp/memwatch-test-XXXXXX";
    struct elsewhere elsewhere = {.rounds = ROUNDS};
    cpu_set_t all;
    cpu_set_t first;
    cpu_set_t others;
    pthread_t thread;
    struct mw_sampler *pinned;
    int64_t bound_bytes;
    int outside = 0;
    int count;

    (void)state;
    SKIP_UNDER_TSAN();
    SKIP_UNDER_VALGRIND();
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    count = CPU_COUNT(&all);
    CPU_ZERO(&first);
    for (int i = 0; CPU_COUNT(&first) == 0; i++) {
        if (CPU_ISSET(i, &all)) {
            CPU_SET(i, &first);
        }
    }
    CPU_XOR(&others, &all, &first);
    if (count < 2 || !mw_sampler_accuracy(sampler).hwm_resets) {
        skip();
    }
    assert_int_equal(sched_setaffinity(0, sizeof first, &first), 0);
    assert_int_equal(mw_sampler_new(&pinned, MW_PROC_ROOT, 0), 0);
    bound_bytes = mw_sampler_accuracy(pinned).bound_bytes;

    elsewhere.fd = mkstemp(path);
    assert_true(elsewhere.fd >= 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(ftruncate(elsewhere.fd, (off_t)MOST_PAGES * sysconf(_SC_PAGESIZE)),
                     0);
    elsewhere.processors = &others;
    assert_int_equal(pthread_barrier_init(&elsewhere.barrier, NULL, 2), 0);
    assert_int_equal(pthread_create(&thread, NULL, touch_elsewhere, &elsewhere), 0);
    for (int i = 0; i < ROUNDS * EACH; i++) {
        int64_t pages = 1 + (i * 5) % MOST_PAGES;
        int64_t bytes = 3 * pages * sysconf(_SC_PAGESIZE);
        struct mw_watch watch;
        struct mw_result result;
        char *maps[3];

        if (i % EACH == 0) {
            pthread_barrier_wait(&elsewhere.barrier);
        }
        assert_int_equal(mw_sampler_open(pinned, &watch, NULL), 0);
        map_kinds(maps, elsewhere.fd, pages);
        unmap_kinds(maps, pages);
        assert_int_equal(mw_sampler_close(pinned, &watch, NULL, &result), 0);
        assert_true(result.peak_error_bytes >= bound_bytes);
        outside += distance(result.rss_peak_bytes - result.rss_start_bytes, bytes) >
                   result.peak_error_bytes;
        if (i % EACH == EACH - 1) {
            pthread_barrier_wait(&elsewhere.barrier);
        }
    }
    pthread_join(thread, NULL);
    pthread_barrier_destroy(&elsewhere.barrier);
    close(elsewhere.fd);
    mw_sampler_free(&pinned);
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
    assert_int_equal(outside, 0);
    assert_true(bound_bytes >= INT64_C(3) * count * 31 * sysconf(_SC_PAGESIZE));
}

static void
test_kept_memory_is_use(void **state)
{
    struct mw_watch watch;
    struct mw_result result;
    char *memory;

    (void)state;
    SKIP_UNDER_TSAN();
    SKIP_UNDER_VALGRIND();
    assert_int_equal(mw_sampler_open(sampler, &watch, NULL), 0);
    memory = map_touched(32 * MIB);
    assert_int_equal(mw_sampler_close(sampler, &watch, NULL, &result), 0);
    unmap(memory, 32 * MIB);
    assert_true(distance(result.used_bytes, 32 * MIB) <= 2 * MIB);
    assert_int_equal(result.rss_end_bytes - result.rss_start_bytes, result.used_bytes);
    assert_int_equal(result.anon_bytes + result.file_bytes + result.shmem_bytes,
                     result.rss_end_bytes);
}

static void
test_nested_windows_keep_their_own_peaks(void **state)
{
    struct mw_accuracy accuracy = mw_sampler_accuracy(sampler);
    struct mw_watch outer;
    struct mw_result result;
    struct mw_result inner;

    (void)state;
    SKIP_UNDER_TSAN();
    SKIP_UNDER_VALGRIND();
    if (!accuracy.hwm_resets) {
        skip();
    }
    assert_int_equal(mw_sampler_open(sampler, &outer, NULL), 0);
    unmap(map_touched(200 * MIB), 200 * MIB);
    inner = transient(40 * MIB);
    assert_int_equal(mw_sampler_close(sampler, &outer, NULL, &result), 0);
    assert_true(distance(inner.peaked_bytes, 40 * MIB) <= accuracy.bound_bytes);
    assert_true(distance(result.peaked_bytes, 200 * MIB) <= accuracy.bound_bytes);
}

/* Where the mark cannot be reset the samples speak, and it says so. */
static void
test_without_a_mark_it_samples(void **state)
{
    char *root = make_root();
    struct mw_sampler *other;
    struct mw_sampler_status status;
    struct mw_watch watch;
    struct mw_result result;

    (void)state;
    write_file(root, "self/statm", "1000 200 100 5 0 300 0\n");
    write_file(root, "self/status", "Name:\tx\nVmRSS:\t     400 kB\nThreads:\t1\n");
    assert_int_equal(mw_sampler_new(&other, root, 0), 0);
    assert_int_equal(mw_sampler_open(other, &watch, NULL), 0);
    WAIT_UNTIL(status_of(other).samples >= 3);
    assert_int_equal(mw_sampler_close(other, &watch, NULL, &result), 0);
    assert_false(result.peak_from_kernel);
    assert_int_equal(result.rss_peak_bytes, 200 * sysconf(_SC_PAGESIZE));
    assert_int_equal(result.peak_error_bytes, MW_ABSENT);

    /* The file goes bad while a window is open. */
    assert_int_equal(mw_sampler_open(other, &watch, NULL), 0);
    write_file(root, "self/status", "");
    assert_int_equal(mw_sampler_close(other, &watch, NULL, &result), -EBADMSG);
    assert_int_equal(mw_sampler_open(other, &watch, NULL), -EBADMSG);
    mw_sampler_read_status(other, &status);
    assert_int_equal(status.open_windows, 0);
    mw_sampler_free(&other);
    assert_null(other);
    mw_sampler_free(&other);
    assert_int_equal(mw_sampler_new(&other, "/nowhere", 0), -ENOENT);
    remove_root(root);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transients_of_all_sizes),
        cmocka_unit_test(test_the_bound_holds_for_threads_on_other_processors),
        cmocka_unit_test(test_kept_memory_is_use),
        cmocka_unit_test(test_nested_windows_keep_their_own_peaks),
        cmocka_unit_test(test_without_a_mark_it_samples),
    };

    return cmocka_run_group_tests(tests, acquire, release);
}
