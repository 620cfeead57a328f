#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static _Thread_local int countdown; /* 0: nothing fails */
static _Thread_local bool interrupting;
static _Thread_local const char *refused; /* NULL: none is */
static _Thread_local struct fault last;
static _Atomic int64_t mapped_bytes; /* relaxed: a sum */
static _Atomic int live_objects;     /* relaxed: a sum */

static void
start(int nth, bool interrupts)
{
    last = (struct fault){.call = NULL};
    interrupting = interrupts;
    refused = NULL;
    countdown = nth;
}

void
faults_arm(int nth)
{
    start(nth, false);
}

void
faults_interrupt(int nth)
{
    start(nth, true);
}

void
faults_refuse(const char *call)
{
    start(0, false);
    refused = call;
}

struct fault
faults_disarm(void)
{
    countdown = 0;
    refused = NULL;
    return last;
}

int64_t
faults_mapped_bytes(void)
{
    return atomic_load_explicit(&mapped_bytes, memory_order_relaxed);
}

int
faults_live_objects(void)
{
    return atomic_load_explicit(&live_objects, memory_order_relaxed);
}

/* `err` is what an init returned, or -1 for a destroy. Passes it on. */
static int
count_object(int err)
{
    if (err == 0) {
        atomic_fetch_add_explicit(&live_objects, 1, memory_order_relaxed);
    }
    else if (err < 0) {
        atomic_fetch_sub_explicit(&live_objects, 1, memory_order_relaxed);
    }
    return err;
}

/* 0, or the errno that this call is to fail with. */
static int
due(const char *call, const char *path, int err)
{
    bool interruptible = strcmp(call, "open") == 0 || strcmp(call, "read") == 0 ||
                         strcmp(call, "pread") == 0 || strcmp(call, "pwrite") == 0;

    if (refused == NULL || strcmp(call, refused) != 0) {
        if (countdown == 0 || (interrupting && !interruptible)) {
            return 0;
        }
        countdown--;
        if (countdown > 0) {
            return 0;
        }
    }
    last = (struct fault){.call = call, .err = interrupting ? EINTR : err};
    snprintf(last.path, sizeof last.path, "%s", path);
    return last.err;
}

/* For calls that tell why by errno. */
static bool
fails(const char *call, const char *path, int err)
{
    err = due(call, path, err);
    if (err != 0) {
        errno = err;
    }
    return err != 0;
}

/* Files opened with 64-bit offsets have names of their own; here they are the same. */
#define WRAP_OPEN(name)                                                                \
    int __real_##name(const char *path, int flags, ...);                               \
    int __wrap_##name(const char *path, int flags, ...);                               \
    int __wrap_##name(const char *path, int flags, ...)                                \
    {                                                                                  \
        va_list more;                                                                  \
        mode_t mode = 0;                                                               \
                                                                                       \
        if (flags & O_CREAT) {                                                         \
            va_start(more, flags);                                                     \
            mode = va_arg(more, mode_t);                                               \
            va_end(more);                                                              \
        }                                                                              \
        return fails("open", path, EMFILE) ? -1 : __real_##name(path, flags, mode);    \
    }
WRAP_OPEN(open)
WRAP_OPEN(open64)

#define WRAP_PREAD(name)                                                               \
    ssize_t __real_##name(int fd, void *buffer, size_t room, off_t offset);            \
    ssize_t __wrap_##name(int fd, void *buffer, size_t room, off_t offset);            \
    ssize_t __wrap_##name(int fd, void *buffer, size_t room, off_t offset)             \
    {                                                                                  \
        return fails("pread", "", EIO) ? -1 : __real_##name(fd, buffer, room, offset); \
    }
WRAP_PREAD(pread)
WRAP_PREAD(pread64)

#define WRAP_PWRITE(name)                                                              \
    ssize_t __real_##name(int fd, const void *buffer, size_t length, off_t offset);    \
    ssize_t __wrap_##name(int fd, const void *buffer, size_t length, off_t offset);    \
    ssize_t __wrap_##name(int fd, const void *buffer, size_t length, off_t offset)     \
    {                                                                                  \
        return fails("pwrite", "", EPERM) ? -1                                         \
                                          : __real_##name(fd, buffer, length, offset); \
    }
WRAP_PWRITE(pwrite)
WRAP_PWRITE(pwrite64)

#define WRAP_MMAP(name)                                                                \
    void *__real_##name(void *at, size_t length, int prot, int flags, int fd,          \
                        off_t offset);                                                 \
    void *__wrap_##name(void *at, size_t length, int prot, int flags, int fd,          \
                        off_t offset);                                                 \
    void *__wrap_##name(void *at, size_t length, int prot, int flags, int fd,          \
                        off_t offset)                                                  \
    {                                                                                  \
        void *mapped = MAP_FAILED;                                                     \
                                                                                       \
        if (!fails("mmap", "", ENOMEM)) {                                              \
            mapped = __real_##name(at, length, prot, flags, fd, offset);               \
        }                                                                              \
        if (mapped != MAP_FAILED) {                                                    \
            atomic_fetch_add_explicit(&mapped_bytes, (int64_t)length,                  \
                                      memory_order_relaxed);                           \
        }                                                                              \
        return mapped;                                                                 \
    }
