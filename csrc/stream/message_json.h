/* Encodes messages about a black box: a topic, and a body of JSON as docs/stream.md
 * documents it. Pure.
 *
 *     topic_length = mw_message_put_topic(message.kind, message.identity, topic);
 *     length = mw_message_put_body(&message, body, sizeof body);
 */

#ifndef MW_STREAM_MESSAGE_JSON_H
#define MW_STREAM_MESSAGE_JSON_H

#include "blackbox/layout.h"

enum {
    MW_MESSAGE_SCHEMA = 2,
    MW_MESSAGE_REPORT_SCHEMA = 1, /* CellReport.schema */
    MW_MESSAGE_TOPIC_BYTES = 512, /* enough for any topic */
    MW_MESSAGE_BODY_BYTES = 8192, /* enough for any body */
};

enum mw_message_kind {
    MW_MESSAGE_SAMPLE,
    MW_MESSAGE_OPEN,  /* a cell has started */
    MW_MESSAGE_CLOSE, /* a cell has ended; includes its report */
    MW_MESSAGE_BYE,   /* the last message */
};

/* Figures may be MW_ABSENT; they are null in JSON. */
struct mw_message {
    enum mw_message_kind kind;
    const struct mw_blackbox_identity *identity;
    const struct mw_blackbox_cell *cell; /* NULL: none */
    int64_t message;                     /* its number, from 1 */
    int64_t dropped;     /* messages that a subscriber did not get, so far */
    int64_t interval_ns; /* between samples, as configured */
    int64_t t_mono_ns;   /* when the figures below were read ... */
    int64_t t_real_ns;   /* ... and the same on CLOCK_REALTIME */
    int64_t rss_bytes;
    int64_t lifetime_peak_bytes;
};

/* Write `memwatch.<kind>.<kernel id>`, without a NUL, into `buffer` of
 * MW_MESSAGE_TOPIC_BYTES. Returns its length. */
size_t mw_message_put_topic(enum mw_message_kind kind,
                            const struct mw_blackbox_identity *identity, char *buffer);

/* Write the body, one JSON object without a NUL, into `buffer`. It is valid UTF-8:
 * invalid bytes in texts become U+FFFD. An escaped text that is longer than 1.5 times
 * its field in the box is cut off after a whole character, so that any body fits into
 * MW_MESSAGE_BODY_BYTES. Returns its length; 0: `size` is too small, and `buffer` holds
 * no message. */
size_t mw_message_put_body(const struct mw_message *message, char *buffer, size_t size);

#endif
