/* What is measured of a command and of the processes it starts. */

#include "actor.h"

/* Within 1 %, or 1 MiB: counters of the kernel are not exact. */
static void
assert_near(int64_t value, int64_t expected)
{
    int64_t tolerance = expected / 100 > MIB ? expected / 100 : MIB;

    if (distance(value, expected) > tolerance) {
        fail_msg("%lld KiB instead of %lld", (long long)value / 1024,
                 (long long)expected / 1024);
    }
}

/* What the program needs by itself; far more under a sanitizer. */
static int64_t
peak_of_nothing(void)
{
    return trace_act("touch", "0").result.peak_bytes;
}

static void
test_peak_is_exact(void **state)
{
    static const char *const sizes[] = {"1", "64", "256"};
    int64_t nothing_bytes = peak_of_nothing();

    (void)state;
    assert_true(nothing_bytes > 0);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct outcome found = trace_act("touch", sizes[i]);

        assert_near(found.result.peak_bytes,
                    nothing_bytes + strtol(sizes[i], NULL, 10) * MIB);
        /* It has given the memory back, and there was nobody else. */
        assert_near(found.result.end_bytes, nothing_bytes);
        assert_int_equal(found.result.largest_peak_bytes, found.result.peak_bytes);
        assert_int_equal(found.result.largest_pid, found.pid);
        assert_string_equal(found.result.largest_name, "test_command");
        assert_int_equal(found.result.started, 1);
        assert_int_equal(found.result.alive, 0);
    }
}

static void
test_times(void **state)
{
    struct outcome found = trace_act("touch", "64");

    (void)state;
    assert_true(found.result.duration_ns > 0);
    assert_true(found.result.user_ns + found.result.system_ns > 0);
}

static void
test_spike_of_a_child(void **state)
{
    int64_t nothing_bytes = peak_of_nothing();

    (void)state;
    for (int i = 0; i < 20; i++) {
        struct outcome found = trace_act("spike", "32");

        assert_true(found.result.largest_peak_bytes > 32 * MIB);
        assert_true(found.result.largest_peak_bytes <= nothing_bytes + 33 * MIB);
        assert_int_not_equal(found.result.largest_pid, found.pid);
        assert_string_equal(found.result.largest_name, "test_command");
        assert_near(found.result.peak_bytes, nothing_bytes);
        assert_int_equal(found.result.started, 2);
        assert_int_equal(found.result.alive, 0);
    }
}

static void
test_program_that_was_replaced(void **state)
{
    int64_t nothing_bytes = peak_of_nothing();
    struct outcome found = trace_act("touch_then_exec", "64");

    (void)state;
    assert_near(found.result.peak_bytes, nothing_bytes + 64 * MIB);
    assert_near(found.result.end_bytes, nothing_bytes);
    assert_int_equal(found.result.largest_pid, found.pid);
    assert_int_equal(found.result.unknown_bytes, 0);
}

/* The kernel has one mark for a process and the children it waited for. */
static void
test_child_of_a_program_that_was_replaced(void **state)
{
    int64_t nothing_bytes = peak_of_nothing();

    (void)state;
    for (int i = 0; i < 10; i++) {
        struct outcome found = trace_act("wait_then_exec", "64");

        assert_near(found.result.peak_bytes, nothing_bytes);
        assert_true(found.result.largest_peak_bytes > 64 * MIB);
        assert_int_not_equal(found.result.largest_pid, found.pid);
        assert_string_equal(found.result.largest_name, "test_command");
        /* The program that waited may have had as much as its child. */
        assert_near(found.result.unknown_bytes, found.result.largest_peak_bytes);
    }
}

/* Until its exec the child is a copy of its parent, or in its memory: not a large
 * process. */
static void
assert_parent_is_largest(const char *act)
{
    int64_t nothing_bytes = peak_of_nothing();

    for (int i = 0; i < 10; i++) {
        struct outcome found = trace_act(act, "64");

        assert_near(found.result.peak_bytes, nothing_bytes + 64 * MIB);
        assert_int_equal(found.result.largest_peak_bytes, found.result.peak_bytes);
        assert_int_equal(found.result.largest_pid, found.pid);
        assert_string_equal(found.result.largest_name, "test_command");
        assert_int_equal(found.result.unknown_bytes, 0);
        assert_int_equal(found.result.started, 2);
        assert_int_equal(found.result.alive, 0);
    }
}

static void
test_child_by_fork_and_exec(void **state)
{
    (void)state;
    assert_parent_is_largest("start_by_fork");
}

static void
test_child_by_vfork_and_exec(void **state)
{
    (void)state;
    assert_parent_is_largest("start_by_vfork");
}

static void
test_first_thread_ends_first(void **state)
{
    int64_t nothing_bytes = peak_of_nothing();
    struct outcome found = trace_act("first_thread_ends", "64");

    (void)state;
    assert_near(found.result.peak_bytes, nothing_bytes + 64 * MIB);
    assert_near(found.result.end_bytes, nothing_bytes + 64 * MIB);
    assert_int_equal(found.result.largest_pid, found.pid);
    assert_int_equal(found.result.started, 1);
    assert_int_equal(found.result.alive, 0);
}

/* The thread takes over the pid. */
static void
test_exec_in_a_thread(void **state)
{
    int64_t nothing_bytes = peak_of_nothing();
    struct outcome found = trace_act("exec_in_thread", "64");

    (void)state;
    assert_near(found.result.peak_bytes, nothing_bytes + 64 * MIB);
    assert_near(found.result.end_bytes, nothing_bytes);
    assert_int_equal(found.result.started, 2);
    assert_int_equal(found.result.alive, 0);
}

