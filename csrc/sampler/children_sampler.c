#include "sampler/children_sampler.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"
#include "base/ticker.h"
#include "linux/proc.h"
#include "linux/procps/process_tree.h"

#define FIRST_PAUSE_NS (10 * MW_NS_PER_MS)
#define PAUSE_NS (20 * MW_NS_PER_MS)
#define TIMEOUT_NS (10 * MW_NS_PER_S)

/* Sleep 49 ms after a reading of 1 ms: at most 2 % of a processor. */
enum { SLEEP_FACTOR = 49 };

struct reading {
    struct mw_process_tree_reading tree;
    int64_t started; /* `starts` when it began; -1: there was no reading yet */
    int err;         /* -errno: then the rest is of the reading before */
};

static struct {
    int users;
    struct mw_ticker *ticker;     /* calls tick(); NULL: not started */
    struct mw_process_tree *tree; /* used by the thread without the lock */
    struct mw_children_watch *newest;
    int64_t t_next_ns; /* when the next sample is due, if a window is open */

    /* To get a reading, increment `requested` and wait until `completed` reaches it. */
    int64_t requested;
    int64_t completed;
    bool pss_requested;

    struct reading newest_reading;
    struct reading newest_with_pss;
} sampler;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards `sampler` */
static pthread_cond_t reading_completed;
static atomic_int_fast64_t
    starts; /* children announced or forked; relaxed: a counter */
static _Thread_local bool announced; /* this thread's next start is already counted */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int once_errno;

int64_t
mw_children_pause_ns(int64_t cost_ns)
{
    return cost_ns * SLEEP_FACTOR > PAUSE_NS ? cost_ns * SLEEP_FACTOR : PAUSE_NS;
}

/* ---- started children ---- */

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

/* ---- the thread ---- */

static void
add_sample(int64_t t_ns, int64_t rss_bytes)
{
    struct mw_children_watch *watch;

    for (watch = sampler.newest; watch != NULL; watch = watch->next) {
        if (watch->t_open_ns <= t_ns && rss_bytes > watch->rss_peak_bytes) {
            watch->rss_peak_bytes = rss_bytes;
        }
    }
}

static void
store(struct reading *reading, int err, int64_t started,
      const struct mw_process_tree_reading *tree)
{
    reading->err = err;
    if (err == 0) {
        reading->started = started;
        reading->tree = *tree;
    }
}

static void
tick(void *context)
{
    struct mw_process_tree_reading reading;
    struct mw_process_tree *tree;
    int64_t t_begin_ns;
    int64_t requested;
    int64_t started;
    bool with_pss;
    bool due;
    int err;

    (void)context;
    pthread_mutex_lock(&lock);
    t_begin_ns = mw_clock_mono_ns();
    requested = sampler.requested;
    with_pss = sampler.pss_requested;
    tree = sampler.tree; /* NULL: the thread is being stopped */
    due = sampler.newest != NULL && t_begin_ns >= sampler.t_next_ns;
    if (tree == NULL || (requested == sampler.completed && !due)) {
        if (tree != NULL && sampler.newest != NULL) {
            mw_ticker_call_at(sampler.ticker, sampler.t_next_ns);
        }
        pthread_mutex_unlock(&lock);
        return;
    }
    sampler.pss_requested = false;
    pthread_mutex_unlock(&lock);

    /* Before the reading: a child that starts during it does not count as missed. */
    started = atomic_load_explicit(&starts, memory_order_relaxed);
    err = mw_process_tree_read(tree, with_pss, &reading);

    pthread_mutex_lock(&lock);
    store(&sampler.newest_reading, err, started, &reading);
    if (with_pss) {
        store(&sampler.newest_with_pss, err, started, &reading);
    }
    if (err == 0) {
        add_sample(t_begin_ns, reading.rss_bytes);
    }
    sampler.completed = requested;
    pthread_cond_broadcast(&reading_completed);
    if (sampler.newest != NULL) {
        int64_t t_now_ns = mw_clock_mono_ns();

        sampler.t_next_ns = t_now_ns + mw_children_pause_ns(t_now_ns - t_begin_ns);
        mw_ticker_call_at(sampler.ticker, sampler.t_next_ns);
    }
    pthread_mutex_unlock(&lock);
}

/* With the lock held; it is released while waiting. Have the thread take a reading, and
 * wait for it. -errno. */
static int
read_now(bool with_pss)
{
    struct timespec deadline = mw_clock_deadline(mw_clock_mono_ns() + TIMEOUT_NS);
    int64_t wanted = ++sampler.requested;
    const struct reading *reading =
        with_pss ? &sampler.newest_with_pss : &sampler.newest_reading;
    int err = 0;

    sampler.pss_requested = sampler.pss_requested || with_pss;
    mw_ticker_call_at(sampler.ticker, mw_clock_mono_ns());
    while (sampler.completed < wanted && err == 0) {
        err = -pthread_cond_timedwait(&reading_completed, &lock, &deadline);
    }
    return sampler.completed >= wanted ? reading->err : err;
}

/* The pid in /proc, which may belong to another pid namespace than getpid(). */
static pid_t
own_pid(void)
{
    char text[16];
    ssize_t length = readlink(MW_PROC_ROOT "/self", text, sizeof text - 1);

    if (length <= 0) {
        return getpid();
    }
    text[length] = '\0';
    return (pid_t)strtol(text, NULL, 10);
}

