/* What is written into a black box is read from it: who, cells, samples. */

#include "boxes.h"

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
    assert_int_equal(view.progress.lifetime_peak_bytes, 9 * MIB);
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
    assert_int_equal(view.progress.opened, 2);
    assert_string_equal(view.cells[0].title.label, "In [4]");
    assert_string_equal(view.cells[0].title.source, "x = load()");
    assert_int_equal(view.cells[0].title.execution_count, 4);
    assert_int_equal(view.cells[0].t_mono_ns, 1000);
    assert_int_equal(view.cells[0].status, MW_BLACKBOX_OPEN);
    assert_int_equal(view.cells[0].rss_peak_bytes, 10);
    assert_int_equal(view.cells[1].rss_peak_bytes, 70);
    assert_int_equal(view.cells[1].line, MW_ABSENT);
    mw_blackbox_writer_set_line(writer, inner, 7);
    view = view_of(place);
    assert_int_equal(view.cells[0].line, MW_ABSENT);
    assert_int_equal(view.cells[1].line, 7);

    mw_blackbox_writer_close_cell(writer, inner, MW_BLACKBOX_CANCELLED, NULL);
    mw_blackbox_writer_close_cell(writer, outer, MW_BLACKBOX_ERROR, &result);
    view = view_of(place);
    assert_int_equal(view.cells[0].status, MW_BLACKBOX_ERROR);
    assert_int_equal(view.cells[0].rss_peak_bytes, 90);
    assert_int_equal(view.cells[0].result.drift_bytes, -5);
    assert_int_equal(view.cells[0].result.rss_start_bytes, 10);
    assert_int_equal(view.cells[1].status, MW_BLACKBOX_CANCELLED);
    assert_int_equal(view.cells[1].line, MW_ABSENT);
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
    assert_int_equal(view_of(place).progress.untold, 1);
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
        cmocka_unit_test(test_text_is_cut_between_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
