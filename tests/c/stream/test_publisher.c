/* A box, published over real sockets: to those who read, to those who do not, and not
 * to those who may not. */

#include "support.h"

#include <dirent.h>
#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <zmq.h>

#include "base/clock.h"
#include "blackbox/writer.h"
#include "stream/authenticator.h"
#include "stream/publisher.h"

/* libzmq was built without ThreadSanitizer, which so does not see its locks. */
#ifdef __SANITIZE_THREAD__
__attribute__((visibility("default"))) const char *__tsan_default_suppressions(void);
const char *
__tsan_default_suppressions(void)
{
    return "called_from_lib:libzmq.so\nrace:libzmq.so";
}
#endif

#define PATIENCE_NS (30 * MW_NS_PER_S)
#define MS_ENOUGH 500

static struct {
    char folder[64];
    char box[96];
    char ipc[128]; /* the endpoint */
    struct mw_blackbox_writer *writer;
    void *context; /* of those who listen */
    void *sockets[8];
    int socket_count;
} place;

static int
set_up(void **state)
{
    struct mw_blackbox_identity given = {.limit_bytes = MW_ABSENT};

    (void)state;
    mw_blackbox_put_text(place.folder, sizeof place.folder, make_root());
    (void)snprintf(place.box, sizeof place.box, "%s/1-1.box", place.folder);
    (void)snprintf(place.ipc, sizeof place.ipc, "ipc://%s/1-1.ipc", place.folder);
    mw_blackbox_put_text(given.kernel_id, sizeof given.kernel_id, "a-kernel");
    place.context = zmq_ctx_new();
    return mw_blackbox_writer_new(&place.writer, place.box, NULL, &given, 9 * MIB);
}

static int
tear_down(void **state)
{
    (void)state;
    mw_blackbox_writer_free(&place.writer);
    while (place.socket_count > 0) {
        zmq_close(place.sockets[--place.socket_count]);
    }
    zmq_ctx_term(place.context);
    remove_root(place.folder);
    return 0;
}

static void
set_int(void *socket, int option, int value)
{
    assert_int_equal(zmq_setsockopt(socket, option, &value, sizeof value), 0);
}

static void *
new_subscriber(void)
{
    void *subscriber = zmq_socket(place.context, ZMQ_SUB);

    assert_non_null(subscriber);
    place.sockets[place.socket_count++] = subscriber;
    set_int(subscriber, ZMQ_LINGER, 0);
    set_int(subscriber, ZMQ_RCVHWM, 0);
    set_int(subscriber, ZMQ_RCVTIMEO, (int)(PATIENCE_NS / MW_NS_PER_MS));
    assert_int_equal(zmq_setsockopt(subscriber, ZMQ_SUBSCRIBE, "", 0), 0);
    return subscriber;
}

static void *
connected(const char *endpoint)
{
    void *subscriber = new_subscriber();

    assert_int_equal(zmq_connect(subscriber, endpoint), 0);
    return subscriber;
}

struct received {
    char topic[256];
    char body[8192 + 1];
};

static bool
receive(void *subscriber, struct received *out)
{
    int length = zmq_recv(subscriber, out->topic, sizeof out->topic - 1, 0);

    if (length < 0) {
        return false;
    }
    out->topic[length] = '\0';
    length = zmq_recv(subscriber, out->body, sizeof out->body - 1, 0);
    assert_in_range(length, 1, sizeof out->body - 1);
    out->body[length] = '\0';
    return true;
}

static int64_t
figure(const struct received *message, const char *key)
{
    const char *at = strstr(message->body, key);

    assert_non_null(at);
    return strtoll(at + strlen(key), NULL, 10);
}

/* The next message with that topic. */
static struct received *
await(void *subscriber, const char *topic)
{
    static struct received message;

    do {
        assert_true(receive(subscriber, &message));
    } while (strcmp(message.topic, topic) != 0);
    return &message;
}

static int
try_publish(struct mw_publisher **publisher,
            const struct mw_pub_socket_options *options)
{
    enum mw_pub_socket_step step;

    return mw_publisher_new(publisher, place.box, options, &step);
}

static struct mw_publisher *
publish(const char *endpoint, int64_t interval_ns)
{
    const struct mw_pub_socket_options options = {.endpoint = endpoint,
                                                  .interval_ns = interval_ns};
    struct mw_publisher *publisher = NULL;

    assert_int_equal(try_publish(&publisher, &options), 0);
    return publisher;
}

