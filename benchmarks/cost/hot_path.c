/* Opens and closes windows on its own process, for valgrind to count the
 * instructions of: see instructions.py. */

#include <stdio.h>
#include <stdlib.h>

#include "linux/proc.h"
#include "sampler/sampler.h"

/* The name is known to instructions.py; inlined it would have none. */
__attribute__((noinline)) int
window_pair(struct mw_sampler *sampler, struct mw_watch *watch);

int
window_pair(struct mw_sampler *sampler, struct mw_watch *watch)
{
    struct mw_result result;
    int err = mw_sampler_open(sampler, watch, NULL);

    return err != 0 ? err : mw_sampler_close(sampler, watch, NULL, &result);
}

int
main(int argc, char **argv)
{
    long pairs = argc == 2 ? strtol(argv[1], NULL, 10) : 1000;
    struct mw_sampler *sampler;
    struct mw_watch *watch = malloc(sizeof *watch);
    int err = watch == NULL ? -1 : mw_sampler_new(&sampler, MW_PROC_ROOT, 0);

    if (err != 0) {
        (void)fprintf(stderr, "hot_path: /proc/self cannot be read\n");
        free(watch);
        return 1;
    }
    for (long i = 0; i < pairs && err == 0; i++) {
        err = window_pair(sampler, watch);
    }
    mw_sampler_free(&sampler);
    free(watch);
    return err == 0 ? 0 : 1;
}
