/* Only those whose keys are listed may read. */

#include "publishers.h"

struct keys {
    char public_key[MW_CURVE_KEY_CHARACTERS + 1];
    char secret_key[MW_CURVE_KEY_CHARACTERS + 1];
};

static struct keys
new_keys(void)
{
    struct keys keys;

    assert_int_equal(mw_curve_make_keys(keys.public_key, keys.secret_key), 0);
    return keys;
}

static void *
connected_with(const char *endpoint, const struct keys *own, const char *server_key)
{
    void *subscriber = new_subscriber();

    assert_int_equal(
        zmq_setsockopt(subscriber, ZMQ_CURVE_PUBLICKEY, own->public_key, 41), 0);
    assert_int_equal(
        zmq_setsockopt(subscriber, ZMQ_CURVE_SECRETKEY, own->secret_key, 41), 0);
    assert_int_equal(zmq_setsockopt(subscriber, ZMQ_CURVE_SERVERKEY, server_key, 41),
                     0);
    assert_int_equal(zmq_connect(subscriber, endpoint), 0);
    return subscriber;
}

static void
test_only_the_listed_are_admitted(void **state)
{
    struct keys server = new_keys();
    struct keys listed = new_keys();
    struct keys unlisted = new_keys();
    const char *const admitted[] = {unlisted.secret_key, listed.public_key};
    const struct mw_pub_socket_options options = {.endpoint = "tcp://127.0.0.1:*",
                                                  .interval_ns = MW_NS_PER_MS,
                                                  .own_public_key = server.public_key,
                                                  .own_secret_key = server.secret_key,
                                                  .admitted = admitted,
                                                  .admitted_count = 2};
    struct mw_publisher *publisher = NULL;
    const struct mw_blackbox_title title = {.execution_count = 1};
    int64_t t_begin_ns = mw_clock_mono_ns();
    struct received message;
    const char *endpoint;
    struct mw_publisher_status status;
    void *strangers[3];
    void *friendly;

    (void)state;
    assert_int_equal(try_publish(&publisher, &options), 0);
    status = status_of(publisher);
    endpoint = status.endpoint;
    strangers[0] = connected(endpoint);
    strangers[1] = connected_with(endpoint, &unlisted, server.public_key);
    strangers[2] = connected_with(endpoint, &listed, listed.public_key);
    friendly = connected_with(endpoint, &listed, server.public_key);
    mw_blackbox_writer_open_cell(place.writer, mw_clock_mono_ns(), mw_clock_real_ns(),
                                 33, &title);
    while (status_of(publisher).refused == 0) {
        assert_false(is_late(t_begin_ns));
        nap();
    }
    for (int i = 0; i < 100; i++) {
        mw_blackbox_writer_add_sample(place.writer, mw_clock_mono_ns(), i);
        await(friendly, "memwatch.sample.a-kernel");
    }
    for (int i = 0; i < 3; i++) {
        set_int(strangers[i], ZMQ_RCVTIMEO, 50);
        assert_false(receive(strangers[i], &message));
    }
    mw_publisher_free(&publisher);
}

static void
test_wrong_keys(void **state)
{
    struct keys own = new_keys();
    const char *const admitted[] = {"no key"};
    struct mw_pub_socket_options options = {.endpoint = "tcp://127.0.0.1:*",
                                            .interval_ns = MW_NS_PER_MS,
                                            .own_public_key = own.public_key,
                                            .own_secret_key = own.secret_key,
                                            .admitted = admitted,
                                            .admitted_count = 1};
    struct mw_publisher *publisher = NULL;
    enum mw_pub_socket_step step;
    char belongs[MW_CURVE_KEY_CHARACTERS + 1];

    (void)state;
    assert_int_equal(mw_publisher_new(&publisher, place.box, &options, &step), -EINVAL);
    assert_int_equal(step, MW_PUB_SOCKET_KEYS);
    options.own_secret_key = "short";
    assert_int_equal(mw_publisher_new(&publisher, place.box, &options, &step), -EINVAL);
    assert_int_equal(step, MW_PUB_SOCKET_KEYS);
    assert_int_equal(mw_curve_public_key(own.secret_key, belongs), 0);
    assert_string_equal(belongs, own.public_key);
    assert_int_equal(mw_curve_public_key("short", belongs), -EINVAL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        IN_PLACE(test_only_the_listed_are_admitted),
        IN_PLACE(test_wrong_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
