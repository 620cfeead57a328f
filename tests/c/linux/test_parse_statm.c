/* /proc/PID/statm of several kernels, whole, cut and garbled. */

#include "parsing.h"

static int
statm_of(const char *name, int64_t *rss_bytes)
{
    size_t length;
    char *text = read_data(name, &length);
    int err = mw_parse_statm(text, length, 4096, rss_bytes);

    free(text);
    return err;
}

static void
test_statm_of_several_kernels(void **state)
{
    int64_t rss;

    (void)state;
    assert_int_equal(statm_of("proc/5.10/statm-self", &rss), 0);
    assert_int_equal(rss, 1 * 4096);
    assert_int_equal(statm_of("proc/6.12/statm-self", &rss), 0);
    assert_int_equal(rss, 366 * 4096);
    assert_int_equal(statm_of("proc/6.18/statm-self", &rss), 0);
    assert_int_equal(rss, 365 * 4096);
    assert_int_equal(statm_of("proc/7.3/statm-self", &rss), 0);
    assert_int_equal(rss, 367 * 4096);
    rss = 77;
    assert_int_equal(statm_of("proc/6.18/statm-kthread", &rss), -ENODATA);
    assert_int_equal(rss, 77);
}

static void
test_statm_garbage_is_refused_and_touches_nothing(void **state)
{
    static const char *names[] = {"empty",  "newlines",       "html",
                                  "random", "statm-negative", "statm-overflow",
                                  "nul",    "statm-one-field"};

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[256];
        int64_t rss = 77;

        snprintf(path, sizeof path, "proc/garbage/%s", names[i]);
        assert_int_equal(statm_of(path, &rss), -EBADMSG);
        assert_int_equal(rss, 77);
    }
}

static void
test_statm_cut_anywhere_is_refused(void **state)
{
    static const char *names[] = {"proc/5.10/statm-self", "proc/6.1/statm-self",
                                  "proc/6.12/statm-self", "proc/6.18/statm-self",
                                  "proc/7.3/statm-self"};
    int64_t rss = 77;

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t whole_length;
        char *whole = read_data(names[i], &whole_length);

        for (size_t length = 0; length < whole_length; length++) {
            char *text = cut(whole, length);

            assert_int_equal(mw_parse_statm(text, length, 4096, &rss), -EBADMSG);
            free(text);
        }
        free(whole);
    }
    assert_int_equal(rss, 77);
}

static void
test_statm_counts_in_pages(void **state)
{
    static const char text[] = "583 365 353 388 0 93 0\n";
    int64_t rss;

    (void)state;
    assert_int_equal(mw_parse_statm(text, sizeof text - 1, 65536, &rss), 0);
    assert_int_equal(rss, 365 * 65536);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statm_of_several_kernels),
        cmocka_unit_test(test_statm_garbage_is_refused_and_touches_nothing),
        cmocka_unit_test(test_statm_cut_anywhere_is_refused),
        cmocka_unit_test(test_statm_counts_in_pages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
