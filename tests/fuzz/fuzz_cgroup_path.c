#include "fuzz.h"

static int
parse(const struct text *text, const char *controller, const char **path,
      size_t *length)
{
    *path = NULL;
    *length = SIZE_MAX;
    return mw_parse_cgroup_path(text->at, text->length, controller, path, length);
}

/* The path is a whole end of a line that lies within the text. */
static void
expect_within(const struct text *text, const char *path, size_t length)
{
    HOLDS(path > text->at && length > 0 && path[0] == '/' && path[-1] == ':');
    HOLDS(length < text->length && (size_t)(path - text->at) < text->length - length);
    HOLDS(path[length] == '\n' && memchr(path, '\n', length) == NULL);
}

static void
expect_properties(const struct text *text, const char *controller)
{
    struct text whole = copy_of(text->at, whole_lines(text->at, text->length));
    const char *path;
    const char *again;
    size_t length;
    size_t again_length;
    int err = parse(text, controller, &path, &length);

    HOLDS(err == 0 || err == -EBADMSG || err == -ENODATA);
    if (err == 0) {
        expect_within(text, path, length);
    }
    else {
        HOLDS(path == NULL && length == SIZE_MAX);
    }

    /* What has no newline does not count. */
    HOLDS(parse(&whole, controller, &again, &again_length) == err);
    HOLDS(again_length == length);
    HOLDS(err != 0 || again - whole.at == path - text->at);

    if (err == 0) {
        /* The line alone says the same, and so do lines after it. */
        const char *start = memrchr(text->at, '\n', (size_t)(path - text->at));
        struct text line = copy_of(
            start != NULL ? start + 1 : text->at,
            (size_t)(path + length + 1 - (start != NULL ? start + 1 : text->at)));

        HOLDS(parse(&line, controller, &again, &again_length) == 0);
        HOLDS(again_length == length && memcmp(again, path, length) == 0);
        free(line.block);
    }
    free(whole.block);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text text = copy_of(data, size);

    expect_properties(&text, NULL);
    expect_properties(&text, "memory");
    /* The beginning of the one above: it is not to be taken for it. */
    expect_properties(&text, "mem");
    free(text.block);
    return 0;
}
