/* What goes wrong around us: each fault gives an absent figure or a clear error,
 * and the window after it is right again.
 *
 * The linker puts the functions below between the core and the C library (see
 * meson.build), so that reads come short, writes fail and clocks stand at will. */

#include "support.h"

#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>

#include "base/clock.h"
#include "own_sampler.h"
#include "sampler/recording.h"

#define NAP_NS (10 * MW_NS_PER_MS) /* what the thread makes of a clock that stands */

/* ---- the faults; the sampler's thread meets them too ---- */

enum { NEVER = -1 };

static atomic_bool mark_is_hidden;   /* status has no VmHWM */
static atomic_bool reset_hides_mark; /* nor has it from the next reset on */
static atomic_int reset_errno;       /* clear_refs cannot be written to */
static atomic_int open_errno;        /* nothing can be opened */
static atomic_int fstat_errno;       /* nor looked at */
static atomic_long status_is_cut_at; /* NEVER, or how much of it is read */
static atomic_long statm_is_cut_at;  /* likewise */
static atomic_bool hold_status;      /* the thread keeps what it read of status back */
static atomic_bool status_is_held;   /* and does so now */
static atomic_bool clock_stands;     /* at clock_ns */
static _Atomic int64_t clock_ns;
static _Atomic int64_t clock_ahead_ns; /* where it does not stand */
static atomic_long clock_readings;
static atomic_long reads;
static atomic_long resets;

static int
no_faults(void **state)
{
    (void)state;
    mark_is_hidden = reset_hides_mark = clock_stands = false;
    hold_status = status_is_held = false;
    reset_errno = open_errno = fstat_errno = 0;
    status_is_cut_at = statm_is_cut_at = NEVER;
    clock_ahead_ns = 0;
    return 0;
}

int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
ssize_t __real_pread64(int fd, void *text, size_t room, off_t offset);
ssize_t __wrap_pread64(int fd, void *text, size_t room, off_t offset);
ssize_t __wrap_pread(int fd, void *text, size_t room, off_t offset);
ssize_t __real_pwrite64(int fd, const void *text, size_t length, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *text, size_t length, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *text, size_t length, off_t offset);
int __real_fstat64(int fd, struct stat *found);
int __wrap_fstat64(int fd, struct stat *found);
int __wrap_fstat(int fd, struct stat *found);
int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);

static int64_t
real_ns(void)
{
    struct timespec now;

    __real_clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * MW_NS_PER_S + now.tv_nsec;
}

int
__wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
    clock_readings++;
    if (clock_stands) {
        *now = mw_clock_deadline(clock_ns);
        return 0;
    }
    if (clock_ahead_ns != 0) {
        *now = mw_clock_deadline(real_ns() + clock_ahead_ns);
        return 0;
    }
    return __real_clock_gettime(clock, now);
}

ssize_t
__wrap_pread64(int fd, void *text, size_t room, off_t offset)
{
    ssize_t length = __real_pread64(fd, text, room, offset);
    bool is_status = length > 5 && memcmp(text, "Name:", 5) == 0;
    long cut_at = is_status ? status_is_cut_at : statm_is_cut_at;

    reads++;
    if (is_status && gettid() != getpid()) {
        while (hold_status) {
            status_is_held = true;
            sched_yield();
        }
    }
    if (is_status && mark_is_hidden) {
        char *line = memmem(text, (size_t)length, "\nVmHWM:", 7);

        assert_non_null(line);
        memcpy(line, "\nVmXXX:", 7);
    }
    return cut_at != NEVER && cut_at < length ? cut_at : length;
}

ssize_t
__wrap_pread(int fd, void *text, size_t room, off_t offset)
{
    return __wrap_pread64(fd, text, room, offset);
}

ssize_t
__wrap_pwrite64(int fd, const void *text, size_t length, off_t offset)
{
    resets++;
    if (reset_errno != 0) {
        errno = reset_errno;
        return -1;
    }
    if (reset_hides_mark) {
        mark_is_hidden = true;
    }
    return __real_pwrite64(fd, text, length, offset);
}

ssize_t
__wrap_pwrite(int fd, const void *text, size_t length, off_t offset)
{
    return __wrap_pwrite64(fd, text, length, offset);
}

