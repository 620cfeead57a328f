#include "support.h"

#include <sched.h>
#include <stdbool.h>
#include <sys/prctl.h>

#include <libproc2/pids.h>

#include "linux/procps/process_tree.h"

/* The linker's --wrap has these come here first. libproc2 tells an error by what a
 * function returns or by errno, and at times leaves errno alone. */
static const char *failing; /* NULL: none */
static int failing_errno;
static int calls_to_go; /* that many calls of it go well before */

/* A PSS that cannot be read comes as 0, and so does the RSS of who has ended. */
static enum { AS_IT_IS, PSS_DENIED, ENDED } selected;

static bool
fails(const char *call)
{
    if (failing == NULL || strcmp(call, failing) != 0 || calls_to_go-- > 0) {
        return false;
    }
    errno = failing_errno;
    return true;
}

static void
start_failing(const char *call, int err, int after)
{
    failing = call;
    failing_errno = err;
    calls_to_go = after;
}

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *
__wrap_calloc(size_t count, size_t size)
{
    return fails("calloc") ? NULL : __real_calloc(count, size);
}

void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *
__wrap_realloc(void *memory, size_t size)
{
    return fails("realloc") ? NULL : __real_realloc(memory, size);
}

int __real_procps_pids_new(struct pids_info **info, enum pids_item *items, int count);
int __wrap_procps_pids_new(struct pids_info **info, enum pids_item *items, int count);
int
__wrap_procps_pids_new(struct pids_info **info, enum pids_item *items, int count)
{
    return fails("pids_new") ? -failing_errno
                             : __real_procps_pids_new(info, items, count);
}

struct pids_fetch *
__real_procps_pids_reap(struct pids_info *info, enum pids_fetch_type which);
struct pids_fetch *
__wrap_procps_pids_reap(struct pids_info *info, enum pids_fetch_type which);
struct pids_fetch *
__wrap_procps_pids_reap(struct pids_info *info, enum pids_fetch_type which)
{
    return fails("pids_reap") ? NULL : __real_procps_pids_reap(info, which);
}

struct pids_fetch *__real_procps_pids_select(struct pids_info *info, unsigned *these,
                                             int count, enum pids_select_type which);
struct pids_fetch *__wrap_procps_pids_select(struct pids_info *info, unsigned *these,
                                             int count, enum pids_select_type which);
struct pids_fetch *
__wrap_procps_pids_select(struct pids_info *info, unsigned *these, int count,
                          enum pids_select_type which)
{
    struct pids_fetch *fetch;

    if (fails("pids_select")) {
        return NULL;
    }
    fetch = __real_procps_pids_select(info, these, count, which);
    for (int i = 0; fetch != NULL && i < fetch->counts->total; i++) {
        struct pids_result *of = fetch->stacks[i]->head;

        for (int k = 0; k < 3; k++) {
            if ((selected == PSS_DENIED && of[k].item == PIDS_SMAP_PSS) ||
                (selected == ENDED && of[k].item != PIDS_ID_PID)) {
                of[k].result.ul_int = 0;
            }
        }
    }
    return fetch;
}

/* ---- children ---- */

/* A child that holds so much of its own, and has `children` that do; they end with
 * it. */
static pid_t
start_child(int64_t bytes, int children)
{
    int ready[2];
    char byte = 0;
    pid_t child;

    assert_int_equal(pipe(ready), 0);
    child = fork();
    if (child == 0) {
        bool forked = true;

        for (int i = 0; i < children && forked; i++) {
            forked = fork() != 0;
        }
        if (!forked) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
        }
        if (bytes > 0) {
            volatile char *held = map_touched(bytes);

            held[0] = 2;
        }
        (void)!write(ready[1], &byte, 1);
        for (;;) {
            pause();
        }
    }
    close(ready[1]);
    for (int i = 0; i <= children; i++) {
        assert_int_equal(read(ready[0], &byte, 1), 1);
    }
    close(ready[0]);
    return child;
}

static void
end_it(pid_t child)
{
    int status;

    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
}

/* ---- tests ---- */

static void
test_no_children(void **state)
{
    struct mw_process_tree *tree;
    struct mw_process_tree_reading reading;

    (void)state;
    assert_int_equal(mw_process_tree_new(&tree, getpid()), 0);
    assert_int_equal(mw_process_tree_read(tree, false, &reading), 0);
    assert_int_equal(reading.count, 0);
    assert_int_equal(reading.rss_bytes, 0);
    assert_int_equal(reading.first_seen, 0);
    assert_int_equal(reading.pss_bytes, MW_ABSENT);
    assert_int_equal(mw_process_tree_read(tree, true, &reading), 0);
    assert_int_equal(reading.pss_bytes, 0);
    assert_int_equal(reading.own_pss_bytes, MW_ABSENT);
    mw_process_tree_free(&tree);
    assert_null(tree);
    mw_process_tree_free(&tree);
}

