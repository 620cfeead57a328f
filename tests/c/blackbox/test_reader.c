/* Files that are torn, cut, of other versions, or no black boxes. */

#include "boxes.h"

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
            &file->head.identity.t_real_ns, (int64_t *)&file->head.progress.samples,
            (int64_t *)&file->head.progress.opened};
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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_torn_slots_are_passed_over, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_torn_slots_are_skipped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_every_length, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_other_versions_and_other_machines, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_no_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_texts_that_do_not_end, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
