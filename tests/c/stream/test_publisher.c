/* What a publisher sends, to those who read and to those who do not. */

#include "publishers.h"

static int64_t
figure(const struct received *message, const char *key)
{
    const char *at = strstr(message->body, key);

    assert_non_null(at);
    return strtoll(at + strlen(key), NULL, 10);
}

static void
test_a_cell(void **state)
{
    struct mw_publisher *publisher = publish(place.ipc, MW_NS_PER_MS);
    void *subscriber = connected(place.ipc);
    const struct mw_result result = {.duration_ns = 7, .rss_end_bytes = 44};
    struct mw_blackbox_title title = {.execution_count = 4};
    struct received *message;
    int slot;

    (void)state;
    /* Idle: that it lives, and what it holds. */
    message = await(subscriber, "memwatch.sample.a-kernel");
    assert_true(figure(message, "\"rss_bytes\":") > 0);
    assert_non_null(strstr(message->body, "\"cell\":null"));

    mw_blackbox_put_text(title.source, sizeof title.source, "x = 1");
    slot = mw_blackbox_writer_open_cell(place.writer, mw_clock_mono_ns(),
                                        mw_clock_real_ns(), 33, &title);
    message = await(subscriber, "memwatch.open.a-kernel");
    assert_int_equal(figure(message, "\"rss_start_bytes\":"), 33);
    mw_blackbox_writer_add_sample(place.writer, mw_clock_mono_ns(), 55);
    message = await(subscriber, "memwatch.sample.a-kernel");
    while (figure(message, "\"rss_bytes\":") != 55) {
        message = await(subscriber, "memwatch.sample.a-kernel");
    }
    assert_non_null(strstr(message->body, "\"source\":\"x = 1\""));
    mw_blackbox_writer_close_cell(place.writer, slot, MW_BLACKBOX_OK, &result);
    message = await(subscriber, "memwatch.close.a-kernel");
    assert_int_equal(figure(message, "\"rss_end_bytes\":"), 44);

    mw_publisher_free(&publisher);
    assert_null(publisher);
    message = await(subscriber, "memwatch.bye.a-kernel");
    assert_int_equal(figure(message, "\"dropped\":"), 0);
}

/* Samples at the sampler's fastest, and one who reads none: whoever reads gets all. */
static void
test_stuck_subscriber(void **state)
{
    struct mw_publisher *publisher = publish(place.ipc, MW_NS_PER_MS);
    void *subscriber = connected(place.ipc);
    void *stuck = new_subscriber();
    const struct mw_blackbox_title title = {.execution_count = 1};
    int64_t t_begin_ns = mw_clock_mono_ns();
    int64_t expected = 0;
    int64_t dropped = 0;
    int64_t sampled = 0;
    struct received message;

    (void)state;
    set_int(stuck, ZMQ_RCVHWM, 1);
    set_int(stuck, ZMQ_RCVBUF, 4096);
    assert_int_equal(zmq_connect(stuck, place.ipc), 0);
    assert_true(receive(stuck, &message)); /* it is there, and then not */
    await(subscriber, "memwatch.sample.a-kernel");
    mw_blackbox_writer_open_cell(place.writer, mw_clock_mono_ns(), mw_clock_real_ns(),
                                 33, &title);
    while (dropped < 1500) {
        assert_false(is_late(t_begin_ns));
        for (int i = 0; i < 20; i++) {
            mw_blackbox_writer_add_sample(place.writer, mw_clock_mono_ns(), ++sampled);
        }
        /* The next ones when it has got these: its own queue never fills. */
        do {
            int64_t number;

            assert_true(receive(subscriber, &message));
            number = figure(&message, "\"message\":");
            if (expected != 0) {
                assert_int_equal(number, expected);
            }
            expected = number + 1;
            dropped = figure(&message, "\"dropped\":");
        } while (figure(&message, "\"rss_bytes\":") != sampled);
    }
    assert_true(status_of(publisher).dropped >= dropped);
    assert_true(status_of(publisher).sent > dropped);

    /* It reads again: then nobody is left out any more. */
    set_int(stuck, ZMQ_RCVTIMEO, MS_ENOUGH);
    while (receive(stuck, &message)) {
    }
    dropped = status_of(publisher).dropped;
    mw_blackbox_writer_add_sample(place.writer, mw_clock_mono_ns(), 77);
    set_int(stuck, ZMQ_RCVTIMEO, (int)(PATIENCE_NS / MW_NS_PER_MS));
    while (figure(await(stuck, "memwatch.sample.a-kernel"), "\"rss_bytes\":") != 77) {
    }
    assert_int_equal(status_of(publisher).dropped, dropped);
    mw_publisher_free(&publisher);
}

