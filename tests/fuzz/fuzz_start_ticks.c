#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text text = copy_of(data, size);
    int64_t ticks = UNTOUCHED;
    int64_t again = UNTOUCHED;
    int err = mw_parse_start_ticks(text.at, text.length, &ticks);

    HOLDS(err == 0 || err == -EBADMSG);
    HOLDS(err == 0 ? ticks >= 0 : ticks == UNTOUCHED);
    /* What comes after it changes nothing. */
    if (err == 0) {
        struct text more = with_more(&text, "0 0\n");
        HOLDS(mw_parse_start_ticks(more.at, more.length, &again) == 0);
        HOLDS(again == ticks);
        free(more.block);
    }
    free(text.block);
    return 0;
}
