/* The black box: what one writes, the other reads; and what strangers write. */

#include "support.h"

#include <limits.h>
#include <pthread.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "blackbox/reader.h"
#include "blackbox/writer.h"

struct place {
    char folder[64];
    char path[96];
};

static int
set_up(void **state)
{
    static struct place place;

    (void)snprintf(place.folder, sizeof place.folder, "%s", make_root());
    (void)snprintf(place.path, sizeof place.path, "%s/1-1.box", place.folder);
    *state = &place;
    return 0;
}

static int
tear_down(void **state)
{
    remove_root(((struct place *)*state)->folder);
    return 0;
}

static struct mw_blackbox_writer *
new_recorder(const struct place *place)
{
    struct mw_blackbox_identity given = {.limit_bytes = 512 * MIB};
    struct mw_blackbox_writer *writer = NULL;

    mw_blackbox_put_text(given.kernel_id, sizeof given.kernel_id, "a-kernel");
    mw_blackbox_put_text(given.limit_set_by, sizeof given.limit_set_by, "cgroup");
    assert_int_equal(
        mw_blackbox_writer_new(&writer, place->path, NULL, &given, 9 * MIB), 0);
    return writer;
}

static struct mw_blackbox_title
title_of(const char *label, const char *source)
{
    struct mw_blackbox_title title = {.execution_count = 4};

    mw_blackbox_put_text(title.label, sizeof title.label, label);
    mw_blackbox_put_text(title.source, sizeof title.source, source);
    return title;
}

static struct mw_blackbox_reader *
new_reader(const struct place *place)
{
    struct mw_blackbox_reader *reader = NULL;
    enum mw_blackbox_fault fault = MW_BLACKBOX_FINE;

    assert_int_equal(mw_blackbox_reader_new(&reader, place->path, &fault), 0);
    return reader;
}

static struct mw_blackbox_view
view_of(const struct place *place)
{
    struct mw_blackbox_view view;
    struct mw_blackbox_reader *reader = new_reader(place);

    mw_blackbox_reader_view(reader, &view);
    mw_blackbox_reader_free(&reader);
    return view;
}

static void
test_who(void **state)
{
    const struct place *place = *state;
    struct mw_blackbox_writer *writer = new_recorder(place);
    struct mw_blackbox_view view = view_of(place);
    struct stat found;

    assert_int_equal(view.identity.pid, getpid());
    assert_int_equal(view.identity.uid, getuid());
    assert_int_equal(view.identity.session_id, getsid(0));
    assert_true(view.identity.start_ticks > 0);
    assert_int_equal(strlen(view.identity.boot_id), 36);
    assert_string_equal(view.identity.kernel_id, "a-kernel");
    assert_string_equal(view.identity.limit_set_by, "cgroup");
    assert_int_equal(view.identity.limit_bytes, 512 * MIB);
    assert_int_equal(view.lifetime_peak_bytes, 9 * MIB);
    assert_int_equal(view.cell_count, 0);
    assert_int_equal(stat(place->path, &found), 0);
    assert_int_equal(found.st_mode & 07777, 0600);
    assert_int_equal(found.st_size, MW_BLACKBOX_BYTES);
    assert_true(found.st_blocks * 512 >=
                MW_BLACKBOX_BYTES); /* no block to be found later */

    mw_blackbox_writer_free(&writer);
    assert_int_equal(access(place->path, F_OK), -1);
    mw_blackbox_writer_free(&writer);
}

static void
test_cells(void **state)
{
    const struct place *place = *state;
    struct mw_blackbox_writer *writer = new_recorder(place);
    struct mw_blackbox_title title = title_of("In [4]", "x = load()");
    struct mw_result result = {
        .rss_start_bytes = 10, .rss_peak_bytes = 90, .drift_bytes = -5};
    struct mw_blackbox_view view;
    int outer =
        mw_blackbox_writer_open_cell(writer, 1000, mw_clock_real_ns(), 10, &title);
    int inner;

    title = title_of("block", "");
    inner = mw_blackbox_writer_open_cell(writer, 2000, mw_clock_real_ns(), 20, &title);
    mw_blackbox_writer_set_peak(writer, inner, 70);
    view = view_of(place);
    assert_int_equal(view.cell_count, 2);
    assert_int_equal(view.opened, 2);
    assert_string_equal(view.cells[0].title.label, "In [4]");
    assert_string_equal(view.cells[0].title.source, "x = load()");
    assert_int_equal(view.cells[0].title.execution_count, 4);
    assert_int_equal(view.cells[0].t_mono_ns, 1000);
    assert_int_equal(view.cells[0].status, MW_BLACKBOX_OPEN);
    assert_int_equal(view.cells[0].rss_peak_bytes, 10);
    assert_int_equal(view.cells[1].rss_peak_bytes, 70);

    mw_blackbox_writer_close_cell(writer, inner, MW_BLACKBOX_CANCELLED, NULL);
    mw_blackbox_writer_close_cell(writer, outer, MW_BLACKBOX_ERROR, &result);
    view = view_of(place);
    assert_int_equal(view.cells[0].status, MW_BLACKBOX_ERROR);
    assert_int_equal(view.cells[0].rss_peak_bytes, 90);
    assert_int_equal(view.cells[0].result.drift_bytes, -5);
    assert_int_equal(view.cells[0].result.rss_start_bytes, 10);
    assert_int_equal(view.cells[1].status, MW_BLACKBOX_CANCELLED);
    assert_int_equal(view.cells[1].rss_peak_bytes, 70);
    mw_blackbox_writer_free(&writer);
}

