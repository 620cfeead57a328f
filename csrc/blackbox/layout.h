/* The file format of a black box, and its decoder. Pure.
 *
 * One file of MW_BLACKBOX_BYTES per watched process, which alone maps it MAP_SHARED
 * (blackbox/writer.h): so the file has the last sample even if the process is killed.
 * There is no lock that a dead writer could hold. Slots have a sequence: odd while the
 * slot is being written, 2 x (number of its content + 1) when it is complete. A reader
 * (blackbox/reader.h) copies the file three times: a slot whose sequence is even and
 * equal in the first and third copy is complete in the second; others are skipped.
 *
 * A file may be older, newer, truncated, zeroed or hostile: every value is checked, and
 * texts are terminated.
 *
 *     fault = mw_blackbox_check(&file->head, size, file_bytes);
 *     mw_blackbox_decode(&copies, &view); // view.cells[0 .. view.cell_count - 1]
 */

#ifndef MW_BLACKBOX_LAYOUT_H
#define MW_BLACKBOX_LAYOUT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "window/window.h"

#define MW_BLACKBOX_MAGIC "memwatch"
#define MW_BLACKBOX_BYTE_ORDER UINT32_C(0x01020304) /* as the writer has it */

enum {
    MW_BLACKBOX_VERSION = 4, /* raise it at any change of the layout */
    MW_BLACKBOX_BYTES = 64 * 1024,
    MW_BLACKBOX_CELLS = 16,
    MW_BLACKBOX_SAMPLES = 1968, /* 2 s of them at 1 kHz, 20 s at 100 Hz */
    MW_BLACKBOX_SHORT_TEXT = 64,
    MW_BLACKBOX_NAME = 136,
    MW_BLACKBOX_SOURCE = 488, /* 120 characters of UTF-8 */
    MW_BLACKBOX_PATH = 512,
};

/* The status of a cell. Stored in files: never change a number. */
enum mw_blackbox_status {
    MW_BLACKBOX_OPEN = 0,
    MW_BLACKBOX_OK = 1,
    MW_BLACKBOX_ERROR = 2,
    MW_BLACKBOX_INTERRUPTED = 3,
    MW_BLACKBOX_CANCELLED = 4, /* ended without a result */
};

/* The process, and its limits when the box was created. Texts are UTF-8. Unknown: ""
 * and MW_ABSENT. */
struct mw_blackbox_identity {
    int64_t pid;
    int64_t start_ticks;    /* /proc/PID/stat field 22, ticks since boot */
    int64_t pid_namespace;  /* inode of /proc/PID/ns/pid, for `pid` */
    int64_t time_namespace; /* inode of /proc/PID/ns/time, for the clocks */
    int64_t parent_pid;
    int64_t session_id; /* getsid(): processes of one terminal share it */
    int64_t uid;
    int64_t t_mono_ns;   /* when the box was created: CLOCK_MONOTONIC ... */
    int64_t t_real_ns;   /* ... and CLOCK_REALTIME */
    int64_t limit_bytes; /* in effect then; MW_UNLIMITED: none */
    int64_t oom_kills;   /* of its cgroup, then */
    char boot_id[MW_BLACKBOX_SHORT_TEXT];
    char user[MW_BLACKBOX_SHORT_TEXT];
    char host[MW_BLACKBOX_SHORT_TEXT];
    char limit_set_by[MW_BLACKBOX_SHORT_TEXT]; /* "cgroup", "jupyterhub", "memory" */
    char kernel_id[MW_BLACKBOX_NAME];
    char limit_group[MW_BLACKBOX_PATH]; /* the cgroup that sets it */
    char oom_file[MW_BLACKBOX_PATH];    /* file of oom_kills, below the cgroup mount */
    char notebook[MW_BLACKBOX_PATH];    /* of the kernel: JPY_SESSION_NAME */
};

/* What identifies a cell; known when it opens. */
struct mw_blackbox_title {
    int64_t execution_count; /* MW_ABSENT: it has none */
    char label[MW_BLACKBOX_NAME];
    char cell_id[MW_BLACKBOX_NAME];
    char source[MW_BLACKBOX_SOURCE]; /* its first line */
};

/* One cell, or block. */
struct mw_blackbox_cell {
    int64_t number;    /* counts the cells of the process from 0 */
    int64_t status;    /* enum mw_blackbox_status */
    int64_t t_mono_ns; /* when it opened */
    int64_t t_boot_ns; /* the same by CLOCK_BOOTTIME ... */
    int64_t t_real_ns; /* ... and by CLOCK_REALTIME */
    int64_t rss_start_bytes;
    int64_t rss_peak_bytes;  /* so far: samples and high-water mark */
    int64_t line;            /* that is running, from 1; absent: closed, or unknown */
    struct mw_result result; /* absent while it is open */
    struct mw_blackbox_title title;
};

struct mw_blackbox_sample {
    int64_t t_mono_ns;
    int64_t rss_bytes;
};

/* ---- the file ---- */

