#include "fuzz.h"

static int
parse(const char *at, size_t length, int64_t *limit_bytes)
{
    *limit_bytes = UNTOUCHED;
    return mw_parse_cgroup_limit(at, length, limit_bytes);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text text = copy_of(data, size);
    struct text line = copy_of(data, first_line(text.at, size));
    int64_t limit;
    int64_t again;
    int err = parse(text.at, text.length, &limit);

    HOLDS(err == 0 || err == -EBADMSG);
    HOLDS(err == 0 ? limit >= 0 : limit == UNTOUCHED);

    /* The first line is all that counts, and it counts whole. */
    HOLDS(parse(line.at, line.length, &again) == err && again == limit);
    if (line.length > 0) {
        HOLDS(parse(line.at, line.length - 1, &again) == -EBADMSG);
    }

    if (err == 0) {
        char canonical[64];
        int length = snprintf(canonical, sizeof canonical, "%lld\n", (long long)limit);

        HOLDS(parse(canonical, (size_t)length, &again) == 0 && again == limit);
        /* Nothing but digits, or the one word, is a limit. */
        HOLDS(strspn(line.at, "0123456789") == line.length - 1 ||
              (line.length == 4 && memcmp(line.at, "max\n", 4) == 0 &&
               limit == MW_UNLIMITED));
    }
    free(line.block);
    free(text.block);
    return 0;
}
