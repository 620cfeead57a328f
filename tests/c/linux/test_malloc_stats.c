#include "support.h"

#include <errno.h>
#include <stdlib.h>

#include "linux/malloc_stats.h"

#define BLOCKS 4096
#define BLOCK_BYTES 4096

/* What is freed between what is in use malloc has to keep: half of 16 MiB. */
static void
test_retained_follows_what_is_freed(void **state)
{
    static char *blocks[BLOCKS];
    struct mw_malloc_stats before;
    struct mw_malloc_stats after;
    struct mw_malloc_stats again;
    int err;

    (void)state;
    SKIP_UNDER_VALGRIND(); /* its malloc stands behind glibc's name */
    err = mw_malloc_stats_read(&before);
    if (err != 0) { /* an old glibc, or a sanitizer's malloc */
        assert_int_equal(err, -ENOSYS);
        skip();
    }
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(BLOCK_BYTES);
        assert_non_null(blocks[i]);
    }
    for (int i = 0; i < BLOCKS; i += 2) {
        free(blocks[i]);
        blocks[i] = NULL;
    }
    assert_int_equal(mw_malloc_stats_read(&after), 0);
    assert_true(after.duration_ns >= 0);
    /* Some of them are in the thread's own cache. */
    assert_true(after.retained_bytes > BLOCKS / 2 * BLOCK_BYTES * 9 / 10);
    for (int i = 0; i < BLOCKS; i += 2) {
        blocks[i] = malloc(BLOCK_BYTES);
    }
    assert_int_equal(mw_malloc_stats_read(&again), 0);
    assert_true(again.retained_bytes < after.retained_bytes);
    for (int i = 0; i < BLOCKS; i++) {
        free(blocks[i]);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_retained_follows_what_is_freed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
