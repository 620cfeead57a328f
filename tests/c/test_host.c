#include "support.h"

#include <time.h>

#include "mw_clock.h"
#include "mw_host.h"

static void
test_memory(void **state)
{
    struct mw_host *host;
    struct mw_host_memory memory;
    int64_t installed = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);

    (void)state;
    assert_int_equal(mw_host_new(&host), 0);
    assert_int_equal(mw_host_read_memory(host, &memory), 0);
    assert_true(distance(memory.total_bytes, installed) < installed / 100);
    assert_true(memory.available_bytes > 0);
    assert_true(memory.available_bytes <= memory.total_bytes);
    mw_host_free(&host);
    assert_null(host);
    mw_host_free(&host);
}

/* One processor kept busy for a quarter second: some processor was. */
static void
test_busy_processor_is_seen(void **state)
{
    struct mw_host *host;
    struct mw_cpu start;
    struct mw_cpu end;
    int64_t t_end_ns = mw_clock_mono_ns() + 250 * MW_NS_PER_MS;

    (void)state;
    assert_int_equal(mw_host_new(&host), 0);
    assert_int_equal(mw_host_read_cpu(host, &start), 0);
    while (mw_clock_mono_ns() < t_end_ns) {
    }
    assert_int_equal(mw_host_read_cpu(host, &end), 0);
    assert_true(end.total_ticks > start.total_ticks);
    assert_true(end.busy_ticks > start.busy_ticks);
    assert_true(end.busiest_ticks >= 10);
    assert_in_range(end.busiest_percent, 1, 100);
    mw_host_free(&host);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_busy_processor_is_seen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