/* A slot is used again and again: what the cell before it cost is not the new one's. */
static void
test_a_cancelled_cell_has_no_result(void **state)
{
    const struct place *place = *state;
    struct mw_blackbox_writer *writer = new_recorder(place);
    struct mw_blackbox_title title = title_of("In [1]", "");
    struct mw_result result = {.rss_end_bytes = 77, .duration_ns = 7};
    struct mw_blackbox_view view;

    for (int i = 0; i <= MW_BLACKBOX_CELLS; i++) {
        mw_blackbox_writer_close_cell(
            writer,
            mw_blackbox_writer_open_cell(writer, i, mw_clock_real_ns(), 1, &title),
            i == MW_BLACKBOX_CELLS ? MW_BLACKBOX_CANCELLED : MW_BLACKBOX_OK,
            i == MW_BLACKBOX_CELLS ? NULL : &result);
    }
    view = view_of(place);
    assert_int_equal(view.cells[MW_BLACKBOX_CELLS - 1].status, MW_BLACKBOX_CANCELLED);
    assert_true(view.cells[MW_BLACKBOX_CELLS - 1].result.rss_end_bytes == MW_ABSENT);
    assert_true(view.cells[MW_BLACKBOX_CELLS - 1].result.duration_ns == MW_ABSENT);
    assert_int_equal(view.cells[0].result.rss_end_bytes, 77);
    mw_blackbox_writer_free(&writer);
}

/* Those that are open stay, however many come after them. */
static void
test_more_cells_than_slots(void **state)
{
    const struct place *place = *state;
    struct mw_blackbox_writer *writer = new_recorder(place);
    struct mw_blackbox_title title = title_of("outer", "");
    struct mw_blackbox_view view;
    int slots[MW_BLACKBOX_CELLS];

    slots[0] = mw_blackbox_writer_open_cell(writer, 1, mw_clock_real_ns(), 1, &title);
    title = title_of("short", "");
    for (int i = 0; i < 100; i++) {
        int slot =
            mw_blackbox_writer_open_cell(writer, 2 + i, mw_clock_real_ns(), 1, &title);

        assert_int_not_equal(slot, slots[0]);
        mw_blackbox_writer_close_cell(writer, slot, MW_BLACKBOX_OK, NULL);
    }
    view = view_of(place);
    assert_int_equal(view.cell_count, MW_BLACKBOX_CELLS);
    assert_string_equal(view.cells[0].title.label, "outer");
    for (int i = 1; i < MW_BLACKBOX_CELLS; i++) {
        assert_int_equal(view.cells[i].number, 101 - MW_BLACKBOX_CELLS + i);
    }
    for (int i = 1; i < MW_BLACKBOX_CELLS; i++) {
        slots[i] =
            mw_blackbox_writer_open_cell(writer, 200, mw_clock_real_ns(), 1, &title);
        assert_int_not_equal(slots[i], MW_BLACKBOX_WRITER_NO_SLOT);
    }
    assert_int_equal(
        mw_blackbox_writer_open_cell(writer, 200, mw_clock_real_ns(), 1, &title),
        MW_BLACKBOX_WRITER_NO_SLOT);
    mw_blackbox_writer_set_peak(writer, MW_BLACKBOX_WRITER_NO_SLOT, 1);
    mw_blackbox_writer_close_cell(writer, MW_BLACKBOX_WRITER_NO_SLOT, MW_BLACKBOX_OK,
                                  NULL);
    assert_int_equal(view_of(place).untold, 1);
    mw_blackbox_writer_free(&writer);
}

