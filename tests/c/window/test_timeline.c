#include "support.h"

#include "window/timeline.h"

static void
assert_in_order(const struct mw_timeline *timeline)
{
    for (int32_t i = 1; i < timeline->count; i++) {
        assert_true(timeline->t_ns[i] > timeline->t_ns[i - 1]);
    }
}

static void
test_short_series_is_kept_whole(void **state)
{
    struct mw_timeline timeline;

    (void)state;
    mw_timeline_init(&timeline, 0, 100);
    for (int i = 1; i <= 9; i++) {
        mw_timeline_add(&timeline, i, 100 + i);
    }
    mw_timeline_finish(&timeline, 10, 200);
    assert_int_equal(timeline.count, 11);
    for (int i = 0; i <= 9; i++) {
        assert_int_equal(timeline.t_ns[i], i);
        assert_int_equal(timeline.rss_bytes[i], 100 + i);
    }
    assert_int_equal(timeline.rss_bytes[10], 200);
}

static void
test_empty_window_has_two_ends(void **state)
{
    struct mw_timeline timeline;

    (void)state;
    mw_timeline_init(&timeline, 0, 100);
    mw_timeline_finish(&timeline, 1, 101);
    assert_int_equal(timeline.count, 2);
}

/* Any length, with one high sample anywhere: it is never merged away. */
static void
test_any_length_fits_and_keeps_its_peak(void **state)
{
    static const int lengths[] = {509, 510, 511, 512, 513, 1021, 1024, 5000, 1000000};

    (void)state;
    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
        int length = lengths[k];
        int peak_at = 1 + (length * 7) / 11;
        struct mw_timeline timeline;
        int found = 0;

        mw_timeline_init(&timeline, 0, 100);
        for (int i = 1; i <= length; i++) {
            mw_timeline_add(&timeline, i, i == peak_at ? 900 : 100);
        }
        mw_timeline_finish(&timeline, length + 1, 101);

        assert_in_range(timeline.count, 2, MW_TIMELINE_POINTS);
        assert_in_order(&timeline);
        assert_int_equal(timeline.t_ns[0], 0);
        assert_int_equal(timeline.t_ns[timeline.count - 1], length + 1);
        for (int32_t i = 0; i < timeline.count; i++) {
            if (timeline.rss_bytes[i] == 900) {
                assert_int_equal(timeline.t_ns[i], peak_at);
                found++;
            }
        }
        assert_int_equal(found, 1);
    }
}

static void
test_long_series_uses_the_room(void **state)
{
    struct mw_timeline timeline;

    (void)state;
    mw_timeline_init(&timeline, 0, 1);
    for (int i = 1; i <= 100000; i++) {
        mw_timeline_add(&timeline, i, i);
    }
    mw_timeline_finish(&timeline, 100001, 1);
    assert_in_range(timeline.count, MW_TIMELINE_POINTS / 2 - 1, MW_TIMELINE_POINTS);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_short_series_is_kept_whole),
        cmocka_unit_test(test_empty_window_has_two_ends),
        cmocka_unit_test(test_any_length_fits_and_keeps_its_peak),
        cmocka_unit_test(test_long_series_uses_the_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