int
__wrap_open64(const char *path, int flags, ...)
{
    if (open_errno != 0) {
        errno = open_errno;
        return -1;
    }
    return __real_open64(path, flags); /* the core creates no files */
}

int
__wrap_open(const char *path, int flags, ...)
{
    return __wrap_open64(path, flags);
}

int
__wrap_fstat64(int fd, struct stat *found)
{
    if (fstat_errno != 0) {
        errno = fstat_errno;
        return -1;
    }
    return __real_fstat64(fd, found);
}

int
__wrap_fstat(int fd, struct stat *found)
{
    return __wrap_fstat64(fd, found);
}

/* ---- the own process ---- */

static int
acquire_without_faults(void **state)
{
    no_faults(state);
    return acquire(state);
}

static void
spike(int64_t bytes)
{
    unmap(map_touched(bytes), bytes);
}

static struct mw_result
close_window(struct mw_watch *watch)
{
    struct mw_result result;

    assert_int_equal(mw_sampler_close(sampler, watch, NULL, &result), 0);
    return result;
}

static void
assert_sampled(const struct mw_result *result)
{
    assert_false(result->peak_from_kernel);
    assert_int_equal(result->peak_error_bytes, MW_ABSENT);
}

static void
assert_from_kernel(const struct mw_result *result, int64_t peaked_bytes)
{
    int64_t bound_bytes = mw_sampler_accuracy(sampler).bound_bytes;

    assert_true(result->peak_from_kernel);
    assert_int_equal(result->peak_error_bytes, bound_bytes);
    assert_true(distance(result->peaked_bytes, peaked_bytes) <= bound_bytes + MIB);
}

static void
assert_all_is_well(void)
{
    struct mw_watch watch;
    struct mw_result result;

    no_faults(NULL);
    assert_int_equal(mw_sampler_open(sampler, &watch, NULL), 0);
    spike(16 * MIB);
    result = close_window(&watch);
    assert_from_kernel(&result, 16 * MIB);
    assert_true(result.duration_ns > 0);
}

#define NEEDS_MARK()                                                                   \
    do {                                                                               \
        SKIP_UNDER_TSAN();                                                             \
        if (!mw_sampler_accuracy(sampler).hwm_resets) {                                \
            skip();                                                                    \
        }                                                                              \
    } while (0)

/* ---- a mark that is not told, or cannot be reset ---- */

static void
test_no_mark_at_the_close(void **state)
{
    struct mw_watch watch;
    struct mw_result result;

    (void)state;
    NEEDS_MARK();
    assert_int_equal(mw_sampler_open(sampler, &watch, NULL), 0);
    spike(64 * MIB);
    mark_is_hidden = true;
    result = close_window(&watch);
    assert_sampled(&result);
    assert_all_is_well();
}

/* What the mark knows when nobody has reset it is another time's peak. */
static void
test_no_mark_at_the_opening(void **state)
{
    struct mw_watch watch;
    struct mw_result result;

    (void)state;
    NEEDS_MARK();
    spike(64 * MIB);
    mark_is_hidden = true;
    assert_int_equal(mw_sampler_open(sampler, &watch, NULL), 0);
    mark_is_hidden = false;
    result = close_window(&watch);
    assert_sampled(&result);
    assert_true(result.peaked_bytes < 32 * MIB);
    assert_all_is_well();
}

static void
test_inner_window_without_a_mark_leaves_the_outer_one_its_own(void **state)
{
    struct mw_watch outer;
    struct mw_watch inner;
    struct mw_result result;

    (void)state;
    NEEDS_MARK();
    assert_int_equal(mw_sampler_open(sampler, &outer, NULL), 0);
    spike(64 * MIB);
    mark_is_hidden = true;
    assert_int_equal(mw_sampler_open(sampler, &inner, NULL), 0);
    result = close_window(&inner);
    assert_sampled(&result);
    mark_is_hidden = false;
    result = close_window(&outer);
    assert_from_kernel(&result, 64 * MIB);
}