static void
test_samples(void **state)
{
    static struct mw_blackbox_sample samples[MW_BLACKBOX_SAMPLES];
    const struct place *place = *state;
    struct mw_blackbox_writer *writer = new_recorder(place);
    struct mw_blackbox_reader *reader = new_reader(place);
    enum mw_blackbox_fault fault;
    int64_t next = 0;
    int64_t lost;

    for (int i = 0; i < 10; i++) {
        mw_blackbox_writer_add_sample(writer, i, INT64_C(100) * i);
    }
    assert_int_equal(mw_blackbox_reader_refresh(reader, &fault), 0);
    assert_int_equal(mw_blackbox_reader_samples(reader, &next, samples, &lost), 10);
    assert_int_equal(samples[9].t_mono_ns, 9);
    assert_int_equal(samples[9].rss_bytes, 900);
    assert_int_equal(next, 10);
    assert_int_equal(lost, 0);
    assert_int_equal(mw_blackbox_reader_samples(reader, &next, samples, &lost), 0);

    /* The ring goes round: the oldest are lost, and counted. */
    for (int i = 10; i < 10 + MW_BLACKBOX_SAMPLES + 7; i++) {
        mw_blackbox_writer_add_sample(writer, i, INT64_C(100) * i);
    }
    assert_int_equal(mw_blackbox_reader_refresh(reader, &fault), 0);
    assert_int_equal(mw_blackbox_reader_samples(reader, &next, samples, &lost),
                     MW_BLACKBOX_SAMPLES);
    assert_int_equal(lost, 7);
    assert_int_equal(samples[0].t_mono_ns, 17);
    assert_int_equal(next, 17 + MW_BLACKBOX_SAMPLES);
    mw_blackbox_reader_free(&reader);
    mw_blackbox_writer_free(&writer);
}

/* ---- what is torn ---- */

static struct mw_blackbox_file *
map_again(const struct place *place)
{
    int fd = open(place->path, O_RDWR);
    void *memory =
        mmap(NULL, MW_BLACKBOX_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    assert_ptr_not_equal(memory, MAP_FAILED);
    close(fd);
    return memory;
}

/* A writer that died in the middle of a slot. */
static void
test_torn_slots_are_passed_over(void **state)
{
    static struct mw_blackbox_sample samples[MW_BLACKBOX_SAMPLES];
    const struct place *place = *state;
    struct mw_blackbox_writer *writer = new_recorder(place);
    struct mw_blackbox_file *file = map_again(place);
    struct mw_blackbox_title title = title_of("In [1]", "");
    struct mw_blackbox_reader *reader;
    int64_t next = 0;
    int64_t lost;

    mw_blackbox_writer_open_cell(writer, 1, mw_clock_real_ns(), 1, &title);
    mw_blackbox_writer_open_cell(writer, 2, mw_clock_real_ns(), 1, &title);
    file->cells[0].sequence++;
    for (int i = 0; i < 3; i++) {
        mw_blackbox_writer_add_sample(writer, i, i);
    }
    /* Begun over the oldest of a full ring; and the newest not yet counted. */
    file->samples[0].sequence = 2 * (MW_BLACKBOX_SAMPLES + 1) - 1;
    file->samples[3].sequence = 2 * (3 + 1) - 1;

    assert_int_equal(view_of(place).cell_count, 1);
    assert_int_equal(view_of(place).cells[0].number, 1);
    reader = new_reader(place);
    assert_int_equal(mw_blackbox_reader_samples(reader, &next, samples, &lost), 2);
    assert_int_equal(samples[0].rss_bytes, 1);
    assert_int_equal(lost, 1);
    mw_blackbox_reader_free(&reader);
    munmap(file, MW_BLACKBOX_BYTES);
    mw_blackbox_writer_free(&writer);
}

struct writer {
    struct mw_blackbox_writer *writer;
    _Atomic bool stop;
};

static void *
keep_writing(void *argument)
{
    struct writer *writer = argument;
    struct mw_result result = {0};

    for (int64_t i = 0; !writer->stop; i++) {
        char label[32];
        struct mw_blackbox_title title;
        int slot;

        /* All of a slot says the same number: a mixture would show. */
        mw_blackbox_writer_add_sample(writer->writer, i, i);
        (void)snprintf(label, sizeof label, "%lld", (long long)i);
        title = title_of(label, label);
        title.execution_count = i;
        slot = mw_blackbox_writer_open_cell(writer->writer, i, mw_clock_real_ns(), i,
                                            &title);
        result.rss_start_bytes = i;
        result.drift_bytes = i;
        mw_blackbox_writer_close_cell(writer->writer, slot, MW_BLACKBOX_OK, &result);
    }
    return NULL;
}

static void
test_torn_slots_are_skipped(void **state)
{
    static struct mw_blackbox_sample samples[MW_BLACKBOX_SAMPLES];
    struct writer writer = {new_recorder(*state), false};
    struct mw_blackbox_reader *reader = new_reader(*state);
    struct mw_blackbox_view view;
    enum mw_blackbox_fault fault;
    pthread_t thread;
    int64_t next = 0;
    int64_t cells = 0;
    int64_t taken = 0;
    int64_t missed = 0;

    assert_int_equal(pthread_create(&thread, NULL, keep_writing, &writer), 0);
    for (int round = 0; round < 300 || cells == 0 || taken == 0; round++) {
        int64_t lost;
        size_t count;

        assert_int_equal(mw_blackbox_reader_refresh(reader, &fault), 0);
        count = mw_blackbox_reader_samples(reader, &next, samples, &lost);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(samples[i].t_mono_ns, samples[i].rss_bytes);
        }
        taken += (int64_t)count;
        missed += lost;
        assert_int_equal(taken + missed, next);
        mw_blackbox_reader_view(reader, &view);
        for (int i = 0; i < view.cell_count; i++) {
            const struct mw_blackbox_cell *cell = &view.cells[i];
            char label[32];

            (void)snprintf(label, sizeof label, "%lld", (long long)cell->number);
            assert_string_equal(cell->title.label, label);
            assert_string_equal(cell->title.source, label);
            assert_int_equal(cell->title.execution_count, cell->number);
            assert_int_equal(cell->t_mono_ns, cell->number);
            if (cell->status == MW_BLACKBOX_OK) {
                assert_int_equal(cell->result.drift_bytes, cell->number);
                assert_int_equal(cell->result.rss_start_bytes, cell->number);
            }
            cells++;
        }
    }
    writer.stop = true;
    pthread_join(thread, NULL);
    mw_blackbox_reader_free(&reader);
    mw_blackbox_writer_free(&writer.writer);
}

