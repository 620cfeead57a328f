#include "mw_recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "mw_cgroup.h"
#include "mw_clock.h"
#include "mw_proc.h"

#ifndef XFS_SUPER_MAGIC /* headers before Linux 5.5 do not tell */
#define XFS_SUPER_MAGIC 0x58465342
#endif

#define BOOT_ID "/proc/sys/kernel/random/boot_id"

struct mw_recorder {
    struct mw_box_file *file; /* mapped: the file itself, or our own copy of it, */
    struct mw_proc_file out;  /* which is written to this; not open: it is the file */
    pid_t owner;
    char path[PATH_MAX];
};

/* ---- who we are ---- */

static void
read_boot_id(char *room, size_t size)
{
    int fd = open(BOOT_ID, O_RDONLY | O_CLOEXEC);
    char text[MW_BOX_SHORT_TEXT] = "";

    if (fd >= 0) {
        ssize_t length = read(fd, text, sizeof text - 1);
        close(fd);
        text[length > 0 ? length : 0] = '\0';
        text[strcspn(text, "\n")] = '\0';
    }
    mw_box_put_text(room, size, text);
}

/* What is not given and can be found out; what cannot stays absent. */
static void
find_identity(struct mw_box_identity *self)
{
    char text[MW_CGROUP_PATH_ROOM] = "";
    struct stat found;

    self->pid = getpid();
    self->parent_pid = getppid();
    self->session_id = getsid(0);
    self->uid = getuid();
    self->t_mono_ns = mw_clock_mono_ns();
    self->t_real_ns = mw_clock_real_ns();
    if (mw_proc_read_start_ticks(MW_PROC_ROOT, 0, &self->start_ticks) != 0) {
        self->start_ticks = MW_ABSENT;
    }
    self->pid_namespace = stat(MW_PROC_ROOT "/self/ns/pid", &found) == 0
                              ? (int64_t)found.st_ino
                              : MW_ABSENT;
    if (mw_cgroup_find_oom_kills(MW_PROC_ROOT, MW_CGROUP_MOUNT, 0, &self->oom_kills,
                                 text) != 0) {
        self->oom_kills = MW_ABSENT;
        *text = '\0';
    }
    mw_box_put_text(self->oom_file, sizeof self->oom_file, text);
    read_boot_id(self->boot_id, sizeof self->boot_id);
    if (gethostname(text, sizeof text - 1) != 0) {
        *text = '\0';
    }
    mw_box_put_text(self->host, sizeof self->host, text);
}

/* ---- the file ---- */

/* A file of that size with all its blocks, empty of anything but zeroes. */
static int
make_file(const char *path)
{
    const int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    int fd = open(path, flags, 0600);
    int err;

    if (fd < 0 && errno == EEXIST) {
        unlink(path); /* of one that was killed here */
        fd = open(path, flags, 0600);
    }
    if (fd < 0) {
        return -errno;
    }
    /* A block that is missing would be a SIGBUS at the first store to it. */
    err = posix_fallocate(fd, 0, MW_BOX_BYTES);
    if (err != 0) {
        close(fd);
        unlink(path);
        return -err;
    }
    return fd;
}

/* Whether a page of it, once allocated, can always be had. */
static bool
keeps_its_blocks(int fd)
{
    struct statfs found;

    if (fstatfs(fd, &found) != 0) {
        return false;
    }
    switch (found.f_type) {
    case EXT4_SUPER_MAGIC: /* ext2 and ext3, too */
    case XFS_SUPER_MAGIC:
    case TMPFS_MAGIC:
    case OVERLAYFS_SUPER_MAGIC:
        return true;
    default:
        return false;
    }
}