static void
test_children_and_theirs(void **state)
{
    struct mw_process_tree *tree;
    struct mw_process_tree_reading reading;
    pid_t one;
    pid_t two;

    (void)state;
    assert_int_equal(mw_process_tree_new(&tree, getpid()), 0);
    one = start_child(0, 0);
    assert_int_equal(mw_process_tree_read(tree, false, &reading), 0);
    assert_int_equal(reading.count, 1);
    assert_int_equal(reading.first_seen, 1);
    two = start_child(0, 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(mw_process_tree_read(tree, false, &reading), 0);
        assert_int_equal(reading.count, 4);
        assert_true(reading.rss_bytes > 0);
        /* The children's children were started by somebody else. */
        assert_int_equal(reading.first_seen, 2);
    }
    end_it(one);
    end_it(two);
    assert_int_equal(mw_process_tree_read(tree, true, &reading), 0);
    assert_int_equal(reading.first_seen, 2);
    mw_process_tree_free(&tree);
}

static void
test_zombie_holds_nothing(void **state)
{
    struct mw_process_tree *tree;
    struct mw_process_tree_reading reading;
    siginfo_t ended;
    pid_t child = start_child(0, 0);

    (void)state;
    kill(child, SIGKILL);
    assert_int_equal(waitid(P_PID, (id_t)child, &ended, WEXITED | WNOWAIT), 0);
    assert_int_equal(mw_process_tree_new(&tree, getpid()), 0);
    assert_int_equal(mw_process_tree_read(tree, true, &reading), 0);
    assert_int_equal(reading.count, 0);
    assert_int_equal(reading.first_seen, 0);
    assert_int_equal(reading.pss_bytes, 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    mw_process_tree_free(&tree);
}

static int
wait_for_end(void *peer)
{
    char byte = 0;

    (void)!read(*(int *)peer, &byte, 1);
    return 0;
}

/* As between vfork() and exec(), where posix_spawn() and Python's subprocess are for a
 * while: what such a child holds is what its parent holds, and is not to be told twice.
 */
static void
test_child_in_its_parents_memory_holds_nothing(void **state)
{
    enum { STACK = 65536 };
    struct mw_process_tree *tree;
    struct mw_process_tree_reading reading;
    char *stack = map_touched(STACK);
    int peers[2];
    pid_t child;

    (void)state;
    SKIP_UNDER_VALGRIND(); /* it knows fork() only */
    SKIP_UNDER_TSAN();
    assert_int_equal(pipe(peers), 0);
    assert_int_equal(mw_process_tree_new(&tree, getpid()), 0);
    assert_int_equal(mw_process_tree_read(tree, false, &reading), 0);
    child = clone(wait_for_end, stack + STACK, CLONE_VM | SIGCHLD, &peers[0]);
    assert_true(child > 0);
    assert_int_equal(mw_process_tree_read(tree, true, &reading), 0);
    assert_int_equal(reading.count, 0);
    assert_int_equal(reading.rss_bytes, 0);
    assert_int_equal(reading.pss_bytes, 0);
    assert_int_equal(reading.first_seen, 0);
    assert_int_equal(write(peers[1], "x", 1), 1);
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(peers[0]);
    close(peers[1]);
    mw_process_tree_free(&tree);
    unmap(stack, STACK);
}

static void
test_private_pages_count_for_each_and_shared_ones_once(void **state)
{
    struct mw_process_tree *tree;
    struct mw_process_tree_reading none;
    struct mw_process_tree_reading private;
    struct mw_process_tree_reading shared;
    pid_t idle;
    pid_t child;
    char *memory;

    (void)state;
    SKIP_UNDER_VALGRIND();
    SKIP_UNDER_TSAN();
    assert_int_equal(mw_process_tree_new(&tree, getpid()), 0);
    idle = start_child(0, 1);
    assert_int_equal(mw_process_tree_read(tree, true, &none), 0);
    end_it(idle);

    child = start_child(32 * MIB, 1); /* and so has its child */
    assert_int_equal(mw_process_tree_read(tree, true, &private), 0);
    end_it(child);
    assert_int_equal(private.count, 2);
    assert_true(distance(private.rss_bytes - none.rss_bytes, 64 * MIB) < 3 * MIB);
    assert_true(distance(private.pss_bytes - none.pss_bytes, 64 * MIB) < 3 * MIB);

    memory = map_touched(64 * MIB);
    child = start_child(0, 1);
    assert_int_equal(mw_process_tree_read(tree, true, &shared), 0);
    end_it(child);
    unmap(memory, 64 * MIB);
    assert_true(shared.rss_bytes - none.rss_bytes > 120 * MIB);
    assert_true(distance(shared.pss_bytes + shared.own_pss_bytes - none.pss_bytes -
                             none.own_pss_bytes,
                         64 * MIB) < 3 * MIB);
    mw_process_tree_free(&tree);
}

/* More than one batch of libproc2's, and more than there was room for. */
static void
test_many_children(void **state)
{
    enum { MANY = 250 };
    struct mw_process_tree *tree;
    struct mw_process_tree_reading reading;
    pid_t child;

    (void)state;
    SKIP_UNDER_VALGRIND();
    assert_int_equal(mw_process_tree_new(&tree, getpid()), 0);
    assert_int_equal(mw_process_tree_read(tree, false, &reading), 0);
    child = start_child(0, MANY);
    assert_int_equal(mw_process_tree_read(tree, true, &reading), 0);
    assert_int_equal(reading.count, MANY + 1);
    assert_true(reading.pss_bytes > 0);
    assert_true(reading.own_pss_bytes > 0);
    assert_int_equal(reading.first_seen, 1);
    end_it(child);
    mw_process_tree_free(&tree);
}

static void
test_pss_that_cannot_be_read_is_absent(void **state)
{
    struct mw_process_tree *tree;
    struct mw_process_tree_reading reading;
    pid_t one = start_child(0, 0);
    pid_t two = start_child(0, 0);

    (void)state;
    assert_int_equal(mw_process_tree_new(&tree, getpid()), 0);
    selected = PSS_DENIED;
    assert_int_equal(mw_process_tree_read(tree, true, &reading), 0);
    assert_int_equal(reading.count, 2);
    assert_true(reading.rss_bytes > 0);
    assert_int_equal(reading.pss_bytes, MW_ABSENT);
    assert_int_equal(reading.own_pss_bytes, MW_ABSENT);
    selected = ENDED;
    assert_int_equal(mw_process_tree_read(tree, true, &reading), 0);
    assert_int_equal(reading.count, 0);
    assert_int_equal(reading.rss_bytes, 0);
    assert_int_equal(reading.pss_bytes, 0);
    selected = AS_IT_IS;
    end_it(one);
    end_it(two);
    mw_process_tree_free(&tree);
}

static void
test_tree_that_cannot_be_created(void **state)
{
    static const struct {
        const char *call;
        int after;
    } calls[] = {{"calloc", 0}, {"pids_new", 0}, {"pids_new", 1}};
    struct mw_process_tree *tree = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        start_failing(calls[i].call, ENOMEM, calls[i].after);
        assert_int_equal(mw_process_tree_new(&tree, getpid()), -ENOMEM);
        start_failing(NULL, 0, 0);
        assert_null(tree);
    }
}