struct mw_blackbox_sample_slot {
    _Atomic uint64_t sequence; /* complete: 2 x (its number + 1) */
    _Atomic int64_t t_mono_ns;
    _Atomic int64_t rss_bytes;
};

struct mw_blackbox_cell_slot {
    _Atomic uint64_t sequence;      /* 0: never written */
    _Atomic int64_t rss_peak_bytes; /* not covered by the sequence */
    _Atomic int64_t line;           /* nor is this */
    struct mw_blackbox_cell cell;
};

/* What changes while the process runs. */
struct mw_blackbox_progress {
    _Atomic int64_t samples; /* written so far; the next one's slot, modulo */
    _Atomic int64_t opened;  /* cells so far */
    _Atomic int64_t lifetime_peak_bytes;
    _Atomic int64_t untold; /* cells without a slot: too many were open at once */
    /* At the newest sample, ahead of CLOCK_MONOTONIC: */
    _Atomic int64_t boot_ahead_ns; /* CLOCK_BOOTTIME: rises with each suspend */
    _Atomic int64_t real_ahead_ns; /* CLOCK_REALTIME: changes when it is set */
    _Atomic int64_t t_ended_ns; /* CLOCK_REALTIME of a clean end; in a file 0: none */
};

struct mw_blackbox_head {
    char magic[8];
    uint32_t version;
    uint32_t byte_order;
    uint32_t bytes; /* of the whole file */
    uint32_t reserved;
    struct mw_blackbox_progress progress;
    struct mw_blackbox_identity identity;
};

struct mw_blackbox_file {
    struct mw_blackbox_head head;
    struct mw_blackbox_cell_slot cells[MW_BLACKBOX_CELLS];
    struct mw_blackbox_sample_slot samples[MW_BLACKBOX_SAMPLES];
};

_Static_assert(sizeof(struct mw_blackbox_file) <= MW_BLACKBOX_BYTES,
               "the black box is too large");

/* CellReport.status of an enum mw_blackbox_status; NULL: invalid. */
const char *mw_blackbox_status_name(int64_t status);

/* Copy `text` (NULL: "") to `room`, cut between two characters if it is too long. The
 * rest of `room` is zeroed. */
void mw_blackbox_put_text(char *room, size_t size, const char *text);

/* ---- decoding ---- */

/* Why a file cannot be read as a black box. */
enum mw_blackbox_fault {
    MW_BLACKBOX_FINE = 0,
    MW_BLACKBOX_NO_BOX,     /* another kind of file */
    MW_BLACKBOX_UNFINISHED, /* zeroes: nothing was recorded, or it was wiped */
    MW_BLACKBOX_TRUNCATED,
    MW_BLACKBOX_NEWER,       /* of a later version */
    MW_BLACKBOX_OLDER,       /* of an earlier version */
    MW_BLACKBOX_FOREIGN,     /* of a machine with another byte order */
    MW_BLACKBOX_INCONSISTENT /* impossible values */
};

/* One line for a person. */
const char *mw_blackbox_describe_fault(enum mw_blackbox_fault fault);

/* The content of a box, without samples. */
struct mw_blackbox_view {
    struct mw_blackbox_identity identity;
    struct mw_blackbox_progress progress; /* t_ended_ns MW_ABSENT: no clean end */
    int cell_count;                       /* of complete cells, oldest first */
    struct mw_blackbox_cell cells[MW_BLACKBOX_CELLS];
};

/* Three copies of the file, taken one after the other: see above. */
struct mw_blackbox_copies {
    const struct mw_blackbox_file *before;
    const struct mw_blackbox_file *data;
    const struct mw_blackbox_file *after;
};

/* Check the head, of which `size` bytes were read, of a file of `file_bytes`. */
enum mw_blackbox_fault
mw_blackbox_check(const struct mw_blackbox_head *head, size_t size, int64_t file_bytes);

/* Decode everything but the samples. The copies must have been checked. */
void mw_blackbox_decode(const struct mw_blackbox_copies *copies,
                        struct mw_blackbox_view *out);

/* Decode the complete samples from number `*next` on, oldest first, at most
 * MW_BLACKBOX_SAMPLES; `*next` becomes the number of the first one not yet written.
 * `*lost`: how many of them had been overwritten. Returns the count. */
size_t
mw_blackbox_decode_samples(const struct mw_blackbox_copies *copies, int64_t *next,
                           struct mw_blackbox_sample *out, int64_t *lost);

/* ---- a copy of a box ---- */

/* Copy changes from the box `from`, which another thread writes, except the identity. A
 * slot that is being written is not copied. */
void
mw_blackbox_update(struct mw_blackbox_file *to, const struct mw_blackbox_file *from);

/* Two steps that change a file from `shown` to `image`: set an odd sequence in each
 * slot that changes, so that readers skip it; then copy the bodies. */
void mw_blackbox_put_torn(struct mw_blackbox_file *shown,
                          const struct mw_blackbox_file *image);
void mw_blackbox_put_bodies(struct mw_blackbox_file *shown,
                            const struct mw_blackbox_file *image);

#endif