static void
test_no_mark_once_it_is_reset(void **state)
{
    struct mw_watch outer;
    struct mw_watch inner;
    struct mw_result result;

    (void)state;
    NEEDS_MARK();
    assert_int_equal(mw_sampler_open(sampler, &outer, NULL), 0);
    spike(64 * MIB);
    reset_hides_mark = true;
    assert_int_equal(mw_sampler_open(sampler, &inner, NULL), 0);
    assert_true(mark_is_hidden);
    no_faults(NULL);
    spike(16 * MIB);
    result = close_window(&inner);
    assert_sampled(&result);
    result = close_window(&outer);
    assert_from_kernel(&result, 64 * MIB);
    assert_all_is_well();
}

static void
test_reset_that_fails_in_between(void **state)
{
    struct mw_watch outer;
    struct mw_watch inner;
    struct mw_result result;

    (void)state;
    NEEDS_MARK();
    assert_int_equal(mw_sampler_open(sampler, &outer, NULL), 0);
    spike(64 * MIB);
    reset_errno = EACCES;
    assert_int_equal(mw_sampler_open(sampler, &inner, NULL), 0);
    result = close_window(&inner);
    assert_sampled(&result);
    assert_true(result.peaked_bytes < 32 * MIB); /* the outer one's is not its own */
    result = close_window(&outer);
    assert_from_kernel(&result, 64 * MIB);
    assert_all_is_well();
}

/* A peak since the process began that the kernel never told is not made up of what
 * we happen to have seen. */
static void
test_unknown_lifetime_peak_is_absent(void **state)
{
    struct mw_sampler *other;
    struct mw_watch watch;
    struct mw_result result;
    char *root = make_root();

    (void)state;
    write_file(root, "self/statm", "1000 200 100 5 0 300 0\n");
    write_file(root, "self/status", "Name:\tx\nVmRSS:\t     400 kB\nThreads:\t1\n");
    assert_int_equal(mw_sampler_new(&other, root, 0), 0);
    assert_false(mw_sampler_accuracy(other).hwm_resets);
    assert_int_equal(mw_sampler_accuracy(other).hwm_errno, ENOENT);
    assert_int_equal(mw_sampler_open(other, &watch, NULL), 0);
    WAIT_UNTIL(status_of(other).samples >= 3);
    assert_int_equal(mw_sampler_close(other, &watch, NULL, &result), 0);
    assert_sampled(&result);
    assert_int_equal(result.rss_peak_bytes, 200 * sysconf(_SC_PAGESIZE));
    assert_int_equal(status_of(other).lifetime_peak_bytes, MW_ABSENT);
    mw_sampler_free(&other);
    remove_root(root);
}

/* ---- reads that come short ---- */

static void
test_status_cut_anywhere_at_the_close(void **state)
{
    char text[16384];
    ssize_t length;
    ssize_t mark_ends;
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);

    (void)state;
    NEEDS_MARK();
    length = read(fd, text, sizeof text);
    close(fd);
    assert_true(length > 0);
    mark_ends = (char *)memmem(text, (size_t)length, "\nVmRSS:", 7) - text + 1;
    for (long cut = 0; cut < length; cut++) {
        struct mw_watch watch;
        struct mw_result result;
        int err;

        assert_int_equal(mw_sampler_open(sampler, &watch, NULL), 0);
        status_is_cut_at = cut;
        err = mw_sampler_close(sampler, &watch, NULL, &result);
        status_is_cut_at = NEVER;
        if (err != 0) {
            assert_true(err == -EBADMSG || err == -ENODATA);
        }
        else {
            assert_true(cut > mark_ends);
            assert_true(result.peak_from_kernel);
            assert_true(result.rss_end_bytes > 0);
        }
    }
    assert_int_equal(status_of(sampler).open_windows, 0);
    assert_all_is_well();
}

static void
test_status_cut_anywhere_at_the_opening(void **state)
{
    (void)state;
    for (long cut = 0; cut < 700; cut++) {
        struct mw_watch watch;
        int err;

        status_is_cut_at = cut;
        err = mw_sampler_open(sampler, &watch, NULL);
        status_is_cut_at = NEVER;
        if (err == 0) {
            assert_true(watch.window.start.rss_bytes > 0);
            mw_sampler_cancel(sampler, &watch);
        }
        else {
            assert_true(err == -EBADMSG || err == -ENODATA);
        }
    }
    assert_int_equal(status_of(sampler).open_windows, 0);
}