static void
test_tree_that_cannot_be_read(void **state)
{
    static const struct {
        const char *call;
        int err;
        int after;
        int told;
    } calls[] = {
        {"pids_reap", EMFILE, 0, -EMFILE},   {"pids_reap", 0, 0, -EIO},
        {"realloc", ENOMEM, 0, -ENOMEM},     {"realloc", ENOMEM, 1, -ENOMEM},
        {"pids_select", EMFILE, 0, -EMFILE}, {"pids_select", 0, 0, -EIO},
    };
    struct mw_process_tree *tree;
    struct mw_process_tree_reading reading = {.count = 77};
    pid_t child = start_child(0, 0);

    (void)state;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        assert_int_equal(mw_process_tree_new(&tree, getpid()), 0);
        start_failing(calls[i].call, calls[i].err, calls[i].after);
        assert_int_equal(mw_process_tree_read(tree, true, &reading), calls[i].told);
        start_failing(NULL, 0, 0);
        assert_int_equal(reading.count, 77);
        assert_int_equal(mw_process_tree_read(tree, false, &reading), 0);
        assert_int_equal(reading.count, 1);
        assert_int_equal(reading.first_seen, 1);
        reading.count = 77;
        mw_process_tree_free(&tree);
    }
    end_it(child);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_children),
        cmocka_unit_test(test_children_and_theirs),
        cmocka_unit_test(test_zombie_holds_nothing),
        cmocka_unit_test(test_child_in_its_parents_memory_holds_nothing),
        cmocka_unit_test(test_private_pages_count_for_each_and_shared_ones_once),
        cmocka_unit_test(test_many_children),
        cmocka_unit_test(test_pss_that_cannot_be_read_is_absent),
        cmocka_unit_test(test_tree_that_cannot_be_created),
        cmocka_unit_test(test_tree_that_cannot_be_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
