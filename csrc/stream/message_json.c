#include "stream/message_json.h"

#include <string.h>

#include "base/date.h"

#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

/* Where it goes. What does not fit is not written, and neither is what comes after. */
struct out {
    char *room;
    size_t size;
    size_t length;
    bool is_full;
};

static void
put(struct out *out, const char *bytes, size_t length)
{
    if (out->is_full || out->size - out->length < length) {
        out->is_full = true;
        return;
    }
    memcpy(out->room + out->length, bytes, length);
    out->length += length;
}

static void
put_plain(struct out *out, const char *text)
{
    put(out, text, strlen(text));
}

/* ---- texts ---- */

/* How many bytes the character at `at` has; 0: what is there is no UTF-8. As RFC 3629
 * has it: none that is longer than needed, no surrogate, none above U+10FFFF. A NUL
 * ends what comes before it, being no byte that continues. */
static size_t
character_length(const unsigned char *at)
{
    unsigned char least = 0x80;
    unsigned char most = 0xBF;
    size_t length;

    if (at[0] < 0x80) {
        return 1;
    }
    if (at[0] >= 0xC2 && at[0] <= 0xDF) {
        length = 2;
    }
    else if (at[0] >= 0xE0 && at[0] <= 0xEF) {
        length = 3;
        least = at[0] == 0xE0 ? 0xA0 : 0x80;
        most = at[0] == 0xED ? 0x9F : 0xBF;
    }
    else if (at[0] >= 0xF0 && at[0] <= 0xF4) {
        length = 4;
        least = at[0] == 0xF0 ? 0x90 : 0x80;
        most = at[0] == 0xF4 ? 0x8F : 0xBF;
    }
    else {
        return 0;
    }
    if (at[1] < least || at[1] > most) {
        return 0;
    }
    for (size_t i = 2; i < length; i++) {
        if (at[i] < 0x80 || at[i] > 0xBF) {
            return 0;
        }
    }
    return length;
}

/* How one character goes into a JSON text. */
struct escaped {
    char bytes[8];
    size_t length;
};

static struct escaped
escape(const unsigned char *at, size_t length)
{
    static const char digits[] = "0123456789abcdef";
    struct escaped escaped = {.length = length};

    if (length == 0) {
        memcpy(escaped.bytes, REPLACEMENT, 3);
        escaped.length = 3;
    }
    else if (at[0] == '"' || at[0] == '\\') {
        escaped.bytes[0] = '\\';
        escaped.bytes[1] = (char)at[0];
        escaped.length = 2;
    }
    else if (at[0] < 0x20) {
        memcpy(escaped.bytes, "\\u00", 4);
        escaped.bytes[4] = digits[at[0] >> 4];
        escaped.bytes[5] = digits[at[0] & 0xF];
        escaped.length = 6;
    }
    else {
        memcpy(escaped.bytes, at, length);
    }
    return escaped;
}

/* `text`, which ends within `size` bytes, as JSON; "" is null. */
static void
put_text(struct out *out, const char *text, size_t size)
{
    const unsigned char *at = (const unsigned char *)text;
    size_t budget = size + size / 2;

    if (*at == '\0') {
        put_plain(out, "null");
        return;
    }
    put_plain(out, "\"");
    while (*at != '\0') {
        size_t length = character_length(at);
        struct escaped escaped = escape(at, length);

        if (escaped.length > budget) {
            break;
        }
        budget -= escaped.length;
        put(out, escaped.bytes, escaped.length);
        at += length > 0 ? length : 1;
    }
    put_plain(out, "\"");
}

/* ---- figures and dates ---- */