/* The file, or a copy of it in memory: `self` then keeps the descriptor. */
static int
map_file(struct mw_recorder *self, const char *path)
{
    int kind = MAP_SHARED;
    void *memory;
    int fd = make_file(path);

    if (fd < 0) {
        return fd;
    }
    self->out.fd = -1;
    if (!keeps_its_blocks(fd) && mw_proc_file_keep(&self->out, fd) == 0) {
        kind = MAP_PRIVATE | MAP_ANONYMOUS;
    }
    memory = mmap(NULL, MW_BOX_BYTES, PROT_READ | PROT_WRITE, kind,
                  self->out.fd < 0 ? fd : -1, 0);
    if (memory == MAP_FAILED) {
        int err = errno > 0 ? -errno : -ENOMEM;

        close(fd);
        unlink(path);
        return err;
    }
    /* The mapping is enough: nobody who closes descriptors in bulk can take it. */
    if (self->out.fd < 0) {
        close(fd);
    }
    /* All pages are ours from now on: touched one by one later they would each be
     * memory that some cell seems to have used. */
    memset(memory, 0, MW_BOX_BYTES);
    self->file = memory;
    return 0;
}

/* Where the file is not mapped: write that part of it. A part that cannot be written is
 * one that a reader does not see. */
static void
write_part(const struct mw_recorder *self, const void *part, size_t size)
{
    if (self->out.fd >= 0 && mw_proc_file_is_ours(&self->out)) {
        off_t offset = (const char *)part - (const char *)self->file;

        (void)!pwrite(self->out.fd, part, size, offset);
    }
}

static void
release(struct mw_recorder *self)
{
    munmap(self->file, MW_BOX_BYTES);
    mw_proc_file_close(&self->out);
}

int
mw_recorder_new(struct mw_recorder **out, const char *path,
                const struct mw_box_identity *given, int64_t lifetime_peak_bytes)
{
    char unfinished[PATH_MAX];
    struct mw_box_head *head;
    struct mw_recorder *self = calloc(1, sizeof *self);
    int length;
    int err;

    if (self == NULL) {
        return -ENOMEM;
    }
    self->owner = getpid();
    length = snprintf(unfinished, sizeof unfinished, "%s.new", path);
    if (length < 0 || (size_t)length >= sizeof unfinished) {
        err = -ENAMETOOLONG;
        goto out;
    }
    memcpy(self->path, path, strlen(path) + 1);
    err = map_file(self, unfinished);
    if (err != 0) {
        goto out;
    }
    head = &self->file->head;
    memcpy(head->magic, MW_BOX_MAGIC, sizeof head->magic);
    head->version = MW_BOX_VERSION;
    head->byte_order = MW_BOX_BYTE_ORDER;
    head->bytes = MW_BOX_BYTES;
    head->lifetime_peak_bytes = lifetime_peak_bytes;
    head->identity = *given;
    find_identity(&head->identity);
    write_part(self, self->file, MW_BOX_BYTES);
    if (rename(unfinished, path) != 0) {
        err = -errno;
        unlink(unfinished);
        release(self);
    }
out:
    if (err != 0) {
        free(self);
        return err;
    }
    *out = self;
    return 0;
}

void
mw_recorder_free(struct mw_recorder **out)
{
    struct mw_recorder *self = *out;

    if (self == NULL) {
        return;
    }
    if (getpid() == self->owner) {
        unlink(self->path);
    }
    release(self);
    free(self);
    *out = NULL;
}

/* ---- what goes into it ---- */

/* Between these two the slot is torn for whoever reads it. */
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

/* One that stands for itself, outside any sequence. */
static void
set_figure(const struct mw_recorder *self, _Atomic int64_t *figure, int64_t value)
{
    if (atomic_load_explicit(figure, memory_order_relaxed) != value) {
        atomic_store_explicit(figure, value, memory_order_relaxed);
        write_part(self, figure, sizeof *figure);
    }
}

static uint64_t
sequence_of(const struct mw_box_cell_slot *slot)
{
    return atomic_load_explicit(&slot->sequence, memory_order_relaxed);
}

