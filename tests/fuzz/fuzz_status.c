#include "fuzz.h"

enum { FIELDS = 7 };

/* In the order of the kernel's lines; threads last, which is no size. */
static const char *const names[FIELDS] = {"VmHWM",    "VmRSS",  "RssAnon", "RssFile",
                                          "RssShmem", "VmSwap", "Threads"};

struct fields {
    int64_t of[FIELDS];
};

static int
parse(const char *at, size_t length, struct fields *fields)
{
    struct mw_memory memory = {UNTOUCHED, UNTOUCHED, UNTOUCHED, UNTOUCHED,
                               UNTOUCHED, UNTOUCHED, UNTOUCHED};
    int err = mw_parse_status(at, length, &memory);

    *fields = (struct fields){{memory.hwm_bytes, memory.rss_bytes, memory.anon_bytes,
                               memory.file_bytes, memory.shmem_bytes, memory.swap_bytes,
                               memory.threads}};
    return err;
}

static bool
same(const struct fields *a, const struct fields *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static bool
all_are(const struct fields *fields, int64_t value)
{
    for (int i = 0; i < FIELDS; i++) {
        if (fields->of[i] != value) {
            return false;
        }
    }
    return true;
}

/* Whether a line of the text begins with `name` and a colon: a field that is not in
 * the text cannot have been read from it. */
static bool
has_line(const struct text *text, const char *name)
{
    size_t length = strlen(name);
    const char *at = text->at;
    const char *end = at + whole_lines(text->at, text->length);

    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));

        if ((size_t)(newline - at) > length && memcmp(at, name, length) == 0 &&
            at[length] == ':') {
            return true;
        }
        at = newline + 1;
    }
    return false;
}

/* As the kernel would print them: read back, they are the same. */
static void
expect_read_back(const struct fields *fields)
{
    char canonical[1024];
    size_t length = (size_t)snprintf(canonical, sizeof canonical, "Name:\tx\n");
    struct fields again;

    for (int i = 0; i < FIELDS; i++) {
        bool size = i < FIELDS - 1;

        if (fields->of[i] != MW_ABSENT) {
            length += (size_t)snprintf(
                canonical + length, sizeof canonical - length, "%s:\t%8lld%s\n",
                names[i], (long long)(size ? fields->of[i] / 1024 : fields->of[i]),
                size ? " kB" : "");
        }
    }
    HOLDS(parse(canonical, length, &again) == 0 && same(&again, fields));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text text = copy_of(data, size);
    struct text whole = copy_of(data, whole_lines(text.at, size));
    struct text more = with_more(&whole, "VmRSS");
    struct fields fields;
    struct fields again;
    int err = parse(text.at, text.length, &fields);

    HOLDS(err == 0 || err == -EBADMSG);
    if (err != 0) {
        HOLDS(all_are(&fields, UNTOUCHED));
    }
    else {
        for (int i = 0; i < FIELDS; i++) {
            HOLDS(fields.of[i] == MW_ABSENT ||
                  (fields.of[i] >= 0 && has_line(&text, names[i])));
            HOLDS(fields.of[i] == MW_ABSENT || i == FIELDS - 1 ||
                  fields.of[i] % 1024 == 0);
        }
        expect_read_back(&fields);
    }

    /* What has no newline does not count, but for the name that a status begins with.
     */
    if (whole.length > 0) {
        HOLDS(parse(whole.at, whole.length, &again) == err && same(&again, &fields));
        HOLDS(parse(more.at, more.length, &again) == err && same(&again, &fields));
    }
    else {
        HOLDS(err != 0 || all_are(&fields, MW_ABSENT));
    }
    free(more.block);
    free(whole.block);
    free(text.block);
    return 0;
}
