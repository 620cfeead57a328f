/* What is told of a box that changes: cells and samples, in order, and what is lost. */

#include "support.h"

#include "stream/follower.h"

#define MS INT64_C(1000000)

static struct mw_follower tail;
static struct mw_blackbox_view view;
static struct mw_follower_item items[MW_FOLLOWER_ITEMS];
static int64_t gone;

/* A letter for each thing that is told, then the number of its cell, or "-". */
static const char *
look(int64_t t_now_ns, const struct mw_blackbox_sample *samples, size_t count,
     int64_t lost)
{
    static char told[4096];
    size_t number =
        mw_follower_advance(&tail, t_now_ns, &view, samples, count, lost, items, &gone);
    size_t length = 0;

    told[0] = '\0';
    for (size_t i = 0; i < number; i++) {
        const struct mw_blackbox_cell *cell = items[i].cell;
        char which[16] = "-";

        if (cell != NULL) {
            (void)snprintf(which, sizeof which, "%d", (int)cell->number);
        }
        length += (size_t)snprintf(told + length, sizeof told - length, "%s%c%s",
                                   i == 0 ? "" : " ", "soc"[items[i].kind], which);
    }
    return told;
}

static void
begin(int64_t interval_ns)
{
    gone = 0;
    mw_follower_init(&tail, &view, interval_ns);
}

static struct mw_blackbox_cell *
open_cell(int64_t number, int64_t t_ns)
{
    struct mw_blackbox_cell *cell = &view.cells[view.cell_count++];

    *cell = (struct mw_blackbox_cell){.number = number, .t_mono_ns = t_ns};
    view.progress.opened = number + 1;
    return cell;
}

static void
close_cell(struct mw_blackbox_cell *cell, int64_t t_ns)
{
    cell->status = MW_BLACKBOX_OK;
    cell->result.duration_ns = t_ns - cell->t_mono_ns;
}

static int
empty(void **state)
{
    (void)state;
    memset(&view, 0, sizeof view);
    return 0;
}

static void
test_one_cell(void **state)
{
    const struct mw_blackbox_sample samples[] = {
        {5 * MS, 1}, {105 * MS, 2}, {205 * MS, 3}};
    struct mw_blackbox_cell *cell;

    (void)state;
    begin(100 * MS);
    assert_string_equal(look(0, NULL, 0, 0), "");
    cell = open_cell(0, 4 * MS);
    assert_string_equal(look(6 * MS, samples, 1, 0), "o0 s0");
    assert_string_equal(look(106 * MS, samples + 1, 1, 0), "s0");
    close_cell(cell, 150 * MS);
    assert_string_equal(look(206 * MS, samples + 2, 1, 0), "c0 s-");
    assert_string_equal(look(300 * MS, NULL, 0, 0), "");
    assert_int_equal(gone, 0);
}

static void
test_closed_cells_are_not_sent(void **state)
{
    (void)state;
    close_cell(open_cell(0, 1), 2);
    open_cell(1, 3);
    begin(100 * MS);
    assert_string_equal(look(5, NULL, 0, 0), "o1");
}

static void
test_short_cells_are_sent_in_order(void **state)
{
    (void)state;
    begin(100 * MS);
    for (int i = 0; i < MW_BLACKBOX_CELLS; i++) {
        close_cell(open_cell(i, 10 * i + 1), 10 * i + 5);
    }
    assert_string_equal(look(1000, NULL, 0, 0),
                        "o0 c0 o1 c1 o2 c2 o3 c3 o4 c4 o5 c5 o6 c6 o7 c7 o8 c8 o9 c9 "
                        "o10 c10 o11 c11 o12 c12 o13 c13 o14 c14 o15 c15");
}

static void
test_nested_cells(void **state)
{
    const struct mw_blackbox_sample samples[] = {{10, 1}, {30, 2}, {50, 3}};
    struct mw_blackbox_cell *outer;
    struct mw_blackbox_cell *inner;

    (void)state;
    begin(1);
    outer = open_cell(0, 5);
    inner = open_cell(1, 20);
    close_cell(inner, 40);
    assert_string_equal(look(60, samples, 3, 0), "o0 s0 o1 s1 c1 s0");
    close_cell(outer, 70);
    assert_string_equal(look(80, NULL, 0, 0), "c0");
}

