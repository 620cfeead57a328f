#include "fuzz.h"

static int
parse(const struct text *text, const char *key, int64_t *value)
{
    *value = UNTOUCHED;
    return mw_parse_keyed(text->at, text->length, key, value);
}

/* The first whole line that begins with `key` and a blank, or NULL. */
static const char *
find_line(const struct text *text, const char *key)
{
    size_t length = strlen(key);
    const char *at = text->at;
    const char *end = at + whole_lines(text->at, text->length);

    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));

        if ((size_t)(newline - at) > length && memcmp(at, key, length) == 0 &&
            at[length] == ' ') {
            return at;
        }
        at = newline + 1;
    }
    return NULL;
}

static void
expect_properties(const struct text *text, const char *key)
{
    struct text whole = copy_of(text->at, whole_lines(text->at, text->length));
    const char *line = find_line(text, key);
    int64_t value;
    int64_t again;
    int err = parse(text, key, &value);

    HOLDS(err == 0 || err == -EBADMSG || err == -ENODATA);
    HOLDS(err == 0 ? value >= 0 : value == UNTOUCHED);
    HOLDS((err == -ENODATA) == (line == NULL));

    /* What has no newline does not count. */
    HOLDS(parse(&whole, key, &again) == err && again == value);

    if (err == 0) {
        char canonical[128];
        struct text printed = {.at = canonical};

        printed.length = (size_t)snprintf(canonical, sizeof canonical, "%s %lld\n", key,
                                          (long long)value);
        HOLDS(parse(&printed, key, &again) == 0 && again == value);
    }
    free(whole.block);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text text = copy_of(data, size);

    expect_properties(&text, "oom_kill");
    /* The beginning of the one above: it is not to be taken for it. */
    expect_properties(&text, "oom");
    expect_properties(&text, "hierarchical_memory_limit");
    free(text.block);
    return 0;
}
