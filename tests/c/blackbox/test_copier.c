/* A black box is copied; no cell waits for it, and a fork does not share it. */

#include "copies.h"

static void
test_recorded_cells_are_copied(void **state)
{
    const struct place *place = *state;
    struct mw_blackbox_writer *writer = new_recorder(place);
    struct mw_blackbox_title title = title_of("In [1]");
    struct mw_result result = {.rss_end_bytes = 7};
    struct stat found;
    int slot;

    assert_int_equal(stat(place->folder, &found), 0);
    assert_int_equal(found.st_mode & 07777, 0700);
    assert_int_equal(stat(place->copy, &found), 0);
    assert_int_equal(found.st_mode & 07777, 0600);
    assert_int_equal(view_of(place->copy).identity.pid, getpid());

    slot = mw_blackbox_writer_open_cell(writer, 1, mw_clock_real_ns(), 1, &title);
    mw_blackbox_writer_add_sample(writer, 1, 11);
    WAIT_UNTIL(view_of(place->copy).progress.samples == 1);
    WAIT_UNTIL(view_of(place->copy).cell_count == 1);
    assert_int_equal(view_of(place->copy).cells[0].status, MW_BLACKBOX_OPEN);
    mw_blackbox_writer_close_cell(writer, slot, MW_BLACKBOX_OK, &result);
    WAIT_UNTIL(view_of(place->copy).cells[0].status == MW_BLACKBOX_OK);
    assert_int_equal(view_of(place->copy).cells[0].result.rss_end_bytes, 7);

    mw_blackbox_writer_free(&writer);
    WAIT_UNTIL(!exists(place->copy));
    assert_false(exists(place->box));
}

/* A write hangs: windows open, are sampled and close as ever, a child can be forked and
 * executes another program, and the end is waited for in vain only up to its limit. */
static void
test_no_wait_for_a_hanging_write(void **state)
{
    const struct place *place = *state;
    const struct mw_blackbox_identity given = {0};
    const struct mw_blackbox_title title = title_of("In [1]");
    struct mw_sampler *sampler = NULL;
    struct mw_recording found;
    struct mw_watch watch;
    struct mw_result result;
    int status;
    pid_t child;

    assert_int_equal(mw_process_sampler_acquire(&sampler), 0);
    assert_int_equal(mw_recording_start(sampler, place->box, place->copy, &given), 0);
    WAIT_UNTIL(mw_recording_read(sampler, &found) && found.copy_errno == 0);
    hangs = true;
    for (int i = 0; i < 100 || hanging == 0; i++) {
        assert_int_equal(mw_sampler_open(sampler, &watch, &title), 0);
        assert_int_equal(mw_sampler_close(sampler, &watch, NULL, &result), 0);
    }
    WAIT_UNTIL(hanging > 0);
    WAIT_UNTIL(view_of(place->box).progress.opened >= 100);
    assert_true(view_of(place->copy).progress.opened < 100);

#ifndef __SANITIZE_THREAD__
    child = fork();
    if (child == 0) {
        execl("/bin/true", "true", (char *)NULL);
        _exit(1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
#else
    (void)child;
    (void)status;
#endif

    mw_recording_stop(sampler);
    assert_false(exists(place->box));
    assert_true(exists(place->copy)); /* what hangs cannot remove it */
    mw_process_sampler_release(&sampler);
    /* When the file system answers again, the thread that was left does. */
    hangs = false;
    WAIT_UNTIL(!exists(place->copy));
}

/* The thread holds none of our descriptors: the writing end of a pipe closes. */
static void
test_a_pipe_is_not_kept_open(void **state)
{
    struct mw_blackbox_writer *writer;
    char byte;
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    writer = new_recorder(*state);
    close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 0);
    close(ends[0]);
    mw_blackbox_writer_free(&writer);
}

/* A child has no descriptor of the copy: closing it may take as long as a write. */
static void
test_a_child_does_not_inherit_the_copy(void **state)
{
    const struct place *place = *state;
    struct mw_blackbox_writer *writer = new_recorder(place);
    struct stat copy;

    assert_int_equal(stat(place->copy, &copy), 0);
    for (int fd = 0; fd < 256; fd++) {
        struct stat found;

        assert_false(fstat(fd, &found) == 0 && found.st_ino == copy.st_ino &&
                     found.st_dev == copy.st_dev);
    }
    mw_blackbox_writer_free(&writer);
}

/* Without a place that is safe to map: only the copy is a file. */
static void
test_memory_only(void **state)
{
    const struct place *place = *state;
    struct mw_blackbox_identity given = {0};
    struct mw_blackbox_writer *writer = NULL;
    char path[64];

    assert_int_equal(mw_blackbox_writer_new(&writer, NULL, place->copy, &given, 0), 0);
    (void)snprintf(path, sizeof path, "%s", mw_blackbox_writer_path(writer));
    mw_blackbox_writer_add_sample(writer, 1, 1);
    assert_int_equal(view_of(path).progress.samples, 1); /* as the publisher reads it */
    WAIT_UNTIL(view_of(place->copy).progress.samples == 1);
    assert_false(mw_blackbox_writer_is_lost(writer));
    mw_blackbox_writer_free(&writer);
    WAIT_UNTIL(!exists(place->copy));
    assert_int_equal(view_of(path).cell_count, -1);
}

static struct mw_blackbox_writer *inherited;

static int
free_in_child(void)
{
    mw_blackbox_writer_free(&inherited);
    return 0;
}

static void
test_a_child_leaves_the_copy_to_its_parent(void **state)
{
    const struct place *place = *state;

    SKIP_UNDER_TSAN();
    SKIP_UNDER_VALGRIND();
    inherited = new_recorder(place);
    if (exit_status_of(free_in_child) != 0) {
        fail();
    }
    assert_true(exists(place->copy));
    mw_blackbox_writer_free(&inherited);
    WAIT_UNTIL(!exists(place->copy));
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_recorded_cells_are_copied),
        TEST(test_no_wait_for_a_hanging_write),
        TEST(test_a_pipe_is_not_kept_open),
        TEST(test_a_child_does_not_inherit_the_copy),
        TEST(test_memory_only),
        TEST(test_a_child_leaves_the_copy_to_its_parent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
