#include "sampler/children/starts.h"

#include <stdatomic.h>
#include <stdbool.h>

static atomic_int_fast64_t starts;   /* relaxed: a counter */
static _Thread_local bool announced; /* this thread's next start is already counted */

static void
count_start(void)
{
    atomic_fetch_add_explicit(&starts, 1, memory_order_relaxed);
}

void
mw_children_announce(enum mw_children_start how)
{
    bool counted = announced && how == MW_CHILDREN_SPAWN;

    announced = how == MW_CHILDREN_POPEN;
    if (!counted && how != MW_CHILDREN_FORK) {
        count_start();
    }
}

int64_t
mw_children_count_starts(void)
{
    return atomic_load_explicit(&starts, memory_order_relaxed);
}

void
mw_children_forked_in_parent(void)
{
    if (!announced) {
        count_start();
    }
    announced = false;
}

void
mw_children_forked_in_child(void)
{
    announced = false;
}
