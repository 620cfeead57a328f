/* What running a command does to its caller: signals, other children, descriptors. */

#include "actor.h"

static const int PASSED_ON[] = {SIGINT,  SIGQUIT, SIGTERM, SIGHUP,
                                SIGUSR1, SIGUSR2, SIGCONT};
static const int OF_TERMINAL[] = {SIGTSTP, SIGTTIN, SIGTTOU};

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* From a command that waits, as its stdout. */
struct ends {
    int output;
    int input;
};

static struct ends
open_pipe(void)
{
    int both[2];

    assert_int_equal(pipe2(both, O_CLOEXEC), 0);
    return (struct ends){both[0], both[1]};
}

static void
close_pipe(const struct ends *ends)
{
    close(ends->output);
    close(ends->input);
}

static void
assert_no_children(void)
{
    assert_int_equal(waitpid(-1, NULL, __WALL), -1);
    assert_int_equal(errno, ECHILD);
}

static void
be_handled(int number)
{
    (void)number;
}

/* A child that, when the command runs, sends its parent these signals. */
static pid_t
start_sender(const struct ends *ends, int first, int second)
{
    pid_t sender = fork();

    if (sender == 0) {
        char byte;

        if (read(ends->output, &byte, 1) != 1) {
            _exit(1);
        }
        kill(getppid(), first);
        if (second != 0) {
            kill(getppid(), second);
        }
        end_child(0);
    }
    assert_true(sender > 0);
    return sender;
}

/* The sender is a child of ours that is still ours when the command has ended. */
static void
assert_waits_for(pid_t child)
{
    int status;

    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
}

/* How the command ends that is sent these while it runs. */
static int
ends_by(int first, int second, bool trace)
{
    struct ends ends = open_pipe();
    pid_t sender = start_sender(&ends, first, second);
    int status = run(ACT("wait_for_signal", "0"), ends.input, trace).result.wait_status;

    assert_waits_for(sender);
    close_pipe(&ends);
    return WIFSIGNALED(status) ? WTERMSIG(status) : -1;
}

static void
test_signals_are_passed_on(void **state)
{
    static const int deadly[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2};

    (void)state;
    SKIP_UNDER_TSAN();
    SKIP_UNDER_VALGRIND();
    signal(SIGHUP, SIG_DFL); /* which nohup has ignored */
    for (size_t i = 0; i < COUNT(deadly); i++) {
        assert_int_equal(ends_by(deadly[i], 0, false), deadly[i]);
        assert_int_equal(ends_by(deadly[i], 0, true), deadly[i]);
    }
    assert_no_children();
}

static void
test_ignored_signals_stay_ignored(void **state)
{
    struct sigaction action;

    (void)state;
    SKIP_UNDER_TSAN();
    SKIP_UNDER_VALGRIND();
    signal(SIGHUP, SIG_IGN);
    assert_int_equal(ends_by(SIGHUP, SIGTERM, false), SIGTERM);
    assert_int_equal(ends_by(SIGHUP, SIGTERM, true), SIGTERM);
    sigaction(SIGHUP, NULL, &action);
    assert_ptr_equal(action.sa_handler, SIG_IGN);
    signal(SIGHUP, SIG_DFL);
}

static void
assert_handled_by(const int *numbers, size_t count, void (*handler)(int))
{
    for (size_t i = 0; i < count; i++) {
        struct sigaction action;

        sigaction(numbers[i], NULL, &action);
        assert_ptr_equal(action.sa_handler, handler);
        assert_int_equal(action.sa_flags & (SA_SIGINFO | SA_NODEFER), SA_NODEFER);
        signal(numbers[i], SIG_DFL);
    }
}

