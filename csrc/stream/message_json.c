#include "stream/message_json.h"

#include <string.h>

#include "base/date.h"

#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

/* The output. Bytes that do not fit are not written, nor is anything after them. */
struct out {
    char *buffer;
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
    memcpy(out->buffer + out->length, bytes, length);
    out->length += length;
}

static void
put_literal(struct out *out, const char *text)
{
    put(out, text, strlen(text));
}

/* ---- texts ---- */

/* The length of the UTF-8 character at `at`; 0: invalid. By RFC 3629: no overlong form,
 * no surrogate, nothing above U+10FFFF. Never reads past a NUL, which is not a
 * continuation byte. */
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

/* One character in a JSON string. */
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

/* A text of a field of `size` bytes; "" becomes null. */
static void
put_text(struct out *out, const char *text, size_t size)
{
    const unsigned char *at = (const unsigned char *)text;
    size_t left = size + size / 2; /* so that any body fits */

    if (*at == '\0') {
        put_literal(out, "null");
        return;
    }
    put_literal(out, "\"");
    while (*at != '\0') {
        size_t length = character_length(at);
        struct escaped escaped = escape(at, length);

        if (escaped.length > left) {
            break;
        }
        left -= escaped.length;
        put(out, escaped.bytes, escaped.length);
        at += length > 0 ? length : 1;
    }
    put_literal(out, "\"");
}

/* ---- figures ---- */

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
        put_literal(out, "null");
        return;
    }
    if (value < 0) {
        put_literal(out, "-");
    }
    put_digits(out, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

/* ---- objects ---- */

static void
put_key(struct out *out, const char *key)
{
    if (out->length > 0 && out->buffer[out->length - 1] != '{') {
        put_literal(out, ",");
    }
    put_literal(out, "\"");
    put_literal(out, key);
    put_literal(out, "\":");
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
        put_literal(out, "null");
        return;
    }
    put_literal(out, "\"");
    put_literal(out, word);
    put_literal(out, "\"");
}

static void
put_date(struct out *out, const char *key, int64_t t_real_ns)
{
    char date[MW_DATE_BYTES];

    mw_date_format(t_real_ns, date);
    put_word(out, key, *date == '\0' ? NULL : date);
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
        put_literal(out, "null");
        return;
    }
    is_timed = t_mono_ns >= 0 && cell->t_mono_ns >= 0;
    put_literal(out, "{");
    put_int(out, "number", cell->number);
    put_title(out, &cell->title);
    put_date(out, "started_at", cell->t_real_ns);
    put_int(out, "duration_ns", is_timed ? t_mono_ns - cell->t_mono_ns : MW_ABSENT);
    put_int(out, "rss_start_bytes", cell->rss_start_bytes);
    put_int(out, "rss_peak_bytes", cell->rss_peak_bytes);
    put_int(out, "line", cell->line);
    put_literal(out, "}");
}

/* Its fields are documented in python/memwatch/report.py. */
static void
put_report(struct out *out, const struct mw_blackbox_cell *cell)
{
    static const char *const of_children[] = {
        "children_count",      "children_pss_bytes",      "children_rss_bytes",
        "children_count_peak", "children_rss_peak_bytes", "children_pss_peak_bytes",
        "tree_pss_peak_bytes", "children_missed",         "own_pss_bytes",
    };
    const struct mw_result *result = &cell->result;
    const bool has_report =
        cell->status != MW_BLACKBOX_OPEN && cell->status != MW_BLACKBOX_CANCELLED;
    const char *status = has_report ? mw_blackbox_status_name(cell->status) : NULL;

    put_key(out, "report");
    if (status == NULL) {
        put_literal(out, "null");
        return;
    }
    put_literal(out, "{");
    put_int(out, "schema", MW_MESSAGE_REPORT_SCHEMA);
    put_title(out, &cell->title);
    put_int(out, "line", MW_ABSENT); /* it has ended */
    put_date(out, "started_at", cell->t_real_ns);
    for (int i = 0; i < MW_RESULT_FIGURE_COUNT; i++) {
        put_int(out, mw_result_figures[i].name, mw_result_get(result, i));
    }
    put_word(out, "peak_method", mw_result_peak_method(result));
    for (size_t i = 0; i < sizeof of_children / sizeof *of_children; i++) {
        put_int(out, of_children[i], MW_ABSENT); /* not in the box */
    }
    put_word(out, "status", status);
    put_word(out, "timeline", NULL);
    put_literal(out, "}");
}

/* ---- messages ---- */

static const char *const kinds[] = {
    [MW_MESSAGE_SAMPLE] = "sample",
    [MW_MESSAGE_OPEN] = "open",
    [MW_MESSAGE_CLOSE] = "close",
    [MW_MESSAGE_BYE] = "bye",
};

size_t
mw_message_put_topic(enum mw_message_kind kind,
                     const struct mw_blackbox_identity *identity, char *buffer)
{
    struct out out = {.buffer = buffer, .size = MW_MESSAGE_TOPIC_BYTES};
    const char *at = identity->kernel_id;

    put_literal(&out, "memwatch.");
    put_literal(&out, kinds[kind]);
    put_literal(&out, ".");
    while (*at != '\0') {
        size_t length = character_length((const unsigned char *)at);

        put(&out, length > 0 ? at : REPLACEMENT, length > 0 ? length : 3);
        at += length > 0 ? length : 1;
    }
    return out.length;
}

size_t
mw_message_put_body(const struct mw_message *message, char *buffer, size_t size)
{
    const struct mw_blackbox_identity *identity = message->identity;
    struct out out = {.buffer = buffer, .size = size};

    put_literal(&out, "{");
    put_int(&out, "schema", MW_MESSAGE_SCHEMA);
    put_word(&out, "kind", kinds[message->kind]);
    PUT_TEXT(&out, "kernel_id", identity->kernel_id);
    PUT_TEXT(&out, "host", identity->host);
    PUT_TEXT(&out, "user", identity->user);
    put_int(&out, "pid", identity->pid);
    PUT_TEXT(&out, "notebook", identity->notebook);
    put_int(&out, "message", message->message);
    put_int(&out, "dropped", message->dropped);
    put_int(&out, "interval_ns", message->interval_ns);
    put_date(&out, "sampled_at", message->t_real_ns);
    put_int(&out, "t_mono_ns", message->t_mono_ns);
    put_int(&out, "rss_bytes", message->rss_bytes);
    put_int(&out, "lifetime_peak_bytes", message->lifetime_peak_bytes);
    put_int(&out, "limit_bytes", identity->limit_bytes);
    PUT_TEXT(&out, "limit_set_by", identity->limit_set_by);
    PUT_TEXT(&out, "limit_group", identity->limit_group);
    put_cell(&out, message->cell, message->t_mono_ns);
    if (message->kind == MW_MESSAGE_CLOSE && message->cell != NULL) {
        put_report(&out, message->cell);
    }
    put_literal(&out, "}");
    return out.is_full ? 0 : out.length;
}
