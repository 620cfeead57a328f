#include "blackbox/writer.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "blackbox/copier.h"
#include "blackbox/file.h"
#include "blackbox/identity.h"
#include "linux/proc.h"

/* How long to wait for the creation and removal of a copy. */
#define COPY_PATIENCE_NS (250 * MW_NS_PER_MS)

struct mw_blackbox_writer {
    struct mw_blackbox_file *file; /* mapped */
    struct mw_proc_file kept;      /* the same file, to see whether it was removed */
    struct mw_blackbox_copier *copier; /* NULL: there is no copy */
    pid_t owner;
    bool is_named; /* false: memory that `path` names a descriptor of */
    char path[PATH_MAX];
};

/* ---- the file ---- */

/* Map `fd`, and keep it open. */
static int
map_file(struct mw_blackbox_writer *self, int fd)
{
    void *memory;
    int err = mw_proc_file_keep(&self->kept, fd);

    if (err != 0) {
        return err;
    }
    memory = mmap(NULL, MW_BLACKBOX_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        return errno > 0 ? -errno : -ENOMEM;
    }
    /* Touch all pages now: later they would count as used by some cell. */
    memset(memory, 0, MW_BLACKBOX_BYTES);
    self->file = memory;
    return 0;
}

static void
note_clocks(struct mw_blackbox_progress *progress)
{
    int64_t mono_ns = mw_clock_mono_ns();

    atomic_store_explicit(&progress->boot_ahead_ns, mw_clock_boot_ns() - mono_ns,
                          memory_order_relaxed);
    atomic_store_explicit(&progress->real_ahead_ns, mw_clock_real_ns() - mono_ns,
                          memory_order_relaxed);
}

static void
fill_head(struct mw_blackbox_head *head, const struct mw_blackbox_identity *given,
          int64_t lifetime_peak_bytes)
{
    memcpy(head->magic, MW_BLACKBOX_MAGIC, sizeof head->magic);
    head->version = MW_BLACKBOX_VERSION;
    head->byte_order = MW_BLACKBOX_BYTE_ORDER;
    head->bytes = MW_BLACKBOX_BYTES;
    head->progress.lifetime_peak_bytes = lifetime_peak_bytes;
    head->identity = *given;
    mw_blackbox_identity_find(&head->identity);
    note_clocks(&head->progress);
}

/* Create the file with its contents, then rename it. */
static int
make_box(struct mw_blackbox_writer *self, const char *unfinished,
         const struct mw_blackbox_identity *given, int64_t lifetime_peak_bytes)
{
    int fd =
        self->is_named ? mw_blackbox_file_make(unfinished) : mw_blackbox_memory_make();
    int err;

    if (fd < 0) {
        return fd;
    }
    err = map_file(self, fd);
    if (err == 0) {
        fill_head(&self->file->head, given, lifetime_peak_bytes);
        if (!self->is_named) {
            (void)snprintf(self->path, sizeof self->path, MW_PROC_ROOT "/self/fd/%d",
                           fd);
        }
        else if (rename(unfinished, self->path) != 0) {
            err = -errno;
            munmap(self->file, MW_BLACKBOX_BYTES);
        }
    }
    if (err != 0) {
        close(fd);
        if (self->is_named) {
            unlink(unfinished);
        }
    }
    return err;
}

int
mw_blackbox_writer_new(struct mw_blackbox_writer **out, const char *path,
                       const char *copy, const struct mw_blackbox_identity *given,
                       int64_t lifetime_peak_bytes)
{
    char unfinished[PATH_MAX] = "";
    struct mw_blackbox_writer *self = calloc(1, sizeof *self);
    int length = 0;
    int err;

    if (self == NULL) {
        return -ENOMEM;
    }
    self->owner = getpid();
    self->is_named = path != NULL;
    if (path != NULL) {
        length = snprintf(unfinished, sizeof unfinished, "%s.new", path);
    }
    if (length < 0 || (size_t)length >= sizeof unfinished) {
        free(self);
        return -ENAMETOOLONG;
    }
    if (path != NULL) {
        memcpy(self->path, path, strlen(path) + 1);
    }
    err = make_box(self, unfinished, given, lifetime_peak_bytes);
    if (err != 0) {
        free(self);
        return err;
    }
    if (copy != NULL) {
        err = mw_blackbox_copier_new(&self->copier, self->kept.fd, copy,
                                     COPY_PATIENCE_NS);
    }
    if (err != 0) {
        mw_blackbox_writer_free(&self);
        return err;
    }
    *out = self;
    return 0;
}

