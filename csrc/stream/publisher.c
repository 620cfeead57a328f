#include "stream/publisher.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/ticker.h"
#include "blackbox/reader.h"
#include "linux/proc.h"
#include "stream/follower.h"
#include "stream/message_json.h"

/* How often the box is read. It holds the newest 16 cells, so at 50 ms none is lost at
 * 300 cells a second. */
#define MOST_PAUSE_NS (50 * MW_NS_PER_MS)
#define LEAST_IDLE_PAUSE_NS (10 * MW_NS_PER_MS) /* with no cell open */
#define HEARTBEAT_NS MW_NS_PER_S

#define BYE_TIMEOUT_NS (20 * MW_NS_PER_MS)
#define BYE_POLL_NS (200 * MW_NS_PER_US)

struct mw_publisher {
    struct mw_publisher *next; /* guarded by `lock` */

    struct mw_pub_socket *socket; /* used by the thread while it runs; NULL in a forked
                                     child */
    struct mw_ticker *ticker;

    struct mw_blackbox_reader *reader;
    struct mw_proc proc;
    struct mw_follower follower;
    struct mw_blackbox_view view;
    struct mw_blackbox_sample samples[MW_BLACKBOX_SAMPLES];
    struct mw_follower_item items[MW_FOLLOWER_ITEMS];
    char body[MW_MESSAGE_BODY_BYTES];

    int64_t interval_ns;
    int64_t t_sample_due_ns;
    int64_t t_sent_ns;     /* when a sample was last sent */
    int64_t real_minus_ns; /* CLOCK_REALTIME - CLOCK_MONOTONIC */

    char endpoint[MW_PUB_SOCKET_ENDPOINT_BYTES];

    atomic_bool is_alive;         /* relaxed, like the next four: status only */
    atomic_int_fast64_t numbered; /* messages */
    atomic_int_fast64_t dropped;
    atomic_int_fast64_t refused;
    atomic_int_fast64_t subscriptions;
};

/* The publishers of this process, for the fork() handlers. */
static struct mw_publisher *newest;

/* Guards `newest`; also held while libzmq is set up. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Guards the pointers that the owners of publishers have. Held only to copy. */
static pthread_mutex_t owners_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int once_errno;

static void
count_dropped(struct mw_publisher *self, int64_t count)
{
    atomic_fetch_add_explicit(&self->dropped, count, memory_order_relaxed);
}

static void
send_message(struct mw_publisher *self, enum mw_message_kind kind, int64_t t_mono_ns,
             int64_t rss_bytes, const struct mw_blackbox_cell *cell)
{
    struct mw_message message = {
        .kind = kind,
        .identity = &self->view.identity,
        .cell = cell,
        .message =
            atomic_fetch_add_explicit(&self->numbered, 1, memory_order_relaxed) + 1,
        .dropped = atomic_load_explicit(&self->dropped, memory_order_relaxed),
        .interval_ns = self->interval_ns,
        .t_mono_ns = t_mono_ns,
        .t_real_ns = t_mono_ns + self->real_minus_ns,
        .rss_bytes = rss_bytes,
        .lifetime_peak_bytes = self->view.progress.lifetime_peak_bytes,
    };
    char topic[MW_MESSAGE_TOPIC_BYTES];
    size_t topic_length = mw_message_put_topic(kind, message.identity, topic);
    size_t length = mw_message_put_body(&message, self->body, sizeof self->body);

    if (length == 0 || mw_pub_socket_send(self->socket, topic, topic_length, self->body,
                                          length) != 0) {
        count_dropped(self, 1);
    }
}

/* ---- the thread ---- */

static int64_t
read_rss(struct mw_publisher *self)
{
    int64_t rss_bytes;

    if (!mw_proc_is_intact(&self->proc)) {
        mw_proc_close(&self->proc);
        if (mw_proc_open(&self->proc, MW_PROC_ROOT, 0) != 0) {
            return MW_ABSENT;
        }
    }
    return mw_proc_read_rss(&self->proc, &rss_bytes) == 0 ? rss_bytes : MW_ABSENT;
}