static void
test_handlers_are_restored(void **state)
{
    struct sigaction action = {.sa_handler = be_handled, .sa_flags = SA_NODEFER};

    (void)state;
    for (int trace = 0; trace <= 1; trace++) {
        struct mw_command *command = start(ACT("touch", "0"), 1, trace);
        struct mw_command_result result;

        for (size_t i = 0; i < COUNT(PASSED_ON); i++) {
            sigaction(PASSED_ON[i], &action, NULL);
        }
        for (size_t i = 0; i < COUNT(OF_TERMINAL); i++) {
            sigaction(OF_TERMINAL[i], &action, NULL);
        }
        assert_int_equal(mw_command_run(command, &result), 0);
        assert_handled_by(PASSED_ON, COUNT(PASSED_ON), be_handled);
        assert_handled_by(OF_TERMINAL, COUNT(OF_TERMINAL), be_handled);
        mw_command_free(&command);
    }
}

/* The handlers are the caller's: in the process that becomes the command they must not
 * swallow anything. */
static void
test_signal_before_the_exec(void **state)
{
    (void)state;
    SKIP_UNDER_TSAN();
    SKIP_UNDER_VALGRIND();
    for (int trace = 0; trace <= 1; trace++) {
        struct mw_command *command;
        struct mw_command_result result;

        signal(SIGTERM, be_handled);
        command = start(ACT("end_with", "0"), 1, trace);
        assert_int_equal(kill(mw_command_pid(command), SIGTERM), 0);
        assert_int_equal(mw_command_run(command, &result), 0);
        signal(SIGTERM, SIG_DFL);
        assert_true(WIFSIGNALED(result.wait_status));
        assert_int_equal(WTERMSIG(result.wait_status), SIGTERM);
        mw_command_free(&command);
    }
}

/* What is stopped stays so, traced or not, until it may go on. */
static void
test_stop_and_continue(void **state)
{
    (void)state;
    SKIP_UNDER_TSAN();
    SKIP_UNDER_VALGRIND();
    for (int trace = 0; trace <= 1; trace++) {
        struct ends ends = open_pipe();
        struct mw_command *command =
            start(ACT("wait_for_signal", "0"), ends.input, trace);
        pid_t pid = mw_command_pid(command);
        struct mw_command_result result;
        pid_t helper = fork();

        if (helper == 0) {
            char byte;
            ssize_t got = read(ends.output, &byte, 1);

            kill(pid, SIGSTOP);
            /* "t": traced. */
            WAIT_UNTIL(state_of(pid) == (trace ? 't' : 'T'));
            kill(pid, SIGCONT);
            WAIT_UNTIL(state_of(pid) == 'S');
            kill(pid, SIGTERM);
            end_child(got != 1);
        }
        assert_int_equal(mw_command_run(command, &result), 0);
        assert_true(WIFSIGNALED(result.wait_status));
        assert_int_equal(WTERMSIG(result.wait_status), SIGTERM);
        assert_waits_for(helper);
        mw_command_free(&command);
        close_pipe(&ends);
    }
}

static void
test_other_children_are_left_alone(void **state)
{
    (void)state;
    for (int trace = 0; trace <= 1; trace++) {
        pid_t dead = fork();
        pid_t stopped;
        int status;

        if (dead == 0) {
            end_child(0);
        }
        stopped = fork();
        if (stopped == 0) {
            kill(getpid(), SIGSTOP);
            end_child(0);
        }
        WAIT_UNTIL(state_of(dead) == 'Z' && state_of(stopped) == 'T');
        run_act("spike", "1", trace);
        assert_waits_for(dead);
        assert_int_equal(waitpid(stopped, &status, WUNTRACED), stopped);
        assert_true(WIFSTOPPED(status));
        kill(stopped, SIGCONT);
        assert_waits_for(stopped);
        assert_no_children();
    }
}

struct runner {
    struct mw_command *command;
    struct mw_command_result result;
    int err;
};

static void *
run_in_thread(void *argument)
{
    struct runner *runner = argument;

    runner->err = mw_command_run(runner->command, &runner->result);
    return NULL;
}

