/* The memory of a process's children, and of theirs. */

#include "families.h"

#include <linux/kcmp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>

static void
test_no_children(void **state)
{
    struct mw_process_tree *tree;
    struct mw_process_tree_reading reading;

    (void)state;
    assert_int_equal(new_own_tree(&tree), 0);
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
    assert_int_equal(new_own_tree(&tree), 0);
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
    assert_int_equal(new_own_tree(&tree), 0);
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

/* A child in this process's memory, as one is between vfork() and exec(), where
 * posix_spawn() and Python's subprocess are for a while: what it holds is what its
 * parent holds, and is not to be told twice. */
enum { STACK = 65536 };
static char *stack;
static int peers[2];
static pid_t child_in_memory;

static void
start_child_in_memory(void)
{
    stack = map_touched(STACK);
    assert_int_equal(pipe(peers), 0);
    child_in_memory = clone(wait_for_end, stack + STACK, CLONE_VM | SIGCHLD, &peers[0]);
    assert_true(child_in_memory > 0);
}

static void
end_child_in_memory(void)
{
    assert_int_equal(write(peers[1], "x", 1), 1);
    assert_int_equal(waitpid(child_in_memory, NULL, 0), child_in_memory);
    close(peers[0]);
    close(peers[1]);
    unmap(stack, STACK);
}

static void
test_child_in_its_parents_memory_holds_nothing(void **state)
{
    struct mw_process_tree *tree;
    struct mw_process_tree_reading reading;

    (void)state;
    SKIP_UNDER_VALGRIND(); /* it knows fork() only */
    SKIP_UNDER_TSAN();
    assert_int_equal(new_own_tree(&tree), 0);
    assert_int_equal(mw_process_tree_read(tree, false, &reading), 0);
    start_child_in_memory();
    assert_int_equal(mw_process_tree_read(tree, true, &reading), 0);
    assert_int_equal(reading.count, 0);
    assert_int_equal(reading.rss_bytes, 0);
    assert_int_equal(reading.pss_bytes, 0);
    assert_int_equal(reading.first_seen, 0);
    end_child_in_memory();
    mw_process_tree_free(&tree);
}

static void *
change_memory(void *stop)
{
    while (!atomic_load((atomic_bool *)stop)) {
        unmap(map_touched(4 << 20), 4 << 20);
    }
    return NULL;
}

/* Its figures and its parent's are read one after the other. */
static void
test_child_in_changing_memory_holds_nothing(void **state)
{
    enum { READINGS = 300 };
    struct mw_process_tree *tree;
    struct mw_process_tree_reading reading;
    atomic_bool stop = false;
    pthread_t thread;
    int64_t most = 0;

    (void)state;
    SKIP_UNDER_VALGRIND();
    SKIP_UNDER_TSAN();
    if (syscall(SYS_kcmp, getpid(), getpid(), KCMP_VM, 0UL, 0UL) != 0) {
        skip(); /* forbidden here */
    }
    assert_int_equal(new_own_tree(&tree), 0);
    start_child_in_memory();
    assert_int_equal(pthread_create(&thread, NULL, change_memory, &stop), 0);
    for (int i = 0; i < READINGS; i++) {
        assert_int_equal(mw_process_tree_read(tree, false, &reading), 0);
        most = reading.count > most ? reading.count : most;
    }
    atomic_store(&stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    end_child_in_memory();
    assert_int_equal(most, 0);
    mw_process_tree_free(&tree);
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
    assert_int_equal(new_own_tree(&tree), 0);
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
    assert_int_equal(new_own_tree(&tree), 0);
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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_children),
        cmocka_unit_test(test_children_and_theirs),
        cmocka_unit_test(test_zombie_holds_nothing),
        cmocka_unit_test(test_child_in_its_parents_memory_holds_nothing),
        cmocka_unit_test(test_child_in_changing_memory_holds_nothing),
        cmocka_unit_test(test_private_pages_count_for_each_and_shared_ones_once),
        cmocka_unit_test(test_many_children),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
