/* A publisher without descriptors, threads or names, and in a forked process. */

#include "publishers.h"

/* libzmq would end the process. */
static void
test_no_descriptors(void **state)
{
    const struct mw_pub_socket_options options = {.endpoint = place.ipc,
                                                  .interval_ns = MW_NS_PER_S};
    struct mw_publisher *publisher = NULL;
    enum mw_pub_socket_step step;
    struct rlimit before;
    struct rlimit few;
    int lowest = dup(0);

    (void)state;
    SKIP_UNDER_VALGRIND(); /* it has descriptors of its own */
    close(lowest);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    for (int spare = 0; spare < 20; spare++) {
        int err;

        few.rlim_cur = (rlim_t)lowest + (rlim_t)spare;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
        err = mw_publisher_new(&publisher, place.box, &options, &step);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_int_equal(err, -EMFILE);
        assert_true(step == (spare < 4 ? MW_PUB_SOCKET_BOX : MW_PUB_SOCKET_ZMQ));
    }
    publisher = publish(place.ipc, MW_NS_PER_S);
    mw_publisher_free(&publisher);
}

static int
count_threads(void)
{
    DIR *folder = opendir("/proc/self/task");
    int count = 0;

    assert_non_null(folder);
    for (const struct dirent *each = readdir(folder); each != NULL;
         each = readdir(folder)) {
        count += each->d_name[0] != '.';
    }
    closedir(folder);
    return count;
}

/* A name's server that does not answer keeps libzmq's thread, but not us. */
static void
test_no_wait_for_a_name(void **state)
{
    int64_t t_begin_ns = mw_clock_mono_ns();
    int threads = count_threads();
    struct mw_publisher *publisher;

    (void)state;
    atomic_store(&slow_asked, 0);
    atomic_store(&slow_answered, 0);
    atomic_store(&may_be_told, false);
    publisher = publish_to("tcp://" SLOW_NAME ":5555");
    while (atomic_load(&slow_asked) == 0) {
        assert_false(is_late(t_begin_ns));
        nap();
    }
    mw_publisher_free(&publisher);
    assert_int_equal(atomic_load(&slow_answered), 0);

    /* When the answer has come, all is given back. */
    atomic_store(&may_be_told, true);
    while (count_threads() > threads) {
        assert_false(is_late(t_begin_ns));
        nap();
    }
    assert_true(atomic_load(&slow_answered) > 0);
}

static void *
ask_until_freed(void *argument)
{
    struct mw_publisher **publisher = (struct mw_publisher **)argument;
    struct mw_publisher_status status;

    while (mw_publisher_get_status(publisher, &status) == 0) {
        sched_yield();
    }
    mw_publisher_free(publisher);
    return NULL;
}

static void *
free_publisher(void *argument)
{
    mw_publisher_free((struct mw_publisher **)argument);
    return NULL;
}

/* As without a GIL: one thread asks how it goes, and two end it. */
static void
test_ended_while_others_ask(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct mw_publisher *publisher = publish(place.ipc, MW_NS_PER_S);
        pthread_t threads[4];

        for (int each = 0; each < 4; each++) {
            assert_int_equal(pthread_create(&threads[each], NULL,
                                            each < 2 ? ask_until_freed : free_publisher,
                                            (void *)&publisher),
                             0);
        }
        for (int each = 0; each < 4; each++) {
            pthread_join(threads[each], NULL);
        }
        assert_null(publisher);
    }
}

static int
publish_refused(enum refused whose, int which, int err, enum mw_pub_socket_step *step)
{
    const struct mw_pub_socket_options options = {.endpoint = place.ipc,
                                                  .interval_ns = MW_NS_PER_S};
    struct mw_publisher *publisher = NULL;

    atomic_store(&refusal, err);
    atomic_store(&nth, which);
    atomic_store(&refused, whose);
    err = mw_publisher_new(&publisher, place.box, &options, step);
    atomic_store(&refused, NONE);
    return atomic_load(&nth) == 0 ? err : 1;
}

static const int refusals[] = {EAGAIN, EPERM, ENOMEM};

/* The kernel refuses a thread before libzmq is entered: an error, and no abort(). */
static void
test_no_threads(void **state)
{
    struct mw_publisher *publisher;
    enum mw_pub_socket_step step;

    (void)state;
    for (int i = 0; i < 3; i++) {
        for (int which = 1; which <= 5; which++) { /* four spare ones, and our own */
            assert_int_equal(publish_refused(OURS, which, refusals[i], &step),
                             -refusals[i]);
            assert_int_equal(step, MW_PUB_SOCKET_THREAD);
        }
    }
    publisher = publish(place.ipc, MW_NS_PER_S);
    mw_publisher_free(&publisher);
}

static void
ours(int number)
{
    (void)number;
}

static int
check_aborts(void)
{
    const struct sigaction before = {.sa_handler = ours};
    struct sigaction after;
    struct mw_publisher *publisher;
    enum mw_pub_socket_step step;

    sigaction(SIGABRT, &before, NULL);
    for (int i = 0; i < 3; i++) {
        for (int which = 1; which <= 2; which++) {
            if (publish_refused(OF_LIBZMQ, which, refusals[i], &step) != -EAGAIN ||
                step != MW_PUB_SOCKET_ZMQ) {
                return 1;
            }
        }
    }
    sigaction(SIGABRT, NULL, &after);
    if (after.sa_handler != ours) {
        return 2;
    }
    if (try_publish(&publisher, &(struct mw_pub_socket_options){
                                    .endpoint = place.ipc,
                                    .interval_ns = MW_NS_PER_S,
                                }) != 0) {
        return 3;
    }
    mw_publisher_free(&publisher);
    return 0;
}

/* The kernel refuses one to libzmq, for others took it meanwhile: libzmq's abort() does
 * not end the process, and the next try works. In a child: libzmq's locks are leaked.
 */
static void
test_no_threads_for_libzmq(void **state)
{
    (void)state;
    SKIP_UNDER_TSAN();
    assert_int_equal(exit_status_of(check_aborts), 0);
}

static int
is_dead_in_a_child(struct mw_publisher *publisher)
{
    struct stat found;

    if (status_of(publisher).alive) {
        return 1;
    }
    mw_publisher_free(&publisher);
    return lstat(place.ipc + strlen("ipc://"), &found) == 0 ? 0 : 2;
}

static void
test_fork(void **state)
{
    struct mw_publisher *publisher;
    void *subscriber;
    int status;

    (void)state;
    SKIP_UNDER_TSAN();
    SKIP_UNDER_VALGRIND();
    publisher = publish(place.ipc, MW_NS_PER_MS);
    subscriber = connected(place.ipc);
    await(subscriber, "memwatch.sample.a-kernel");
    for (int i = 0; i < 20; i++) {
        pid_t child = fork();

        if (child == 0) {
            end_child(is_dead_in_a_child(publisher));
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    }
    assert_true(status_of(publisher).alive);
    await(subscriber, "memwatch.sample.a-kernel");
    mw_publisher_free(&publisher);
    await(subscriber, "memwatch.bye.a-kernel");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        IN_PLACE(test_no_descriptors),         IN_PLACE(test_no_wait_for_a_name),
        IN_PLACE(test_ended_while_others_ask), IN_PLACE(test_no_threads),
        IN_PLACE(test_no_threads_for_libzmq),  IN_PLACE(test_fork),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