static struct mw_publisher *
publish_to(const char *endpoint)
{
    const struct mw_pub_socket_options options = {
        .endpoint = endpoint, .connects = true, .interval_ns = MW_NS_PER_MS};
    struct mw_publisher *publisher = NULL;

    assert_int_equal(try_publish(&publisher, &options), 0);
    return publisher;
}

static struct mw_publisher_status
status_of(struct mw_publisher *publisher)
{
    struct mw_publisher_status status;

    assert_int_equal(mw_publisher_get_status(&publisher, &status), 0);
    return status;
}

static void
nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = MW_NS_PER_MS}, NULL);
}

static bool
is_late(int64_t t_begin_ns)
{
    return mw_clock_mono_ns() - t_begin_ns > PATIENCE_NS;
}

/* ---- who reads ---- */

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

/* ---- addresses ---- */

/* ---- how many listen ---- */

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

/* ---- keys ---- */

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

/* ---- names ---- */

#define SLOW_NAME "slow.example"
#define ANSWER_NS (10 * MW_NS_PER_S)

static atomic_int slow_asked;    /* how often that name was asked for */
static atomic_bool may_be_told;  /* what it stands for: nothing */
static atomic_int slow_answered; /* how often that was told */

/* libzmq's, in its own thread, is this one. */
__attribute__((visibility("default"))) int
getaddrinfo(const char *restrict name, const char *restrict service,
            const struct addrinfo *restrict hints, struct addrinfo **restrict out)
{
    int64_t t_begin_ns = mw_clock_mono_ns();

    if (name == NULL || strcmp(name, SLOW_NAME) != 0) {
        union {
            void *found;
            int (*ask)(const char *, const char *, const struct addrinfo *,
                       struct addrinfo **);
        } real = {.found = dlsym(RTLD_NEXT, "getaddrinfo")};

        return real.ask(name, service, hints, out);
    }
    atomic_fetch_add(&slow_asked, 1);
    while (!atomic_load(&may_be_told) && mw_clock_mono_ns() - t_begin_ns < ANSWER_NS) {
        nap();
    }
    atomic_fetch_add(&slow_answered, 1);
    return EAI_AGAIN;
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

/* ---- several threads at once ---- */

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

/* ---- no threads ---- */

enum refused { NONE, OURS, OF_LIBZMQ };
static atomic_int refused; /* enum refused: whose pthread_create() fails next */
static atomic_int nth;     /* of those, the first, second, ... */
static atomic_int refusal; /* its errno */

/* libzmq's is this one, too: as its shared library is linked to us. */
__attribute__((visibility("default"))) int
pthread_create(pthread_t *restrict thread, const pthread_attr_t *restrict attributes,
               void *(*run)(void *), void *restrict argument)
{
    union {
        void *found;
        int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    } real = {.found = dlsym(RTLD_NEXT, "pthread_create")};
    Dl_info caller;
    bool by_libzmq = dladdr(__builtin_return_address(0), &caller) != 0 &&
                     caller.dli_fname != NULL &&
                     strstr(caller.dli_fname, "libzmq") != NULL;

    if (atomic_load(&refused) == (by_libzmq ? OF_LIBZMQ : OURS) &&
        atomic_fetch_sub(&nth, 1) == 1) {
        return atomic_load(&refusal);
    }
    return real.create(thread, attributes, run, argument);
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

/* ---- fork ---- */

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

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        IN_PLACE(test_a_cell),
        IN_PLACE(test_stuck_subscriber),
        IN_PLACE(test_collector),
        IN_PLACE(test_ipc_files),
        IN_PLACE(test_impossible_values),
        IN_PLACE(test_no_descriptors),
        IN_PLACE(test_assigned_port_is_reported),
        IN_PLACE(test_only_the_listed_are_admitted),
        IN_PLACE(test_wrong_keys),
        IN_PLACE(test_no_wait_for_a_name),
        IN_PLACE(test_ended_while_others_ask),
        IN_PLACE(test_no_threads),
        IN_PLACE(test_no_threads_for_libzmq),
        IN_PLACE(test_fork),
        IN_PLACE(test_subscriptions),
        IN_PLACE(test_subscriptions_of_a_collector),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
