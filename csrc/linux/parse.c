#include "linux/parse.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/sysmacros.h>

/* A part of the text: [at, end). The take_*() functions move `at` past what they took;
 * if they return false they took nothing. */
struct cursor {
    const char *at;
    const char *end;
};

static bool
take_line(struct cursor *text, struct cursor *line)
{
    const char *newline;

    if (text->at == text->end) {
        return false;
    }
    newline = memchr(text->at, '\n', (size_t)(text->end - text->at));
    if (newline == NULL) {
        return false;
    }
    *line = (struct cursor){text->at, newline};
    text->at = newline + 1;
    return true;
}

static inline bool
take_bytes(struct cursor *text, const char *word, size_t length)
{
    if ((size_t)(text->end - text->at) < length ||
        memcmp(text->at, word, length) != 0) {
        return false;
    }
    text->at += length;
    return true;
}

static bool
take_word(struct cursor *text, const char *word)
{
    return take_bytes(text, word, strlen(word));
}

/* The same for a literal, whose length the compiler knows: each window compares the
 * lines of status with many names, twice. */
#define TAKE_LITERAL(text, literal) take_bytes(text, literal, sizeof(literal) - 1)

static void
skip_blanks(struct cursor *text)
{
    while (text->at < text->end && (*text->at == ' ' || *text->at == '\t')) {
        text->at++;
    }
}

static bool
take_number(struct cursor *text, int64_t *value)
{
    const char *at = text->at;
    int64_t number = 0;

    if (at == text->end || *at < '0' || *at > '9') {
        return false;
    }
    for (; at < text->end && *at >= '0' && *at <= '9'; at++) {
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, *at - '0', &number)) {
            return false;
        }
    }
    text->at = at;
    *value = number;
    return true;
}

int
mw_parse_statm(const char *text, size_t length, int64_t page_bytes, int64_t *rss_bytes)
{
    struct cursor whole = {text, text + length};
    struct cursor line;
    int64_t size_pages;
    int64_t resident_pages;
    int64_t bytes;

    if (!take_line(&whole, &line) || !take_number(&line, &size_pages) ||
        !take_word(&line, " ") || !take_number(&line, &resident_pages) ||
        !take_word(&line, " ") ||
        __builtin_mul_overflow(resident_pages, page_bytes, &bytes)) {
        return -EBADMSG;
    }
    if (size_pages == 0) {
        return -ENODATA;
    }
    *rss_bytes = bytes;
    return 0;
}

/* "VmRSS:\t   1736 kB" without the name: -> bytes. */
static bool
take_kilobytes(struct cursor *line, int64_t *bytes)
{
    int64_t kilobytes;

    skip_blanks(line);
    return take_number(line, &kilobytes) && take_word(line, " kB") &&
           !__builtin_mul_overflow(kilobytes, 1024, bytes);
}

int
mw_parse_status(const char *text, size_t length, struct mw_memory *out)
{
    struct mw_memory found = MW_MEMORY_ABSENT;
    struct cursor whole = {text, text + length};
    struct cursor line;

    if (!take_word(&whole, "Name:")) {
        return -EBADMSG;
    }
    take_line(&whole, &line); /* the name may look like any other line */
    while (take_line(&whole, &line)) {
        int64_t *bytes;

        if (TAKE_LITERAL(&line, "Threads:")) {
            skip_blanks(&line);
            if (!take_number(&line, &found.threads)) {
                return -EBADMSG;
            }
            break; /* the other fields come before it */
        }
        if (line.at == line.end || (*line.at != 'V' && *line.at != 'R')) {
            continue; /* most lines: skip the comparisons */
        }
        bytes = TAKE_LITERAL(&line, "VmHWM:")      ? &found.hwm_bytes
                : TAKE_LITERAL(&line, "VmRSS:")    ? &found.rss_bytes
                : TAKE_LITERAL(&line, "RssAnon:")  ? &found.anon_bytes
                : TAKE_LITERAL(&line, "RssFile:")  ? &found.file_bytes
                : TAKE_LITERAL(&line, "RssShmem:") ? &found.shmem_bytes
                : TAKE_LITERAL(&line, "VmSwap:")   ? &found.swap_bytes
                                                   : NULL;
        if (bytes != NULL && !take_kilobytes(&line, bytes)) {
            return -EBADMSG;
        }
    }
    *out = found;
    return 0;
}