static void
test_collector(void **state)
{
    void *collector = new_subscriber();
    char endpoint[256];
    size_t size = sizeof endpoint;
    struct mw_publisher *publisher;

    (void)state;
    assert_int_equal(zmq_bind(collector, "tcp://127.0.0.1:*"), 0);
    zmq_getsockopt(collector, ZMQ_LAST_ENDPOINT, endpoint, &size);
    publisher = publish_to(endpoint);
    await(collector, "memwatch.sample.a-kernel");
    mw_publisher_free(&publisher);
    await(collector, "memwatch.bye.a-kernel");

    /* Nobody there: that is no error, and nothing waits for them. */
    publisher = publish_to(endpoint);
    mw_publisher_free(&publisher);
}

static void
wait_for_subscriptions(struct mw_publisher *publisher, int64_t wanted)
{
    int64_t t_begin_ns = mw_clock_mono_ns();

    while (status_of(publisher).subscriptions != wanted) {
        assert_false(is_late(t_begin_ns));
        nap();
    }
}

static void
close_last_socket(void)
{
    zmq_close(place.sockets[--place.socket_count]);
}

static void
test_subscriptions(void **state)
{
    struct mw_publisher *publisher = publish(place.ipc, MW_NS_PER_MS);
    struct received message;
    void *second;
    void *peer;

    (void)state;
    wait_for_subscriptions(publisher, 0);
    connected(place.ipc);
    wait_for_subscriptions(publisher, 1);
    /* The same topic again, by another one; then a second topic, and it is taken back.
     */
    second = connected(place.ipc);
    wait_for_subscriptions(publisher, 2);
    assert_int_equal(zmq_setsockopt(second, ZMQ_SUBSCRIBE, "memwatch.bye", 12), 0);
    wait_for_subscriptions(publisher, 3);
    assert_int_equal(zmq_setsockopt(second, ZMQ_UNSUBSCRIBE, "memwatch.bye", 12), 0);
    wait_for_subscriptions(publisher, 2);

    /* Who is connected, asks for nothing, and sends what is no request. */
    peer = zmq_socket(place.context, ZMQ_XSUB);
    assert_non_null(peer);
    place.sockets[place.socket_count++] = peer;
    set_int(peer, ZMQ_LINGER, 0);
    set_int(peer, ZMQ_RCVTIMEO, (int)(PATIENCE_NS / MW_NS_PER_MS));
    assert_int_equal(zmq_connect(peer, place.ipc), 0);
    assert_int_equal(zmq_send(peer, "", 0, 0), 0);
    assert_int_equal(zmq_send(peer, "hello", 5, 0), 5);
    assert_int_equal(zmq_send(peer, "\1memwatch.sample", 16, 0), 16);
    assert_true(receive(peer, &message)); /* all three have been read */
    wait_for_subscriptions(publisher, 3);

    close_last_socket();
    wait_for_subscriptions(publisher, 2);
    close_last_socket();
    close_last_socket();
    wait_for_subscriptions(publisher, 0);
    assert_true(status_of(publisher).sent > 0);
    assert_int_equal(status_of(publisher).dropped, 0);
    mw_publisher_free(&publisher);
}

/* As a collector binds: nobody is there first, then somebody, then nobody again. */
static void
test_subscriptions_of_a_collector(void **state)
{
    void *collector = new_subscriber();
    char endpoint[256];
    size_t size = sizeof endpoint;
    struct mw_publisher *publisher;

    (void)state;
    assert_int_equal(zmq_bind(collector, "tcp://127.0.0.1:*"), 0);
    zmq_getsockopt(collector, ZMQ_LAST_ENDPOINT, endpoint, &size);
    publisher = publish_to(endpoint);
    await(collector, "memwatch.sample.a-kernel"); /* it asks when it looks */
    wait_for_subscriptions(publisher, 1);
    close_last_socket();
    wait_for_subscriptions(publisher, 0);
    mw_publisher_free(&publisher);
}

