/* Every call that can fail is made to fail, one after the other: each operation then
 * says which error it was, leaks nothing, and works at the next try. */

#include "support.h"

#include <dirent.h>
#include <signal.h>
#include <stdbool.h>

#include "base/clock.h"
#include "blackbox/reader.h"
#include "faults.h"
#include "linux/accuracy.h"
#include "linux/cgroup/limit.h"
#include "linux/probe.h"
#include "sampler/process_sampler.h"

static int
open_files(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;

    assert_non_null(folder);
    while (readdir(folder) != NULL) {
        count++;
    }
    closedir(folder);
    return count;
}

/* What is not given back shows here, or to the sanitizer that looks for leaks. */
struct held {
    int files;
    int64_t mapped_bytes;
    int live_objects;
};

static struct held
held_now(void)
{
    return (struct held){open_files(), faults_mapped_bytes(), faults_live_objects()};
}

static void
expect_held(const struct held *before)
{
    struct held now = held_now();

    assert_int_equal(now.files, before->files);
    assert_int_equal(now.mapped_bytes, before->mapped_bytes);
    assert_int_equal(now.live_objects, before->live_objects);
}

struct operation {
    int (*run)(void *context);                   /* 0 or -errno; undoes what it did */
    bool (*survives)(const struct fault *fault); /* NULL: nothing is survived */
    void *context;
};

/* Have the first call fail, then the second, until the operation is through before
 * one did. Returns how many failed. */
static int
walk(struct operation operation)
{
    struct held before = held_now();

    for (int nth = 1;; nth++) {
        struct fault fault;
        int err;

        faults_arm(nth);
        err = operation.run(operation.context);
        fault = faults_disarm();
        expect_held(&before);
        if (fault.call == NULL) {
            assert_int_equal(err, 0);
            return nth - 1;
        }
        if (err == 0 && (operation.survives == NULL || !operation.survives(&fault))) {
            fail_msg("%s %s failed, and nobody noticed", fault.call, fault.path);
        }
        if (err != 0 && err != -fault.err) {
            fail_msg("%s %s: %d became %d", fault.call, fault.path, -fault.err, err);
        }
        /* At the next try all is well. */
        faults_arm(0);
        assert_int_equal(operation.run(operation.context), 0);
    }
}

/* A signal may interrupt every call that it can: nobody notices. */
static int
walk_interrupted(struct operation operation)
{
    for (int nth = 1;; nth++) {
        faults_interrupt(nth);
        assert_int_equal(operation.run(operation.context), 0);
        if (faults_disarm().call == NULL) {
            return nth - 1;
        }
    }
}

static bool
is(const char *call, const char *expected)
{
    return strcmp(call, expected) == 0;
}

static bool
ends_with(const char *path, const char *end)
{
    size_t length = strlen(path);

    return length >= strlen(end) && is(path + length - strlen(end), end);
}

/* ---- the sampler of the own process: first, for fork handlers are installed once ----
 */

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

/* ---- one process's files ---- */

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

/* ---- what can be done with children ---- */

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

/* ---- what the figures may claim ---- */

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

/* ---- windows ---- */

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
expect_no_window(struct mw_sampler *sampler)
{
    struct mw_sampler_status status;

    mw_sampler_read_status(sampler, &status);
    assert_int_equal(status.open_windows, 0);
}

static void
test_new_sampler(void **state)
{
    (void)state;
    assert_true(walk((struct operation){new_and_free, costs_the_mark, NULL}) > 8);
    walk_interrupted((struct operation){new_and_free, NULL, NULL});
}

/* A mark that cannot be reset is no error: the result says that it was sampled. Nor is
 * it that there is no thread: the watch says why. */
static bool
is_survived(const struct fault *fault, const struct mw_watch *watch,
            const struct mw_result *result)
{
    return fault->call == NULL ||
           (is(fault->call, "pwrite") && !result->peak_from_kernel) ||
           watch->thread_errno == fault->err;
}

static bool
status_running(struct mw_sampler *sampler)
{
    struct mw_sampler_status status;

    mw_sampler_read_status(sampler, &status);
    return status.running;
}