static void
test_one_at_a_time_and_once(void **state)
{
    (void)state;
    for (int trace = 0; trace <= 1; trace++) {
        struct ends ends = open_pipe();
        struct runner first = {
            .command = start(ACT("wait_for_signal", "0"), ends.input, trace)};
        struct mw_command *second = start(ACT("touch", "0"), 1, trace);
        struct mw_command_result result;
        pthread_t thread;
        char byte;

        assert_int_equal(pthread_create(&thread, NULL, run_in_thread, &first), 0);
        assert_int_equal(read(ends.output, &byte, 1), 1);
        assert_int_equal(mw_command_run(second, &result), -EBUSY);
        assert_int_equal(kill(mw_command_pid(first.command), SIGKILL), 0);
        pthread_join(thread, NULL);
        assert_int_equal(first.err, 0);
        assert_true(WIFSIGNALED(first.result.wait_status));

        /* The other has waited, and nothing is lost. */
        assert_int_equal(mw_command_run(second, &result), 0);
        assert_int_equal(WEXITSTATUS(result.wait_status), DONE);
        assert_int_equal(mw_command_run(second, &result), -EINVAL);
        assert_int_equal(mw_command_run(first.command, &result), -EINVAL);
        mw_command_free(&first.command);
        mw_command_free(&second);
        close_pipe(&ends);
    }
}

static void
test_free_without_run(void **state)
{
    struct mw_command *none = NULL;

    (void)state;
    mw_command_free(&none);
    for (int trace = 0; trace <= 1; trace++) {
        int descriptors = count_descriptors();
        struct mw_command *command = start(ACT("touch", "0"), 1, trace);
        pid_t pid = mw_command_pid(command);

        assert_int_equal(kill(pid, 0), 0);
        mw_command_free(&command);
        assert_null(command);
        assert_int_equal(kill(pid, 0), -1);
        assert_int_equal(errno, ESRCH);
        assert_no_children();
        assert_int_equal(count_descriptors(), descriptors);
        /* After a run nothing is left either. */
        run_act("touch", "0", trace);
        assert_no_children();
        assert_int_equal(count_descriptors(), descriptors);
    }
}

/* As multiprocessing does: the copy has copies of all descriptors. */
static void
test_free_without_run_where_a_copy_lives(void **state)
{
    (void)state;
    for (int trace = 0; trace <= 1; trace++) {
        struct mw_command *command = start(ACT("touch", "0"), 1, trace);
        pid_t copy = fork();

        if (copy == 0) {
            live_on(NULL);
        }
        mw_command_free(&command);
        kill(copy, SIGKILL);
        assert_waits_for(copy);
        assert_no_children();
    }
}

static void
test_no_descriptors_are_passed_on(void **state)
{
    static const char list[] = "ls /proc/self/fd | wc -l";
    struct ends ends = open_pipe();
    FILE *other = popen(list, "r");
    char expected[16] = "";
    char text[16] = "";

    (void)state;
    assert_non_null(fgets(expected, sizeof expected, other));
    pclose(other);
    /* "sh" is found in PATH. */
    run((const char *const[]){"sh", "-c", list, NULL}, ends.input, false);
    assert_true(read(ends.output, text, sizeof text - 1) > 0);
    assert_string_equal(text, expected);
    close_pipe(&ends);
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signals_are_passed_on),
        cmocka_unit_test(test_ignored_signals_stay_ignored),
        cmocka_unit_test(test_handlers_are_restored),
        cmocka_unit_test(test_signal_before_the_exec),
        cmocka_unit_test(test_stop_and_continue),
        cmocka_unit_test(test_other_children_are_left_alone),
        cmocka_unit_test(test_one_at_a_time_and_once),
        cmocka_unit_test(test_free_without_run),
        cmocka_unit_test(test_free_without_run_where_a_copy_lives),
        cmocka_unit_test(test_no_descriptors_are_passed_on),
    };

    act_if_asked(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
