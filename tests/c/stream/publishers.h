/* A black box that is published over real sockets, and those who listen. */

#ifndef MW_TEST_PUBLISHERS_H
#define MW_TEST_PUBLISHERS_H

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

static inline int
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

static inline int
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

static inline void
set_int(void *socket, int option, int value)
{
    assert_int_equal(zmq_setsockopt(socket, option, &value, sizeof value), 0);
}

static inline void *
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

static inline void *
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

static inline bool
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

/* The next message with that topic. */
static inline struct received *
await(void *subscriber, const char *topic)
{
    static struct received message;

    do {
        assert_true(receive(subscriber, &message));
    } while (strcmp(message.topic, topic) != 0);
    return &message;
}

static inline int
try_publish(struct mw_publisher **publisher,
            const struct mw_pub_socket_options *options)
{
    enum mw_pub_socket_step step;

    return mw_publisher_new(publisher, place.box, options, &step);
}

static inline struct mw_publisher *
publish(const char *endpoint, int64_t interval_ns)
{
    const struct mw_pub_socket_options options = {.endpoint = endpoint,
                                                  .interval_ns = interval_ns};
    struct mw_publisher *publisher = NULL;

    assert_int_equal(try_publish(&publisher, &options), 0);
    return publisher;
}

static inline struct mw_publisher *
publish_to(const char *endpoint)
{
    const struct mw_pub_socket_options options = {
        .endpoint = endpoint, .connects = true, .interval_ns = MW_NS_PER_MS};
    struct mw_publisher *publisher = NULL;

    assert_int_equal(try_publish(&publisher, &options), 0);
    return publisher;
}

static inline struct mw_publisher_status
status_of(struct mw_publisher *publisher)
{
    struct mw_publisher_status status;

    assert_int_equal(mw_publisher_get_status(&publisher, &status), 0);
    return status;
}

static inline void
nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = MW_NS_PER_MS}, NULL);
}

static inline bool
is_late(int64_t t_begin_ns)
{
    return mw_clock_mono_ns() - t_begin_ns > PATIENCE_NS;
}

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

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

#endif