/* A sampler's first window starts the thread, and has a mark to reset. */
static void
test_windows(void **state)
{
    struct held before = held_now();
    struct fault fault;
    int without_thread = 0;
    int nth = 0;

    (void)state;
    do {
        struct mw_sampler *sampler;
        struct mw_watch watch = {.thread_errno = 0};
        struct mw_result result = {.duration_ns = 0};
        int err;

        assert_int_equal(mw_sampler_new(&sampler, MW_PROC_ROOT, 0), 0);
        unmap(map_touched(8 * MIB), 8 * MIB);
        faults_arm(++nth);
        err = mw_sampler_open(sampler, &watch, NULL);
        if (err == 0) {
            err = mw_sampler_close(sampler, &watch, NULL, &result);
        }
        fault = faults_disarm();
        assert_int_equal(err, is_survived(&fault, &watch, &result) ? 0 : -fault.err);
        if (fault.call != NULL && watch.thread_errno == fault.err) {
            without_thread++;
            assert_int_equal(watch.timeline.count, 2);
            assert_true(result.peak_from_kernel ||
                        !mw_sampler_accuracy(sampler).hwm_resets);
        }

        /* Opened or not, nothing is left of it, and the next one works. */
        expect_no_window(sampler);
        assert_int_equal(mw_sampler_close(sampler, &watch, NULL, &result), -ESTALE);
        assert_int_equal(mw_sampler_open(sampler, &watch, NULL), 0);
        assert_int_equal(watch.thread_errno, 0);
        assert_true(status_running(sampler));
        assert_int_equal(mw_sampler_close(sampler, &watch, NULL, &result), 0);
        mw_sampler_free(&sampler);
        expect_held(&before);
    } while (fault.call != NULL);
    /* Memory for the thread, five of pthread_*, and a reading at each end. */
    assert_true(nth > 8);
    assert_int_equal(without_thread, 6);
}

