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
#define PATIENCE_NS (10 * MW_NS_PER_S)

/* A reading of 1 ms is followed by a rest of 49: at most 2 % of a processor. */
enum { REST = 49 };

/* What a reading told. */
struct told {
    struct mw_process_tree_reading reading;
    int64_t started; /* `starts` when it began; -1: there was none yet */
    int err;         /* -errno, and the rest is of the reading before */
};

static struct {
    int users;
    struct mw_ticker *ticker;     /* calls tick() below; NULL: not started */
    struct mw_process_tree *tree; /* the thread's, while it reads */
    struct mw_children_watch *newest;
    int64_t t_next_ns; /* when the next sample is due, with a window open */

    /* Whoever wants a reading asks, and waits until `answered` is what it asked. */
    int64_t asked;
    int64_t answered;
    bool pss_asked;

    struct told told[2]; /* by the newest reading; by the newest with PSS */
} family;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards all of that */
static pthread_cond_t answer;
static atomic_int_fast64_t starts;   /* children announced or seen to be forked;
                                        relaxed: it only counts */
static _Thread_local bool announced; /* and counted, whatever is seen of it next */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int once_errno;

int64_t
mw_children_pause_ns(int64_t cost_ns)
{
    return cost_ns * REST > PAUSE_NS ? cost_ns * REST : PAUSE_NS;
}

/* ---- who is started ---- */

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

    for (watch = family.newest; watch != NULL; watch = watch->next) {
        if (watch->t_open_ns <= t_ns && rss_bytes > watch->rss_peak_bytes) {
            watch->rss_peak_bytes = rss_bytes;
        }
    }
}

static void
keep(struct told *told, int err, int64_t started,
     const struct mw_process_tree_reading *reading)
{
    told->err = err;
    if (err == 0) {
        told->started = started;
        told->reading = *reading;
    }
}

static void
tick(void *context)
{
    struct mw_process_tree_reading reading;
    struct mw_process_tree *tree;
    int64_t t_begin_ns;
    int64_t asked;
    int64_t started;
    bool with_pss;
    bool due;
    int err;

    (void)context;
    pthread_mutex_lock(&lock);
    t_begin_ns = mw_clock_mono_ns();
    asked = family.asked;
    with_pss = family.pss_asked;
    tree = family.tree; /* NULL: we are being stopped */
    due = family.newest != NULL && t_begin_ns >= family.t_next_ns;
    if (tree == NULL || (asked == family.answered && !due)) {
        if (tree != NULL && family.newest != NULL) {
            mw_ticker_call_at(family.ticker, family.t_next_ns);
        }
        pthread_mutex_unlock(&lock);
        return;
    }
    family.pss_asked = false;
    pthread_mutex_unlock(&lock);

    /* Before the reading: who is started while we read is not taken for missed. */
    started = atomic_load_explicit(&starts, memory_order_relaxed);
    err = mw_process_tree_read(tree, with_pss, &reading);

    pthread_mutex_lock(&lock);
    keep(&family.told[0], err, started, &reading);
    if (with_pss) {
        keep(&family.told[1], err, started, &reading);
    }
    if (err == 0) {
        add_sample(t_begin_ns, reading.rss_bytes);
    }
    family.answered = asked;
    pthread_cond_broadcast(&answer);
    if (family.newest != NULL) {
        int64_t t_now_ns = mw_clock_mono_ns();

        family.t_next_ns = t_now_ns + mw_children_pause_ns(t_now_ns - t_begin_ns);
        mw_ticker_call_at(family.ticker, family.t_next_ns);
    }
    pthread_mutex_unlock(&lock);
}

/* With the lock held, which is given back meanwhile: have the thread read, and wait
 * until it has. -errno. */
static int
read_now(bool with_pss)
{
    struct timespec deadline = mw_clock_deadline(mw_clock_mono_ns() + PATIENCE_NS);
    int64_t wanted = ++family.asked;
    int err = 0;

    family.pss_asked = family.pss_asked || with_pss;
    mw_ticker_call_at(family.ticker, mw_clock_mono_ns());
    while (family.answered < wanted && err == 0) {
        err = -pthread_cond_timedwait(&answer, &lock, &deadline);
    }
    return family.answered >= wanted ? family.told[with_pss].err : err;
}

/* As /proc has it, which may be that of another pid namespace than ours. */
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

/* With the lock held. After a fork there is neither thread nor tree. */
static int
make_ready(bool *no_thread)
{
    int err = 0;

    *no_thread = false;
    if (family.tree == NULL) {
        family.told[0].started = -1;
        err = mw_process_tree_new(&family.tree, own_pid());
    }
    if (err == 0 && family.ticker == NULL) {
        err = mw_ticker_new(&family.ticker, "memwatch-tree", tick, NULL);
        *no_thread = err != 0;
    }
    return err;
}

/* ---- windows ---- */

static void
forget(struct mw_children_watch *watch)
{
    if (watch->previous != NULL) {
        watch->previous->next = watch->next;
    }
    else {
        family.newest = watch->next;
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
    err = make_ready(&watch->no_thread);
    /* Those started before are not this window's, seen or not. */
    if (err == 0 &&
        family.told[0].started != atomic_load_explicit(&starts, memory_order_relaxed)) {
        err = read_now(false);
    }
    if (err == 0) {
        int64_t t_now_ns = mw_clock_mono_ns();

        *watch = (struct mw_children_watch){
            .next = family.newest,
            .open = true,
            .t_open_ns = t_now_ns,
            .started = family.told[0].started,
            .first_seen = family.told[0].reading.first_seen,
        };
        if (family.newest != NULL) {
            family.newest->previous = watch;
        }
        else {
            family.t_next_ns = t_now_ns + FIRST_PAUSE_NS;
            mw_ticker_call_at(family.ticker, family.t_next_ns);
        }
        family.newest = watch;
    }
    pthread_mutex_unlock(&lock);
    return err;
}

static void
tell(const struct mw_children_watch *watch, struct mw_children_result *out)
{
    const struct mw_process_tree_reading *end = &family.told[1].reading;
    int64_t missed = (family.told[1].started - watch->started) -
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
        /* cppcheck-suppress knownConditionTrueFalse ; we had not the lock meanwhile */
        if (!watch->open) {
            err = -ESTALE; /* another thread was faster */
        }
        else {
            if (err == 0) {
                tell(watch, out);
            }
            forget(watch);
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
        forget(watch);
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

/* The thread stayed behind, perhaps in the middle of a reading: what it read with is
 * left as it is, for ever. So did who waited for it. */
static void
after_fork_in_child(void)
{
    mw_ticker_abandon(&family.ticker);
    family.tree = NULL;
    family.asked = family.answered;
    family.pss_asked = false;
    (void)mw_thread_init_condition(&answer);
    announced = false;
    while (family.newest != NULL) {
        forget(family.newest);
    }
    pthread_mutex_unlock(&lock);
}

static void
prepare_once(void)
{
    once_errno = -mw_thread_init_condition(&answer);
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
    err = make_ready(no_thread);
    if (err == 0) {
        err = read_now(false);
    }
    if (err == 0) {
        family.users++;
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
    if (--family.users == 0) {
        ticker = family.ticker;
        tree = family.tree;
        family.ticker = NULL;
        family.tree = NULL;
    }
    pthread_mutex_unlock(&lock);
    mw_ticker_free(&ticker); /* joins: not with the lock held */
    mw_process_tree_free(&tree);
}
