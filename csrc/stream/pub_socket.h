/* A ZeroMQ XPUB socket that never waits for a subscriber.
 *
 * One thread at a time, unless stated otherwise. Do not use or free it in a forked
 * child: zmq_ctx_term() would wait there forever, so the child leaks it.
 *
 *     err = mw_pub_socket_new(&socket, &options, &step);
 *     err = mw_pub_socket_send(socket, "memwatch.bye.7", 14, body, length);
 *     mw_pub_socket_free(&socket);
 *
 * Functions return 0 or -errno; libzmq has errnos of its own, see
 * mw_pub_socket_describe(). */

#ifndef MW_STREAM_PUB_SOCKET_H
#define MW_STREAM_PUB_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MW_PUB_SOCKET_ENDPOINT_BYTES = 512,
    /* libzmq's queue for one subscriber: one second at 1 kHz, about 1 MiB. */
    MW_PUB_SOCKET_QUEUE_MESSAGES = 1000,
};

struct mw_pub_socket; /* opaque */

/* Keys are Z85 texts of 40 characters; NULL: none. */
struct mw_pub_socket_options {
    const char *endpoint; /* in libzmq's syntax: "tcp://...", "ipc://..." */
    bool connects;        /* false: binds */
    int64_t interval_ns; /* at most one sample per interval; up to 1 ms: every sample */
    const char
        *own_public_key; /* with the next: use CURVE, as the server if it binds */
    const char *own_secret_key;
    const char *server_key;      /* if it connects: the public key of the other side */
    const char *const *admitted; /* if it binds with keys: who may connect */
    size_t admitted_count;
};

/* The step that failed, in addition to the -errno. */
enum mw_pub_socket_step {
    MW_PUB_SOCKET_BOX,     /* the black box cannot be read (of a publisher only) */
    MW_PUB_SOCKET_ZMQ,     /* libzmq: no memory, no descriptors, or it aborted */
    MW_PUB_SOCKET_KEYS,    /* a key is invalid, or libzmq was built without CURVE */
    MW_PUB_SOCKET_ADDRESS, /* cannot bind or connect */
    MW_PUB_SOCKET_THREAD,  /* no thread, or no fork() handler */
};

/* Bind or connect. An ipc socket gets mode 0600 and replaces a socket that no process
 * listens on; -EADDRINUSE: one does; -EEXIST: the file is not a socket. The caller owns
 * *out and frees it. On failure *step says what failed.
 *
 * libzmq calls abort() if it gets no thread, descriptor or memory. That is prevented as
 * abort_guard.h describes, so the process may make only one call at a time and must not
 * fork(). An abort() in libzmq's own threads, later, is not caught. */
int mw_pub_socket_new(struct mw_pub_socket **out,
                      const struct mw_pub_socket_options *options,
                      enum mw_pub_socket_step *step);

/* Close without lingering and remove the ipc socket. If libzmq is still resolving the
 * name of the peer, that ends in a detached thread. */
void mw_pub_socket_free(struct mw_pub_socket **out);

/* The endpoint that was bound or connected to, with the port that was assigned. */
const char *mw_pub_socket_endpoint(const struct mw_pub_socket *self);

/* Send both frames to every subscriber whose queue is not full. -EAGAIN: at least one
 * queue is full; -ENOMEM: sent to none. */
int mw_pub_socket_send(struct mw_pub_socket *self, const char *topic,
                       size_t topic_length, const char *body, size_t length);

/* Messages that libzmq has not yet sent to all subscribers. Any thread. */
int64_t mw_pub_socket_count_pending(const struct mw_pub_socket *self);

/* Answer the pending authentication requests without waiting; call it often. Returns
 * how many connections were refused. */
int64_t mw_pub_socket_authenticate(struct mw_pub_socket *self);

/* Read the pending subscription requests without waiting; call it often. Returns the
 * current subscriptions, one for each topic of each subscriber; 0: nobody gets
 * messages.
 */
int64_t mw_pub_socket_count_subscriptions(struct mw_pub_socket *self);

/* The text of a -errno of this module, libzmq's included. */
const char *mw_pub_socket_describe(int err);

#endif