static void
test_unknown_end(void **state)
{
    struct mw_blackbox_cell *cell;

    (void)state;
    begin(1);
    cell = open_cell(0, 5);
    cell->status = MW_BLACKBOX_CANCELLED;
    cell->result.duration_ns = MW_ABSENT;
    assert_string_equal(look(9, NULL, 0, 0), "o0 c0");
    assert_int_equal(items[1].t_mono_ns, 9);
}

static void
test_torn_slot_gets_another_look(void **state)
{
    (void)state;
    begin(1);
    open_cell(0, 5);
    open_cell(1, 6);
    view.cell_count = 1; /* the second is being written */
    assert_string_equal(look(9, NULL, 0, 0), "o0");
    view.cell_count = 2;
    assert_string_equal(look(9, NULL, 0, 0), "o1");
    close_cell(&view.cells[1], 10);
    view.cell_count = 1; /* and again, when it closes */
    assert_string_equal(look(11, NULL, 0, 0), "");
    view.cell_count = 2;
    assert_string_equal(look(12, NULL, 0, 0), "c1");
    assert_int_equal(gone, 0);
}

static void
test_lost_cells(void **state)
{
    (void)state;
    begin(1);
    open_cell(0, 5);
    assert_string_equal(look(6, NULL, 0, 0), "o0");
    /* 100 cells later nothing is left of those before the newest. */
    view.cell_count = 0;
    open_cell(100, 50);
    assert_string_equal(look(51, NULL, 0, 0), "");
    assert_string_equal(look(52, NULL, 0, 0), "o100");
    assert_int_equal(gone, 1 + 99 * 2); /* the closing of one, and all of 99 */
}

static void
test_at_most_one_an_interval(void **state)
{
    struct mw_blackbox_sample samples[400];

    (void)state;
    for (int i = 0; i < 400; i++) {
        samples[i] = (struct mw_blackbox_sample){i * MS, i};
    }
    begin(100 * MS);
    assert_string_equal(look(100 * MS, samples + 1, 100, 0), "s-");
    assert_int_equal(items[0].rss_bytes, 100); /* the newest */
    assert_string_equal(look(200 * MS, samples + 101, 100, 0), "s-");
    assert_string_equal(look(399 * MS, samples + 201, 199, 0), "s- s-"); /* late */
    assert_int_equal(items[0].rss_bytes, 299);
    begin(MS);
    assert_int_equal(strlen(look(400 * MS, samples, 400, 0)), 400 * 3 - 1); /* all */
    assert_int_equal(gone, 0);
}

static void
test_lost_samples(void **state)
{
    const struct mw_blackbox_sample samples[] = {{1000 * MS, 1}, {2000 * MS, 2}};

    (void)state;
    begin(MS);
    look(1000 * MS, samples, 1, 0);
    look(2000 * MS, samples + 1, 1, 999);
    assert_int_equal(gone, 999);
    begin(100 * MS);
    look(1000 * MS, samples, 1, 0);
    look(2000 * MS, samples + 1, 1, 999);
    assert_int_equal(gone, 10); /* more would not have been told */
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_one_cell, empty),
        cmocka_unit_test_setup(test_closed_cells_are_not_sent, empty),
        cmocka_unit_test_setup(test_short_cells_are_sent_in_order, empty),
        cmocka_unit_test_setup(test_nested_cells, empty),
        cmocka_unit_test_setup(test_unknown_end, empty),
        cmocka_unit_test_setup(test_torn_slot_gets_another_look, empty),
        cmocka_unit_test_setup(test_lost_cells, empty),
        cmocka_unit_test_setup(test_at_most_one_an_interval, empty),
        cmocka_unit_test_setup(test_lost_samples, empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