/* Send what is new in the box. If it cannot be read, the last view stays. */
static void
send_changes(struct mw_publisher *self, int64_t t_now_ns, bool with_samples)
{
    enum mw_blackbox_fault fault;
    int64_t lost_messages = 0;
    int64_t lost_samples = 0;
    size_t count = 0;

    if (mw_blackbox_reader_refresh(self->reader, &fault) != 0) {
        return;
    }
    mw_blackbox_reader_view(self->reader, &self->view);
    if (with_samples) {
        count = mw_blackbox_reader_samples(self->reader, &self->follower.next_sample,
                                           self->samples, &lost_samples);
    }
    count = mw_follower_advance(&self->follower, t_now_ns, &self->view, self->samples,
                                count, lost_samples, self->items, &lost_messages);
    count_dropped(self, lost_messages);
    for (size_t i = 0; i < count; i++) {
        const struct mw_follower_item *item = &self->items[i];

        if (item->kind == MW_MESSAGE_SAMPLE) {
            self->t_sent_ns = t_now_ns;
        }
        send_message(self, item->kind, item->t_mono_ns, item->rss_bytes, item->cell);
    }
}

static int64_t
real_minus_mono_ns(void)
{
    return mw_clock_real_ns() - mw_clock_mono_ns();
}

static int64_t
pause_ns(const struct mw_publisher *self, bool is_idle)
{
    if (self->interval_ns > MOST_PAUSE_NS) {
        return MOST_PAUSE_NS;
    }
    return is_idle && self->interval_ns < LEAST_IDLE_PAUSE_NS ? LEAST_IDLE_PAUSE_NS
                                                              : self->interval_ns;
}

static void
tick(void *context)
{
    struct mw_publisher *self = context;
    int64_t t_now_ns = mw_clock_mono_ns();
    bool is_due = t_now_ns >= self->t_sample_due_ns;
    const struct mw_blackbox_cell *cell;
    int64_t t_next_ns;

    self->real_minus_ns = real_minus_mono_ns();
    atomic_fetch_add_explicit(&self->refused, mw_pub_socket_authenticate(self->socket),
                              memory_order_relaxed);
    /* Not a plain store, which helgrind reports as a race. */
    atomic_exchange_explicit(&self->subscriptions,
                             mw_pub_socket_count_subscriptions(self->socket),
                             memory_order_relaxed);
    send_changes(self, t_now_ns, is_due);
    cell = mw_follower_cell_at(&self->view, t_now_ns);
    if (t_now_ns - self->t_sent_ns >= HEARTBEAT_NS &&
        (cell == NULL || t_now_ns - self->t_sent_ns >= 2 * self->interval_ns)) {
        self->t_sent_ns = t_now_ns;
        send_message(self, MW_MESSAGE_SAMPLE, t_now_ns, read_rss(self), cell);
    }
    if (is_due) {
        self->t_sample_due_ns += self->interval_ns;
        if (self->t_sample_due_ns <= t_now_ns) { /* more than one interval late */
            self->t_sample_due_ns = t_now_ns + self->interval_ns;
        }
    }
    t_next_ns = t_now_ns + pause_ns(self, cell == NULL);
    if (cell != NULL && self->t_sample_due_ns < t_next_ns) {
        t_next_ns = self->t_sample_due_ns;
    }
    mw_ticker_call_at(self->ticker, t_next_ns);
}

/* ---- fork ---- */

static void
before_fork(void)
{
    pthread_mutex_lock(&lock);
    pthread_mutex_lock(&owners_lock);
}

static void
after_fork_in_parent(void)
{
    pthread_mutex_unlock(&owners_lock);
    pthread_mutex_unlock(&lock);
}

static void
after_fork_in_child(void)
{
    for (struct mw_publisher *self = newest; self != NULL; self = self->next) {
        mw_ticker_abandon(&self->ticker);
        self->socket = NULL; /* leaked */
        atomic_store_explicit(&self->is_alive, false, memory_order_relaxed);
    }
    pthread_mutex_unlock(&owners_lock);
    pthread_mutex_unlock(&lock);
}

