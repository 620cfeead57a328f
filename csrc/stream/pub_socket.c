#include "stream/pub_socket.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "base/clock.h"
#include "base/detached.h"
#include "stream/abort_guard.h"
#include "stream/authenticator.h"
#include "stream/ipc_file.h"

#define IPC "ipc://"
#define TERMINATION_TIMEOUT_NS (50 * MW_NS_PER_MS)

enum {
    MOST_BYTES_RECEIVED = 1024, /* a subscription request is shorter */
    RECONNECT_MS = 100,
    MOST_RECONNECT_MS = 5000,
    REQUESTS_PER_CALL = 1000,
};

struct mw_pub_socket {
    void *context;
    void *socket;
    struct mw_authenticator *authenticator; /* NULL: anyone may connect */
    bool has_full_queue;                    /* of a subscriber */
    char endpoint[MW_PUB_SOCKET_ENDPOINT_BYTES];
    struct mw_ipc_file file;
    bool connects;
    int64_t subscriptions;       /* of all subscribers */
    atomic_int_fast64_t pending; /* messages in libzmq's queues; acquire and release:
                                    its threads free the bodies that ours wrote */
};

/* ---- sending ---- */

static void
release_body(void *body, void *pending)
{
    atomic_fetch_sub_explicit((atomic_int_fast64_t *)pending, 1, memory_order_acq_rel);
    free(body);
}

static void
set_lossy(void *socket, bool is_lossy)
{
    int no_drop = !is_lossy;

    zmq_setsockopt(socket, ZMQ_XPUB_NODROP, &no_drop, sizeof no_drop);
}

/* Returns whether every subscriber got the message. libzmq refuses it if any queue is
 * full; then send it again to the other subscribers. */
static bool
send_frames(void *socket, const char *topic, size_t length, zmq_msg_t *body)
{
    bool is_complete = true;

    if (zmq_send(socket, topic, length, ZMQ_DONTWAIT | ZMQ_SNDMORE) < 0) {
        is_complete = false;
        set_lossy(socket, true);
        if (zmq_send(socket, topic, length, ZMQ_DONTWAIT | ZMQ_SNDMORE) < 0) {
            zmq_msg_close(body);
            set_lossy(socket, false);
            return false;
        }
    }
    if (zmq_msg_send(body, socket, ZMQ_DONTWAIT) < 0) {
        is_complete = false;
        set_lossy(socket, true);
        if (zmq_msg_send(body, socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(body);
        }
    }
    if (!is_complete) {
        set_lossy(socket, false);
    }
    return is_complete;
}

/* libzmq reports a full queue only once. Then it skips that subscriber, without an
 * error, until half of its queue is read. But it calls release_body() for each message
 * that it has sent: while more than half a queue is pending, a subscriber is being
 * skipped. */
static bool
skips_subscriber(struct mw_pub_socket *self)
{
    int64_t pending = atomic_load_explicit(&self->pending, memory_order_acquire);

    self->has_full_queue =
        self->has_full_queue && pending > MW_PUB_SOCKET_QUEUE_MESSAGES / 2;
    return self->has_full_queue;
}

int
mw_pub_socket_send(struct mw_pub_socket *self, const char *topic, size_t topic_length,
                   const char *body, size_t length)
{
    char *copy = malloc(length + 1);
    bool is_skipping = skips_subscriber(self);
    zmq_msg_t message;

    if (copy == NULL) {
        return -ENOMEM;
    }
    memcpy(copy, body, length);
    atomic_fetch_add_explicit(&self->pending, 1, memory_order_acq_rel);
    if (zmq_msg_init_data(&message, copy, length, release_body, &self->pending) != 0) {
        release_body(copy, &self->pending);
        return -ENOMEM;
    }
    if (!send_frames(self->socket, topic, topic_length, &message)) {
        self->has_full_queue = true;
        is_skipping = true;
    }
    return is_skipping ? -EAGAIN : 0;
}

int64_t
mw_pub_socket_count_pending(const struct mw_pub_socket *self)
{
    return atomic_load_explicit(&self->pending, memory_order_acquire);
}

/* ---- subscriptions (https://rfc.zeromq.org/spec/29) ---- */

/* The first byte of a request, before the topic. */
enum { UNSUBSCRIBE = 0, SUBSCRIBE = 1 };

int64_t
mw_pub_socket_count_subscriptions(struct mw_pub_socket *self)
{
    unsigned char kind;

    /* Other messages are ignored. If a peer disconnects, libzmq generates the requests
     * that end its subscriptions. */
    for (int i = 0; i < REQUESTS_PER_CALL; i++) {
        int got = zmq_recv(self->socket, &kind, sizeof kind, ZMQ_DONTWAIT);

        if (got < 0) {
            break;
        }
        self->subscriptions += got > 0 && kind == SUBSCRIBE;
        self->subscriptions -=
            got > 0 && kind == UNSUBSCRIBE && self->subscriptions > 0;
    }
    return self->subscriptions;
}

int64_t
mw_pub_socket_authenticate(struct mw_pub_socket *self)
{
    return self->authenticator == NULL ? 0
                                       : mw_authenticator_answer(self->authenticator);
}

/* ---- setting up ---- */

static int
zmq_error(void)
{
    return -zmq_errno();
}

static int
set_int(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof value) == 0 ? 0 : zmq_error();
}

