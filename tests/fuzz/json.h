/* Whether a text is one JSON value (RFC 8259) in valid UTF-8, with nothing after it. */

#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct json {
    const unsigned char *at;
    const unsigned char *end;
};

static inline bool
json_take(struct json *self, const char *text)
{
    size_t length = strlen(text);

    if ((size_t)(self->end - self->at) < length ||
        memcmp(self->at, text, length) != 0) {
        return false;
    }
    self->at += length;
    return true;
}

static inline bool
json_take_range(struct json *self, unsigned char least, unsigned char most)
{
    if (self->at == self->end || *self->at < least || *self->at > most) {
        return false;
    }
    self->at++;
    return true;
}

/* The table of RFC 3629, row by row. */
static inline bool
json_character(struct json *self)
{
    static const unsigned char rows[][8] = {
        {0x20, 0x21},
        {0x23, 0x5B},
        {0x5D, 0x7F},
        {0xC2, 0xDF, 0x80, 0xBF},
        {0xE0, 0xE0, 0xA0, 0xBF, 0x80, 0xBF},
        {0xE1, 0xEC, 0x80, 0xBF, 0x80, 0xBF},
        {0xED, 0xED, 0x80, 0x9F, 0x80, 0xBF},
        {0xEE, 0xEF, 0x80, 0xBF, 0x80, 0xBF},
        {0xF0, 0xF0, 0x90, 0xBF, 0x80, 0xBF, 0x80, 0xBF},
        {0xF1, 0xF3, 0x80, 0xBF, 0x80, 0xBF, 0x80, 0xBF},
        {0xF4, 0xF4, 0x80, 0x8F, 0x80, 0xBF, 0x80, 0xBF},
    };

    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        struct json ahead = *self;
        bool fits = true;

        for (int i = 0; i < 8 && rows[row][i] != 0 && fits; i += 2) {
            fits = json_take_range(&ahead, rows[row][i], rows[row][i + 1]);
        }
        if (fits) {
            *self = ahead;
            return true;
        }
    }
    return false;
}

static inline bool
json_escape(struct json *self)
{
    if (json_take(self, "\\\"") || json_take(self, "\\\\")) {
        return true;
    }
    if (!json_take(self, "\\u00")) {
        return false; /* we write no other */
    }
    return json_take_range(self, '0', '1') &&
           (json_take_range(self, '0', '9') || json_take_range(self, 'a', 'f'));
}

static inline bool
json_text(struct json *self)
{
    if (!json_take(self, "\"")) {
        return false;
    }
    while (!json_take(self, "\"")) {
        if (!json_escape(self) && !json_character(self)) {
            return false;
        }
    }
    return true;
}

static inline bool
json_figure(struct json *self)
{
    json_take(self, "-");
    if (json_take(self, "0")) {
        return true;
    }
    if (!json_take_range(self, '1', '9')) {
        return false;
    }
    while (json_take_range(self, '0', '9')) {
    }
    return true;
}

static inline bool
json_plain(struct json *self)
{
    return json_take(self, "null") || json_text(self) || json_figure(self);
}

/* There are no lists in what we write, and nothing is empty. */
static inline bool
json_object(struct json *self, bool (*take_value)(struct json *self))
{
    if (!json_take(self, "{")) {
        return false;
    }
    do {
        if (!json_text(self) || !json_take(self, ":") || !take_value(self)) {
            return false;
        }
    } while (json_take(self, ","));
    return json_take(self, "}");
}

/* Objects in an object are plain. */
static inline bool
json_any(struct json *self)
{
    return json_plain(self) || json_object(self, json_plain);
}

static inline bool
is_json_object(const char *text, size_t length)
{
    struct json json = {(const unsigned char *)text,
                        (const unsigned char *)text + length};

    return json_object(&json, json_any) && json.at == json.end;
}

#endif
