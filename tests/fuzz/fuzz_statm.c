#include "fuzz.h"

static int
parse(const char *at, size_t length, int64_t page_bytes, int64_t *rss_bytes)
{
    *rss_bytes = UNTOUCHED;
    return mw_parse_statm(at, length, page_bytes, rss_bytes);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text text = copy_of(data, size);
    struct text line = copy_of(data, first_line(text.at, size));
    int64_t rss;
    int64_t again;
    int err = parse(text.at, text.length, 4096, &rss);

    HOLDS(err == 0 || err == -EBADMSG || err == -ENODATA);
    HOLDS(err == 0 ? rss >= 0 && rss % 4096 == 0 : rss == UNTOUCHED);

    /* The first line is all that counts, and it counts whole. */
    HOLDS(parse(line.at, line.length, 4096, &again) == err && again == rss);
    if (line.length > 0) {
        HOLDS(parse(line.at, line.length - 1, 4096, &again) == -EBADMSG);
        HOLDS(again == UNTOUCHED);
    }

    if (err == 0) {
        char canonical[64];
        int length = snprintf(canonical, sizeof canonical, "1 %lld 0 0 0 0 0\n",
                              (long long)(rss / 4096));

        HOLDS(parse(canonical, (size_t)length, 4096, &again) == 0 && again == rss);
        /* In larger pages it is as many times larger, or more than can be told. */
        err = parse(text.at, text.length, 65536, &again);
        HOLDS(err == 0 ? again / 16 == rss && again % 16 == 0 : rss > INT64_MAX / 16);
    }
    free(line.block);
    free(text.block);
    return 0;
}
