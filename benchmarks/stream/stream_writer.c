/* Records at 1 kHz and publishes every sample: see stream.py.
 *
 * usage: stream_writer BOX ENDPOINT SECONDS
 *
 * Starts when a line comes on stdin; prints how many samples were recorded, and how
 * many messages were sent and dropped. */

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "blackbox/writer.h"
#include "stream/publisher.h"

#define INTERVAL_NS MW_NS_PER_MS

static long
record(struct mw_blackbox_writer *writer, int64_t span_ns)
{
    const struct mw_blackbox_title title = {.execution_count = 1, .source = "x = 1"};
    int64_t t_due_ns = mw_clock_mono_ns();
    int64_t t_begin_ns = t_due_ns;
    int64_t t_end_ns = t_due_ns + span_ns;
    struct mw_result result = {.duration_ns = MW_ABSENT};
    int slot =
        mw_blackbox_writer_open_cell(writer, t_due_ns, mw_clock_real_ns(), 0, &title);
    long count;

    for (count = 0; t_due_ns < t_end_ns; count++) {
        struct timespec deadline = mw_clock_deadline(t_due_ns);

        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &deadline, NULL);
        mw_blackbox_writer_add_sample(writer, mw_clock_mono_ns(), count);
        t_due_ns += INTERVAL_NS;
    }
    result.duration_ns = mw_clock_mono_ns() - t_begin_ns;
    mw_blackbox_writer_close_cell(writer, slot, MW_BLACKBOX_OK, &result);
    return count;
}

int
main(int argc, char **argv)
{
    struct mw_pub_socket_options options = {.interval_ns = INTERVAL_NS};
    struct mw_blackbox_identity given = {.limit_bytes = MW_ABSENT};
    struct mw_blackbox_writer *writer = NULL;
    struct mw_publisher *publisher = NULL;
    struct mw_publisher_status status;
    enum mw_pub_socket_step step;
    int64_t cpu_ns;
    struct timespec cpu;
    long count;
    int err;

    if (argc != 4) {
        (void)fputs("usage: stream_writer BOX ENDPOINT SECONDS\n", stderr);
        return 2;
    }
    options.endpoint = argv[2];
    mw_blackbox_put_text(given.kernel_id, sizeof given.kernel_id, "writer");
    err = mw_blackbox_writer_new(&writer, argv[1], NULL, &given, 0);
    if (err == 0) {
        err = mw_publisher_new(&publisher, argv[1], &options, &step);
    }
    if (err != 0) {
        (void)fprintf(stderr, "stream_writer: %s\n", mw_pub_socket_describe(err));
        mw_blackbox_writer_free(&writer);
        return 1;
    }
    (void)puts("ready");
    (void)fflush(stdout);
    (void)getchar();
    count = record(writer, strtol(argv[3], NULL, 10) * MW_NS_PER_S);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    cpu_ns = (int64_t)cpu.tv_sec * MW_NS_PER_S + cpu.tv_nsec;
    (void)getchar(); /* until the reader has seen the cell end */
    (void)mw_publisher_get_status(&publisher, &status);
    printf("%ld %lld %lld %lld\n", count, (long long)status.sent,
           (long long)status.dropped, (long long)cpu_ns);
    mw_publisher_free(&publisher);
    mw_blackbox_writer_free(&writer);
    return 0;
}
