#include "blackbox/copier.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "blackbox/layout.h"
#include "linux/folder.h"

/* A round is three writes: at most 10 a second. */
#define ROUND_INTERVAL_NS (300 * MW_NS_PER_MS)

#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE (1U << 1)
#endif

enum {
    STACK_BYTES = 256 * 1024,
    MOST_DESCRIPTORS = 65536,
};

struct mw_blackbox_copier {
    pthread_t thread;
    pthread_mutex_t lock; /* guards the four below; never held while writing */
    pthread_cond_t changed;
    bool is_stopping; /* set by the owner */
    bool is_done;     /* set by the thread: it touches nothing any more */
    bool is_left;     /* set by the owner, who did not wait: the thread frees this */
    int last_errno;

    /* What follows is the thread's alone. */
    const struct mw_blackbox_file *source; /* a mapping of our own */
    struct mw_blackbox_file image;         /* what the file is to hold */
    struct mw_blackbox_file shown;         /* what it holds, if that is known */
    bool is_known;
    int fd; /* -1: there is no file yet */
    dev_t device;
    ino_t inode;
    char folder[PATH_MAX];
    char path[PATH_MAX];
    char unfinished[PATH_MAX];
};

/* ---- writing ---- */

static int
put(int fd, const void *memory, size_t from, size_t to)
{
    while (from < to) {
        ssize_t written =
            pwrite(fd, (const char *)memory + from, to - from, (off_t)from);

        if (written < 0 && errno != EINTR) {
            return -errno;
        }
        if (written == 0) {
            return -EIO;
        }
        from += written > 0 ? (size_t)written : 0;
    }
    return 0;
}

/* The part in which the two differ: *from is not below *to where they do not. */
static void
find_difference(const struct mw_blackbox_file *a, const struct mw_blackbox_file *b,
                size_t *from, size_t *to)
{
    const char *x = (const char *)a;
    const char *y = (const char *)b;

    for (*from = 0; *from < sizeof *a && x[*from] == y[*from]; ++*from) {
    }
    for (*to = sizeof *a; *to > *from && x[*to - 1] == y[*to - 1]; --*to) {
    }
}

static int
write_changes(struct mw_blackbox_copier *self)
{
    size_t from;
    size_t to;
    int err;

    mw_blackbox_update(&self->image, self->source);
    find_difference(&self->shown, &self->image, &from, &to);
    if (!self->is_known) {
        from = 0;
        to = sizeof self->image;
    }
    if (from >= to) {
        return 0;
    }
    self->is_known = false;
    mw_blackbox_put_torn(&self->shown, &self->image);
    err = put(self->fd, &self->shown, from, to);
    if (err == 0) {
        mw_blackbox_put_bodies(&self->shown, &self->image);
        err = put(self->fd, &self->shown, from, to);
    }
    if (err == 0) {
        memcpy(&self->shown, &self->image, sizeof self->shown);
        err = put(self->fd, &self->shown, from, to);
    }
    self->is_known = err == 0;
    return err;
}

/* ---- the file ---- */

static void
close_file(struct mw_blackbox_copier *self)
{
    if (self->fd >= 0) {
        close(self->fd);
        self->fd = -1;
    }
}

/* Whether our file is what `path` names. */
static bool
is_in_place(const struct mw_blackbox_copier *self)
{
    struct stat found;

    return lstat(self->path, &found) == 0 && found.st_dev == self->device &&
           found.st_ino == self->inode;
}

static int
open_file(struct mw_blackbox_copier *self)
{
    const int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    struct stat found;

    unlink(self->unfinished); /* left by one that was killed here */
    self->fd = open(self->unfinished, flags, 0600);
    if (self->fd < 0) {
        return -errno;
    }
    if (fstat(self->fd, &found) != 0) {
        return -errno;
    }
    self->device = found.st_dev;
    self->inode = found.st_ino;
    return 0;
}