int
mw_parse_start_ticks(const char *text, size_t length, int64_t *ticks)
{
    /* "PID (NAME) STATE ...": the name may hold anything, parentheses too. */
    const char *name_end = length > 0 ? memrchr(text, ')', length) : NULL;
    struct cursor rest;
    int64_t found;

    if (name_end == NULL) {
        return -EBADMSG;
    }
    rest = (struct cursor){name_end + 1, text + length};
    for (int field = 3; field <= 22; field++) {
        const char *blank =
            memchr(rest.at, ' ', (size_t)(rest.end - rest.at)); /* before the field */

        if (blank == NULL) {
            return -EBADMSG;
        }
        rest.at = blank + 1;
    }
    if (!take_number(&rest, &found) || !take_word(&rest, " ")) {
        return -EBADMSG;
    }
    *ticks = found;
    return 0;
}

/* The part before the next `separator`, or the rest; false at the end of the text. */
static bool
take_part(struct cursor *text, char separator, struct cursor *part)
{
    const char *end;

    if (text->at == text->end) {
        return false;
    }
    end = memchr(text->at, separator, (size_t)(text->end - text->at));
    *part = (struct cursor){text->at, end != NULL ? end : text->end};
    text->at = end != NULL ? end + 1 : text->end;
    return true;
}

static bool
is_word(const struct cursor *field, const char *word)
{
    size_t length = strlen(word);

    return (size_t)(field->end - field->at) == length &&
           memcmp(field->at, word, length) == 0;
}

/* Does "cpu,cpuacct" name `controller`? */
static bool
lists_controller(struct cursor list, const char *controller)
{
    struct cursor each;

    while (take_part(&list, ',', &each)) {
        if (is_word(&each, controller)) {
            return true;
        }
    }
    return false;
}

int
mw_parse_cgroup_path(const char *text, size_t length, const char *controller,
                     const char **path, size_t *path_length)
{
    struct cursor whole = {text, text + length};
    struct cursor line;

    /* Lines are "ID:CONTROLLER,CONTROLLER:/PATH"; the unified hierarchy's ID is
     * 0 and it lists no controller. A path may hold colons. */
    while (take_line(&whole, &line)) {
        int64_t id;
        const char *colon;
        bool wanted;

        if (!take_number(&line, &id) || !take_word(&line, ":")) {
            return -EBADMSG;
        }
        colon = memchr(line.at, ':', (size_t)(line.end - line.at));
        if (colon == NULL || colon + 1 == line.end || colon[1] != '/') {
            return -EBADMSG;
        }
        wanted = controller
                     ? lists_controller((struct cursor){line.at, colon}, controller)
                     : id == 0 && colon == line.at;
        if (wanted) {
            *path = colon + 1;
            *path_length = (size_t)(line.end - *path);
            return 0;
        }
    }
    return -ENODATA;
}

/* The kernel writes a blank as "\\040". Returns whether it fits. */
static bool
decode(struct cursor field, char *text, size_t size)
{
    size_t length = 0;

    while (field.at < field.end) {
        const char *at = field.at;
        int character = (unsigned char)*at;

        field.at++;
        if (character == '\\' && field.end - at >= 4 && at[1] >= '0' && at[1] <= '3' &&
            at[2] >= '0' && at[2] <= '7' && at[3] >= '0' && at[3] <= '7') {
            character = (at[1] - '0') * 64 + (at[2] - '0') * 8 + (at[3] - '0');
            field.at = at + 4;
        }
        if (length + 1 >= size) {
            return false;
        }
        text[length++] = (char)character;
    }
    text[length] = '\0';
    return true;
}

