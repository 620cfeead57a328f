/* Trees that cannot be created or read. */

#include "families.h"

static void
start_failing(const char *call, int err, int after)
{
    failing = call;
    failing_errno = err;
    calls_to_go = after;
}

static void
test_pss_that_cannot_be_read_is_absent(void **state)
{
    struct mw_process_tree *tree;
    struct mw_process_tree_reading reading;
    pid_t one = start_child(0, 0);
    pid_t two = start_child(0, 0);

    (void)state;
    assert_int_equal(new_own_tree(&tree), 0);
    selected = PSS_DENIED;
    assert_int_equal(mw_process_tree_read(tree, true, &reading), 0);
    assert_int_equal(reading.count, 2);
    assert_true(reading.rss_bytes > 0);
    assert_int_equal(reading.pss_bytes, MW_ABSENT);
    assert_int_equal(reading.own_pss_bytes, MW_ABSENT);
    selected = ENDED;
    assert_int_equal(mw_process_tree_read(tree, true, &reading), 0);
    assert_int_equal(reading.count, 0);
    assert_int_equal(reading.rss_bytes, 0);
    assert_int_equal(reading.pss_bytes, 0);
    selected = AS_IT_IS;
    end_it(one);
    end_it(two);
    mw_process_tree_free(&tree);
}

static void
test_tree_that_cannot_be_created(void **state)
{
    static const struct {
        const char *call;
        int after;
    } calls[] = {{"calloc", 0}, {"pids_new", 0}, {"pids_new", 1}};
    struct mw_process_tree *tree = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        start_failing(calls[i].call, ENOMEM, calls[i].after);
        assert_int_equal(new_own_tree(&tree), -ENOMEM);
        start_failing(NULL, 0, 0);
        assert_null(tree);
    }
}

static void
test_tree_that_cannot_be_read(void **state)
{
    static const struct {
        const char *call;
        int err;
        int after;
        int told;
    } calls[] = {
        {"pids_reap", EMFILE, 0, -EMFILE},   {"pids_reap", 0, 0, -EIO},
        {"realloc", ENOMEM, 0, -ENOMEM},     {"realloc", ENOMEM, 1, -ENOMEM},
        {"pids_select", EMFILE, 0, -EMFILE}, {"pids_select", 0, 0, -EIO},
    };
    struct mw_process_tree *tree;
    struct mw_process_tree_reading reading = {.count = 77};
    pid_t child = start_child(0, 0);

    (void)state;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        assert_int_equal(new_own_tree(&tree), 0);
        start_failing(calls[i].call, calls[i].err, calls[i].after);
        assert_int_equal(mw_process_tree_read(tree, true, &reading), calls[i].told);
        start_failing(NULL, 0, 0);
        assert_int_equal(reading.count, 77);
        assert_int_equal(mw_process_tree_read(tree, false, &reading), 0);
        assert_int_equal(reading.count, 1);
        assert_int_equal(reading.first_seen, 1);
        reading.count = 77;
        mw_process_tree_free(&tree);
    }
    end_it(child);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pss_that_cannot_be_read_is_absent),
        cmocka_unit_test(test_tree_that_cannot_be_created),
        cmocka_unit_test(test_tree_that_cannot_be_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
