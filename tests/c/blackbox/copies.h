/* A black box and its copy; the linker puts the writes below before the C library's. */

#ifndef MW_TEST_COPIES_H
#define MW_TEST_COPIES_H

#include "support.h"

#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "blackbox/copier.h"
#include "blackbox/reader.h"
#include "sampler/process_sampler.h"
#include "sampler/recording.h"

enum { PIECE_BYTES = 211 };

/* How the file system behaves: of the copier's thread alone. */
static atomic_bool hangs;
static atomic_int hanging;   /* calls that do, or are about to see whether to */
static atomic_int write_err; /* 0: they succeed */
static atomic_int unlink_err;
static _Atomic(bool) looks_between; /* at the copy, between pieces of a write */
static void look(void);

static inline bool
is_copier(void)
{
    return syscall(SYS_gettid) != getpid();
}

static inline void
hang_if_wanted(void)
{
    if (is_copier()) {
        hanging++;
        while (hangs) {
            sched_yield();
        }
        hanging--;
    }
}

ssize_t __real_pwrite64(int fd, const void *memory, size_t size, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *memory, size_t size, off_t offset);
int __real_unlink(const char *path);
int __wrap_unlink(const char *path);

ssize_t
__wrap_pwrite64(int fd, const void *memory, size_t size, off_t offset)
{
    ssize_t written = 0;

    if (!is_copier()) {
        return __real_pwrite64(fd, memory, size, offset);
    }
    hang_if_wanted();
    if (write_err != 0) {
        errno = write_err;
        return -1;
    }
    if (!looks_between) {
        return __real_pwrite64(fd, memory, size, offset);
    }
    /* A piece of a slot at a time, with a look in between. */
    while ((size_t)written < size) {
        size_t rest = size - (size_t)written;

        written +=
            __real_pwrite64(fd, (const char *)memory + written,
                            rest < PIECE_BYTES ? rest : PIECE_BYTES, offset + written);
        look();
    }
    return written;
}

int
__wrap_unlink(const char *path)
{
    hang_if_wanted();
    if (is_copier() && unlink_err != 0) {
        errno = unlink_err;
        return -1;
    }
    return __real_unlink(path);
}

struct place {
    char root[64];
    char box[128];
    char folder[128];
    char copy[160];
};

static inline int
set_up(void **state)
{
    static struct place place;

    (void)snprintf(place.root, sizeof place.root, "%s", make_root());
    (void)snprintf(place.box, sizeof place.box, "%s/1-1.box", place.root);
    (void)snprintf(place.folder, sizeof place.folder, "%s/copies", place.root);
    (void)snprintf(place.copy, sizeof place.copy, "%s/1-1.box", place.folder);
    hangs = false;
    write_err = unlink_err = 0;
    looks_between = false;
    *state = &place;
    return 0;
}

static inline int
tear_down(void **state)
{
    hangs = false;
    remove_root(((struct place *)*state)->root);
    return 0;
}

static inline struct mw_blackbox_writer *
new_recorder(const struct place *place)
{
    struct mw_blackbox_identity given = {0};
    struct mw_blackbox_writer *writer = NULL;

    assert_int_equal(
        mw_blackbox_writer_new(&writer, place->box, place->copy, &given, 0), 0);
    WAIT_UNTIL(mw_blackbox_writer_copy_errno(writer) == 0);
    return writer;
}

static inline struct mw_blackbox_title
title_of(const char *label)
{
    struct mw_blackbox_title title = {.execution_count = 4};

    mw_blackbox_put_text(title.label, sizeof title.label, label);
    return title;
}

/* What is in the copy now; cell_count -1: no box. */
static inline struct mw_blackbox_view
view_of(const char *path)
{
    struct mw_blackbox_view view = {.cell_count = -1};
    struct mw_blackbox_reader *reader = NULL;
    enum mw_blackbox_fault fault;

    if (mw_blackbox_reader_new(&reader, path, &fault) == 0) {
        mw_blackbox_reader_view(reader, &view);
    }
    mw_blackbox_reader_free(&reader);
    return view;
}

static inline bool
exists(const char *path)
{
    struct stat found;

    return lstat(path, &found) == 0;
}

static const struct place *_Atomic shown;
static atomic_int looks;

/* All of a slot says the same number: a mixture would show. */
static inline void
look(void)
{
    struct mw_blackbox_view view = view_of(shown->copy);

    for (int i = 0; i < view.cell_count; i++) {
        const struct mw_blackbox_cell *cell = &view.cells[i];
        char label[32];

        (void)snprintf(label, sizeof label, "%lld", (long long)cell->number);
        if (strcmp(cell->title.label, label) != 0 ||
            strcmp(cell->title.source, label) != 0 || cell->t_mono_ns != cell->number) {
            abort();
        }
        looks++;
    }
}

#endif