static void
test_ipc_files(void **state)
{
    const char *path = place.ipc + strlen("ipc://");
    const struct mw_pub_socket_options options = {.endpoint = place.ipc,
                                                  .interval_ns = MW_NS_PER_S};
    struct mw_publisher *second = NULL;
    struct mw_publisher *publisher;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat found;
    int fd;

    (void)state;
    publisher = publish(place.ipc, MW_NS_PER_S);
    assert_int_equal(lstat(path, &found), 0);
    assert_int_equal(found.st_mode, S_IFSOCK | 0600);
    assert_int_equal(try_publish(&second, &options), -EADDRINUSE);
    mw_publisher_free(&publisher);
    assert_int_equal(lstat(path, &found), -1);

    /* Somebody's who has another type of socket there. */
    mw_blackbox_put_text(address.sun_path, sizeof address.sun_path, path);
    fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(try_publish(&second, &options), -EADDRINUSE);
    close(fd);
    assert_int_equal(unlink(path), 0);

    /* What the dead leave is taken over. */
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd);
    publisher = publish(place.ipc, MW_NS_PER_S);
    mw_publisher_free(&publisher);

    /* A file that is none of ours stays. */
    write_file(place.folder, "1-1.ipc", "precious");
    assert_int_equal(try_publish(&second, &options), -EEXIST);
    assert_int_equal(lstat(path, &found), 0);
    assert_int_equal(found.st_size, 8);
}

static void
test_impossible_values(void **state)
{
    char too_long[200] = "ipc:///tmp/";
    char far_too_long[600];
    const struct {
        const char *endpoint;
        int err;
    } wrong[] = {
        {"tcp://127.0.0.1", -EINVAL},
        {"nonsense", -EINVAL},
        {"tcp://192.0.2.1:5555", -EADDRNOTAVAIL},
        {"ipc:///nowhere/at/all", -ENOENT},
        {too_long, -ENAMETOOLONG},
        {far_too_long, -ENAMETOOLONG},
    };
    struct mw_publisher *publisher = NULL;
    struct mw_pub_socket_options options = {.interval_ns = MW_NS_PER_S};
    enum mw_pub_socket_step step;

    (void)state;
    memset(too_long + strlen(too_long), 'x', 150);
    memset(far_too_long, 'x', sizeof far_too_long - 1);
    far_too_long[sizeof far_too_long - 1] = '\0';
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        options.endpoint = wrong[i].endpoint;
        assert_int_equal(mw_publisher_new(&publisher, place.box, &options, &step),
                         wrong[i].err);
        assert_int_equal(step, MW_PUB_SOCKET_ADDRESS);
        assert_non_null(mw_pub_socket_describe(wrong[i].err));
    }
    options.endpoint = "tcp://127.0.0.1:*";
    assert_int_equal(mw_publisher_new(&publisher, "/nowhere", &options, &step),
                     -ENOENT);
    assert_int_equal(step, MW_PUB_SOCKET_BOX);
    assert_null(publisher);
    mw_publisher_free(&publisher);
}

static void
test_assigned_port_is_reported(void **state)
{
    struct mw_publisher *publisher = publish("tcp://127.0.0.1:*", MW_NS_PER_S);
    struct mw_publisher_status status = status_of(publisher);

    (void)state;
    assert_true(status.alive);
    assert_memory_equal(status.endpoint, "tcp://127.0.0.1:", 16);
    assert_true(strtol(status.endpoint + 16, NULL, 10) > 0);
    mw_publisher_free(&publisher);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        IN_PLACE(test_a_cell),
        IN_PLACE(test_stuck_subscriber),
        IN_PLACE(test_collector),
        IN_PLACE(test_ipc_files),
        IN_PLACE(test_impossible_values),
        IN_PLACE(test_assigned_port_is_reported),
        IN_PLACE(test_subscriptions),
        IN_PLACE(test_subscriptions_of_a_collector),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