/* The one that was closed the longest ago, or was never used. */
static int
find_slot(const struct mw_box_file *file)
{
    int found = MW_RECORDER_NO_SLOT;

    for (int i = 0; i < MW_BOX_CELLS; i++) {
        if (sequence_of(&file->cells[i]) == 0) {
            return i;
        }
        if (file->cells[i].cell.status != MW_BOX_OPEN &&
            (found == MW_RECORDER_NO_SLOT ||
             file->cells[i].cell.number < file->cells[found].cell.number)) {
            found = i;
        }
    }
    return found;
}

int
mw_recorder_open_cell(struct mw_recorder *self, int64_t t_mono_ns, int64_t rss_bytes,
                      const struct mw_box_title *title)
{
    struct mw_box_head *head = &self->file->head;
    struct mw_box_cell_slot *slot;
    uint64_t sequence;
    int found = find_slot(self->file);

    if (found == MW_RECORDER_NO_SLOT) {
        head->untold++;
        write_part(self, &head->untold, sizeof head->untold);
        return found;
    }
    slot = &self->file->cells[found];
    sequence = sequence_of(slot);
    begin_writing(&slot->sequence, sequence + 1);
    slot->cell.number = head->cells;
    slot->cell.status = MW_BOX_OPEN;
    slot->cell.t_mono_ns = t_mono_ns;
    slot->cell.t_real_ns = mw_clock_real_ns();
    slot->cell.rss_start_bytes = rss_bytes;
    slot->cell.drift_bytes = MW_ABSENT;
    slot->cell.result = MW_RESULT_ABSENT; /* not the one of the cell before it */
    slot->cell.title = *title;
    mw_recorder_set_peak(self, found, rss_bytes);
    end_writing(&slot->sequence, sequence + 2);
    head->cells++;
    write_part(self, slot, sizeof *slot);
    write_part(self, &head->cells, sizeof head->cells);
    return found;
}

void
mw_recorder_close_cell(struct mw_recorder *self, int slot_number,
                       enum mw_box_status status, const struct mw_result *result,
                       int64_t drift_bytes)
{
    struct mw_box_cell_slot *slot;
    uint64_t sequence;

    if (slot_number == MW_RECORDER_NO_SLOT) {
        return;
    }
    slot = &self->file->cells[slot_number];
    sequence = sequence_of(slot);
    begin_writing(&slot->sequence, sequence + 1);
    slot->cell.status = status;
    slot->cell.drift_bytes = drift_bytes;
    slot->cell.rss_peak_bytes = slot->rss_peak_bytes;
    if (result != NULL) {
        slot->cell.result = *result;
        slot->cell.rss_peak_bytes = result->rss_peak_bytes;
    }
    end_writing(&slot->sequence, sequence + 2);
    write_part(self, slot, sizeof *slot);
}

void
mw_recorder_set_peak(struct mw_recorder *self, int slot, int64_t rss_peak_bytes)
{
    if (slot != MW_RECORDER_NO_SLOT) {
        set_figure(self, &self->file->cells[slot].rss_peak_bytes, rss_peak_bytes);
    }
}

void
mw_recorder_add_sample(struct mw_recorder *self, int64_t t_mono_ns, int64_t rss_bytes)
{
    struct mw_box_head *head = &self->file->head;
    int64_t number = atomic_load_explicit(&head->samples, memory_order_relaxed);
    struct mw_box_sample_slot *slot = &self->file->samples[number % MW_BOX_SAMPLES];
    uint64_t whole = 2 * ((uint64_t)number + 1);

    begin_writing(&slot->sequence, whole - 1);
    atomic_store_explicit(&slot->t_mono_ns, t_mono_ns, memory_order_relaxed);
    atomic_store_explicit(&slot->rss_bytes, rss_bytes, memory_order_relaxed);
    end_writing(&slot->sequence, whole);
    atomic_store_explicit(&head->samples, number + 1, memory_order_release);
    write_part(self, slot, sizeof *slot);
    write_part(self, &head->samples, sizeof head->samples);
}

void
mw_recorder_set_lifetime_peak(struct mw_recorder *self, int64_t bytes)
{
    set_figure(self, &self->file->head.lifetime_peak_bytes, bytes);
}
