/* What a black box tells, as messages: a topic and a body of JSON, schema 1, as
 * docs/stream.md has them. Pure. */

#ifndef MW_STREAM_MESSAGE_JSON_H
#define MW_STREAM_MESSAGE_JSON_H

#include "blackbox/layout.h"

enum {
    MW_MESSAGE_SCHEMA = 2,
    MW_MESSAGE_REPORT_SCHEMA = 1, /* CellReport.schema */
    MW_MESSAGE_TOPIC_BYTES = 512, /* room for any topic */
    MW_MESSAGE_BODY_BYTES = 8192, /* room for any body */
};

enum mw_message_kind {
    MW_MESSAGE_SAMPLE,
    MW_MESSAGE_OPEN,  /* a cell has begun */
    MW_MESSAGE_CLOSE, /* a cell has ended: with its report */
    MW_MESSAGE_BYE,   /* nothing more will come */
};

/* Figures are MW_ABSENT where unknown, which becomes null. */
struct mw_message {
    enum mw_message_kind kind;
    const struct mw_blackbox_identity *who;
    const struct mw_blackbox_cell *cell; /* the one that it is about; NULL: none */
    int64_t message;                     /* its number, from 1 on */
    int64_t dropped;     /* messages that somebody did not get, so far */
    int64_t interval_ns; /* between samples, as configured */
    int64_t t_mono_ns;   /* when what follows was so */
    int64_t t_real_ns;   /* the same on CLOCK_REALTIME */
    int64_t rss_bytes;
    int64_t lifetime_peak_bytes;
};

/* `memwatch.<kind>.<kernel id>` into `room` of MW_MESSAGE_TOPIC_BYTES, with no NUL
 * after it. Returns its length. */
size_t mw_message_put_topic(enum mw_message_kind kind,
                            const struct mw_blackbox_identity *who, char *room);

/* The body, one JSON object in valid UTF-8 whatever bytes the texts have: those that
 * are no UTF-8 become U+FFFD. A text that takes more than one and a half times its
 * place in the box, escaped, is cut off between two characters: so the body fits into
 * MW_MESSAGE_BODY_BYTES, and is never NUL-terminated. Returns its length; 0: it is
 * longer than `size`, and what is in `room` is no message. */
size_t mw_message_put_body(const struct mw_message *message, char *room, size_t size);

#endif
