#include "support.h"

#include <stdbool.h>
#include <time.h>

#include <libproc2/meminfo.h>
#include <libproc2/stat.h>

#include "base/clock.h"
#include "linux/procps/machine.h"

/* The linker's --wrap has these come here first. libproc2 tells an error by what a
 * function returns or by errno, and at times leaves errno alone. */
static const char *failing; /* NULL: none */
static int failing_errno;

static bool
fails(const char *call)
{
    if (failing == NULL || strcmp(call, failing) != 0) {
        return false;
    }
    errno = failing_errno;
    return true;
}

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *
__wrap_calloc(size_t count, size_t size)
{
    return fails("calloc") ? NULL : __real_calloc(count, size);
}

int __real_procps_meminfo_new(struct meminfo_info **info);
int __wrap_procps_meminfo_new(struct meminfo_info **info);
int
__wrap_procps_meminfo_new(struct meminfo_info **info)
{
    return fails("meminfo_new") ? -failing_errno : __real_procps_meminfo_new(info);
}

int __real_procps_stat_new(struct stat_info **info);
int __wrap_procps_stat_new(struct stat_info **info);
int
__wrap_procps_stat_new(struct stat_info **info)
{
    return fails("stat_new") ? -failing_errno : __real_procps_stat_new(info);
}

struct meminfo_stack *__real_procps_meminfo_select(struct meminfo_info *info,
                                                   enum meminfo_item *items, int count);
struct meminfo_stack *__wrap_procps_meminfo_select(struct meminfo_info *info,
                                                   enum meminfo_item *items, int count);
struct meminfo_stack *
__wrap_procps_meminfo_select(struct meminfo_info *info, enum meminfo_item *items,
                             int count)
{
    return fails("meminfo_select") ? NULL
                                   : __real_procps_meminfo_select(info, items, count);
}

struct stat_reaped *
__real_procps_stat_reap(struct stat_info *info, enum stat_reap_type what,
                        enum stat_item *items, int count);
struct stat_reaped *
__wrap_procps_stat_reap(struct stat_info *info, enum stat_reap_type what,
                        enum stat_item *items, int count);
struct stat_reaped *
__wrap_procps_stat_reap(struct stat_info *info, enum stat_reap_type what,
                        enum stat_item *items, int count)
{
    return fails("stat_reap") ? NULL
                              : __real_procps_stat_reap(info, what, items, count);
}

static void
start_failing(const char *call, int err)
{
    failing = call;
    failing_errno = err;
}

static void
test_machine_that_cannot_be_opened(void **state)
{
    static const char *const calls[] = {"calloc", "meminfo_new", "stat_new"};
    struct mw_machine *host = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        start_failing(calls[i], ENOMEM);
        assert_int_equal(mw_machine_new(&host), -ENOMEM);
        start_failing(NULL, 0);
        assert_null(host);
    }
    assert_int_equal(mw_machine_new(&host), 0);
    mw_machine_free(&host);
}

static void
test_host_that_cannot_be_read(void **state)
{
    struct mw_machine *host;
    struct mw_machine_memory memory = {77, 77};
    struct mw_cpu cpu = {77, 77, 77, 77};

    (void)state;
    assert_int_equal(mw_machine_new(&host), 0);
    start_failing("meminfo_select", EMFILE);
    assert_int_equal(mw_machine_read_memory(host, &memory), -EMFILE);
    start_failing("meminfo_select", 0);
    assert_int_equal(mw_machine_read_memory(host, &memory), -EIO);
    assert_int_equal(memory.total_bytes, 77);
    start_failing("stat_reap", EMFILE);
    assert_int_equal(mw_machine_read_cpu(host, &cpu), -EMFILE);
    start_failing("stat_reap", 0);
    assert_int_equal(mw_machine_read_cpu(host, &cpu), -EIO);
    assert_int_equal(cpu.busy_ticks, 77);
    start_failing(NULL, 0);
    assert_int_equal(mw_machine_read_memory(host, &memory), 0);
    assert_int_equal(mw_machine_read_cpu(host, &cpu), 0);
    mw_machine_free(&host);
}

static void
test_memory(void **state)
{
    struct mw_machine *host;
    struct mw_machine_memory memory;
    int64_t installed = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);

    (void)state;
    assert_int_equal(mw_machine_new(&host), 0);
    assert_int_equal(mw_machine_read_memory(host, &memory), 0);
    assert_true(distance(memory.total_bytes, installed) < installed / 100);
    assert_true(memory.available_bytes > 0);
    assert_true(memory.available_bytes <= memory.total_bytes);
    mw_machine_free(&host);
    assert_null(host);
    mw_machine_free(&host);
}

/* One processor kept busy for a quarter second: some processor was. */
static void
test_busy_processor_is_seen(void **state)
{
    struct mw_machine *host;
    struct mw_cpu start;
    struct mw_cpu end;
    int64_t t_end_ns = mw_clock_mono_ns() + 250 * MW_NS_PER_MS;

    (void)state;
    assert_int_equal(mw_machine_new(&host), 0);
    assert_int_equal(mw_machine_read_cpu(host, &start), 0);
    while (mw_clock_mono_ns() < t_end_ns) {
    }
    assert_int_equal(mw_machine_read_cpu(host, &end), 0);
    assert_true(end.total_ticks > start.total_ticks);
    assert_true(end.busy_ticks > start.busy_ticks);
    assert_true(end.busiest_ticks >= 10);
    assert_in_range(end.busiest_percent, 1, 100);
    mw_machine_free(&host);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_busy_processor_is_seen),
        cmocka_unit_test(test_machine_that_cannot_be_opened),
        cmocka_unit_test(test_host_that_cannot_be_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