/* With the lock held. Create the tree and the thread; a forked child has neither. */
static int
prepare(bool *no_thread)
{
    int err = 0;

    *no_thread = false;
    if (sampler.tree == NULL) {
        sampler.newest_reading.started = -1;
        err = mw_process_tree_new(&sampler.tree, own_pid());
    }
    if (err == 0 && sampler.ticker == NULL) {
        err = mw_ticker_new(&sampler.ticker, "memwatch-tree", tick, NULL);
        *no_thread = err != 0;
    }
    return err;
}

/* ---- windows ---- */

static void
remove_watch(struct mw_children_watch *watch)
{
    if (watch->previous != NULL) {
        watch->previous->next = watch->next;
    }
    else {
        sampler.newest = watch->next;
    }
    if (watch->next != NULL) {
        watch->next->previous = watch->previous;
    }
    watch->open = false;
}

int
mw_children_open(struct mw_children_watch *watch)
{
    int err;

    watch->open = false;
    pthread_mutex_lock(&lock);
    err = prepare(&watch->no_thread);
    /* Children that were started earlier do not belong to this window. */
    if (err == 0 && sampler.newest_reading.started !=
                        atomic_load_explicit(&starts, memory_order_relaxed)) {
        err = read_now(false);
    }
    if (err == 0) {
        int64_t t_now_ns = mw_clock_mono_ns();

        *watch = (struct mw_children_watch){
            .next = sampler.newest,
            .open = true,
            .t_open_ns = t_now_ns,
            .started = sampler.newest_reading.started,
            .first_seen = sampler.newest_reading.tree.first_seen,
        };
        if (sampler.newest != NULL) {
            sampler.newest->previous = watch;
        }
        else {
            sampler.t_next_ns = t_now_ns + FIRST_PAUSE_NS;
            mw_ticker_call_at(sampler.ticker, sampler.t_next_ns);
        }
        sampler.newest = watch;
    }
    pthread_mutex_unlock(&lock);
    return err;
}

static void
compute_result(const struct mw_children_watch *watch, struct mw_children_result *out)
{
    const struct mw_process_tree_reading *end = &sampler.newest_with_pss.tree;
    int64_t missed = (sampler.newest_with_pss.started - watch->started) -
                     (end->first_seen - watch->first_seen);

    *out = (struct mw_children_result){
        .count = end->count,
        .pss_bytes = end->pss_bytes,
        .rss_bytes = end->rss_bytes,
        .own_pss_bytes = end->own_pss_bytes,
        .rss_peak_bytes = watch->rss_peak_bytes > end->rss_bytes ? watch->rss_peak_bytes
                                                                 : end->rss_bytes,
        .missed = missed >= 0 ? missed : MW_ABSENT,
    };
}

int
mw_children_close(struct mw_children_watch *watch, struct mw_children_result *out)
{
    int err = -ESTALE;

    pthread_mutex_lock(&lock);
    if (watch->open) {
        err = read_now(true);
        /* cppcheck-suppress knownConditionTrueFalse ; read_now() releases the lock */
        if (!watch->open) {
            err = -ESTALE; /* another thread closed it */
        }
        else {
            if (err == 0) {
                compute_result(watch, out);
            }
            remove_watch(watch);
        }
    }
    pthread_mutex_unlock(&lock);
    return err;
}

void
mw_children_cancel(struct mw_children_watch *watch)
{
    pthread_mutex_lock(&lock);
    if (watch->open) {
        remove_watch(watch);
    }
    pthread_mutex_unlock(&lock);
}

/* ---- fork ---- */

static void
before_fork(void)
{
    pthread_mutex_lock(&lock);
}

static void
after_fork_in_parent(void)
{
    if (!announced) {
        count_start();
    }
    announced = false;
    pthread_mutex_unlock(&lock);
}

/* The thread is in the parent and may have been reading at the fork(), so the tree is
 * leaked. The threads that waited for a reading are in the parent too. */
static void
after_fork_in_child(void)
{
    mw_ticker_abandon(&sampler.ticker);
    sampler.tree = NULL;
    sampler.requested = sampler.completed;
    sampler.pss_requested = false;
    (void)mw_thread_init_condition(&reading_completed);
    announced = false;
    while (sampler.newest != NULL) {
        remove_watch(sampler.newest);
    }
    pthread_mutex_unlock(&lock);
}

static void
prepare_once(void)
{
    once_errno = -mw_thread_init_condition(&reading_completed);
    if (once_errno == 0) {
        once_errno =
            pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
    }
}

int
mw_children_acquire(bool *no_thread)
{
    int err;

    *no_thread = false;
    pthread_once(&once, prepare_once);
    if (once_errno != 0) {
        return -once_errno;
    }
    pthread_mutex_lock(&lock);
    err = prepare(no_thread);
    if (err == 0) {
        err = read_now(false);
    }
    if (err == 0) {
        sampler.users++;
    }
    pthread_mutex_unlock(&lock);
    return err;
}

void
mw_children_release(void)
{
    struct mw_ticker *ticker = NULL;
    struct mw_process_tree *tree = NULL;

    pthread_mutex_lock(&lock);
    if (--sampler.users == 0) {
        ticker = sampler.ticker;
        tree = sampler.tree;
        sampler.ticker = NULL;
        sampler.tree = NULL;
    }
    pthread_mutex_unlock(&lock);
    mw_ticker_free(&ticker); /* joins the thread, so not with the lock held */
    mw_process_tree_free(&tree);
}