/* ---- what else may lie there ---- */

static enum mw_blackbox_fault
fault_of(const struct place *place)
{
    struct mw_blackbox_reader *reader = NULL;
    enum mw_blackbox_fault fault = MW_BLACKBOX_FINE;
    int err = mw_blackbox_reader_new(&reader, place->path, &fault);

    assert_int_equal(err, fault == MW_BLACKBOX_FINE ? 0 : -EBADMSG);
    mw_blackbox_reader_free(&reader);
    assert_true(strlen(mw_blackbox_describe_fault(fault)) > 10);
    return fault;
}

static void
test_every_length(void **state)
{
    const struct place *place = *state;
    struct mw_blackbox_writer *writer = new_recorder(place);

    for (off_t length = MW_BLACKBOX_BYTES - 1; length >= 0;
         length -= length > 200 ? 97 : 1) {
        assert_int_equal(truncate(place->path, length), 0);
        assert_int_equal(fault_of(place), length == 0 || length >= 8
                                              ? MW_BLACKBOX_TRUNCATED
                                              : MW_BLACKBOX_NO_BOX);
    }
    /* The writer's mapping has no file behind it any more: it is only taken away. */
    mw_blackbox_writer_free(&writer);
}

static void
test_other_versions_and_other_machines(void **state)
{
    const struct place *place = *state;
    struct mw_blackbox_writer *writer = new_recorder(place);
    struct mw_blackbox_file *file = map_again(place);

    assert_int_equal(fault_of(place), MW_BLACKBOX_FINE);
    file->head.version = MW_BLACKBOX_VERSION + 1;
    assert_int_equal(fault_of(place), MW_BLACKBOX_NEWER);
    file->head.version = 0;
    assert_int_equal(fault_of(place), MW_BLACKBOX_OLDER);
    file->head.version = MW_BLACKBOX_VERSION;
    file->head.byte_order = 0x04030201;
    assert_int_equal(fault_of(place), MW_BLACKBOX_FOREIGN);
    file->head.byte_order = MW_BLACKBOX_BYTE_ORDER;
    file->head.bytes = 1;
    assert_int_equal(fault_of(place), MW_BLACKBOX_INCONSISTENT);
    file->head.bytes = MW_BLACKBOX_BYTES;
    for (int i = 0; i < 5; i++) {
        const int64_t absent = MW_ABSENT;
        int64_t *const figures[] = {
            &file->head.identity.pid, &file->head.identity.t_mono_ns,
            &file->head.identity.t_real_ns, (int64_t *)&file->head.samples,
            (int64_t *)&file->head.cells};
        int64_t before = *figures[i];

        memcpy(figures[i], &absent, sizeof absent);
        assert_int_equal(fault_of(place), MW_BLACKBOX_INCONSISTENT);
        memcpy(figures[i], &before, sizeof before);
    }
    assert_int_equal(fault_of(place), MW_BLACKBOX_FINE);
    memset(file, 0, sizeof *file);
    assert_int_equal(fault_of(place), MW_BLACKBOX_UNFINISHED);
    memset(file, 'x', sizeof *file);
    assert_int_equal(fault_of(place), MW_BLACKBOX_NO_BOX);
    munmap(file, MW_BLACKBOX_BYTES);
    mw_blackbox_writer_free(&writer);
}