static void
test_statm_cut_anywhere(void **state)
{
    (void)state;
    for (long cut = 0; cut < 12; cut++) {
        struct mw_watch watch;
        struct mw_result result;
        int64_t samples = status_of(sampler).samples;
        long reads_before = reads;

        statm_is_cut_at = cut;
        assert_int_equal(mw_sampler_open(sampler, &watch, NULL), 0);
        WAIT_UNTIL(reads >= reads_before + 5);
        /* The window before may have had one on its way. */
        assert_true(status_of(sampler).samples <= samples + 1);
        result = close_window(&watch);
        assert_true(result.rss_end_bytes > 0);
        statm_is_cut_at = NEVER;
    }
}

/* ---- clocks ---- */

static void
test_clock_that_stands(void **state)
{
    struct mw_watch watch;
    struct mw_result result;
    int64_t since_ns;
    int64_t samples;
    long readings;

    (void)state;
    clock_ns = real_ns();
    clock_stands = true;
    assert_int_equal(mw_sampler_open(sampler, &watch, NULL), 0);
    spike(16 * MIB);
    since_ns = real_ns();
    readings = clock_readings;
    /* The thread naps at least so long each time that it finds the clock standing,
     * and reads it a few times in between. */
    WAIT_UNTIL(clock_readings - readings >= 40);
    readings = clock_readings - readings;
    assert_true(readings <= 4 * ((real_ns() - since_ns) / NAP_NS + 2));
    result = close_window(&watch);
    assert_int_equal(result.duration_ns, MW_ABSENT);
    assert_int_equal(watch.timeline.count, 1);
    if (mw_sampler_accuracy(sampler).hwm_resets) {
        assert_true(result.peak_from_kernel);
        assert_true(result.peaked_bytes > 12 * MIB);
    }

    /* It goes on: so do the samples, in a window that was open all the while. */
    clock_ns = real_ns();
    assert_int_equal(mw_sampler_open(sampler, &watch, NULL), 0);
    samples = status_of(sampler).samples;
    clock_stands = false;
    WAIT_UNTIL(status_of(sampler).samples >= samples + 3);
    result = close_window(&watch);
    assert_true(result.duration_ns > 0);
    WAIT_UNTIL(status_of(sampler).parked);
}

static void
test_clock_that_runs_backwards(void **state)
{
    struct mw_watch watch;
    struct mw_result result;

    (void)state;
    assert_int_equal(mw_sampler_open(sampler, &watch, NULL), 0);
    clock_ns = real_ns() - 3600 * MW_NS_PER_S;
    clock_stands = true;
    result = close_window(&watch);
    assert_int_equal(result.duration_ns, MW_ABSENT);
    assert_true(result.rss_end_bytes > 0);
    clock_stands = false;
    WAIT_UNTIL(status_of(sampler).parked);
}

static void
test_clock_that_jumps_forward(void **state)
{
    struct mw_watch watch;
    struct mw_result result;
    int64_t samples = status_of(sampler).samples;

    (void)state;
    assert_int_equal(mw_sampler_open(sampler, &watch, NULL), 0);
    clock_ahead_ns = 3600 * MW_NS_PER_S;
    WAIT_UNTIL(status_of(sampler).samples > samples);
    result = close_window(&watch);
    assert_true(result.duration_ns >= 3600 * MW_NS_PER_S);
    assert_true(watch.timeline.t_ns[watch.timeline.count - 1] == result.duration_ns);
    clock_ahead_ns = 0;
    /* The thread waits for a time that is an hour off; it is stopped all the same. */
    release(NULL);
    assert_int_equal(acquire_without_faults(NULL), 0);
}

/* ---- descriptors ---- */

