/* Publishes what the own process's black box tells.
 *
 * A thread of its own ("memwatch-zmq") reads the box as any other process would, by
 * mw_blackbox_reader: it shares no lock with the sampler, and neither cells nor samples
 * can wait for a subscriber. Where a subscriber's queue is full, the message goes to
 * the others and counts as dropped. In a forked child all publishers are dead. */

#ifndef MW_STREAM_PUBLISHER_H
#define MW_STREAM_PUBLISHER_H

#include "stream/pub_socket.h"

struct mw_publisher; /* opaque */

struct mw_publisher_status {
    char endpoint[MW_PUB_SOCKET_ENDPOINT_BYTES]; /* with the port that was found */
    bool alive;      /* false: in a child that was forked from the publisher */
    int64_t sent;    /* messages so far, whether anybody listens or not */
    int64_t dropped; /* that at least one subscriber could not be given, or that the
                        box had no longer when the thread came to look */
    int64_t refused; /* connections whose key is not admitted */
    int64_t subscriptions; /* now, see mw_pub_socket_count_subscriptions(); 0: messages
                              reach nobody */
};

/* Open the box `path`, bind or connect, and start the thread. The caller owns *out and
 * frees it. -errno, *step tells of what; see mw_pub_socket_new(). */
int mw_publisher_new(struct mw_publisher **out, const char *path,
                     const struct mw_pub_socket_options *options,
                     enum mw_pub_socket_step *step);

/* Say bye, stop and join the thread, close without lingering (at most 20 ms for what is
 * on its way) and remove the ipc socket. In a forked child: only free what can be. Any
 * thread, several at once: one of them does it, and *out is NULL for the others. */
void mw_publisher_free(struct mw_publisher **out);

/* Any thread, also while another one frees it. -ESTALE where it is freed. */
int mw_publisher_get_status(struct mw_publisher *const *of,
                            struct mw_publisher_status *out);

#endif
