/* Copies that cannot be written, made or removed. */

#include "copies.h"

static void
test_partial_write_shows_no_torn_slot(void **state)
{
    struct mw_blackbox_writer *writer = new_recorder(*state);
    int64_t number = 0;

    shown = *state;
    looks = 0;
    looks_between = true;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < MW_BLACKBOX_CELLS; i++, number++) {
            struct mw_blackbox_title title;
            char label[32];

            (void)snprintf(label, sizeof label, "%lld", (long long)number);
            title = title_of(label);
            mw_blackbox_put_text(title.source, sizeof title.source, label);
            mw_blackbox_writer_close_cell(
                writer,
                mw_blackbox_writer_open_cell(writer, number, mw_clock_real_ns(), 1,
                                             &title),
                MW_BLACKBOX_OK, NULL);
        }
        WAIT_UNTIL(view_of(shown->copy).progress.opened == number);
    }
    looks_between = false;
    mw_blackbox_writer_free(&writer);
    WAIT_UNTIL(!exists(shown->copy));
    assert_true(looks > 0);
}

static void
test_failed_write_is_reported_and_repeated(void **state)
{
    const struct place *place = *state;
    struct mw_blackbox_writer *writer = new_recorder(place);

    write_err = ENOSPC;
    mw_blackbox_writer_add_sample(writer, 1, 1);
    WAIT_UNTIL(mw_blackbox_writer_copy_errno(writer) == ENOSPC);
    write_err = 0;
    WAIT_UNTIL(mw_blackbox_writer_copy_errno(writer) == 0);
    WAIT_UNTIL(view_of(place->copy).progress.samples == 1);
    mw_blackbox_writer_free(&writer);
}

static void
test_a_copy_that_was_removed_is_made_again(void **state)
{
    const struct place *place = *state;
    struct mw_blackbox_writer *writer = new_recorder(place);

    assert_int_equal(unlink(place->copy), 0);
    assert_int_equal(rmdir(place->folder), 0);
    WAIT_UNTIL(exists(place->copy));
    assert_int_equal(view_of(place->copy).identity.pid, getpid());
    mw_blackbox_writer_free(&writer);
}

static void
test_a_copy_that_cannot_be_made(void **state)
{
    struct place place = *(struct place *)*state;
    struct mw_blackbox_identity given = {0};
    struct mw_blackbox_writer *writer = NULL;

    (void)snprintf(place.copy, sizeof place.copy, "/nowhere/at/all/1-1.box");
    assert_int_equal(mw_blackbox_writer_new(&writer, place.box, place.copy, &given, 0),
                     -ENOENT);
    assert_null(writer);
    assert_false(exists(place.box));
    write_file(place.root, "copies", "a file");
    assert_int_equal(
        mw_blackbox_writer_new(&writer, place.box, place.folder, &given, 0), 0);
    mw_blackbox_writer_free(&writer);
    (void)snprintf(place.copy, sizeof place.copy, "%s/copies/1-1.box", place.root);
    write_file(place.root, "copies", "a file");
    assert_int_equal(mw_blackbox_writer_new(&writer, place.box, place.copy, &given, 0),
                     -ENOTDIR);
    assert_int_equal(unlink(place.folder), 0);
}

/* A link in place of the folder is not followed. */
static void
test_link_is_not_a_folder(void **state)
{
    const struct place *place = *state;
    struct mw_blackbox_identity given = {0};
    struct mw_blackbox_writer *writer = NULL;

    assert_int_equal(symlink("/tmp", place->folder), 0);
    assert_int_equal(
        mw_blackbox_writer_new(&writer, place->box, place->copy, &given, 0), -ENOTDIR);
    assert_int_equal(unlink(place->folder), 0);
}

static void
test_copy_that_cannot_be_removed_has_the_clean_end(void **state)
{
    const struct place *place = *state;
    struct mw_blackbox_writer *writer = new_recorder(place);

    unlink_err = EPERM;
    mw_blackbox_writer_free(&writer);
    WAIT_UNTIL(view_of(place->copy).progress.t_ended_ns > 0);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_partial_write_shows_no_torn_slot),
        TEST(test_failed_write_is_reported_and_repeated),
        TEST(test_a_copy_that_was_removed_is_made_again),
        TEST(test_a_copy_that_cannot_be_made),
        TEST(test_link_is_not_a_folder),
        TEST(test_copy_that_cannot_be_removed_has_the_clean_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