/* Make it whole: until then it has another name. */
static int
make_file(struct mw_blackbox_copier *self)
{
    int err = mw_folder_make(self->folder);

    if (err == 0) {
        err = open_file(self);
    }
    if (err == 0) {
        mw_blackbox_update(&self->image, self->source);
        memcpy(&self->shown, &self->image, sizeof self->shown);
        err = put(self->fd, &self->shown, 0, MW_BLACKBOX_BYTES);
        if (err == 0 && rename(self->unfinished, self->path) != 0) {
            err = -errno;
        }
        if (err != 0) {
            unlink(self->unfinished);
        }
    }
    self->is_known = err == 0;
    if (err != 0) {
        close_file(self);
    }
    return err;
}

static int
write_round(struct mw_blackbox_copier *self)
{
    int err;

    if (self->fd >= 0 && !is_in_place(self)) {
        close_file(self); /* somebody removed it */
    }
    if (self->fd < 0) {
        return make_file(self);
    }
    err = write_changes(self);
    if (err != 0) {
        close_file(self); /* and try with another one */
    }
    return err;
}

static void
remove_file(struct mw_blackbox_copier *self)
{
    if (self->fd >= 0 && is_in_place(self) && unlink(self->path) != 0) {
        write_changes(self); /* the box says by now that it ended */
    }
    close_file(self);
}

/* ---- the thread ---- */

static void
release(struct mw_blackbox_copier *self)
{
    munmap((void *)self->source, MW_BLACKBOX_BYTES);
    pthread_cond_destroy(&self->changed);
    pthread_mutex_destroy(&self->lock);
    free(self);
}

/* A descriptor table for this thread alone, with nothing of anybody else's in it: held
 * here, the writing end of somebody's pipe would never close. */
static int
unshare_descriptors(void)
{
#ifdef SYS_close_range
    if (syscall(SYS_close_range, 0U, ~0U, CLOSE_RANGE_UNSHARE) == 0) {
        return 0;
    }
#endif
    if (unshare(CLONE_FILES) != 0) {
        return -errno;
    }
    for (int fd = 0; fd < MOST_DESCRIPTORS; fd++) {
        close(fd);
    }
    return 0;
}

/* Tell how it went, and wait for the next round. false: the owner wants an end. */
static bool
wait_for_next_round(struct mw_blackbox_copier *self, int err, int64_t t_next_ns)
{
    struct timespec deadline = mw_clock_deadline(t_next_ns);
    bool is_stopping;

    pthread_mutex_lock(&self->lock);
    self->last_errno = -err;
    pthread_cond_signal(&self->changed);
    while (!self->is_stopping && pthread_cond_timedwait(&self->changed, &self->lock,
                                                        &deadline) != ETIMEDOUT) {
    }
    is_stopping = self->is_stopping;
    pthread_mutex_unlock(&self->lock);
    return !is_stopping;
}

static void *
run(void *argument)
{
    struct mw_blackbox_copier *self = argument;
    const int unshare_err = unshare_descriptors();
    bool is_left;
    int64_t t_next_ns;
    int err;

    do {
        t_next_ns = mw_clock_mono_ns() + ROUND_INTERVAL_NS;
        err = unshare_err != 0 ? unshare_err : write_round(self);
    } while (wait_for_next_round(self, err, t_next_ns));
    remove_file(self);
    pthread_mutex_lock(&self->lock);
    self->is_done = true;
    is_left = self->is_left;
    pthread_cond_signal(&self->changed);
    pthread_mutex_unlock(&self->lock);
    if (is_left) {
        release(self);
    }
    return NULL;
}

static int
start_thread(struct mw_blackbox_copier *self)
{
    pthread_attr_t attributes;
    sigset_t all;
    sigset_t before;
    int err = pthread_attr_init(&attributes);

    if (err != 0) {
        return -err;
    }
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    err = pthread_create(&self->thread, &attributes, run, self);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return -err;
}

/* ---- the owner ---- */

