#include "sampler/children/children_sampler.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/thread.h"
#include "base/ticker.h"
#include "linux/proc.h"
#include "sampler/children/pace.h"
#include "sampler/children/starts.h"

#define FIRST_PAUSE_NS (10 * MW_NS_PER_MS)
#define TIMEOUT_NS (10 * MW_NS_PER_S)

struct reading {
    struct mw_process_tree_reading tree;
    int64_t started; /* mw_children_count_starts() when it began; -1: there was no
                        reading yet */
    int err;         /* -errno: then the rest is of the reading before */
};

struct mw_children_target {
    struct mw_children_target *next;
    /* Used by the thread without the lock. NULL: there is none, or none since fork().
     */
    struct mw_process_tree *tree;

    /* To get a reading, increment `requested` and wait until `completed` reaches it. */
    int64_t requested;
    int64_t completed;
    bool pss_requested;

    struct reading newest;
    struct reading newest_with_pss;
    int64_t rss_at_pss; /* of newest_with_pss; 0: a window has opened since */
};

static struct {
    int users;
    struct mw_ticker *ticker;        /* calls tick(); NULL: not started */
    struct mw_children_target own;   /* the first of the list of targets */
    struct mw_children_target *read; /* whose tree the thread is using; NULL: none */
    struct mw_children_watch *newest;
    int64_t t_next_ns; /* when the next sample is due, if a window is open */
    int64_t credit_ns; /* how long reading PSS may take; see pace.h */
    int64_t t_credit_ns;
} sampler;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards `sampler` */
static pthread_cond_t reading_completed;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int once_errno;

/* ---- the thread ---- */

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

/* With the lock held; it is released while reading. What it cost, in processor time
 * without the PSS that nobody requested. */
static int64_t
read_target(struct mw_children_target *target)
{
    const struct mw_children_target before = *target;
    struct mw_process_tree_reading reading;
    struct mw_process_tree_reading with_pss;
    bool has_pss = before.pss_requested;
    int64_t t_begin_ns = mw_clock_mono_ns();
    int64_t cost_ns = -mw_clock_thread_cpu_ns();
    int64_t pss_cost_ns = 0;
    int64_t credit_ns;
    int64_t started;
    int err;

    credit_ns = mw_children_refill_credit_ns(sampler.credit_ns,
                                             t_begin_ns - sampler.t_credit_ns);
    sampler.t_credit_ns = t_begin_ns;
    sampler.credit_ns = credit_ns;
    target->pss_requested = false;
    sampler.read = target;
    pthread_mutex_unlock(&lock);

    /* Before the reading: a child that starts during it does not count as missed. */
    started = mw_children_count_starts();
    err = mw_process_tree_read(before.tree, before.pss_requested, &reading);
    with_pss = reading;
    cost_ns += mw_clock_thread_cpu_ns();
    if (err == 0 && !has_pss &&
        mw_children_should_read_pss(reading.rss_bytes, before.rss_at_pss, credit_ns)) {
        pss_cost_ns = -mw_clock_thread_cpu_ns();
        has_pss = mw_process_tree_read(before.tree, true, &with_pss) == 0;
        pss_cost_ns += mw_clock_thread_cpu_ns();
    }

    pthread_mutex_lock(&lock);
    sampler.read = NULL;
    sampler.credit_ns -= pss_cost_ns;
    store(&target->newest, err, started, &reading);
    if (err == 0) {
        mw_children_windows_add_sample(sampler.newest, target, t_begin_ns, &reading);
    }
    if (has_pss) {
        store(&target->newest_with_pss, err, started, &with_pss);
        if (err == 0) {
            target->rss_at_pss = with_pss.rss_bytes;
            mw_children_windows_add_sample(sampler.newest, target, t_begin_ns,
                                           &with_pss);
        }
    }
    target->completed = before.requested;
    pthread_cond_broadcast(&reading_completed);
    return cost_ns;
}

static void
tick(void *context)
{
    int64_t cost_ns = 0;
    bool has_read = false;
    bool due;

    (void)context;
    pthread_mutex_lock(&lock);
    due = mw_clock_mono_ns() >= sampler.t_next_ns;
    for (struct mw_children_target *each = &sampler.own; each; each = each->next) {
        if (each->tree != NULL &&
            (each->requested != each->completed ||
             (due && mw_children_windows_include(sampler.newest, each)))) {
            cost_ns += read_target(each);
            has_read = true;
        }
    }
    if (has_read) {
        sampler.t_next_ns = mw_clock_mono_ns() + mw_children_pause_ns(cost_ns);
    }
    if (sampler.newest != NULL && sampler.ticker != NULL) {
        mw_ticker_call_at(sampler.ticker, sampler.t_next_ns);
    }
    pthread_mutex_unlock(&lock);
}

/* With the lock held; it is released while waiting. Have the thread read a target, and
 * wait for it. -errno. */
static int
read_now(struct mw_children_target *target, bool with_pss)
{
    struct timespec deadline = mw_clock_deadline(mw_clock_mono_ns() + TIMEOUT_NS);
    int64_t wanted = ++target->requested;
    const struct reading *reading =
        with_pss ? &target->newest_with_pss : &target->newest;
    int err = 0;

    target->pss_requested = target->pss_requested || with_pss;
    mw_ticker_call_at(sampler.ticker, mw_clock_mono_ns());
    while (target->completed < wanted && err == 0) {
        err = -pthread_cond_timedwait(&reading_completed, &lock, &deadline);
    }
    return target->completed >= wanted ? reading->err : err;
}