static void
assert_dies(const char *number)
{
    struct mw_command_result result =
        run(ACT("die", number), STDOUT_FILENO, true).result;

    assert_int_equal(result.exec_errno, 0);
    assert_true(WIFSIGNALED(result.wait_status));
    assert_int_equal(WTERMSIG(result.wait_status), strtol(number, NULL, 10));
    assert_true(result.peak_bytes > 0);
    assert_int_equal(result.alive, 0);
}

static void
test_ends_by_signals(void **state)
{
    char number[16];

    (void)state;
    SKIP_UNDER_TSAN();
    SKIP_UNDER_VALGRIND();
    (void)snprintf(number, sizeof number, "%d", SIGKILL);
    assert_dies(number);
    (void)snprintf(number, sizeof number, "%d", SIGSEGV);
    assert_dies(number);
}

static void
assert_ends_with(const char *number, bool trace)
{
    int status = run(ACT("end_with", number), STDOUT_FILENO, trace).result.wait_status;

    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), strtol(number, NULL, 10));
}

static void
test_exit_codes(void **state)
{
    (void)state;
    assert_ends_with("0", false);
    assert_ends_with("126", false);
    assert_ends_with("0", true);
    assert_ends_with("255", true);
}

static void
test_what_cannot_be_executed(void **state)
{
    char *root;
    char path[4096];

    (void)state;
    SKIP_UNDER_VALGRIND(); /* of a process that exits it shows all that we have */
    root = make_root();
    write_file(root, "text", "no program\n");
    (void)snprintf(path, sizeof path, "%s/text", root);
    for (int trace = 0; trace <= 1; trace++) {
        const char *const *nothing = (const char *const[]){"/no/such/program", NULL};
        const char *const *text = (const char *const[]){path, NULL};

        assert_int_equal(run(nothing, 1, trace).result.exec_errno, ENOENT);
        assert_int_equal(run(text, 1, trace).result.exec_errno, EACCES);
    }
    remove_root(root);
}

/* The pid that an act said. */
static pid_t
hear_pid(int fd)
{
    pid_t pid;

    assert_int_equal(read(fd, &pid, sizeof pid), sizeof pid);
    return pid;
}

static bool
is_traced(pid_t pid)
{
    char line[256];
    long tracer = -1;
    FILE *file;

    (void)snprintf(line, sizeof line, "/proc/%ld/status", (long)pid);
    file = fopen(line, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "TracerPid:", 10) == 0) {
            tracer = strtol(line + 10, NULL, 10);
        }
    }
    (void)fclose(file);
    assert_int_not_equal(tracer, -1);
    return tracer != 0;
}

static void
assert_leaves_daemon(const char *number)
{
    int ends[2];
    struct outcome found;
    pid_t daemon;

    SKIP_UNDER_TSAN();
    SKIP_UNDER_VALGRIND();
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    found = run(ACT("leave_daemon", number), ends[1], true);
    daemon = hear_pid(ends[0]);
    assert_int_equal(kill(daemon, 0), 0);
    /* The thread that traced it has ended for us, but may not be done in the kernel. */
    WAIT_UNTIL(!is_traced(daemon));
    assert_int_equal(found.result.started, 2);
    assert_int_equal(found.result.alive, 1);
    /* It does what it is told, as before; init is who waits for it. */
    assert_int_equal(kill(daemon, SIGKILL), 0);
    WAIT_UNTIL(state_of(daemon) == 0 || state_of(daemon) == 'Z');
    close(ends[0]);
    close(ends[1]);
}

static void
test_daemon_is_left_alive(void **state)
{
    (void)state;
    assert_leaves_daemon("0");
}

static void
test_daemon_whose_first_thread_ends(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        assert_leaves_daemon("1");
    }
}

static void
test_untraced_peak(void **state)
{
    struct mw_command_result result;

    (void)state;
    SKIP_UNDER_TSAN();
    SKIP_UNDER_VALGRIND();
    result = run_act("hold", "64", false).result;
    assert_true(result.peak_bytes >= 64 * MIB / 100 * 95);
    assert_int_equal(result.largest_peak_bytes, result.peak_bytes);
    assert_true(result.end_bytes > 0);
    assert_true(result.duration_ns >= 100000000);
    assert_int_equal(result.started, MW_ABSENT);
    assert_int_equal(result.alive, MW_ABSENT);
    assert_int_equal(result.unknown_bytes, MW_ABSENT);
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_peak_is_exact),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_spike_of_a_child),
        cmocka_unit_test(test_program_that_was_replaced),
        cmocka_unit_test(test_child_of_a_program_that_was_replaced),
        cmocka_unit_test(test_child_by_fork_and_exec),
        cmocka_unit_test(test_child_by_vfork_and_exec),
        cmocka_unit_test(test_first_thread_ends_first),
        cmocka_unit_test(test_exec_in_a_thread),
        cmocka_unit_test(test_ends_by_signals),
        cmocka_unit_test(test_exit_codes),
        cmocka_unit_test(test_what_cannot_be_executed),
        cmocka_unit_test(test_daemon_is_left_alive),
        cmocka_unit_test(test_daemon_whose_first_thread_ends),
        cmocka_unit_test(test_untraced_peak),
    };

    act_if_asked(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