/* For a file that cannot be removed. Not through the mapping: another process may have
 * truncated the file. */
static void
note_end(const struct mw_blackbox_writer *self)
{
    int64_t now_ns = mw_clock_real_ns();

    if (mw_proc_file_is_ours(&self->kept)) {
        (void)!pwrite(self->kept.fd, &now_ns, sizeof now_ns,
                      offsetof(struct mw_blackbox_file, head.progress.t_ended_ns));
    }
}

/* Returns whether the file was removed. Another box may have that name by now. */
static bool
remove_file(const struct mw_blackbox_writer *self)
{
    struct stat found;

    return self->is_named && lstat(self->path, &found) == 0 &&
           found.st_dev == self->kept.device && found.st_ino == self->kept.inode &&
           unlink(self->path) == 0;
}

void
mw_blackbox_writer_free(struct mw_blackbox_writer **out)
{
    struct mw_blackbox_writer *self = *out;

    if (self == NULL) {
        return;
    }
    if (getpid() == self->owner) {
        if (!remove_file(self) || self->copier != NULL) {
            note_end(self);
        }
        mw_blackbox_copier_free(&self->copier, COPY_PATIENCE_NS);
    }
    mw_blackbox_copier_abandon(&self->copier);
    munmap(self->file, MW_BLACKBOX_BYTES);
    mw_proc_file_close(&self->kept);
    free(self);
    *out = NULL;
}

bool
mw_blackbox_writer_is_lost(const struct mw_blackbox_writer *self)
{
    struct stat found;

    /* Only if the descriptor still is our file. */
    return self->is_named && fstat(self->kept.fd, &found) == 0 &&
           found.st_dev == self->kept.device && found.st_ino == self->kept.inode &&
           found.st_nlink == 0;
}

const char *
mw_blackbox_writer_path(const struct mw_blackbox_writer *self)
{
    return self->path;
}

int
mw_blackbox_writer_copy_errno(const struct mw_blackbox_writer *self)
{
    return self->copier != NULL ? mw_blackbox_copier_errno(self->copier) : 0;
}

/* ---- what goes into it ---- */

