/* Where a black box is made: no folder, no space, leftovers, and after a fork. */

#include "boxes.h"

static void
test_no_folder(void **state)
{
    struct mw_blackbox_identity given = {0};
    struct mw_blackbox_writer *writer = NULL;
    char path[PATH_MAX + 8];

    (void)state;
    assert_int_equal(
        mw_blackbox_writer_new(&writer, "/nowhere/1-1.box", NULL, &given, 0), -ENOENT);
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    assert_int_equal(mw_blackbox_writer_new(&writer, path, NULL, &given, 0),
                     -ENAMETOOLONG);
    assert_null(writer);
}

/* A full disk, played by a limit to the size of files: an error, and no file. */
static int
fail_for_want_of_space(void)
{
    struct mw_blackbox_identity given = {0};
    struct mw_blackbox_writer *writer = NULL;
    char path[] = "/tmp/memwatch-test-XXXXXX";

    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){4096, 4096});
    if (mkdtemp(path) == NULL || chdir(path) != 0) {
        return 1;
    }
    if (mw_blackbox_writer_new(&writer, "1-1.box", NULL, &given, 0) != -EFBIG) {
        return 2;
    }
    return rmdir(path) == 0 ? 0 : 3; /* only empty folders go */
}

static void
test_no_space(void **state)
{
    (void)state;
    assert_int_equal(exit_status_of(fail_for_want_of_space), 0);
}

/* What one left who was killed while it made its box. */
static void
test_leftovers_are_replaced(void **state)
{
    const struct place *place = *state;
    struct mw_blackbox_writer *writer;

    write_file(place->folder, "1-1.box.new", "half");
    write_file(place->folder, "1-1.box", "old");
    writer = new_recorder(place);
    assert_int_equal(fault_of(place), MW_BLACKBOX_FINE);
    mw_blackbox_writer_free(&writer);
    assert_int_equal(rmdir(place->folder), 0);
    assert_int_equal(mkdir(place->folder, 0700), 0);
}

static struct mw_blackbox_writer *inherited;

static int
free_in_child(void)
{
    mw_blackbox_writer_free(&inherited);
    return 0;
}

static void
test_a_child_leaves_its_parents_box(void **state)
{
    const struct place *place = *state;

    SKIP_UNDER_VALGRIND(); /* as exit_status_of() does: the writer would be left */
    inherited = new_recorder(place);
    assert_int_equal(exit_status_of(free_in_child), 0);
    assert_int_equal(fault_of(place), MW_BLACKBOX_FINE);
    mw_blackbox_writer_free(&inherited);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_folder),
        cmocka_unit_test(test_no_space),
        cmocka_unit_test_setup_teardown(test_leftovers_are_replaced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_child_leaves_its_parents_box, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
