/* Each call that can fail does fail once: nothing leaks, and the error is reported. */

#include "failures.h"

static int
acquire_and_release(void *context)
{
    struct mw_sampler *sampler = NULL;
    int err = mw_process_sampler_acquire(&sampler);

    (void)context;
    assert_int_equal(err == 0, sampler != NULL);
    mw_process_sampler_release(&sampler);
    return err;
}

static bool
is_of_clear_refs(const struct fault *fault)
{
    return is(fault->call, "open") && ends_with(fault->path, "/clear_refs");
}

/* The processors cannot be counted: then the bound is that of all that are online. */
static bool
is_of_processors(const struct fault *fault)
{
    return is(fault->call, "sched_getaffinity") ||
           is(fault->call, "pthread_attr_init") || is(fault->call, "pthread_create");
}

/* The probe of the mark goes on without it, and says so: see probe() below. */
static bool
costs_the_mark(const struct fault *fault)
{
    return is_of_clear_refs(fault) || is_of_processors(fault) ||
           is(fault->call, "pwrite") || is(fault->call, "pread") ||
           is(fault->call, "mmap");
}

static void
test_own_sampler(void **state)
{
    (void)state;
    faults_refuse("pthread_atfork");
    assert_int_equal(acquire_and_release(NULL), -ENOMEM);
    assert_int_equal(acquire_and_release(NULL), -ENOMEM);
    assert_string_equal(faults_disarm().call, "pthread_atfork");
    /* No memory at one moment is not for ever. */
    assert_int_equal(acquire_and_release(NULL), 0);
    assert_true(walk((struct operation){acquire_and_release, costs_the_mark, NULL}) >
                10);
}

static int
open_and_close_proc(void *context)
{
    struct mw_proc proc;
    int err = mw_proc_open(&proc, MW_PROC_ROOT, 0);

    (void)context;
    if (err != 0) {
        assert_int_equal(proc.statm.fd, -1);
        assert_int_equal(proc.status.fd, -1);
        assert_int_equal(proc.clear_refs.fd, -1);
    }
    else if (proc.clear_refs.fd < 0) {
        assert_int_not_equal(proc.hwm_errno, 0);
        assert_int_equal(mw_proc_reset_hwm(&proc), -proc.hwm_errno);
    }
    mw_proc_close(&proc);
    return err;
}

static void
test_open_proc(void **state)
{
    struct operation open = {open_and_close_proc, is_of_clear_refs, NULL};

    (void)state;
    assert_int_equal(walk(open), 3);
    assert_int_equal(walk_interrupted(open), 3);
}

static int
read_proc(void *context)
{
    struct mw_memory memory = {.rss_bytes = 77};
    int64_t rss = 77;
    int err = mw_proc_read_rss(context, &rss);

    assert_int_equal(err != 0, rss == 77);
    if (err == 0) {
        err = mw_proc_read_memory(context, &memory);
        assert_int_equal(err != 0, memory.rss_bytes == 77);
    }
    return err;
}

static int
reset_mark(void *context)
{
    return mw_proc_reset_hwm(context);
}

static void
test_read_proc(void **state)
{
    struct mw_proc proc;

    (void)state;
    assert_int_equal(mw_proc_open(&proc, MW_PROC_ROOT, 0), 0);
    assert_int_equal(walk((struct operation){read_proc, NULL, &proc}), 2);
    assert_int_equal(walk_interrupted((struct operation){read_proc, NULL, &proc}), 2);
    if (proc.clear_refs.fd >= 0) {
        assert_int_equal(walk((struct operation){reset_mark, NULL, &proc}), 1);
        assert_int_equal(walk_interrupted((struct operation){reset_mark, NULL, &proc}),
                         1);
    }
    mw_proc_close(&proc);
}

static void
test_no_child_to_try_on(void **state)
{
    struct mw_probe probe = {.rss_errno = 77};

    (void)state;
    SKIP_UNDER_TSAN();
    faults_refuse("socketpair");
    assert_int_equal(mw_probe_run(&probe), -EMFILE);
    assert_string_equal(faults_disarm().call, "socketpair");
    faults_refuse("fork");
    assert_int_equal(mw_probe_run(&probe), -EAGAIN);
    assert_string_equal(faults_disarm().call, "fork");
    assert_int_equal(probe.rss_errno, 77);
    assert_int_equal(mw_probe_run(&probe), 0);
}

