/* Children that are started in a window, and windows in a forked child. */

#include "children.h"

static void
test_children_are_counted_once_however_started(void **state)
{
    struct mw_children_watch watch;
    struct mw_children_result result;

    (void)state;
    assert_int_equal(mw_children_open(&watch, NULL), 0);
    mw_children_announce(MW_CHILDREN_POPEN); /* by vfork: not seen */
    mw_children_announce(MW_CHILDREN_POPEN);
    mw_children_announce(MW_CHILDREN_SPAWN);
    mw_children_announce(MW_CHILDREN_SPAWN); /* one of its own */
    mw_children_announce(MW_CHILDREN_SYSTEM);
    mw_children_announce(MW_CHILDREN_FORK); /* it comes to nothing */
    assert_int_equal(mw_children_close(&watch, &result), 0);
    assert_int_equal(result.missed, 4);

    /* More seen than started: then it cannot be told. */
    assert_int_equal(mw_children_open(&watch, NULL), 0);
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
    assert_int_equal(mw_children_open(&watch, NULL), 0);
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
    assert_int_equal(mw_children_open(&watch, NULL), 0);
    assert_int_equal(mw_children_close(&watch, &result), 0);
    assert_int_equal(result.missed, 0);
}

static int
start_anew(void)
{
    struct mw_children_watch watch;
    struct mw_children_result result;

    return mw_children_open(&watch, NULL) != 0 ||
           mw_children_close(&watch, &result) != 0 || result.count != 2;
}

static int
check_forked_child(const struct mw_children_watch *watch,
                   struct mw_children_target *target)
{
    struct mw_children_watch another;
    int failed = watch->open || mw_children_open(&another, target) != -ESTALE;

    mw_children_target_free(&target);
    return failed || start_anew();
}

static void
test_forked_child_starts_again(void **state)
{
    struct mw_children_target *target;
    struct mw_children_watch watch;
    struct mw_children_result result;
    int status;
    pid_t child = getpid();

    (void)state;
    SKIP_UNDER_TSAN();
    SKIP_UNDER_VALGRIND();
    assert_int_equal(mw_children_target_new(&target, &child, 1), 0);
    assert_int_equal(mw_children_open(&watch, NULL), 0);
    mw_children_announce(MW_CHILDREN_FORK); /* none was announced that did not come */
    pthread_mutex_lock(&tree_lock);         /* or the thread has it when we fork */
    child = fork();
    pthread_mutex_unlock(&tree_lock);
    if (child == 0) {
        end_child(check_forked_child(&watch, target));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    set_reading(0, 1, 0);
    assert_int_equal(mw_children_close(&watch, &result), 0);
    assert_int_equal(result.missed, 0);
    mw_children_target_free(&target);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FAMILY(test_children_are_counted_once_however_started),
        WITH_FAMILY(test_forks_are_counted),
        WITH_FAMILY(test_children_of_before_are_not_this_windows),
        WITH_FAMILY(test_forked_child_starts_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
