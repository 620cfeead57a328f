/* One look at a process: captured files, and the test's own process. */

#include "linux/parsing.h"

#include <sys/prctl.h>
#include <sys/syscall.h>

#include "command/process_figures.h"
#include "linux/proc.h"

#define KIB INT64_C(1024)

/* What is read where `text` is /proc/123/status. */
static int
figures_of(const char *text, struct mw_process_figures *out)
{
    const char *root = make_root();
    int err;

    write_file(root, "123/status", text);
    err = mw_process_figures_read(out, root, 123);
    remove_root(root);
    return err;
}

static int
figures_of_captured(const char *name, struct mw_process_figures *out)
{
    char text[65536];
    size_t length;
    char *captured = read_data(name, &length);

    assert_true(length < sizeof text);
    length = length < sizeof text ? length : sizeof text - 1;
    memcpy(text, captured, length);
    text[length] = '\0';
    free(captured);
    return figures_of(text, out);
}

static void
test_captured_process(void **state)
{
    struct mw_process_figures figures;

    (void)state;
    assert_int_equal(figures_of_captured("proc/6.18/status-self", &figures), 0);
    assert_int_equal(figures.pid, 176);
    assert_string_equal(figures.name, "cat");
    assert_int_equal(figures.memory.hwm_bytes, 1464 * KIB);
    assert_int_equal(figures.memory.rss_bytes, 1464 * KIB);
    assert_int_equal(figures.memory.threads, 1);
}

static void
test_captured_process_without_a_mark(void **state)
{
    struct mw_process_figures figures;

    (void)state;
    assert_int_equal(figures_of_captured("proc/written/status-gvisor", &figures), 0);
    assert_string_equal(figures.name, "python3");
    assert_int_equal(figures.memory.hwm_bytes, MW_ABSENT);
    assert_int_equal(figures.memory.rss_bytes, 11780 * KIB);
}

static void
test_what_has_no_memory(void **state)
{
    static const char *const names[] = {
        "proc/5.10/status-zombie", "proc/5.10/status-kthread",
        "proc/6.18/status-zombie", "proc/6.18/status-kthread",
        "proc/7.3/status-zombie",  "proc/7.3/status-kthread",
    };

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct mw_process_figures figures = {.pid = 77};

        assert_int_equal(figures_of_captured(names[i], &figures), -ENODATA);
        assert_int_equal(figures.pid, 77);
    }
}

static void
test_thread_of_a_process(void **state)
{
    struct mw_process_figures figures;

    (void)state;
    assert_int_equal(figures_of("Name:\tworker\nTgid:\t100\nPid:\t123\n"
                                "VmHWM:\t    8 kB\nVmRSS:\t    4 kB\nThreads:\t2\n",
                                &figures),
                     0);
    assert_int_equal(figures.pid, 100);
    assert_string_equal(figures.name, "worker");
    assert_int_equal(figures.memory.hwm_bytes, 8 * KIB);
}

static void
assert_name(const char *written, const char *expected)
{
    struct mw_process_figures figures;
    char text[256];

    (void)snprintf(text, sizeof text, "Name:\t%s\nTgid:\t1\nVmRSS:\t4 kB\n", written);
    assert_int_equal(figures_of(text, &figures), 0);
    assert_string_equal(figures.name, expected);
    assert_int_equal(figures.pid, 1);
}

static void
test_names(void **state)
{
    (void)state;
    assert_name("", "");
    assert_name("a b", "a b");
    assert_name("fifteen-letters", "fifteen-letters");
    /* A kernel thread's is longer. */
    assert_name("kworker/u8:1-events", "kworker/u8:1-ev");
    /* They look like other lines. */
    assert_name("Tgid:\t5", "Tgid:\t5");
    assert_name("VmRSS:\t5 kB", "VmRSS:\t5 kB");
}

static void
test_garbage_touches_nothing(void **state)
{
    static const char *const texts[] = {
        "",
        "\n",
        "html",
        "Name:\tx\nVmRSS:\t4 kB\n", /* no Tgid */
        "Tgid:\t5\nVmRSS:\t4 kB\n", /* no Name */
        "Name:\tx\nTgid:\t5\nVmRSS:\t-4 kB\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct mw_process_figures figures = {.pid = 77};

        assert_int_equal(figures_of(texts[i], &figures), -EBADMSG);
        assert_int_equal(figures.pid, 77);
    }
}

static void
test_missing_and_unreadable(void **state)
{
    const char *root = make_root();
    struct mw_process_figures figures = {.pid = 77};

    (void)state;
    assert_int_equal(mw_process_figures_read(&figures, root, 123), -ENOENT);
    write_file(root, "123/status/file", ""); /* a folder */
    assert_int_equal(mw_process_figures_read(&figures, root, 123), -EISDIR);
    assert_int_equal(figures.pid, 77);
    remove_root(root);
}

static void
test_own_process(void **state)
{
    struct mw_process_figures figures;
    pid_t tid = (pid_t)syscall(SYS_gettid);

    (void)state;
    prctl(PR_SET_NAME, "fifteen-letters");
    assert_int_equal(mw_process_figures_read(&figures, MW_PROC_ROOT, tid), 0);
    assert_int_equal(figures.pid, getpid());
    assert_string_equal(figures.name, "fifteen-letters");
    assert_true(figures.memory.rss_bytes > 0);
    assert_true(figures.memory.hwm_bytes == MW_ABSENT ||
                figures.memory.hwm_bytes >= figures.memory.rss_bytes);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_captured_process),
        cmocka_unit_test(test_captured_process_without_a_mark),
        cmocka_unit_test(test_what_has_no_memory),
        cmocka_unit_test(test_thread_of_a_process),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_garbage_touches_nothing),
        cmocka_unit_test(test_missing_and_unreadable),
        cmocka_unit_test(test_own_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