static void
install_handlers(void)
{
    once_errno = pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

static void
link_publisher(struct mw_publisher *self)
{
    pthread_mutex_lock(&lock);
    self->next = newest;
    newest = self;
    pthread_mutex_unlock(&lock);
}

static void
unlink_publisher(const struct mw_publisher *self)
{
    struct mw_publisher **at;

    pthread_mutex_lock(&lock);
    for (at = &newest; *at != NULL; at = &(*at)->next) {
        if (*at == self) {
            *at = self->next;
            break;
        }
    }
    pthread_mutex_unlock(&lock);
}

static int
open_box(struct mw_publisher *self, const char *path)
{
    enum mw_blackbox_fault fault;
    int err = mw_blackbox_reader_new(&self->reader, path, &fault);

    if (err == 0) {
        mw_blackbox_reader_view(self->reader, &self->view);
        mw_follower_init(&self->follower, &self->view, self->interval_ns);
        err = mw_proc_open(&self->proc, MW_PROC_ROOT, 0);
    }
    return err;
}

static int
start(struct mw_publisher *self, const char *path,
      const struct mw_pub_socket_options *options, enum mw_pub_socket_step *step)
{
    int err;

    *step = MW_PUB_SOCKET_BOX;
    err = open_box(self, path);
    if (err == 0) {
        pthread_mutex_lock(&lock); /* see mw_pub_socket_new() */
        err = mw_pub_socket_new(&self->socket, options, step);
        pthread_mutex_unlock(&lock);
    }
    if (err == 0) {
        const char *endpoint = mw_pub_socket_endpoint(self->socket);

        memcpy(self->endpoint, endpoint, strlen(endpoint) + 1);
        *step = MW_PUB_SOCKET_THREAD;
        err = mw_ticker_new(&self->ticker, "memwatch-zmq", tick, self);
    }
    return err;
}

int
mw_publisher_new(struct mw_publisher **out, const char *path,
                 const struct mw_pub_socket_options *options,
                 enum mw_pub_socket_step *step)
{
    struct mw_publisher *self;
    int err;

    *step = MW_PUB_SOCKET_THREAD;
    pthread_once(&once, install_handlers);
    if (once_errno != 0) {
        return -once_errno;
    }
    self = calloc(1, sizeof *self);
    if (self == NULL) {
        return -ENOMEM;
    }
    self->proc = MW_PROC_CLOSED;
    self->interval_ns = options->interval_ns;
    self->real_minus_ns = real_minus_mono_ns();
    atomic_store_explicit(&self->is_alive, true, memory_order_relaxed);
    link_publisher(self); /* before the start: a child must see that it is dead */
    err = start(self, path, options, step);
    if (err != 0) {
        mw_publisher_free(&self);
        return err;
    }
    mw_ticker_call_at(self->ticker, mw_clock_mono_ns());
    *out = self;
    return 0;
}

/* After the thread has ended. Waits as long as a subscriber that reads may need;
 * lingering would also wait for one that does not read. */
static void
send_bye(struct mw_publisher *self)
{
    int64_t t_end_ns = mw_clock_mono_ns() + BYE_TIMEOUT_NS;

    send_changes(self, mw_clock_mono_ns(), false); /* a cell may just have ended */
    send_message(self, MW_MESSAGE_BYE, mw_clock_mono_ns(), read_rss(self), NULL);
    while (mw_pub_socket_count_pending(self->socket) > 0 &&
           mw_clock_mono_ns() < t_end_ns) {
        nanosleep(&(struct timespec){.tv_nsec = BYE_POLL_NS}, NULL);
    }
}

void
mw_publisher_free(struct mw_publisher **out)
{
    struct mw_publisher *self;

    pthread_mutex_lock(&owners_lock);
    self = *out;
    *out = NULL;
    pthread_mutex_unlock(&owners_lock);
    if (self == NULL) {
        return;
    }
    if (self->ticker != NULL) {
        mw_ticker_free(&self->ticker);
        send_bye(self);
    }
    mw_pub_socket_free(&self->socket);
    unlink_publisher(self);
    mw_blackbox_reader_free(&self->reader);
    mw_proc_close(&self->proc);
    free(self);
}

static void
copy_status(const struct mw_publisher *self, struct mw_publisher_status *out)
{
    memcpy(out->endpoint, self->endpoint, sizeof out->endpoint);
    out->alive = atomic_load_explicit(&self->is_alive, memory_order_relaxed);
    out->sent = atomic_load_explicit(&self->numbered, memory_order_relaxed);
    out->dropped = atomic_load_explicit(&self->dropped, memory_order_relaxed);
    out->refused = atomic_load_explicit(&self->refused, memory_order_relaxed);
    out->subscriptions =
        atomic_load_explicit(&self->subscriptions, memory_order_relaxed);
}

int
mw_publisher_get_status(struct mw_publisher *const *of, struct mw_publisher_status *out)
{
    int err = -ESTALE;

    pthread_mutex_lock(&owners_lock);
    if (*of != NULL) {
        copy_status(*of, out);
        err = 0;
    }
    pthread_mutex_unlock(&owners_lock);
    return err;
}