static void
put_digits(struct out *out, uint64_t value)
{
    char digits[20];
    size_t first = sizeof digits;

    do {
        digits[--first] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    put(out, digits + first, sizeof digits - first);
}

static void
put_figure(struct out *out, int64_t value)
{
    if (value == MW_ABSENT || value == MW_UNLIMITED) {
        put_plain(out, "null");
        return;
    }
    if (value < 0) {
        put_plain(out, "-");
    }
    put_digits(out, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

static void
put_date(struct out *out, int64_t t_real_ns)
{
    char date[MW_DATE_BYTES];

    mw_date_format(t_real_ns, date);
    if (*date == '\0') {
        put_plain(out, "null");
        return;
    }
    put_plain(out, "\"");
    put_plain(out, date);
    put_plain(out, "\"");
}

/* ---- objects ---- */

static void
put_key(struct out *out, const char *key)
{
    if (out->length > 0 && out->room[out->length - 1] != '{') {
        put_plain(out, ",");
    }
    put_plain(out, "\"");
    put_plain(out, key);
    put_plain(out, "\":");
}

#define PUT_TEXT(out, key, text)                                                       \
    do {                                                                               \
        put_key(out, key);                                                             \
        put_text(out, text, sizeof(text));                                             \
    } while (0)

static void
put_int(struct out *out, const char *key, int64_t value)
{
    put_key(out, key);
    put_figure(out, value);
}

static void
put_word(struct out *out, const char *key, const char *word)
{
    put_key(out, key);
    if (word == NULL) {
        put_plain(out, "null");
        return;
    }
    put_plain(out, "\"");
    put_plain(out, word);
    put_plain(out, "\"");
}

static void
put_title(struct out *out, const struct mw_blackbox_title *title)
{
    PUT_TEXT(out, "label", title->label);
    put_int(out, "execution_count", title->execution_count);
    PUT_TEXT(out, "cell_id", title->cell_id);
    PUT_TEXT(out, "source", title->source);
}

static void
put_cell(struct out *out, const struct mw_blackbox_cell *cell, int64_t t_mono_ns)
{
    bool is_timed;

    put_key(out, "cell");
    if (cell == NULL) {
        put_plain(out, "null");
        return;
    }
    is_timed = t_mono_ns >= 0 && cell->t_mono_ns >= 0;
    put_plain(out, "{");
    put_int(out, "number", cell->number);
    put_title(out, &cell->title);
    put_key(out, "started_at");
    put_date(out, cell->t_real_ns);
    put_int(out, "duration_ns", is_timed ? t_mono_ns - cell->t_mono_ns : MW_ABSENT);
    put_int(out, "rss_start_bytes", cell->rss_start_bytes);
    put_int(out, "rss_peak_bytes", cell->rss_peak_bytes);
    put_plain(out, "}");
}

/* What CellReport calls it; NULL: there is nothing to report. */
static const char *
status_of(const struct mw_blackbox_cell *cell)
{
    switch (cell->status) {
    case MW_BLACKBOX_OK:
        return "ok";
    case MW_BLACKBOX_ERROR:
        return "error";
    case MW_BLACKBOX_INTERRUPTED:
        return "interrupted";
    default: /* open or cancelled; or a file of somebody's making */
        return NULL;
    }
}

/* A CellReport: by the names of python/memwatch/report.py. */
static void
put_report(struct out *out, const struct mw_blackbox_cell *cell)
{
    static const char *const of_children[] = {
        "children_count",          "children_pss_bytes", "children_rss_bytes",
        "children_rss_peak_bytes", "children_missed",    "own_pss_bytes",
    };
    const struct mw_result *result = &cell->result;
    const char *status = status_of(cell);

    put_key(out, "report");
    if (status == NULL) {
        put_plain(out, "null");
        return;
    }
    put_plain(out, "{");
    put_int(out, "schema", MW_MESSAGE_REPORT_SCHEMA);
    put_title(out, &cell->title);
    put_key(out, "started_at");
    put_date(out, cell->t_real_ns);
    for (int i = 0; i < MW_RESULT_FIGURE_COUNT; i++) {
        put_int(out, mw_result_figures[i].name, mw_result_get(result, i));
    }
    put_word(out, "peak_method", mw_result_peak_method(result));
    for (size_t i = 0; i < sizeof of_children / sizeof *of_children; i++) {
        put_int(out, of_children[i], MW_ABSENT); /* the box does not have them */
    }
    put_word(out, "status", status);
    put_word(out, "timeline", NULL);
    put_plain(out, "}");
}

/* ---- messages ---- */

static const char *const kinds[] = {
    [MW_MESSAGE_SAMPLE] = "sample",
    [MW_MESSAGE_OPEN] = "open",
    [MW_MESSAGE_CLOSE] = "close",
    [MW_MESSAGE_BYE] = "bye",
};

size_t
mw_message_put_topic(enum mw_message_kind kind, const struct mw_blackbox_identity *who,
                     char *room)
{
    struct out out = {.room = room, .size = MW_MESSAGE_TOPIC_BYTES};
    const char *at = who->kernel_id;

    put_plain(&out, "memwatch.");
    put_plain(&out, kinds[kind]);
    put_plain(&out, ".");
    while (*at != '\0') {
        size_t length = character_length((const unsigned char *)at);

        put(&out, length > 0 ? at : REPLACEMENT, length > 0 ? length : 3);
        at += length > 0 ? length : 1;
    }
    return out.length;
}

size_t
mw_message_put_body(const struct mw_message *message, char *room, size_t size)
{
    const struct mw_blackbox_identity *who = message->who;
    struct out out = {.room = room, .size = size};

    put_plain(&out, "{");
    put_int(&out, "schema", MW_MESSAGE_SCHEMA);
    put_word(&out, "kind", kinds[message->kind]);
    PUT_TEXT(&out, "kernel_id", who->kernel_id);
    PUT_TEXT(&out, "host", who->host);
    PUT_TEXT(&out, "user", who->user);
    put_int(&out, "pid", who->pid);
    PUT_TEXT(&out, "notebook", who->notebook);
    put_int(&out, "message", message->message);
    put_int(&out, "dropped", message->dropped);
    put_int(&out, "interval_ns", message->interval_ns);
    put_key(&out, "sampled_at");
    put_date(&out, message->t_real_ns);
    put_int(&out, "t_mono_ns", message->t_mono_ns);
    put_int(&out, "rss_bytes", message->rss_bytes);
    put_int(&out, "lifetime_peak_bytes", message->lifetime_peak_bytes);
    put_int(&out, "limit_bytes", who->limit_bytes);
    PUT_TEXT(&out, "limit_set_by", who->limit_set_by);
    PUT_TEXT(&out, "limit_group", who->limit_group);
    put_cell(&out, message->cell, message->t_mono_ns);
    if (message->kind == MW_MESSAGE_CLOSE && message->cell != NULL) {
        put_report(&out, message->cell);
    }
    put_plain(&out, "}");
    return out.is_full ? 0 : out.length;
}
