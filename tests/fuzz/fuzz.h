/* What the fuzz targets share. Each target is a file with LLVMFuzzerTestOneInput():
 * libFuzzer calls it with what it invents (`make fuzz`), replay.c with what is kept in
 * tests/data (`make test`). */

#ifndef FUZZ_H
#define FUZZ_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "linux/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A property that has to hold for any text. */
#define HOLDS(condition)                                                               \
    do {                                                                               \
        if (!(condition)) {                                                            \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__,          \
                    #condition);                                                       \
            abort();                                                                   \
        }                                                                              \
    } while (0)

/* What an out-parameter holds before the call: no parser makes it, being negative
 * and not MW_ABSENT. */
#define UNTOUCHED INT64_C(-77)

/* The first `length` bytes in memory of their own that ends where they end, so that
 * the sanitizer sees each byte read past them. The caller frees `block`. */
struct text {
    char *block;
    const char *at;
    size_t length;
};

static inline struct text
copy_of(const void *data, size_t length)
{
    struct text text = {.block = malloc(length > 0 ? length : 1), .length = length};

    HOLDS(text.block != NULL);
    if (length > 0) {
        memcpy(text.block, data, length);
    }
    /* Of an empty text not even the first byte is to be read. */
    text.at = length > 0 ? text.block : text.block + 1;
    return text;
}

/* How long the text is up to and with its first newline; 0: it has none. */
static inline size_t
first_line(const char *at, size_t length)
{
    const char *newline = length > 0 ? memchr(at, '\n', length) : NULL;

    return newline != NULL ? (size_t)(newline - at) + 1 : 0;
}

/* How long the text is up to and with its last newline: what a parser may look at. */
static inline size_t
whole_lines(const char *at, size_t length)
{
    const char *newline = length > 0 ? memrchr(at, '\n', length) : NULL;

    return newline != NULL ? (size_t)(newline - at) + 1 : 0;
}

/* A line that comes after: whole, and of no parser's kind. */
static inline struct text
with_more(const struct text *text, const char *more)
{
    size_t added = strlen(more);
    struct text longer = {.block = malloc(text->length + added + 1),
                          .length = text->length + added};

    HOLDS(longer.block != NULL);
    memcpy(longer.block, text->at, text->length);
    memcpy(longer.block + text->length, more, added);
    longer.at = longer.block;
    return longer;
}

#endif