/* Between these two the slot is torn for readers. */
static void
begin_writing(_Atomic uint64_t *sequence, uint64_t odd)
{
    atomic_store_explicit(sequence, odd, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
}

static void
end_writing(_Atomic uint64_t *sequence, uint64_t even)
{
    atomic_store_explicit(sequence, even, memory_order_release);
}

/* A figure that no sequence covers. */
static void
set_figure(_Atomic int64_t *figure, int64_t value)
{
    atomic_store_explicit(figure, value, memory_order_relaxed);
}

static uint64_t
sequence_of(const struct mw_blackbox_cell_slot *slot)
{
    return atomic_load_explicit(&slot->sequence, memory_order_relaxed);
}

/* The slot of the cell that was closed longest ago, or an unused one. */
static int
find_slot(const struct mw_blackbox_file *file)
{
    int found = MW_BLACKBOX_WRITER_NO_SLOT;

    for (int i = 0; i < MW_BLACKBOX_CELLS; i++) {
        if (sequence_of(&file->cells[i]) == 0) {
            return i;
        }
        if (file->cells[i].cell.status != MW_BLACKBOX_OPEN &&
            (found == MW_BLACKBOX_WRITER_NO_SLOT ||
             file->cells[i].cell.number < file->cells[found].cell.number)) {
            found = i;
        }
    }
    return found;
}

int
mw_blackbox_writer_open_cell(struct mw_blackbox_writer *self, int64_t t_mono_ns,
                             int64_t t_real_ns, int64_t rss_bytes,
                             const struct mw_blackbox_title *title)
{
    struct mw_blackbox_progress *progress = &self->file->head.progress;
    struct mw_blackbox_cell_slot *slot;
    uint64_t sequence;
    int found = find_slot(self->file);

    if (found == MW_BLACKBOX_WRITER_NO_SLOT) {
        progress->untold++;
        return found;
    }
    slot = &self->file->cells[found];
    sequence = sequence_of(slot);
    begin_writing(&slot->sequence, sequence + 1);
    slot->cell.number = progress->opened;
    slot->cell.status = MW_BLACKBOX_OPEN;
    slot->cell.t_mono_ns = t_mono_ns;
    slot->cell.t_boot_ns = mw_clock_boot_ns();
    slot->cell.t_real_ns = t_real_ns;
    slot->cell.rss_start_bytes = rss_bytes;
    slot->cell.result = mw_result_absent();
    slot->cell.title = *title;
    mw_blackbox_writer_set_peak(self, found, rss_bytes);
    mw_blackbox_writer_set_line(self, found, MW_ABSENT);
    end_writing(&slot->sequence, sequence + 2);
    progress->opened++;
    return found;
}

void
mw_blackbox_writer_close_cell(struct mw_blackbox_writer *self, int slot_number,
                              enum mw_blackbox_status status,
                              const struct mw_result *result)
{
    struct mw_blackbox_cell_slot *slot;
    uint64_t sequence;

    if (slot_number == MW_BLACKBOX_WRITER_NO_SLOT) {
        return;
    }
    slot = &self->file->cells[slot_number];
    sequence = sequence_of(slot);
    begin_writing(&slot->sequence, sequence + 1);
    slot->cell.status = status;
    slot->cell.rss_peak_bytes = slot->rss_peak_bytes;
    if (result != NULL) {
        slot->cell.result = *result;
        slot->cell.rss_peak_bytes = result->rss_peak_bytes;
    }
    end_writing(&slot->sequence, sequence + 2);
}

void
mw_blackbox_writer_set_peak(struct mw_blackbox_writer *self, int slot,
                            int64_t rss_peak_bytes)
{
    if (slot != MW_BLACKBOX_WRITER_NO_SLOT) {
        set_figure(&self->file->cells[slot].rss_peak_bytes, rss_peak_bytes);
    }
}

void
mw_blackbox_writer_set_line(struct mw_blackbox_writer *self, int slot, int64_t line)
{
    if (slot != MW_BLACKBOX_WRITER_NO_SLOT) {
        set_figure(&self->file->cells[slot].line, line);
    }
}

void
mw_blackbox_writer_add_sample(struct mw_blackbox_writer *self, int64_t t_mono_ns,
                              int64_t rss_bytes)
{
    struct mw_blackbox_progress *progress = &self->file->head.progress;
    int64_t number = atomic_load_explicit(&progress->samples, memory_order_relaxed);
    struct mw_blackbox_sample_slot *slot =
        &self->file->samples[number % MW_BLACKBOX_SAMPLES];
    uint64_t whole = 2 * ((uint64_t)number + 1);

    begin_writing(&slot->sequence, whole - 1);
    atomic_store_explicit(&slot->t_mono_ns, t_mono_ns, memory_order_relaxed);
    atomic_store_explicit(&slot->rss_bytes, rss_bytes, memory_order_relaxed);
    end_writing(&slot->sequence, whole);
    atomic_store_explicit(&progress->samples, number + 1, memory_order_release);
    note_clocks(progress);
}

void
mw_blackbox_writer_set_lifetime_peak(struct mw_blackbox_writer *self, int64_t bytes)
{
    set_figure(&self->file->head.progress.lifetime_peak_bytes, bytes);
}