/* An outer window keeps what it knows when an inner one cannot be opened. */
static void
test_failed_inner_window_costs_the_outer_nothing(void **state)
{
    struct mw_sampler *sampler;
    struct mw_watch outer;
    struct mw_watch inner;
    struct mw_result result;

    (void)state;
    SKIP_UNDER_TSAN();
    SKIP_UNDER_VALGRIND();
    assert_int_equal(mw_sampler_new(&sampler, MW_PROC_ROOT, 0), 0);
    if (!mw_sampler_accuracy(sampler).hwm_resets) {
        mw_sampler_free(&sampler);
        skip();
    }
    unmap(map_touched(64 * MIB), 64 * MIB); /* the shadow that a sanitizer keeps */
    assert_int_equal(mw_sampler_open(sampler, &outer, NULL), 0);
    unmap(map_touched(64 * MIB), 64 * MIB);
    for (int nth = 1;; nth++) {
        struct fault fault;
        int err;

        faults_arm(nth);
        err = mw_sampler_open(sampler, &inner, NULL);
        fault = faults_disarm();
        if (err == 0) {
            mw_sampler_cancel(sampler, &inner);
        }
        if (fault.call == NULL) {
            break;
        }
        assert_true(err == -fault.err || is(fault.call, "pwrite"));
    }
    assert_int_equal(mw_sampler_close(sampler, &outer, NULL, &result), 0);
    assert_true(result.peaked_bytes >=
                64 * MIB - mw_sampler_accuracy(sampler).bound_bytes);
    mw_sampler_free(&sampler);
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

    (void)state;
    SKIP_UNDER_TSAN();
    assert_int_equal(mw_process_sampler_acquire(&sampler), 0);
    assert_int_equal(mw_sampler_open(sampler, &watch, NULL), 0);
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

/* ---- while a window is open ---- */

static int
refuse_or_count(void *self, struct mw_cpu *out)
{
    int *readings = self;

    if (*readings < 0) {
        return -EIO;
    }
    ++*readings;
    *out = (struct mw_cpu){INT64_C(10) * *readings, INT64_C(20) * *readings, 70, 20};
    return 0;
}

/* Takes the lock that guards the count of readings. */
static bool
has_read_twice(struct mw_sampler *sampler, const struct mw_cpu_reader *reader)
{
    bool has;

    mw_sampler_set_cpu_reader(sampler, NULL);
    has = *(int *)reader->self > 1;
    mw_sampler_set_cpu_reader(sampler, reader);
    return has;
}

/* The thread cannot read: there is no sample, and the window has its two ends. */
static void
test_samples_that_cannot_be_taken(void **state)
{
    char *root = make_root();
    struct mw_sampler *sampler;
    struct mw_sampler_status status;
    struct mw_watch watch;
    struct mw_result result;
    int readings = 0;
    struct mw_cpu_reader reader = {refuse_or_count, &readings};

    (void)state;
    write_file(root, "self/statm", "1000 200 100 5 0 300 0\n");
    write_file(root, "self/status", "Name:\tx\nVmRSS:\t     400 kB\nThreads:\t1\n");
    assert_int_equal(mw_sampler_new(&sampler, root, 0), 0);
    write_file(root, "self/statm", "");
    mw_sampler_set_cpu_reader(sampler, &reader);
    assert_int_equal(mw_sampler_open(sampler, &watch, NULL), 0);
    /* The thread reads the processors after a sample, taken or not. */
    WAIT_UNTIL(has_read_twice(sampler, &reader));
    assert_int_equal(mw_sampler_close(sampler, &watch, NULL, &result), 0);
    mw_sampler_read_status(sampler, &status);
    assert_int_equal(status.samples, 0);
    assert_int_equal(result.rss_peak_bytes, 400 * 1024);
    assert_int_equal(watch.timeline.count, 2);
    mw_sampler_free(&sampler);
    remove_root(root);
}

static void
test_processors_that_cannot_be_read(void **state)
{
    struct mw_sampler *sampler;
    struct mw_watch watch;
    struct mw_result result;
    int refuses = -1;
    struct mw_cpu_reader reader = {refuse_or_count, &refuses};

    (void)state;
    assert_int_equal(mw_sampler_new(&sampler, MW_PROC_ROOT, 0), 0);
    mw_sampler_set_cpu_reader(sampler, &reader);
    assert_int_equal(mw_sampler_open(sampler, &watch, NULL), 0);
    assert_int_equal(mw_sampler_close(sampler, &watch, NULL, &result), 0);
    assert_int_equal(result.system_mean_cpu_percent, MW_ABSENT);
    assert_int_equal(result.single_max_cpu_percent, MW_ABSENT);
    mw_sampler_free(&sampler);
}

/* ---- control groups ---- */

struct groups {
    const char *root;
    char mount[4096];
    int64_t limit_bytes;
    int64_t kills;
};

static int
read_limit(void *context)
{
    const struct groups *groups = context;
    struct mw_cgroup_limit limit = {.limit_bytes = 77};
    int err = mw_cgroup_read_limit(groups->root, groups->mount, 0, &limit);

    /* A limit that could not be read is not one that is not set. */
    assert_int_equal(limit.limit_bytes, err == 0 ? groups->limit_bytes : 77);
    return err;
}

static int
read_kills(void *context)
{
    const struct groups *groups = context;
    int64_t kills = 77;
    int err = mw_cgroup_read_oom_kills(groups->root, groups->mount, 0, &kills);

    assert_int_equal(kills, err == 0 ? groups->kills : 77);
    return err;
}

static void
test_groups_of_version_2(void **state)
{
    struct groups groups = {.root = make_root(), .limit_bytes = 4096, .kills = 3};

    (void)state;
    snprintf(groups.mount, sizeof groups.mount, "%s/cgroup", groups.root);
    write_file(groups.root, "self/cgroup", "0::/outer/inner\n");
    write_file(groups.root, "cgroup/outer/memory.max", "4096\n");
    write_file(groups.root, "cgroup/outer/memory.events", "oom_kill 3\n");
    write_file(groups.root, "cgroup/outer/inner/memory.max", "8192\n");
    assert_true(walk((struct operation){read_limit, NULL, &groups}) > 6);
    assert_true(walk((struct operation){read_kills, NULL, &groups}) > 4);
    walk_interrupted((struct operation){read_limit, NULL, &groups});
    walk_interrupted((struct operation){read_kills, NULL, &groups});
    remove_root(groups.root);
}

static void
test_groups_of_version_1(void **state)
{
    struct groups groups = {.root = make_root(), .limit_bytes = 4096, .kills = 3};

    (void)state;
    snprintf(groups.mount, sizeof groups.mount, "%s/cgroup", groups.root);
    write_file(groups.root, "self/cgroup", "4:memory:/a\n0::/\n");
    write_file(groups.root, "cgroup/memory/a/memory.stat",
               "hierarchical_memory_limit 4096\n");
    write_file(groups.root, "cgroup/memory/a/memory.oom_control", "oom_kill 3\n");
    assert_true(walk((struct operation){read_limit, NULL, &groups}) > 6);
    assert_true(walk((struct operation){read_kills, NULL, &groups}) > 4);
    walk_interrupted((struct operation){read_limit, NULL, &groups});
    walk_interrupted((struct operation){read_kills, NULL, &groups});
    remove_root(groups.root);
}

/* The group's name is not told, and is found by its processes. */
static void
test_groups_above_the_namespace(void **state)
{
    struct groups groups = {.root = make_root(), .limit_bytes = 4096, .kills = 3};
    char text[5000];

    (void)state;
    snprintf(groups.mount, sizeof groups.mount, "%s/cgroup", groups.root);
    write_file(groups.root, "self/cgroup", "0::/\n");
    snprintf(text, sizeof text, "1 1 0:1 /.. %s rw - cgroup2 cgroup2 rw\n",
             groups.mount);
    write_file(groups.root, "self/mountinfo", text);
    snprintf(text, sizeof text, "%d\n", (int)getpid());
    write_file(groups.root, "cgroup/a/cgroup.procs", text);
    write_file(groups.root, "cgroup/a/memory.max", "4096\n");
    write_file(groups.root, "cgroup/a/memory.events", "oom_kill 3\n");
    assert_true(walk((struct operation){read_limit, NULL, &groups}) > 8);
    assert_true(walk((struct operation){read_kills, NULL, &groups}) > 6);
    walk_interrupted((struct operation){read_limit, NULL, &groups});
    walk_interrupted((struct operation){read_kills, NULL, &groups});
    remove_root(groups.root);
}

/* ---- the black box ---- */

static int
record_and_remove(void *context)
{
    const struct mw_blackbox_identity given = {0};
    struct mw_blackbox_writer *writer = NULL;
    int err = mw_blackbox_writer_new(&writer, context, NULL, &given, 0);

    assert_int_equal(err == 0, writer != NULL);
    mw_blackbox_writer_free(&writer);
    assert_int_equal(access(context, F_OK), -1);
    return err;
}

/* What cannot be found out about the process is absent. */
static bool
is_of_identity(const struct fault *fault)
{
    return is(fault->call, "read") || is(fault->call, "pread") ||
           (is(fault->call, "open") && !ends_with(fault->path, ".box.new"));
}

static int
read_box(void *context)
{
    struct mw_blackbox_reader *reader = NULL;
    enum mw_blackbox_fault fault;
    int err = mw_blackbox_reader_new(&reader, context, &fault);

    assert_int_equal(err == 0, reader != NULL);
    mw_blackbox_reader_free(&reader);
    return err;
}

static void
test_black_box(void **state)
{
    const struct mw_blackbox_identity given = {0};
    struct mw_blackbox_writer *writer = NULL;
    char *root = make_root();
    char path[128];

    (void)state;
    (void)snprintf(path, sizeof path, "%s/1-1.box", root);
    assert_true(walk((struct operation){record_and_remove, is_of_identity, path}) > 5);
    assert_int_equal(mw_blackbox_writer_new(&writer, path, NULL, &given, 0), 0);
    assert_true(walk((struct operation){read_box, NULL, path}) >= 5);
    assert_true(walk_interrupted((struct operation){read_box, NULL, path}) >= 4);
    mw_blackbox_writer_free(&writer);
    assert_int_equal(rmdir(root), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_sampler),
        cmocka_unit_test(test_open_proc),
        cmocka_unit_test(test_read_proc),
        cmocka_unit_test(test_no_child_to_try_on),
        cmocka_unit_test(test_probe),
        cmocka_unit_test(test_new_sampler),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_failed_inner_window_costs_the_outer_nothing),
        cmocka_unit_test(test_read_memory),
        cmocka_unit_test(test_fork),
        cmocka_unit_test(test_samples_that_cannot_be_taken),
        cmocka_unit_test(test_processors_that_cannot_be_read),
        cmocka_unit_test(test_groups_of_version_2),
        cmocka_unit_test(test_groups_of_version_1),
        cmocka_unit_test(test_groups_above_the_namespace),
        cmocka_unit_test(test_black_box),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
