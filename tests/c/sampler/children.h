/* The sampler of child processes, with readings that the test sets. */

#ifndef MW_TEST_CHILDREN_H
#define MW_TEST_CHILDREN_H

#include "support.h"

#include <pthread.h>
#include <stdbool.h>

#include "base/clock.h"
#include "linux/procps/process_tree.h"
#include "sampler/children/children_sampler.h"
#include "sampler/children/pace.h"
#include "sampler/children/starts.h"

/* libproc2 has no call that frees what it keeps for a thread that has read by it: it
 * is lost when the thread ends, which is why there is one thread for all. */
#ifdef __SANITIZE_ADDRESS__
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *
__lsan_default_suppressions(void)
{
    return "leak:libproc2.so";
}
#endif

/* The linker's --wrap has these come here first: what the thread reads is ours. */
static int tree_errno; /* fails with it */
static int thread_errno;
static int readings;
static int64_t seen;
static int64_t rss_bytes;
static bool is_real;
static pthread_mutex_t tree_lock = PTHREAD_MUTEX_INITIALIZER; /* guards all that */

int __real_mw_process_tree_read(struct mw_process_tree *self, bool with_pss,
                                struct mw_process_tree_reading *out);
int __wrap_mw_process_tree_read(struct mw_process_tree *self, bool with_pss,
                                struct mw_process_tree_reading *out);
int
__wrap_mw_process_tree_read(struct mw_process_tree *self, bool with_pss,
                            struct mw_process_tree_reading *out)
{
    int err;

    pthread_mutex_lock(&tree_lock);
    readings++;
    err = is_real ? __real_mw_process_tree_read(self, with_pss, out) : -tree_errno;
    if (err == 0 && !is_real) {
        *out = (struct mw_process_tree_reading){
            .count = 2,
            .rss_bytes = rss_bytes,
            .first_seen = seen,
            .pss_bytes = with_pss ? 70 : MW_ABSENT,
            .own_pss_bytes = with_pss ? 7 : MW_ABSENT,
            .is_steady = with_pss,
        };
    }
    pthread_mutex_unlock(&tree_lock);
    return err;
}

int __real_mw_process_tree_new(struct mw_process_tree **out, const pid_t *roots,
                               size_t count);
int __wrap_mw_process_tree_new(struct mw_process_tree **out, const pid_t *roots,
                               size_t count);
int
__wrap_mw_process_tree_new(struct mw_process_tree **out, const pid_t *roots,
                           size_t count)
{
    return thread_errno == ENOENT ? -ENOENT
                                  : __real_mw_process_tree_new(out, roots, count);
}

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*run)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*run)(void *), void *argument);
int
__wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                      void *(*run)(void *), void *argument)
{
    return thread_errno == EAGAIN
               ? EAGAIN
               : __real_pthread_create(thread, attributes, run, argument);
}

static inline void
set_reading(int err, int64_t now_seen, int64_t now_rss_bytes)
{
    pthread_mutex_lock(&tree_lock);
    tree_errno = err;
    seen = now_seen;
    rss_bytes = now_rss_bytes;
    pthread_mutex_unlock(&tree_lock);
}

static inline int
count_readings(void)
{
    int count;

    pthread_mutex_lock(&tree_lock);
    count = readings;
    pthread_mutex_unlock(&tree_lock);
    return count;
}

static bool no_thread; /* as it was told last */

static inline int
acquire_family(void)
{
    return mw_children_acquire(&no_thread);
}

static inline int
acquire(void **state)
{
    (void)state;
    thread_errno = 0;
    set_reading(0, 0, 0);
    return acquire_family();
}

static inline int
release(void **state)
{
    (void)state;
    mw_children_release();
    return 0;
}

#define WITH_FAMILY(test) cmocka_unit_test_setup_teardown(test, acquire, release)

#endif
