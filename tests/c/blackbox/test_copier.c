/* The copy of a black box on a file system that is slow, hangs, or fails. */

#include "support.h"

#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "blackbox/copier.h"
#include "blackbox/reader.h"
#include "sampler/process_sampler.h"
#include "sampler/recording.h"

#define LIMIT_NS (60 * MW_NS_PER_S)

enum { PIECE_BYTES = 211 };

/* Waits for what another thread does; a minute is a failure. */
/* How the file system behaves: of the copier's thread alone. */
static atomic_bool hangs;
static atomic_int hanging;   /* calls that do, or are about to see whether to */
static atomic_int write_err; /* 0: they succeed */
static atomic_int unlink_err;
static _Atomic(bool) looks_between; /* at the copy, between pieces of a write */
static void look(void);

static bool
is_copier(void)
{
    return syscall(SYS_gettid) != getpid();
}

static void
hang_if_wanted(void)
{
    if (is_copier()) {
        hanging++;
        while (hangs) {
            sched_yield();
        }
        hanging--;
    }
}

ssize_t __real_pwrite64(int fd, const void *memory, size_t size, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *memory, size_t size, off_t offset);
int __real_unlink(const char *path);
int __wrap_unlink(const char *path);

ssize_t
__wrap_pwrite64(int fd, const void *memory, size_t size, off_t offset)
{
    ssize_t written = 0;

    if (!is_copier()) {
        return __real_pwrite64(fd, memory, size, offset);
    }
    hang_if_wanted();
    if (write_err != 0) {
        errno = write_err;
        return -1;
    }
    if (!looks_between) {
        return __real_pwrite64(fd, memory, size, offset);
    }
    /* A piece of a slot at a time, with a look in between. */
    while ((size_t)written < size) {
        size_t rest = size - (size_t)written;

        written +=
            __real_pwrite64(fd, (const char *)memory + written,
                            rest < PIECE_BYTES ? rest : PIECE_BYTES, offset + written);
        look();
    }
    return written;
}

int
__wrap_unlink(const char *path)
{
    hang_if_wanted();
    if (is_copier() && unlink_err != 0) {
        errno = unlink_err;
        return -1;
    }
    return __real_unlink(path);
}

struct place {
    char root[64];
    char box[128];
    char folder[128];
    char copy[160];
};

static int
set_up(void **state)
{
    static struct place place;

    (void)snprintf(place.root, sizeof place.root, "%s", make_root());
    (void)snprintf(place.box, sizeof place.box, "%s/1-1.box", place.root);
    (void)snprintf(place.folder, sizeof place.folder, "%s/copies", place.root);
    (void)snprintf(place.copy, sizeof place.copy, "%s/1-1.box", place.folder);
    hangs = false;
    write_err = unlink_err = 0;
    looks_between = false;
    *state = &place;
    return 0;
}

static int
tear_down(void **state)
{
    hangs = false;
    remove_root(((struct place *)*state)->root);
    return 0;
}

static struct mw_blackbox_writer *
new_recorder(const struct place *place)
{
    struct mw_blackbox_identity given = {0};
    struct mw_blackbox_writer *writer = NULL;

    assert_int_equal(
        mw_blackbox_writer_new(&writer, place->box, place->copy, &given, 0), 0);
    WAIT_UNTIL(mw_blackbox_writer_copy_errno(writer) == 0);
    return writer;
}

static struct mw_blackbox_title
title_of(const char *label)
{
    struct mw_blackbox_title title = {.execution_count = 4};

    mw_blackbox_put_text(title.label, sizeof title.label, label);
    return title;
}

/* What is in the copy now; cell_count -1: no box. */
static struct mw_blackbox_view
view_of(const char *path)
{
    struct mw_blackbox_view view = {.cell_count = -1};
    struct mw_blackbox_reader *reader = NULL;
    enum mw_blackbox_fault fault;

    if (mw_blackbox_reader_new(&reader, path, &fault) == 0) {
        mw_blackbox_reader_view(reader, &view);
    }
    mw_blackbox_reader_free(&reader);
    return view;
}

static bool
exists(const char *path)
{
    struct stat found;

    return lstat(path, &found) == 0;
}

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
    WAIT_UNTIL(view_of(place->copy).samples == 1);
    WAIT_UNTIL(view_of(place->copy).cell_count == 1);
    assert_int_equal(view_of(place->copy).cells[0].status, MW_BLACKBOX_OPEN);
    mw_blackbox_writer_close_cell(writer, slot, MW_BLACKBOX_OK, &result);
    WAIT_UNTIL(view_of(place->copy).cells[0].status == MW_BLACKBOX_OK);
    assert_int_equal(view_of(place->copy).cells[0].result.rss_end_bytes, 7);

    mw_blackbox_writer_free(&writer);
    WAIT_UNTIL(!exists(place->copy));
    assert_false(exists(place->box));
}

/* ---- nobody waits ---- */

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
    WAIT_UNTIL(view_of(place->box).opened >= 100);
    assert_true(view_of(place->copy).opened < 100);

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

/* ---- nothing torn ---- */

static const struct place *_Atomic shown;
static atomic_int looks;

/* All of a slot says the same number: a mixture would show. */
static void
look(void)
{
    struct mw_blackbox_view view = view_of(shown->copy);

    for (int i = 0; i < view.cell_count; i++) {
        const struct mw_blackbox_cell *cell = &view.cells[i];
        char label[32];

        (void)snprintf(label, sizeof label, "%lld", (long long)cell->number);
        if (strcmp(cell->title.label, label) != 0 ||
            strcmp(cell->title.source, label) != 0 || cell->t_mono_ns != cell->number) {
            abort();
        }
        looks++;
    }
}

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
        WAIT_UNTIL(view_of(shown->copy).opened == number);
    }
    looks_between = false;
    mw_blackbox_writer_free(&writer);
    WAIT_UNTIL(!exists(shown->copy));
    assert_true(looks > 0);
}

/* ---- what goes wrong ---- */

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
    WAIT_UNTIL(view_of(place->copy).samples == 1);
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
    WAIT_UNTIL(view_of(place->copy).t_ended_ns > 0);
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
    assert_int_equal(view_of(path).samples, 1); /* as the publisher reads it */
    WAIT_UNTIL(view_of(place->copy).samples == 1);
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
        TEST(test_partial_write_shows_no_torn_slot),
        TEST(test_failed_write_is_reported_and_repeated),
        TEST(test_a_copy_that_was_removed_is_made_again),
        TEST(test_a_copy_that_cannot_be_made),
        TEST(test_link_is_not_a_folder),
        TEST(test_copy_that_cannot_be_removed_has_the_clean_end),
        TEST(test_memory_only),
        TEST(test_a_child_leaves_the_copy_to_its_parent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
