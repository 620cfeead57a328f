/* Kernels that publish, as far as a collector can tell: each a PUB socket of its own,
 * its messages those of memwatch, numbered. See load.py, which starts several.
 *
 * usage: fleet ENDPOINT FIRST COUNT HZ SECONDS
 *
 * Each connects to ENDPOINT and sends a sample a second, as who is idle does, until a
 * line comes on stdin; then HZ a second, for SECONDS, a cell's end and the next one's
 * beginning among them. Then it prints how many messages each has sent in all, and
 * waits for another line before it goes. */

#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <zmq.h>

#include "base/clock.h"

enum {
    TICKS_PER_SECOND = 100, /* each sends the share of it that is due */
    MESSAGES_A_CELL = 50,
    ROOM = 2048,
    MOST_KERNELS = 10000,
};

static const char *const SAMPLE =
    "{\"schema\":2,\"kind\":\"%s\",\"kernel_id\":\"%s\",\"host\":\"fleet\","
    "\"user\":\"somebody\",\"pid\":%d,\"notebook\":\"/home/somebody/work/%d.ipynb\","
    "\"message\":%" PRId64 ",\"dropped\":0,\"interval_ns\":100000000,"
    "\"sampled_at\":\"2026-11-22T12:00:00.123Z\",\"t_mono_ns\":%" PRId64 ","
    "\"rss_bytes\":%" PRId64 ",\"lifetime_peak_bytes\":2147483648,"
    "\"limit_bytes\":4294967296,\"limit_set_by\":\"cgroup\",\"limit_group\":\"/user\","
    "\"cell\":{\"number\":%" PRId64 ",\"label\":\"In [4]\",\"execution_count\":4,"
    "\"cell_id\":\"5f0d5c1e-77a5-4b6e-9b1e-1c2d3e4f5a6b\","
    "\"source\":\"table = load('data.parquet')\","
    "\"started_at\":\"2026-11-22T12:00:00.000Z\",\"duration_ns\":123456789,"
    "\"rss_start_bytes\":104857600,\"rss_peak_bytes\":2147483648}%s}";

static const char *const REPORT =
    ",\"report\":{\"schema\":2,\"label\":\"In [4]\",\"execution_count\":4,"
    "\"duration_ns\":5000000000,\"rss_start_bytes\":104857600,"
    "\"rss_end_bytes\":1073741824,\"rss_peak_bytes\":2147483648,"
    "\"used_bytes\":968884224,\"peaked_bytes\":1073741824,\"status\":\"ok\"}";

struct kernel {
    void *socket;
    int number; /* of all, whatever process simulates it */
    int64_t sent;
};

/* Returns whether it went into the queue. */
static bool
tell(struct kernel *kernel)
{
    char kernel_id[64];
    char topic[96];
    char body[ROOM];
    int64_t message = kernel->sent + 1;
    int64_t place = message % MESSAGES_A_CELL;
    const char *kind = place == 0 ? "close" : place == 1 ? "open" : "sample";
    int64_t rss_bytes = (100 + (message * 37 + kernel->number) % 2000) * 1048576;

    (void)snprintf(kernel_id, sizeof kernel_id, "%08x-0000-4000-8000-000000000000",
                   (unsigned)kernel->number);
    int topic_size = snprintf(topic, sizeof topic, "memwatch.%s.%s", kind, kernel_id);
    int size =
        snprintf(body, sizeof body, SAMPLE, kind, kernel_id, kernel->number + 1000,
                 kernel->number, message, mw_clock_mono_ns(), rss_bytes,
                 message / MESSAGES_A_CELL, place == 0 ? REPORT : "");
    if (zmq_send(kernel->socket, topic, (size_t)topic_size, ZMQ_SNDMORE) < 0 ||
        zmq_send(kernel->socket, body, (size_t)size, 0) < 0) {
        return false;
    }
    kernel->sent = message;
    return true;
}

static bool
was_told_something(void)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    char line[64];

    return poll(&input, 1, 0) > 0 && read(STDIN_FILENO, line, sizeof line) >= 0;
}

static void
wait_for(int64_t t_mono_ns)
{
    struct timespec until = mw_clock_deadline(t_mono_ns);

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0) {
    }
}

/* Each of `count` sends `hz` times a second, one after the other. It ends after
 * `ticks`, or, where that is 0, when a line comes. Returns whether all could be sent.
 */
static bool
run(struct kernel *kernels, int64_t count, int64_t hz, int64_t ticks)
{
    int64_t start_ns = mw_clock_mono_ns();
    int64_t sent = 0;

    for (int64_t tick = 1; ticks == 0 || tick <= ticks; tick++) {
        int64_t due = tick * count * hz / TICKS_PER_SECOND;

        if (ticks == 0 && was_told_something()) {
            return true;
        }
        for (; sent < due; sent++) {
            if (!tell(&kernels[sent % count])) {
                return false;
            }
        }
        wait_for(start_ns + tick * (MW_NS_PER_S / TICKS_PER_SECOND));
    }
    return true;
}

static int
number_of(const char *text)
{
    return (int)strtol(text, NULL, 10);
}

int
main(int argc, char **argv)
{
    if (argc != 6) {
        (void)fprintf(stderr, "usage: fleet ENDPOINT FIRST COUNT HZ SECONDS\n");
        return 2;
    }
    int first = number_of(argv[2]);
    int count = number_of(argv[3]);
    int hz = number_of(argv[4]);
    int seconds = number_of(argv[5]);

    if (count < 1 || count > MOST_KERNELS) {
        (void)fprintf(stderr, "fleet: 1 to %d kernels\n", MOST_KERNELS);
        return 2;
    }
    void *context = zmq_ctx_new();
    struct kernel *kernels = calloc((size_t)count, sizeof *kernels);
    bool fine = context != NULL && kernels != NULL &&
                zmq_ctx_set(context, ZMQ_MAX_SOCKETS, count + 8) == 0;

    for (int i = 0; fine && i < count; i++) {
        int linger = 0;

        kernels[i].number = first + i;
        kernels[i].socket = zmq_socket(context, ZMQ_PUB);
        fine = kernels[i].socket != NULL &&
               zmq_setsockopt(kernels[i].socket, ZMQ_LINGER, &linger, sizeof linger) ==
                   0 &&
               zmq_connect(kernels[i].socket, argv[1]) == 0;
    }
    fine = fine && run(kernels, count, 1, 0) &&
           run(kernels, count, hz, (int64_t)seconds * TICKS_PER_SECOND);
    if (fine) {
        for (int i = 0; i < count; i++) {
            (void)printf("%" PRId64 "%c", kernels[i].sent, i + 1 < count ? ' ' : '\n');
        }
        (void)fflush(stdout);
        while (!was_told_something()) {
            wait_for(mw_clock_mono_ns() + MW_NS_PER_S / 100);
        }
    }
    else {
        (void)fprintf(stderr, "fleet: %s\n", zmq_strerror(zmq_errno()));
    }
    for (int i = 0; kernels != NULL && i < count; i++) {
        if (kernels[i].socket != NULL) {
            (void)zmq_close(kernels[i].socket);
        }
    }
    free(kernels);
    if (context != NULL) {
        (void)zmq_ctx_term(context);
    }
    return fine ? 0 : 1;
}