static int
probe(void *context)
{
    struct mw_accuracy accuracy = {.bound_bytes = 77};
    int err = mw_accuracy_probe(context, &accuracy);
    struct fault fault = faults_disarm();

    if (err != 0) {
        assert_int_equal(accuracy.bound_bytes, 77);
    }
    else if (fault.call != NULL && fault.err != EINTR && !is_of_processors(&fault)) {
        /* It did not find out about the mark, and says why. */
        assert_false(accuracy.hwm_resets);
        assert_int_equal(accuracy.hwm_errno, fault.err);
    }
    return err;
}

static void
test_probe(void **state)
{
    struct mw_proc proc;

    (void)state;
    assert_int_equal(mw_proc_open(&proc, MW_PROC_ROOT, 0), 0);
    assert_true(walk((struct operation){probe, costs_the_mark, &proc}) > 3);
    walk_interrupted((struct operation){probe, NULL, &proc});
    mw_proc_close(&proc);
}

static int
new_and_free(void *context)
{
    struct mw_sampler *sampler = NULL;
    int err = mw_sampler_new(&sampler, MW_PROC_ROOT, 0);

    (void)context;
    assert_int_equal(err == 0, sampler != NULL);
    mw_sampler_free(&sampler);
    return err;
}

static void
test_new_sampler(void **state)
{
    (void)state;
    assert_true(walk((struct operation){new_and_free, costs_the_mark, NULL}) > 8);
    walk_interrupted((struct operation){new_and_free, NULL, NULL});
}

static int
read_memory(void *context)
{
    struct mw_memory memory;

    return mw_sampler_read_memory(context, &memory);
}

static void
test_read_memory(void **state)
{
    struct mw_sampler *sampler;

    (void)state;
    assert_int_equal(mw_sampler_new(&sampler, MW_PROC_ROOT, 0), 0);
    assert_int_equal(walk((struct operation){read_memory, NULL, sampler}), 1);
    mw_sampler_free(&sampler);
}

/* In the child everything is to be opened anew, by whatever is called first. Each
 * returns 0, or which check failed. */
static int
read_in_child(struct mw_sampler *sampler)
{
    for (int nth = 1;; nth++) {
        struct mw_memory memory;
        struct fault fault;
        int err;

        faults_arm(nth);
        err = mw_sampler_read_memory(sampler, &memory);
        fault = faults_disarm();
        if (err == 0) {
            return nth > 2 ? 0 : 1; /* a file at least could not be opened */
        }
        if (err != -fault.err) {
            return 2;
        }
    }
}

static int
watch_in_child(struct mw_sampler *sampler)
{
    for (int nth = 1;; nth++) {
        struct mw_watch watch;
        struct mw_result result;
        struct fault fault;
        int err;

        faults_arm(nth);
        err = mw_sampler_open(sampler, &watch, NULL);
        fault = faults_disarm();
        if (err == 0) {
            err = mw_sampler_close(sampler, &watch, NULL, &result);
            return nth > 2 && err == 0 ? 0 : 3;
        }
        if (err != -fault.err) {
            return 4;
        }
    }
}

static int
forget_in_child(struct mw_sampler *sampler, struct mw_watch *of_parent)
{
    struct mw_result none;

    return mw_sampler_close(sampler, of_parent, NULL, &none) == -ESTALE ? 0 : 5;
}

static void
test_fork(void **state)
{
    static int (*const checks[])(struct mw_sampler *) = {read_in_child, watch_in_child};
    struct mw_sampler *sampler;
    struct mw_watch watch;
    struct mw_result result;
    struct mw_sampler_status started;

    (void)state;
    SKIP_UNDER_TSAN();
    assert_int_equal(mw_process_sampler_acquire(&sampler), 0);
    assert_int_equal(mw_sampler_open(sampler, &watch, NULL), 0);
    /* A thread that starts holds locks of the sanitizer, which a child would inherit.
     */
    WAIT_UNTIL((mw_sampler_read_status(sampler, &started), started.samples >= 2));
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        int status;
        pid_t child = fork();

        if (child == 0) {
            int failed = forget_in_child(sampler, &watch);

            end_child(failed != 0 ? failed : checks[i](sampler));
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGKILL);
    }
    assert_int_equal(mw_sampler_close(sampler, &watch, NULL, &result), 0);
    mw_process_sampler_release(&sampler);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        /* First: fork handlers are installed once. */
        cmocka_unit_test(test_own_sampler), cmocka_unit_test(test_open_proc),
        cmocka_unit_test(test_read_proc),   cmocka_unit_test(test_no_child_to_try_on),
        cmocka_unit_test(test_probe),       cmocka_unit_test(test_new_sampler),
        cmocka_unit_test(test_read_memory), cmocka_unit_test(test_fork),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
