/* /proc/PID/status of several kernels, whole, cut and garbled. */

#include "parsing.h"

#define KIB INT64_C(1024)

static int
status_of(const char *name, struct mw_memory *memory)
{
    size_t length;
    char *text = read_data(name, &length);
    int err = mw_parse_status(text, length, memory);

    free(text);
    return err;
}

static void
assert_memory(const char *name, struct mw_memory expected)
{
    struct mw_memory memory;

    if (status_of(name, &memory) != 0) {
        fail_msg("%s is not parsed", name);
    }
    assert_int_equal(memory.rss_bytes, expected.rss_bytes);
    assert_int_equal(memory.hwm_bytes, expected.hwm_bytes);
    assert_int_equal(memory.anon_bytes, expected.anon_bytes);
    assert_int_equal(memory.file_bytes, expected.file_bytes);
    assert_int_equal(memory.shmem_bytes, expected.shmem_bytes);
    assert_int_equal(memory.swap_bytes, expected.swap_bytes);
    assert_int_equal(memory.threads, expected.threads);
}

static void
test_status_of_several_kernels(void **state)
{
    (void)state;
    assert_memory("proc/5.10/status-self",
                  (struct mw_memory){4 * KIB, 4 * KIB, 4 * KIB, 0, 0, 0, 1});
    assert_memory("proc/6.1/status-self",
                  (struct mw_memory){4 * KIB, 4 * KIB, 4 * KIB, 0, 0, 0, 1});
    assert_memory("proc/6.12/status-self",
                  (struct mw_memory){1468 * KIB, 1468 * KIB, 56 * KIB, 4 * KIB,
                                     1408 * KIB, 0, 1});
    assert_memory("proc/6.18/status-self",
                  (struct mw_memory){1464 * KIB, 1464 * KIB, 52 * KIB, 4 * KIB,
                                     1408 * KIB, 0, 1});
    assert_memory("proc/7.3/status-self",
                  (struct mw_memory){1468 * KIB, 1468 * KIB, 56 * KIB, 4 * KIB,
                                     1408 * KIB, 0, 1});
}

static void
test_status_of_a_member_of_many_groups(void **state)
{
    struct mw_memory memory;

    (void)state;
    assert_int_equal(status_of("proc/6.18/status-groups", &memory), 0);
    assert_int_equal(memory.rss_bytes, 1464 * KIB);
    assert_int_equal(memory.threads, 1);
}

/* They have no memory of their own: absent, not 0. */
static void
test_status_of_kernel_threads_and_zombies(void **state)
{
    static const char *names[] = {
        "proc/5.10/status-kthread", "proc/5.10/status-zombie",
        "proc/6.1/status-kthread",  "proc/6.1/status-zombie",
        "proc/6.12/status-kthread", "proc/6.12/status-zombie",
        "proc/6.18/status-kthread", "proc/6.18/status-zombie",
        "proc/7.3/status-kthread",  "proc/7.3/status-zombie",
    };
    struct mw_memory expected = MW_MEMORY_ABSENT;

    (void)state;
    expected.threads = 1;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_memory(names[i], expected);
    }
}

static void
test_status_that_lacks_fields(void **state)
{
    (void)state;
    assert_memory("proc/written/status-before-4.5",
                  (struct mw_memory){20480 * KIB, 30720 * KIB, MW_ABSENT, MW_ABSENT,
                                     MW_ABSENT, 512 * KIB, 3});
    assert_memory("proc/written/status-gvisor",
                  (struct mw_memory){11780 * KIB, MW_ABSENT, MW_ABSENT, MW_ABSENT,
                                     MW_ABSENT, MW_ABSENT, 1});
}

static void
test_status_garbage_is_refused_and_touches_nothing(void **state)
{
    static const char *names[] = {
        "empty",
        "newlines",
        "status-overflow",
        "status-negative",
        "status-other-unit",
        "status-overflow-in-bytes",
        "html",
        "status-no-number",
        "status-threads",
        "random",
    };

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[256];
        struct mw_memory memory = {.rss_bytes = 77};

        snprintf(path, sizeof path, "proc/garbage/%s", names[i]);
        assert_int_equal(status_of(path, &memory), -EBADMSG);
        assert_int_equal(memory.rss_bytes, 77);
    }
}

static void
test_status_with_nul_bytes(void **state)
{
    struct mw_memory memory;

    (void)state;
    assert_int_equal(status_of("proc/garbage/nul", &memory), 0);
    assert_int_equal(memory.rss_bytes, MW_ABSENT);
}

/* A process is called what it likes: its name is no line of figures. */
static void
test_status_of_a_process_named_like_a_line(void **state)
{
    static const char size[] = "Name:VmRSS:\t   4 kB\nVmHWM:\t   8 kB\nThreads:\t2\n";
    static const char threads[] = "Name:Threads:\t1\nVmRSS:\t   4 kB\nThreads:\t2\n";
    struct mw_memory memory;

    (void)state;
    assert_int_equal(mw_parse_status(size, sizeof size - 1, &memory), 0);
    assert_int_equal(memory.rss_bytes, MW_ABSENT);
    assert_int_equal(memory.hwm_bytes, 8 * KIB);
    assert_int_equal(mw_parse_status(threads, sizeof threads - 1, &memory), 0);
    assert_int_equal(memory.rss_bytes, 4 * KIB);
    assert_int_equal(memory.threads, 2);
}

static void
assert_same_or_absent(int64_t value, int64_t whole)
{
    assert_true(value == whole || value == MW_ABSENT);
}

/* A read that comes short, at every byte: what is there is right, the rest absent. */
static void
test_status_cut_anywhere(void **state)
{
    static const char *names[] = {
        "proc/5.10/status-self",   "proc/6.1/status-self",
        "proc/6.12/status-self",   "proc/6.18/status-self",
        "proc/7.3/status-self",    "proc/6.18/status-groups",
        "proc/6.18/status-zombie", "proc/6.18/status-kthread",
    };

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t whole_length;
        char *whole = read_data(names[i], &whole_length);
        struct mw_memory all;

        assert_int_equal(mw_parse_status(whole, whole_length, &all), 0);
        for (size_t length = 0; length < whole_length; length++) {
            char *text = cut(whole, length);
            struct mw_memory memory;
            int err = mw_parse_status(text, length, &memory);

            if (err == 0) {
                assert_same_or_absent(memory.rss_bytes, all.rss_bytes);
                assert_same_or_absent(memory.hwm_bytes, all.hwm_bytes);
                assert_same_or_absent(memory.anon_bytes, all.anon_bytes);
                assert_same_or_absent(memory.file_bytes, all.file_bytes);
                assert_same_or_absent(memory.shmem_bytes, all.shmem_bytes);
                assert_same_or_absent(memory.swap_bytes, all.swap_bytes);
                assert_same_or_absent(memory.threads, all.threads);
            }
            else {
                assert_int_equal(err, -EBADMSG);
                assert_true(length < strlen("Name:"));
            }
            free(text);
        }
        free(whole);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status_of_several_kernels),
        cmocka_unit_test(test_status_of_a_member_of_many_groups),
        cmocka_unit_test(test_status_of_kernel_threads_and_zombies),
        cmocka_unit_test(test_status_that_lacks_fields),
        cmocka_unit_test(test_status_garbage_is_refused_and_touches_nothing),
        cmocka_unit_test(test_status_with_nul_bytes),
        cmocka_unit_test(test_status_of_a_process_named_like_a_line),
        cmocka_unit_test(test_status_cut_anywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
