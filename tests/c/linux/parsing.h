/* Texts of the kernel, whole and cut. */

#ifndef MW_TEST_PARSING_H
#define MW_TEST_PARSING_H

#include "support.h"

#include <sys/sysmacros.h>

#include "linux/parse.h"

/* A file of tests/data, whole. The caller frees. */
static inline char *
read_data(const char *name, size_t *length)
{
    char path[4096];
    char *text = malloc(65536);
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", TEST_DATA, name);
    file = fopen(path, "rb");
    if (file == NULL) {
        fail_msg("cannot open %s", path);
    }
    *length = fread(text, 1, 65536, file);
    fclose(file);
    /* As long as the text, so that a sanitizer sees each byte read past it. */
    return realloc(text, *length ? *length : 1);
}

/* `length` bytes of `whole`, in memory of their own: what lies after them is not
 * to be looked at, and the sanitizer sees to that. */
static inline char *
cut(const char *whole, size_t length)
{
    char *text = malloc(length ? length : 1);

    memcpy(text, whole, length);
    return text;
}

#endif
