/* Publishes the black box of this process over ZeroMQ.
 *
 * A thread ("memwatch-zmq") reads the box with mw_blackbox_reader, as another process
 * would: it shares no lock with the sampler, so cells and samples never wait for a
 * subscriber. If the queue of a subscriber is full, the message goes to the others and
 * counts as dropped. In a forked child publishers are dead: freeing and status only.
 *
 *     err = mw_publisher_new(&publisher, box, &options, &step);
 *     err = mw_publisher_get_status(&publisher, &status);
 *     mw_publisher_free(&publisher);
 *
 * Any thread may call any function. Functions return 0 or -errno. */

#ifndef MW_STREAM_PUBLISHER_H
#define MW_STREAM_PUBLISHER_H

#include "stream/pub_socket.h"

struct mw_publisher; /* opaque */

struct mw_publisher_status {
    char endpoint[MW_PUB_SOCKET_ENDPOINT_BYTES]; /* with the port that was assigned */
    bool alive;      /* false: in a forked child of the publisher's process */
    int64_t sent;    /* messages so far, with or without subscribers */
    int64_t dropped; /* not sent to at least one subscriber, or overwritten in the box
                        before the thread read them */
    int64_t refused; /* connections whose key is not admitted */
    int64_t subscriptions; /* now; see mw_pub_socket_count_subscriptions() */
};

/* Open the box `path`, bind or connect, and start the thread. The caller owns *out and
 * frees it. On failure *step says what failed: see mw_pub_socket_new(). */
int mw_publisher_new(struct mw_publisher **out, const char *path,
                     const struct mw_pub_socket_options *options,
                     enum mw_pub_socket_step *step);

/* Send the bye message, stop the thread, wait at most 20 ms for pending messages,
 * close, and remove the ipc socket. A forked child frees only memory. Several threads
 * may call it at once: one frees, and *out is NULL for the others. */
void mw_publisher_free(struct mw_publisher **out);

/* May run while another thread frees *of. -ESTALE: it is freed. */
int mw_publisher_get_status(struct mw_publisher *const *of,
                            struct mw_publisher_status *out);

#endif
