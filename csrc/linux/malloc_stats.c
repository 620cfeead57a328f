#include "linux/malloc_stats.h"

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>

#include "base/clock.h"

/* struct mallinfo2 of glibc 2.33. Declared here, and the function looked up, so that
 * one build works with older and newer glibc. */
enum { HBLKHD = 4, UORDBLKS = 7, FORDBLKS = 8, MEMBERS = 10 };

struct mallinfo2_result {
    size_t members[MEMBERS];
};

typedef struct mallinfo2_result (*mallinfo2_function)(void);

/* Whether both symbols are in the same library. */
static bool
are_in_one_library(const void *one, const void *other)
{
    Dl_info its;
    Dl_info others;

    return dladdr(one, &its) != 0 && dladdr(other, &others) != 0 &&
           its.dli_fbase == others.dli_fbase;
}

/* The address of a function of glibc's malloc; NULL: it has none, or the process uses
 * another malloc. */
static void *
look_up(const char *name)
{
    void *address = dlsym(RTLD_DEFAULT, name);
    const void *used = dlsym(RTLD_DEFAULT, "malloc");

    if (address == NULL || used == NULL || !are_in_one_library(address, used)) {
        return NULL;
    }
    return address;
}

int
mw_malloc_stats_read(struct mw_malloc_stats *out)
{
    /* ISO C has no cast from an object's address to a function's. */
    union {
        void *address;
        mallinfo2_function call;
    } found = {.address = look_up("mallinfo2")};
    struct mallinfo2_result result;
    int64_t start_ns;

    if (found.address == NULL) {
        return -ENOSYS;
    }
    start_ns = mw_clock_mono_ns();
    result = found.call();
    out->duration_ns = mw_clock_mono_ns() - start_ns;
    out->retained_bytes = (int64_t)result.members[FORDBLKS];
    out->in_use_bytes = (int64_t)(result.members[UORDBLKS] + result.members[HBLKHD]);
    return 0;
}

bool
mw_malloc_trim(void)
{
    union {
        void *address;
        int (*call)(size_t pad);
    } found = {.address = look_up("malloc_trim")};

    if (found.address == NULL) {
        return false;
    }
    (void)found.call(0); /* whether any was returned */
    return true;
}