static int
take_all_descriptors(void)
{
    int last = -1;
    int fd;

    while ((fd = __real_open64("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0) {
        last = fd;
    }
    return errno == EMFILE ? last : -1;
}

/* In the child: 0, or the number of the check that failed. */
static int
check_without_descriptors(void)
{
    struct rlimit few = {64, 64};
    struct mw_sampler *late = NULL;
    struct mw_watch watch;
    struct mw_result result;
    int last;

    if (setrlimit(RLIMIT_NOFILE, &few) != 0) {
        return 1;
    }
    last = take_all_descriptors();
    if (last < 0) {
        return 2;
    }
    /* Our own files are to be opened anew after the fork. One by one descriptors
     * come free: until all three can be had there is an error, not half a window. */
    for (int available = 0; available < 3; available++) {
        if (mw_sampler_open(sampler, &watch, NULL) != -EMFILE ||
            mw_sampler_new(&late, MW_PROC_ROOT, 0) != -EMFILE) {
            return 10 + available;
        }
        close(last - available);
    }
    if (mw_sampler_open(sampler, &watch, NULL) != 0) {
        return 20;
    }
    take_all_descriptors();
    spike(16 * MIB);
    if (mw_sampler_close(sampler, &watch, NULL, &result) != 0) {
        return 21;
    }
    if (mw_sampler_accuracy(sampler).hwm_errno != 0 ||
        (result.peak_from_kernel && result.peaked_bytes < 12 * MIB)) {
        return 22;
    }
    if (mw_sampler_open(sampler, &watch, NULL) != 0 ||
        mw_sampler_close(sampler, &watch, NULL, &result) != 0) {
        return 23;
    }
    return 0;
}

static void
test_out_of_descriptors(void **state)
{
    (void)state;
    SKIP_UNDER_TSAN();
    assert_int_equal(exit_status_of(check_without_descriptors), 0);
}

static void
test_files_without_identity(void **state)
{
    struct mw_proc proc;

    (void)state;
    fstat_errno = EIO;
    assert_int_equal(mw_proc_open(&proc, MW_PROC_ROOT, 0), -EIO);
    assert_int_equal(proc.statm.fd, -1);
    mw_proc_close(&proc);
}

static void
test_machine_out_of_descriptors(void **state)
{
    struct mw_sampler *other = NULL;
    struct mw_watch watch;

    (void)state;
    open_errno = ENFILE;
    assert_int_equal(mw_sampler_new(&other, MW_PROC_ROOT, 0), -ENFILE);
    assert_null(other);
    /* What is open stays open. */
    assert_int_equal(mw_sampler_open(sampler, &watch, NULL), 0);
    close_window(&watch);
    open_errno = 0;
    assert_int_equal(mw_sampler_new(&other, MW_PROC_ROOT, 0), 0);
    mw_sampler_free(&other);
}

/* ---- other processes ---- */

static pid_t
start_child(int *gate)
{
    int ends[2];
    pid_t child;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    child = fork();
    if (child == 0) {
        char end;

        close(ends[1]);
        _exit(read(ends[0], &end, 1) == 0 ? 0 : 1);
    }
    close(ends[0]);
    *gate = ends[1];
    return child;
}

static void
test_process_dies_with_a_window_open(void **state)
{
    struct mw_sampler *other;
    struct mw_watch watch;
    struct mw_result result;
    int64_t since_ns;
    int64_t samples;
    long reads_before;
    siginfo_t info;
    int gate;
    pid_t child;

    (void)state;
    SKIP_UNDER_TSAN();
    child = start_child(&gate);
    assert_int_equal(mw_sampler_new(&other, MW_PROC_ROOT, child), 0);
    assert_int_equal(mw_sampler_open(other, &watch, NULL), 0);
    WAIT_UNTIL(status_of(other).samples >= 2);

    /* Dead and not yet waited for it holds nothing, and nothing is not 0 bytes. */
    kill(child, SIGKILL);
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    samples = status_of(other).samples + 1; /* one may be on its way */
    since_ns = real_ns();
    reads_before = reads;
    WAIT_UNTIL(reads >= reads_before + 5);
    assert_true(status_of(other).samples <= samples);
    assert_true(reads - reads_before <= (real_ns() - since_ns) / MW_NS_PER_MS + 5);
    for (int32_t i = 0; i < watch.timeline.count; i++) {
        assert_true(watch.timeline.rss_bytes[i] > 0);
    }
    assert_int_equal(mw_sampler_close(other, &watch, NULL, &result), -ENODATA);
    assert_int_equal(mw_sampler_open(other, &watch, NULL), -ENODATA);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(mw_sampler_open(other, &watch, NULL), -ESRCH);
    assert_int_equal(status_of(other).open_windows, 0);
    WAIT_UNTIL(status_of(other).parked);
    mw_sampler_free(&other);
    close(gate);
}

static void
test_process_has_ended_at_the_close(void **state)
{
    struct mw_sampler *other;
    struct mw_watch watch;
    struct mw_result result;
    int gate;
    pid_t child;

    (void)state;
    SKIP_UNDER_TSAN();
    child = start_child(&gate);
    assert_int_equal(mw_sampler_new(&other, MW_PROC_ROOT, child), 0);
    assert_int_equal(mw_sampler_open(other, &watch, NULL), 0);
    close(gate);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(mw_sampler_close(other, &watch, NULL, &result), -ESRCH);
    WAIT_UNTIL(!status_of(other).running || status_of(other).parked);
    mw_sampler_free(&other);
}

/* Its mark is not ours to reset: it may itself be measuring by it. */
static void
test_another_process_keeps_its_mark(void **state)
{
    struct mw_sampler *other;
    struct mw_watch watch;
    struct mw_result result;
    long resets_before = resets;
    int gate;
    pid_t child;

    (void)state;
    SKIP_UNDER_TSAN();
    child = start_child(&gate);
    assert_int_equal(mw_sampler_new(&other, MW_PROC_ROOT, child), 0);
    assert_int_equal(mw_sampler_open(other, &watch, NULL), 0);
    assert_int_equal(mw_sampler_close(other, &watch, NULL, &result), 0);
    assert_sampled(&result);
    assert_true(mw_sampler_accuracy(other).hwm_errno != 0);
    assert_int_equal(resets, resets_before);
    mw_sampler_free(&other);
    close(gate);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static int
become_nobody(void)
{
    return geteuid() == 0 &&
                   (setgroups(0, NULL) != 0 || setgid(65534) != 0 || setuid(65534) != 0)
               ? -1
               : 0;
}

/* `pid` is another user's: it can be looked at, its mark cannot be reset. */
static int
check_another_users(pid_t pid)
{
    struct mw_proc proc;
    struct mw_memory memory;
    struct mw_sampler *other;
    struct mw_watch watch;
    struct mw_result result;

    if (mw_proc_open(&proc, MW_PROC_ROOT, pid) != 0 ||
        mw_proc_read_memory(&proc, &memory) != 0 || memory.rss_bytes <= 0) {
        return 1;
    }
    if (proc.hwm_errno != EACCES || mw_proc_reset_hwm(&proc) != -EACCES) {
        return 2;
    }
    mw_proc_close(&proc);
    if (mw_sampler_new(&other, MW_PROC_ROOT, pid) != 0 ||
        mw_sampler_open(other, &watch, NULL) != 0 ||
        mw_sampler_close(other, &watch, NULL, &result) != 0) {
        return 3;
    }
    if (result.peak_from_kernel || result.peak_error_bytes != MW_ABSENT ||
        mw_sampler_accuracy(other).hwm_errno != EACCES) {
        return 4;
    }
    mw_sampler_free(&other);
    return 0;
}

static int
check_roots(void)
{
    /* Our parent, where we can give up being root, else the machine's first. */
    pid_t pid = geteuid() == 0 ? getppid() : 1;

    return become_nobody() == 0 ? check_another_users(pid) : 50;
}

static void
test_process_of_another_user(void **state)
{
    (void)state;
    SKIP_UNDER_TSAN();
    if (geteuid() != 0 && access("/proc/1/status", R_OK) != 0) {
        skip(); /* there is nobody else to be seen */
    }
    assert_int_equal(exit_status_of(check_roots), 0);
}

enum { NO_NAMESPACE = 99 };

/* The first process of a namespace, root's: nobody else sees it. */
static int
check_hidden(void)
{
    struct mw_sampler *own;
    struct mw_sampler *other;
    struct mw_proc proc;
    struct mw_watch watch;
    struct mw_result result;

    if (become_nobody() != 0) {
        return 1;
    }
    if (mw_proc_open(&proc, MW_PROC_ROOT, 1) != -ENOENT ||
        mw_sampler_new(&other, MW_PROC_ROOT, 1) != -ENOENT) {
        return 2;
    }
    if (mw_sampler_new(&own, MW_PROC_ROOT, 0) != 0 ||
        mw_sampler_open(own, &watch, NULL) != 0 ||
        mw_sampler_close(own, &watch, NULL, &result) != 0 ||
        result.rss_end_bytes <= 0) {
        return 3;
    }
    mw_sampler_free(&own);
    return 0;
}

static int
check_with_proc_hidden(void)
{
    /* In a pid namespace of its own: before Linux 5.8 all mounts of one share it. */
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("proc", "/proc", "proc", 0, "hidepid=2") != 0) {
        return NO_NAMESPACE;
    }
    return exit_status_of(check_hidden);
}

static int
check_in_a_namespace(void)
{
    if (unshare(CLONE_NEWNS | CLONE_NEWPID) != 0) {
        return NO_NAMESPACE;
    }
    return exit_status_of(check_with_proc_hidden);
}

static void
test_hidden_processes(void **state)
{
    int found;

    (void)state;
    SKIP_UNDER_TSAN();
    if (geteuid() != 0) {
        skip(); /* only root can mount */
    }
    found = exit_status_of(check_in_a_namespace);
    if (found == NO_NAMESPACE) {
        skip(); /* not even root, in a container */
    }
    assert_int_equal(found, 0);
}

/* ---- signals ---- */

static volatile sig_atomic_t signals;

static void
count_signal(int number)
{
    (void)number;
    signals++;
}

static void
test_signal_storm(void **state)
{
    static const struct {
        int timer;
        int signal;
    } storms[] = {{ITIMER_REAL, SIGALRM}, {ITIMER_PROF, SIGPROF}};

    (void)state;
    NEEDS_MARK();
    for (size_t i = 0; i < 2; i++) {
        struct itimerval every = {{0, 100}, {0, 100}};
        struct sigaction action = {.sa_handler = count_signal}; /* no SA_RESTART */
        struct sigaction before;
        struct mw_watch outer;
        struct mw_result result;

        assert_int_equal(sigaction(storms[i].signal, &action, &before), 0);
        signals = 0;
        assert_int_equal(mw_sampler_open(sampler, &outer, NULL), 0);
        assert_int_equal(setitimer(storms[i].timer, &every, NULL), 0);
        REPEAT_UNTIL(signals >= 50)
        {
            struct mw_memory memory;
            struct mw_sampler *other;
            struct mw_watch watch;

            assert_int_equal(mw_sampler_open(sampler, &watch, NULL), 0);
            spike(4 * MIB);
            result = close_window(&watch);
            assert_from_kernel(&result, 4 * MIB);
            assert_int_equal(mw_sampler_read_memory(sampler, &memory), 0);
            assert_int_equal(mw_sampler_new(&other, MW_PROC_ROOT, getppid()), 0);
            mw_sampler_free(&other);
        }
        assert_int_equal(
            setitimer(storms[i].timer, &(struct itimerval){{0, 0}, {0, 0}}, NULL), 0);
        result = close_window(&outer);
        assert_true(result.peak_from_kernel);
        assert_int_equal(sigaction(storms[i].signal, &before, NULL), 0);
    }
    assert_all_is_well();
}

/* The thread has read the mark, and before it comes to tell it another window opens and
 * resets it: to that one it is none of its own. */
static void
test_mark_that_is_too_old(void **state)
{
    const struct mw_blackbox_identity given = {0};
    struct mw_watch outer;
    struct mw_watch inner;
    struct mw_result result;
    char *root = make_root();
    char path[128];
    int64_t samples;

    (void)state;
    SKIP_UNDER_TSAN();
    SKIP_UNDER_VALGRIND();
    (void)snprintf(path, sizeof path, "%s/1-1.box", root);
    assert_int_equal(mw_recording_start(sampler, path, NULL, &given), 0);
    assert_int_equal(mw_sampler_open(sampler, &outer, NULL), 0);
    spike(32 * MIB);
    hold_status = true;
    WAIT_UNTIL(status_is_held);
    assert_int_equal(mw_sampler_open(sampler, &inner, NULL), 0);
    samples = status_of(sampler).samples;
    hold_status = false;
    WAIT_UNTIL(status_of(sampler).samples > samples + 1);
    assert_int_equal(mw_sampler_close(sampler, &inner, NULL, &result), 0);
    assert_true(result.peaked_bytes < 8 * MIB);
    assert_int_equal(mw_sampler_close(sampler, &outer, NULL, &result), 0);
    assert_from_kernel(&result, 32 * MIB);
    mw_recording_stop(sampler);
    remove_root(root);
}

/* Opens a window whose files were lost, in a thread of its own. */
struct opener {
    struct mw_watch watch;
    atomic_bool is_done;
};

static void *
open_in_thread(void *argument)
{
    struct opener *opener = argument;

    if (mw_sampler_open(sampler, &opener->watch, NULL) != 0) {
        abort();
    }
    opener->is_done = true;
    return NULL;
}

/* Point each descriptor of ours below /proc/self at another file. */
static void
lose_files(int other)
{
    for (int fd = 3; fd < 64; fd++) {
        char link[64];
        char target[256] = "";
        ssize_t length;

        (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        length = readlink(link, target, sizeof target - 1);
        if (length > 0 && fd != other && strstr(target, "/proc/") == target) {
            dup2(other, fd);
        }
    }
}

/* The thread reads the files while their window closes and another one finds them lost:
 * they are opened anew only when it has read. */
static void
test_files_are_not_reopened_while_the_thread_reads(void **state)
{
    const struct mw_blackbox_identity given = {0};
    struct opener opener = {.is_done = false};
    struct mw_watch watch;
    struct mw_result result;
    pthread_t thread;
    char *root = make_root();
    char path[128];
    int other = open("/dev/null", O_RDONLY);

    (void)state;
    SKIP_UNDER_VALGRIND();
    (void)snprintf(path, sizeof path, "%s/1-1.box", root);
    assert_int_equal(mw_recording_start(sampler, path, NULL, &given), 0);
    assert_int_equal(mw_sampler_open(sampler, &watch, NULL), 0);
    hold_status = true;
    WAIT_UNTIL(status_is_held);
    assert_int_equal(mw_sampler_close(sampler, &watch, NULL, &result), 0);
    lose_files(other);
    assert_int_equal(pthread_create(&thread, NULL, open_in_thread, &opener), 0);
    for (int i = 0; i < 10000; i++) {
        sched_yield();
    }
    assert_false(opener.is_done);
    hold_status = false;
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(mw_sampler_close(sampler, &opener.watch, NULL, &result), 0);
    assert_true(result.rss_end_bytes > 0);
    mw_recording_stop(sampler);
    close(other);
    remove_root(root);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_files_are_not_reopened_while_the_thread_reads,
                                  no_faults),
        cmocka_unit_test_teardown(test_no_mark_at_the_close, no_faults),
        cmocka_unit_test_teardown(test_no_mark_at_the_opening, no_faults),
        cmocka_unit_test_teardown(
            test_inner_window_without_a_mark_leaves_the_outer_one_its_own, no_faults),
        cmocka_unit_test_teardown(test_no_mark_once_it_is_reset, no_faults),
        cmocka_unit_test_teardown(test_reset_that_fails_in_between, no_faults),
        cmocka_unit_test_teardown(test_mark_that_is_too_old, no_faults),
        cmocka_unit_test(test_unknown_lifetime_peak_is_absent),
        cmocka_unit_test_teardown(test_status_cut_anywhere_at_the_close, no_faults),
        cmocka_unit_test_teardown(test_status_cut_anywhere_at_the_opening, no_faults),
        cmocka_unit_test_teardown(test_statm_cut_anywhere, no_faults),
        cmocka_unit_test_teardown(test_clock_that_stands, no_faults),
        cmocka_unit_test_teardown(test_clock_that_runs_backwards, no_faults),
        cmocka_unit_test_teardown(test_clock_that_jumps_forward, no_faults),
        cmocka_unit_test(test_out_of_descriptors),
        cmocka_unit_test_teardown(test_files_without_identity, no_faults),
        cmocka_unit_test_teardown(test_machine_out_of_descriptors, no_faults),
        cmocka_unit_test(test_process_dies_with_a_window_open),
        cmocka_unit_test(test_process_has_ended_at_the_close),
        cmocka_unit_test(test_another_process_keeps_its_mark),
        cmocka_unit_test(test_process_of_another_user),
        cmocka_unit_test(test_hidden_processes),
        cmocka_unit_test(test_signal_storm),
    };

    return cmocka_run_group_tests(tests, acquire_without_faults, release);
}