/* With the lock held. Create the tree and the thread; a forked child has neither. */
static int
prepare(bool *no_thread)
{
    int err = 0;

    *no_thread = false;
    if (sampler.own.tree == NULL) {
        pid_t pid = mw_proc_own_pid();

        sampler.own.newest.started = -1;
        err = mw_process_tree_new(&sampler.own.tree, &pid, 1);
    }
    if (err == 0 && sampler.ticker == NULL) {
        err = mw_ticker_new(&sampler.ticker, "memwatch-tree", tick, NULL);
        *no_thread = err != 0;
    }
    return err;
}

/* ---- targets ---- */

int
mw_children_target_new(struct mw_children_target **out, const pid_t *roots,
                       size_t count)
{
    struct mw_children_target *self = calloc(1, sizeof *self);
    int err;

    if (self == NULL) {
        return -ENOMEM;
    }
    err = mw_process_tree_new(&self->tree, roots, count);
    if (err != 0) {
        free(self);
        return err;
    }
    pthread_mutex_lock(&lock);
    self->next = sampler.own.next;
    sampler.own.next = self;
    pthread_mutex_unlock(&lock);
    *out = self;
    return 0;
}

void
mw_children_target_free(struct mw_children_target **self)
{
    struct mw_children_target *each = &sampler.own;

    if (*self == NULL) {
        return;
    }
    pthread_mutex_lock(&lock);
    while (sampler.read == *self) {
        pthread_cond_wait(&reading_completed, &lock);
    }
    while (each->next != *self) {
        each = each->next;
    }
    each->next = (*self)->next;
    pthread_mutex_unlock(&lock);
    mw_process_tree_free(&(*self)->tree);
    free(*self);
    *self = NULL;
}

/* ---- windows ---- */

int
mw_children_open(struct mw_children_watch *watch, struct mw_children_target *target)
{
    int err;

    watch->open = false;
    target = target != NULL ? target : &sampler.own;
    pthread_mutex_lock(&lock);
    err = prepare(&watch->no_thread);
    if (err == 0 && target->tree == NULL) {
        err = -ESTALE;
    }
    /* Children that were started earlier do not belong to this window. */
    if (err == 0 && target == &sampler.own &&
        target->newest.started != mw_children_count_starts()) {
        err = read_now(target, false);
    }
    if (err == 0) {
        int64_t t_now_ns = mw_clock_mono_ns();
        if (sampler.newest == NULL) {
            sampler.t_next_ns = t_now_ns + FIRST_PAUSE_NS;
            mw_ticker_call_at(sampler.ticker, sampler.t_next_ns);
        }
        mw_children_windows_add(&sampler.newest, watch, target, t_now_ns);
        watch->started = target->newest.started;
        watch->first_seen = target->newest.tree.first_seen;
        target->rss_at_pss = 0;
    }
    pthread_mutex_unlock(&lock);
    return err;
}

static int64_t
count_missed(const struct mw_children_watch *watch)
{
    const struct reading *end = &sampler.own.newest_with_pss;
    int64_t missed =
        (end->started - watch->started) - (end->tree.first_seen - watch->first_seen);

    return watch->target == &sampler.own && missed >= 0 ? missed : MW_ABSENT;
}

int
mw_children_close(struct mw_children_watch *watch, struct mw_children_result *out)
{
    int err = -ESTALE;

    pthread_mutex_lock(&lock);
    if (watch->open) {
        err = read_now(watch->target, true);
        /* cppcheck-suppress knownConditionTrueFalse ; read_now() releases the lock */
        if (!watch->open) {
            err = -ESTALE; /* another thread closed it */
        }
        else {
            if (err == 0) {
                mw_children_window_compute(watch, &watch->target->newest_with_pss.tree,
                                           out);
                out->missed = count_missed(watch);
            }
            mw_children_windows_remove(&sampler.newest, watch);
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
        mw_children_windows_remove(&sampler.newest, watch);
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
    mw_children_forked_in_parent();
    pthread_mutex_unlock(&lock);
}

/* The thread is in the parent and may have been reading at the fork(), so the trees are
 * leaked. The threads that waited for a reading are in the parent too. */
static void
after_fork_in_child(void)
{
    mw_ticker_abandon(&sampler.ticker);
    sampler.read = NULL;
    for (struct mw_children_target *each = &sampler.own; each; each = each->next) {
        each->tree = NULL;
        each->requested = each->completed;
        each->pss_requested = false;
    }
    (void)mw_thread_init_condition(&reading_completed);
    mw_children_forked_in_child();
    while (sampler.newest != NULL) {
        mw_children_windows_remove(&sampler.newest, sampler.newest);
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
        err = read_now(&sampler.own, false);
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
        tree = sampler.own.tree;
        sampler.ticker = NULL;
        sampler.own.tree = NULL;
    }
    pthread_mutex_unlock(&lock);
    mw_ticker_free(&ticker); /* joins the thread, so not with the lock held */
    mw_process_tree_free(&tree);
}
