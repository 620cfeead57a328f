/* A ZeroMQ XPUB socket that never waits.
 *
 * One thread at a time. Never use or free it in a forked child: zmq_ctx_term() would
 * wait there forever; the socket is leaked instead.
 *
 *     err = mw_pub_socket_new(&socket, &options, &step);
 *     err = mw_pub_socket_send(socket, "memwatch.bye.7", 14, body, length);
 *     mw_pub_socket_free(&socket);
 */

#ifndef MW_STREAM_PUB_SOCKET_H
#define MW_STREAM_PUB_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MW_PUB_SOCKET_ENDPOINT_BYTES = 512,
    /* What libzmq keeps for one subscriber: a second at 1 kHz, about 1 MiB. */
    MW_PUB_SOCKET_QUEUE_MESSAGES = 1000,
};

struct mw_pub_socket; /* opaque */

/* Where to and how. Keys are Z85 texts of 40 characters; NULL: none. */
struct mw_pub_socket_options {
    const char *endpoint; /* as libzmq has it: "tcp://...", "ipc://..." */
    bool connects;        /* else it binds */
    int64_t interval_ns;  /* at most one sample so often; up to 1 ms: every sample */
    const char *own_public_key; /* CURVE, with the next: as server where it binds */
    const char *own_secret_key;
    const char *server_key;      /* connecting: the public key of who binds */
    const char *const *admitted; /* binding with keys: whose public keys may connect */
    size_t admitted_count;
};

/* At what it failed, beside the -errno: libzmq's errors have errnos of their own. The
 * first and the last are a publisher's. */
enum mw_pub_socket_step {
    MW_PUB_SOCKET_BOX,  /* the box cannot be read */
    MW_PUB_SOCKET_ZMQ,  /* libzmq could not be set up: no memory, no descriptors, or it
                       aborted */
    MW_PUB_SOCKET_KEYS, /* a key is none, or libzmq was built without CURVE */
    MW_PUB_SOCKET_ADDRESS, /* it cannot be bound or connected to */
    MW_PUB_SOCKET_THREAD,  /* no thread for libzmq or for us, or no fork handler */
};

/* Bind or connect. An ipc socket gets mode 0600; a socket that is left there by the
 * dead is taken over, one that somebody listens on is -EADDRINUSE, what is no socket is
 * -EEXIST. The caller owns *out and frees it. -errno, *step tells of what.
 *
 * Where libzmq can get no thread, descriptor or memory it calls abort(). They are tried
 * for first; and while libzmq is being set up SIGABRT has a handler that comes back
 * from an abort() on this thread with -EAGAIN (what libzmq holds is leaked then). So
 * one call at a time in a process, and no fork() meanwhile. An abort() in libzmq's own
 * threads later, for want of memory, is not caught. */
int mw_pub_socket_new(struct mw_pub_socket **out,
                      const struct mw_pub_socket_options *options,
                      enum mw_pub_socket_step *step);

/* Close, without lingering, and remove the ipc socket. libzmq may still be looking up
 * whom we connect to: then it ends in a thread of its own. */
void mw_pub_socket_free(struct mw_pub_socket **out);

/* What was bound or connected to, with the port that was found. */
const char *mw_pub_socket_endpoint(const struct mw_pub_socket *self);

/* Send both frames to all subscribers that can be given them. -EAGAIN: at least one
 * could not, its queue being full; -ENOMEM: nobody was. */
int mw_pub_socket_send(struct mw_pub_socket *self, const char *topic,
                       size_t topic_length, const char *body, size_t length);

/* How many messages are on their way to a subscriber, any thread. */
int64_t mw_pub_socket_held(const struct mw_pub_socket *self);

/* Answer those that ask to be admitted; how many were refused. To be called often. */
int64_t mw_pub_socket_admit(struct mw_pub_socket *self);

/* How many subscriptions there are: one for each topic that a subscriber asks for, so 0
 * means that messages reach nobody. Reads what subscribers have sent since, without
 * waiting: to be called often. */
int64_t mw_pub_socket_count_subscriptions(struct mw_pub_socket *self);

/* What a -errno of this module means, libzmq's included. */
const char *mw_pub_socket_describe(int err);

#endif
