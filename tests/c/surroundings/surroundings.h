/* Faults of the surroundings: the linker puts the functions below between the core and
 * the C library (see meson.build), so that reads are cut, writes fail and clocks stand.
 */

#ifndef MW_TEST_SURROUNDINGS_H
#define MW_TEST_SURROUNDINGS_H

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

enum { NEVER = -1 };

static atomic_bool mark_is_hidden;   /* status has no VmHWM */
static atomic_bool reset_hides_mark; /* nor has it from the next reset on */
static atomic_int reset_errno;       /* clear_refs cannot be written to */
static atomic_int open_errno;        /* nothing can be opened */
static atomic_int fstat_errno;       /* nor looked at */
static atomic_long status_is_cut_at; /* NEVER, or how much of it is read */
static atomic_long statm_is_cut_at;  /* likewise */
static _Thread_local bool is_opener; /* only the sampler's own thread is held */
static atomic_bool hold_status;      /* the thread keeps what it read of status back */
static atomic_bool status_is_held;   /* and does so now */
static atomic_bool clock_stands;     /* at clock_ns */
static _Atomic int64_t clock_ns;
static _Atomic int64_t clock_ahead_ns; /* where it does not stand */
static atomic_long clock_readings;
static atomic_long reads;
static atomic_long resets;

static inline int
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

static inline int64_t
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
    if (is_status && gettid() != getpid() && !is_opener) {
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

static inline int
acquire_without_faults(void **state)
{
    no_faults(state);
    return acquire(state);
}

static inline void
spike(int64_t bytes)
{
    unmap(map_touched(bytes), bytes);
}

static inline struct mw_result
close_window(struct mw_watch *watch)
{
    struct mw_result result;

    assert_int_equal(mw_sampler_close(sampler, watch, NULL, &result), 0);
    return result;
}

static inline void
assert_sampled(const struct mw_result *result)
{
    assert_false(result->peak_from_kernel);
    assert_int_equal(result->peak_error_bytes, MW_ABSENT);
}

static inline void
assert_from_kernel(const struct mw_result *result, int64_t peaked_bytes)
{
    int64_t bound_bytes = mw_sampler_accuracy(sampler).bound_bytes;

    assert_true(result->peak_from_kernel);
    assert_int_equal(result->peak_error_bytes, bound_bytes);
    assert_true(distance(result->peaked_bytes, peaked_bytes) <= bound_bytes + MIB);
}

static inline void
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

static inline int
take_all_descriptors(void)
{
    int last = -1;
    int fd;

    while ((fd = __real_open64("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0) {
        last = fd;
    }
    return errno == EMFILE ? last : -1;
}

#endif
