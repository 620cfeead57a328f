/* What the tests of the own process's sampler share: it, from setup to teardown. */

#ifndef OWN_SAMPLER_H
#define OWN_SAMPLER_H

#include <dirent.h>

#include "sampler/process_sampler.h"

static struct mw_sampler *sampler;

static inline int
acquire(void **state)
{
    (void)state;
    return mw_process_sampler_acquire(&sampler);
}

static inline int
release(void **state)
{
    (void)state;
    mw_process_sampler_release(&sampler);
    return sampler == NULL ? 0 : -1;
}

static inline struct mw_sampler_status
status_of(struct mw_sampler *of)
{
    struct mw_sampler_status status;

    mw_sampler_read_status(of, &status);
    return status;
}

/* Whether the sampler's thread waits and no clock will wake it: the futex call that it
 * is in has no timeout (the fourth argument). -1 where the system does not show that.
 */
static inline int
sleeps_without_a_deadline(void)
{
    DIR *tasks = opendir("/proc/self/task");
    int found = -1;

    assert_non_null(tasks);
    for (struct dirent *each; (each = readdir(tasks)) != NULL;) {
        char path[300];
        char text[256] = "";
        FILE *file;

        (void)snprintf(path, sizeof path, "/proc/self/task/%s/comm", each->d_name);
        file = fopen(path, "r");
        if (file == NULL) {
            continue;
        }
        (void)fgets(text, sizeof text, file);
        fclose(file);
        if (strcmp(text, "memwatch\n") != 0) {
            continue;
        }
        (void)snprintf(path, sizeof path, "/proc/self/task/%s/syscall", each->d_name);
        file = fopen(path, "r");
        if (file == NULL) {
            continue;
        }
        if (fgets(text, sizeof text, file) != NULL) {
            char timeout[20];

            found = sscanf(text, "%*s %*s %*s %*s %19s", timeout) == 1 &&
                    strcmp(timeout, "0x0") == 0;
        }
        fclose(file);
    }
    closedir(tasks);
    return found;
}

#endif