WRAP_MMAP(mmap)
WRAP_MMAP(mmap64)

int __real_munmap(void *at, size_t length);
int __wrap_munmap(void *at, size_t length);
int
__wrap_munmap(void *at, size_t length)
{
    atomic_fetch_sub_explicit(&mapped_bytes, (int64_t)length, memory_order_relaxed);
    return __real_munmap(at, length);
}

ssize_t __real_read(int fd, void *buffer, size_t room);
ssize_t __wrap_read(int fd, void *buffer, size_t room);
ssize_t
__wrap_read(int fd, void *buffer, size_t room)
{
    return fails("read", "", EIO) ? -1 : __real_read(fd, buffer, room);
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *
__wrap_malloc(size_t size)
{
    return fails("malloc", "", ENOMEM) ? NULL : __real_malloc(size);
}

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *
__wrap_calloc(size_t count, size_t size)
{
    return fails("calloc", "", ENOMEM) ? NULL : __real_calloc(count, size);
}

char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
char *
__wrap_strdup(const char *text)
{
    return fails("strdup", "", ENOMEM) ? NULL : __real_strdup(text);
}

int __real_sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set);
int __wrap_sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set);
int
__wrap_sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set)
{
    return fails("sched_getaffinity", "", EINVAL)
               ? -1
               : __real_sched_getaffinity(pid, size, set);
}

/* pthread_* return the error. */
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*run)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*run)(void *), void *argument);
int
__wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                      void *(*run)(void *), void *argument)
{
    int err = due("pthread_create", "", EAGAIN);

    return err != 0 ? err : __real_pthread_create(thread, attributes, run, argument);
}

int __real_pthread_attr_init(pthread_attr_t *self);
int __wrap_pthread_attr_init(pthread_attr_t *self);
int
__wrap_pthread_attr_init(pthread_attr_t *self)
{
    int err = due("pthread_attr_init", "", ENOMEM);

    return err != 0 ? err : count_object(__real_pthread_attr_init(self));
}

int __real_pthread_condattr_init(pthread_condattr_t *self);
int __wrap_pthread_condattr_init(pthread_condattr_t *self);
int
__wrap_pthread_condattr_init(pthread_condattr_t *self)
{
    int err = due("pthread_condattr_init", "", ENOMEM);

    return err != 0 ? err : count_object(__real_pthread_condattr_init(self));
}

int __real_pthread_cond_init(pthread_cond_t *self, const pthread_condattr_t *how);
int __wrap_pthread_cond_init(pthread_cond_t *self, const pthread_condattr_t *how);
int
__wrap_pthread_cond_init(pthread_cond_t *self, const pthread_condattr_t *how)
{
    int err = due("pthread_cond_init", "", EAGAIN);

    return err != 0 ? err : count_object(__real_pthread_cond_init(self, how));
}

int __real_pthread_mutex_init(pthread_mutex_t *self, const pthread_mutexattr_t *how);
int __wrap_pthread_mutex_init(pthread_mutex_t *self, const pthread_mutexattr_t *how);
int
__wrap_pthread_mutex_init(pthread_mutex_t *self, const pthread_mutexattr_t *how)
{
    int err = due("pthread_mutex_init", "", EAGAIN);

    return err != 0 ? err : count_object(__real_pthread_mutex_init(self, how));
}

int
__real_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void));
int
__wrap_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void));
int
__wrap_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    int err = due("pthread_atfork", "", ENOMEM);

    return err != 0 ? err : __real_pthread_atfork(prepare, parent, child);
}

int __real_pthread_attr_destroy(pthread_attr_t *self);
int __wrap_pthread_attr_destroy(pthread_attr_t *self);
int
__wrap_pthread_attr_destroy(pthread_attr_t *self)
{
    (void)count_object(-1);
    return __real_pthread_attr_destroy(self);
}

int __real_pthread_condattr_destroy(pthread_condattr_t *self);
int __wrap_pthread_condattr_destroy(pthread_condattr_t *self);
int
__wrap_pthread_condattr_destroy(pthread_condattr_t *self)
{
    (void)count_object(-1);
    return __real_pthread_condattr_destroy(self);
}

int __real_pthread_cond_destroy(pthread_cond_t *self);
int __wrap_pthread_cond_destroy(pthread_cond_t *self);
int
__wrap_pthread_cond_destroy(pthread_cond_t *self)
{
    (void)count_object(-1);
    return __real_pthread_cond_destroy(self);
}

int __real_pthread_mutex_destroy(pthread_mutex_t *self);
int __wrap_pthread_mutex_destroy(pthread_mutex_t *self);
int
__wrap_pthread_mutex_destroy(pthread_mutex_t *self)
{
    (void)count_object(-1);
    return __real_pthread_mutex_destroy(self);
}

pid_t __real_fork(void);
pid_t __wrap_fork(void);
pid_t
__wrap_fork(void)
{
    return fails("fork", "", EAGAIN) ? -1 : __real_fork();
}

int __real_socketpair(int domain, int type, int protocol, int ends[2]);
int __wrap_socketpair(int domain, int type, int protocol, int ends[2]);
int
__wrap_socketpair(int domain, int type, int protocol, int ends[2])
{
    return fails("socketpair", "", EMFILE)
               ? -1
               : __real_socketpair(domain, type, protocol, ends);
}