static int
set_text(void *socket, int option, const char *text)
{
    /* libzmq expects the NUL of a key in text form. */
    return zmq_setsockopt(socket, option, text, strlen(text) + 1) == 0 ? 0
                                                                       : zmq_error();
}

static int
open_socket(struct mw_pub_socket *self)
{
    const struct {
        int option;
        int value;
    } wanted[] = {
        {ZMQ_LINGER, 0},
        {ZMQ_SNDHWM, MW_PUB_SOCKET_QUEUE_MESSAGES},
        {ZMQ_XPUB_NODROP, 1},
        {ZMQ_XPUB_VERBOSER,
         1}, /* pass on every subscriber's requests, not only the first's */
        {ZMQ_IMMEDIATE, 1}, /* keep no messages for a peer that is not connected */
        {ZMQ_RECONNECT_IVL, RECONNECT_MS},
        {ZMQ_RECONNECT_IVL_MAX, MOST_RECONNECT_MS},
        {ZMQ_TCP_KEEPALIVE, 1},
    };
    int64_t most_bytes = MOST_BYTES_RECEIVED;
    int err = 0;

    self->context = zmq_ctx_new();
    if (self->context == NULL) {
        return zmq_error();
    }
    self->socket = zmq_socket(self->context, ZMQ_XPUB);
    if (self->socket == NULL) {
        return zmq_error();
    }
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted && err == 0; i++) {
        err = set_int(self->socket, wanted[i].option, wanted[i].value);
    }
    if (err == 0 && zmq_setsockopt(self->socket, ZMQ_MAXMSGSIZE, &most_bytes,
                                   sizeof most_bytes) != 0) {
        err = zmq_error();
    }
    return err;
}

static int
use_keys(struct mw_pub_socket *self, const struct mw_pub_socket_options *options)
{
    int err;

    if (options->own_secret_key == NULL) {
        return 0;
    }
    if (!zmq_has("curve")) {
        return -ENOTSUP;
    }
    err = set_text(self->socket, ZMQ_CURVE_SECRETKEY, options->own_secret_key);
    if (err == 0) {
        err = set_text(self->socket, ZMQ_CURVE_PUBLICKEY, options->own_public_key);
    }
    if (err == 0 && options->connects) {
        return set_text(self->socket, ZMQ_CURVE_SERVERKEY, options->server_key);
    }
    if (err == 0) {
        err = set_int(self->socket, ZMQ_CURVE_SERVER, 1);
    }
    if (err == 0) {
        err = mw_authenticator_new(&self->authenticator, self->context,
                                   options->admitted, options->admitted_count);
    }
    return err;
}