static int
init_sync(struct mw_blackbox_copier *self)
{
    pthread_condattr_t monotonic;
    int err = pthread_condattr_init(&monotonic);

    if (err != 0) {
        return -err;
    }
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    err = pthread_cond_init(&self->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (err == 0) {
        err = pthread_mutex_init(&self->lock, NULL);
        if (err != 0) {
            pthread_cond_destroy(&self->changed);
        }
    }
    return -err;
}

static int
put_paths(struct mw_blackbox_copier *self, const char *path)
{
    const char *name = strrchr(path, '/');
    int length = snprintf(self->unfinished, sizeof self->unfinished, "%s.new", path);

    if (name == NULL || length < 0 || (size_t)length >= sizeof self->unfinished) {
        return name == NULL ? -EINVAL : -ENAMETOOLONG;
    }
    memcpy(self->path, path, strlen(path) + 1);
    memcpy(self->folder, path, (size_t)(name - path));
    return 0;
}

static int
map_source(struct mw_blackbox_copier *self, int fd)
{
    const struct mw_blackbox_file *memory =
        mmap(NULL, MW_BLACKBOX_BYTES, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);

    if (memory == NULL || memory == MAP_FAILED) {
        return errno > 0 ? -errno : -ENOMEM;
    }
    self->source = memory;
    self->image.head = memory->head;
    return 0;
}

/* Wait until `is_over` says so, or until the time is over. With the lock held. */
static void
wait_for(struct mw_blackbox_copier *self,
         bool (*is_over)(const struct mw_blackbox_copier *), int64_t patience_ns)
{
    struct timespec deadline = mw_clock_deadline(mw_clock_mono_ns() + patience_ns);

    while (!is_over(self) &&
           pthread_cond_timedwait(&self->changed, &self->lock, &deadline) == 0) {
    }
}

static bool
has_begun(const struct mw_blackbox_copier *self)
{
    return self->last_errno != EINPROGRESS;
}

static bool
has_ended(const struct mw_blackbox_copier *self)
{
    return self->is_done;
}

int
mw_blackbox_copier_new(struct mw_blackbox_copier **out, int source_fd, const char *path,
                       int64_t patience_ns)
{
    struct mw_blackbox_copier *self = calloc(1, sizeof *self);
    int err;

    if (self == NULL) {
        return -ENOMEM;
    }
    self->fd = -1;
    self->last_errno = EINPROGRESS;
    err = put_paths(self, path);
    if (err == 0) {
        err = init_sync(self);
    }
    if (err != 0) {
        free(self);
        return err;
    }
    err = map_source(self, source_fd);
    if (err == 0) {
        err = start_thread(self);
    }
    if (err != 0) {
        release(self);
        return err;
    }
    pthread_mutex_lock(&self->lock);
    wait_for(self, has_begun, patience_ns);
    err = has_begun(self) ? -self->last_errno : 0;
    pthread_mutex_unlock(&self->lock);
    if (err != 0) {
        mw_blackbox_copier_free(&self, patience_ns);
        return err;
    }
    *out = self;
    return 0;
}

void
mw_blackbox_copier_free(struct mw_blackbox_copier **out, int64_t patience_ns)
{
    struct mw_blackbox_copier *self = *out;
    pthread_t thread;
    bool is_done;

    if (self == NULL) {
        return;
    }
    *out = NULL;
    thread = self->thread;
    pthread_mutex_lock(&self->lock);
    self->is_stopping = true;
    pthread_cond_signal(&self->changed);
    wait_for(self, has_ended, patience_ns);
    is_done = self->is_done;
    self->is_left = !is_done;
    pthread_mutex_unlock(&self->lock);
    if (is_done) {
        pthread_join(thread, NULL);
        release(self);
    }
    else {
        pthread_detach(thread);
    }
}

void
mw_blackbox_copier_abandon(struct mw_blackbox_copier **out)
{
    /* Lock and condition may be in use by a thread that is not here. */
    if (*out != NULL) {
        munmap((void *)(*out)->source, MW_BLACKBOX_BYTES);
        free(*out);
        *out = NULL;
    }
}

int
mw_blackbox_copier_errno(struct mw_blackbox_copier *self)
{
    int last_errno;

    pthread_mutex_lock(&self->lock);
    last_errno = self->last_errno;
    pthread_mutex_unlock(&self->lock);
    return last_errno;
}