/* "ID PARENT DEVICE ROOT POINT OPTIONS... - TYPE SOURCE OPTIONS" */
enum { ID, PARENT, DEVICE, ROOT, POINT, TYPE, SOURCE, OPTIONS, MOUNT_FIELDS };

static int
split_mount(const char *line, size_t length, struct cursor fields[MOUNT_FIELDS])
{
    struct cursor rest = {line, line + length};

    for (int i = 0; i < MOUNT_FIELDS; i++) {
        bool is_dash = i != TYPE; /* the options before TYPE end with a dash */

        while (!is_dash && take_part(&rest, ' ', &fields[i])) {
            is_dash = is_word(&fields[i], "-");
        }
        if (!take_part(&rest, ' ', &fields[i])) {
            return -EBADMSG;
        }
    }
    return 0;
}

int
mw_parse_cgroup_mount(const char *line, size_t length, const char *controller,
                      char *root, char *point, size_t size)
{
    struct cursor mount[MOUNT_FIELDS];
    int err = split_mount(line, length, mount);

    if (err != 0) {
        return err;
    }
    if (!is_word(&mount[TYPE], controller != NULL ? "cgroup" : "cgroup2") ||
        (controller != NULL && !lists_controller(mount[OPTIONS], controller))) {
        return -ENODATA;
    }
    return decode(mount[ROOT], root, size) && decode(mount[POINT], point, size)
               ? 0
               : -ENAMETOOLONG;
}

int
mw_parse_overlay_mount(const char *line, size_t length, struct mw_overlay_mount *out)
{
    struct cursor mount[MOUNT_FIELDS];
    struct cursor upper = {NULL, NULL};
    int64_t major_number;
    int64_t minor_number;
    int err = split_mount(line, length, mount);

    if (err != 0) {
        return err;
    }
    if (!is_word(&mount[TYPE], "overlay")) {
        return -ENODATA;
    }
    if (!take_number(&mount[DEVICE], &major_number) ||
        !take_word(&mount[DEVICE], ":") ||
        !take_number(&mount[DEVICE], &minor_number)) {
        return -EBADMSG;
    }
    while (take_part(&mount[OPTIONS], ',', &upper)) {
        if (take_word(&upper, "upperdir=")) {
            break;
        }
        upper.at = NULL;
    }
    if (upper.at == NULL) {
        return -ENODATA; /* a read-only overlay */
    }
    out->device = makedev((unsigned)major_number, (unsigned)minor_number);
    return decode(mount[ROOT], out->root, sizeof out->root) &&
                   decode(mount[POINT], out->point, sizeof out->point) &&
                   decode(upper, out->upper, sizeof out->upper)
               ? 0
               : -ENAMETOOLONG;
}

int
mw_parse_cgroup_limit(const char *text, size_t length, int64_t *limit_bytes)
{
    struct cursor whole = {text, text + length};
    struct cursor line;
    int64_t limit;

    if (!take_line(&whole, &line)) {
        return -EBADMSG;
    }
    if (take_word(&line, "max")) {
        limit = MW_UNLIMITED;
    }
    else if (!take_number(&line, &limit)) {
        return -EBADMSG;
    }
    if (line.at != line.end) {
        return -EBADMSG;
    }
    *limit_bytes = limit;
    return 0;
}

int
mw_parse_keyed(const char *text, size_t length, const char *key, int64_t *value)
{
    struct cursor whole = {text, text + length};
    struct cursor line;

    while (take_line(&whole, &line)) {
        if (take_word(&line, key) && take_word(&line, " ")) {
            int64_t number;

            if (!take_number(&line, &number) || line.at != line.end) {
                return -EBADMSG;
            }
            *value = number;
            return 0;
        }
    }
    return -ENODATA;
}