static int
bind_or_connect(struct mw_pub_socket *self, const struct mw_pub_socket_options *options)
{
    /* An IPv4 address to bind must not become an IPv4-mapped IPv6 address. */
    bool is_ipv6 = options->connects || strchr(options->endpoint, '[') != NULL;
    int err = set_int(self->socket, ZMQ_IPV6, is_ipv6);
    bool is_ipc = strncmp(options->endpoint, IPC, sizeof IPC - 1) == 0;
    const char *path = options->endpoint + sizeof IPC - 1;
    size_t size = sizeof self->endpoint;

    if (err == 0 && strlen(options->endpoint) >= size) {
        err = -ENAMETOOLONG;
    }
    if (err == 0 && is_ipc && !options->connects) {
        err = mw_ipc_file_check(path);
    }
    if (err != 0) {
        return err;
    }
    if (options->connects) {
        memcpy(self->endpoint, options->endpoint, strlen(options->endpoint) + 1);
        return zmq_connect(self->socket, options->endpoint) == 0 ? 0 : zmq_error();
    }
    if (zmq_bind(self->socket, options->endpoint) != 0 ||
        zmq_getsockopt(self->socket, ZMQ_LAST_ENDPOINT, self->endpoint, &size) != 0) {
        return zmq_error();
    }
    return is_ipc ? mw_ipc_file_claim(&self->file, path) : 0;
}

struct set_up {
    struct mw_pub_socket *socket;
    const struct mw_pub_socket_options *options;
    enum mw_pub_socket_step *step;
};

static int
set_up(const void *argument)
{
    const struct set_up *context = argument;
    int err = open_socket(context->socket);

    if (err == 0) {
        *context->step = MW_PUB_SOCKET_KEYS;
        err = use_keys(context->socket, context->options);
    }
    if (err == 0) {
        *context->step = MW_PUB_SOCKET_ADDRESS;
        err = bind_or_connect(context->socket, context->options);
    }
    return err;
}

int
mw_pub_socket_new(struct mw_pub_socket **out,
                  const struct mw_pub_socket_options *options,
                  enum mw_pub_socket_step *step)
{
    struct mw_pub_socket *self = calloc(1, sizeof *self);
    struct set_up context = {self, options, step};
    bool aborted = false;
    int err = self == NULL ? -ENOMEM : 0;

    *step = MW_PUB_SOCKET_ZMQ;
    if (err == 0) {
        self->connects = options->connects;
        err = mw_abort_guard_check_files_and_memory();
    }
    if (err == 0) {
        *step = MW_PUB_SOCKET_THREAD;
        err = mw_abort_guard_check_threads();
    }
    if (err == 0) {
        *step = MW_PUB_SOCKET_ZMQ;
        err = mw_abort_guard_run(set_up, &context, &aborted);
    }
    if (err != 0) {
        if (!aborted) {
            mw_pub_socket_free(&self);
        }
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): leaked after an abort() */
        return err;
    }
    *out = self;
    return 0;
}

/* ---- closing ---- */

/* Waits for libzmq's own threads. */
static void
terminate(void *argument)
{
    struct mw_pub_socket *self = argument;

    while (self->context != NULL && zmq_ctx_term(self->context) != 0 &&
           zmq_errno() == EINTR) {
        /* a signal handler ran; wait again */
    }
    free(self);
}

void
mw_pub_socket_free(struct mw_pub_socket **out)
{
    struct mw_pub_socket *self = *out;

    if (self == NULL) {
        return;
    }
    *out = NULL;
    mw_authenticator_free(&self->authenticator);
    if (self->socket != NULL) {
        mw_ipc_file_remove(&self->file, self->endpoint + sizeof IPC - 1);
        zmq_close(self->socket);
    }
    if (self->connects) {
        /* libzmq's thread may be resolving a name, which cannot be interrupted. If no
         * detached thread can be created, leak the socket rather than wait. */
        (void)mw_detached_run(terminate, self, TERMINATION_TIMEOUT_NS);
    }
    else {
        terminate(self); /* returns at once, and frees the port */
    }
}

const char *
mw_pub_socket_endpoint(const struct mw_pub_socket *self)
{
    return self->endpoint;
}

const char *
mw_pub_socket_describe(int err)
{
    return zmq_strerror(-err);
}