static void
test_no_files(void **state)
{
    const struct place *place = *state;
    struct mw_blackbox_reader *reader = NULL;
    enum mw_blackbox_fault fault;

    assert_int_equal(mw_blackbox_reader_new(&reader, place->path, &fault), -ENOENT);
    assert_int_equal(symlink("/etc/hostname", place->path), 0);
    assert_int_equal(mw_blackbox_reader_new(&reader, place->path, &fault), -ELOOP);
    unlink(place->path);
    assert_int_equal(mkfifo(place->path, 0600), 0);
    assert_int_equal(fault_of(place),
                     MW_BLACKBOX_NO_BOX); /* and it is not waited for */
    assert_int_equal(mw_blackbox_reader_new(&reader, place->folder, &fault), -EBADMSG);
    assert_null(reader);
}

static void
test_texts_that_do_not_end(void **state)
{
    const struct place *place = *state;
    struct mw_blackbox_writer *writer = new_recorder(place);
    struct mw_blackbox_file *file = map_again(place);
    struct mw_blackbox_title title = title_of("In [1]", "");
    struct mw_blackbox_view view;

    mw_blackbox_writer_open_cell(writer, 1, mw_clock_real_ns(), 1, &title);
    memset(file->head.identity.boot_id, 'b', sizeof file->head.identity.boot_id);
    memset(file->head.identity.notebook, 'n', sizeof file->head.identity.notebook);
    memset(&file->cells[0].cell.title, 't', sizeof title);
    view = view_of(place);
    assert_int_equal(strlen(view.identity.boot_id), MW_BLACKBOX_SHORT_TEXT - 1);
    assert_int_equal(strlen(view.identity.notebook), MW_BLACKBOX_PATH - 1);
    assert_int_equal(strlen(view.cells[0].title.source), MW_BLACKBOX_SOURCE - 1);
    munmap(file, MW_BLACKBOX_BYTES);
    mw_blackbox_writer_free(&writer);
}

static void
test_text_is_cut_between_characters(void **state)
{
    char room[8];

    (void)state;
    mw_blackbox_put_text(room, sizeof room, "1234567");
    assert_string_equal(room, "1234567");
    mw_blackbox_put_text(room, sizeof room, "12345678");
    assert_string_equal(room, "1234567");
    mw_blackbox_put_text(room, sizeof room, "12345\xe2\x82\xac");
    assert_string_equal(room, "12345");
    mw_blackbox_put_text(room, sizeof room, "1234\xe2\x82\xac");
    assert_string_equal(room, "1234\xe2\x82\xac");
    mw_blackbox_put_text(room, sizeof room, "\x80\x80\x80\x80\x80\x80\x80\x80\x80");
    assert_string_equal(room, "");
    mw_blackbox_put_text(room, sizeof room, NULL);
    assert_memory_equal(room, "\0\0\0\0\0\0\0", sizeof room);
}

/* ---- where it cannot be made ---- */

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
        cmocka_unit_test_setup_teardown(test_who, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cells, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_cancelled_cell_has_no_result, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_more_cells_than_slots, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_samples, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_torn_slots_are_passed_over, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_torn_slots_are_skipped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_every_length, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_other_versions_and_other_machines, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_no_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_texts_that_do_not_end, set_up, tear_down),
        cmocka_unit_test(test_text_is_cut_between_characters),
        cmocka_unit_test(test_no_folder),
        cmocka_unit_test(test_no_space),
        cmocka_unit_test_setup_teardown(test_leftovers_are_replaced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_child_leaves_its_parents_box, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
