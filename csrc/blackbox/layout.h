/* The black box: what it looks like in its file, and what is read out of it. Pure.
 *
 * The file is one watched process's, of MW_BLACKBOX_BYTES, mapped MAP_SHARED by that
 * process alone (mw_blackbox_writer): so it has the last sample even where the process
 * was killed. There is no lock that a dead writer could hold. What changes stands in
 * slots, each with a sequence: odd while it is being written, 2 x (the number of what
 * it holds + 1) when it is whole. Who reads (mw_blackbox_reader) takes the sequences,
 * then everything, then the sequences again: a slot whose sequence was the same and
 * even both times is whole; any other is torn and passed over.
 *
 * A file may be anybody's: older, newer, cut off, zeroed, hostile. Nothing in it is
 * believed before it was looked at; texts end in it or they are cut off. */

#ifndef MW_BLACKBOX_LAYOUT_H
#define MW_BLACKBOX_LAYOUT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "window/window.h"

#define MW_BLACKBOX_MAGIC "memwatch"
#define MW_BLACKBOX_BYTE_ORDER UINT32_C(0x01020304) /* as the writer has it */

enum {
    MW_BLACKBOX_VERSION = 3, /* of the layout: any change of it is another one */
    MW_BLACKBOX_BYTES = 64 * 1024,
    MW_BLACKBOX_CELLS = 16,
    MW_BLACKBOX_SAMPLES = 1984, /* 2 s of them at 1 kHz, 20 s at 100 Hz */
    MW_BLACKBOX_SHORT_TEXT = 64,
    MW_BLACKBOX_NAME = 136,
    MW_BLACKBOX_SOURCE = 488, /* 120 characters of UTF-8 */
    MW_BLACKBOX_PATH = 512,
};

/* How a cell stands. In the file: never change a number. */
enum mw_blackbox_status {
    MW_BLACKBOX_OPEN = 0,
    MW_BLACKBOX_OK = 1,
    MW_BLACKBOX_ERROR = 2,
    MW_BLACKBOX_INTERRUPTED = 3,
    MW_BLACKBOX_CANCELLED = 4, /* it ended, and nobody said how */
};

/* Whose box it is, and what held when it began. Texts are UTF-8, "" where unknown;
 * figures are MW_ABSENT there. */
struct mw_blackbox_identity {
    int64_t pid;
    int64_t start_ticks;    /* when it began: /proc/PID/stat field 22, since boot */
    int64_t pid_namespace;  /* inode of /proc/PID/ns/pid: where that pid means it */
    int64_t time_namespace; /* of /proc/PID/ns/time: whose clocks these are */
    int64_t parent_pid;
    int64_t session_id; /* getsid(): processes of one terminal share it */
    int64_t uid;
    int64_t t_mono_ns;   /* when the box was made: CLOCK_MONOTONIC ... */
    int64_t t_real_ns;   /* ... and CLOCK_REALTIME, to tell dates by */
    int64_t limit_bytes; /* in force then; MW_UNLIMITED: none */
    int64_t oom_kills;   /* of its control group, then */
    char boot_id[MW_BLACKBOX_SHORT_TEXT];
    char user[MW_BLACKBOX_SHORT_TEXT];
    char host[MW_BLACKBOX_SHORT_TEXT];
    char limit_set_by[MW_BLACKBOX_SHORT_TEXT]; /* "cgroup", "jupyterhub", "memory" */
    char kernel_id[MW_BLACKBOX_NAME];
    char limit_group[MW_BLACKBOX_PATH]; /* the control group that sets it */
    char oom_file[MW_BLACKBOX_PATH];    /* where oom_kills was read, below the mount */
    char notebook[MW_BLACKBOX_PATH];    /* what the kernel runs for: JPY_SESSION_NAME */
};

/* What is told of a cell when it opens. */
struct mw_blackbox_title {
    int64_t execution_count; /* MW_ABSENT: it has none */
    char label[MW_BLACKBOX_NAME];
    char cell_id[MW_BLACKBOX_NAME];
    char source[MW_BLACKBOX_SOURCE]; /* its first line */
};

/* One cell, or block. */
struct mw_blackbox_cell {
    int64_t number;    /* 0 for the first that was opened, and so on */
    int64_t status;    /* enum mw_blackbox_status */
    int64_t t_mono_ns; /* when it opened */
    int64_t t_boot_ns; /* the same by CLOCK_BOOTTIME, */
    int64_t t_real_ns; /* and by CLOCK_REALTIME as it was set then */
    int64_t rss_start_bytes;
    int64_t rss_peak_bytes;  /* so far: samples and what the mark told */
    struct mw_result result; /* absent until it has closed */
    struct mw_blackbox_title title;
};

struct mw_blackbox_sample {
    int64_t t_mono_ns;
    int64_t rss_bytes;
};

/* ---- the file ---- */

struct mw_blackbox_sample_slot {
    _Atomic uint64_t sequence; /* whole: 2 x (its number + 1) */
    _Atomic int64_t t_mono_ns;
    _Atomic int64_t rss_bytes;
};

struct mw_blackbox_cell_slot {
    _Atomic uint64_t sequence;      /* 0: never written */
    _Atomic int64_t rss_peak_bytes; /* follows samples, outside the sequence */
    struct mw_blackbox_cell cell;
};

struct mw_blackbox_head {
    char magic[8];
    uint32_t version;
    uint32_t byte_order;
    uint32_t bytes; /* of the whole file */
    uint32_t reserved;
    _Atomic int64_t samples; /* written so far: the next goes to that slot, modulo */
    _Atomic int64_t cells;   /* opened so far */
    _Atomic int64_t lifetime_peak_bytes;
    _Atomic int64_t untold; /* cells that found no slot: as many were open at once */
    /* How far the other clocks were ahead of CLOCK_MONOTONIC at the newest sample. */
    _Atomic int64_t boot_ahead_ns; /* CLOCK_BOOTTIME: rises by each suspend */
    _Atomic int64_t real_ahead_ns; /* CLOCK_REALTIME: changes when it is set, too */
    _Atomic int64_t t_ended_ns;    /* CLOCK_REALTIME of a clean end; 0: none so far */
    struct mw_blackbox_identity identity;
};

struct mw_blackbox_file {
    struct mw_blackbox_head head;
    struct mw_blackbox_cell_slot cells[MW_BLACKBOX_CELLS];
    struct mw_blackbox_sample_slot samples[MW_BLACKBOX_SAMPLES];
};

_Static_assert(sizeof(struct mw_blackbox_file) <= MW_BLACKBOX_BYTES,
               "the black box is too large");

/* The name of an enum mw_blackbox_status: CellReport.status. NULL: there is none. */
const char *mw_blackbox_status_name(int64_t status);

/* `text`, cut off between two characters where there is no room; always ends. NULL is
 * "". What is left of `room` is zeroed. */
void mw_blackbox_put_text(char *room, size_t size, const char *text);

/* ---- what is read out of it ---- */

/* Why a file is no box that we can read. */
enum mw_blackbox_fault {
    MW_BLACKBOX_FINE = 0,
    MW_BLACKBOX_NO_BOX,      /* other contents: not ours */
    MW_BLACKBOX_UNFINISHED,  /* zeroes: nothing was ever recorded, or it was wiped */
    MW_BLACKBOX_TRUNCATED,   /* the file ends too early */
    MW_BLACKBOX_NEWER,       /* of a later version */
    MW_BLACKBOX_OLDER,       /* of an earlier one */
    MW_BLACKBOX_FOREIGN,     /* of a machine with another byte order */
    MW_BLACKBOX_INCONSISTENT /* it contradicts itself */
};

/* One clear line for a person. */
const char *mw_blackbox_describe_fault(enum mw_blackbox_fault fault);

/* What the box holds besides samples. */
struct mw_blackbox_view {
    struct mw_blackbox_identity identity;
    int64_t lifetime_peak_bytes;
    int64_t samples; /* written so far */
    int64_t opened;  /* cells so far */
    int64_t untold;
    int64_t boot_ahead_ns;
    int64_t real_ahead_ns;
    int64_t t_ended_ns; /* MW_ABSENT: no clean end */
    int cell_count;
    struct mw_blackbox_cell
        cells[MW_BLACKBOX_CELLS]; /* those that are whole, oldest first */
};

/* Three copies of the file, taken one after the other: what is in the second one is
 * whole where the other two agree. */
struct mw_blackbox_copies {
    const struct mw_blackbox_file *before;
    const struct mw_blackbox_file *data;
    const struct mw_blackbox_file *after;
};

/* Whether this is the beginning of a box: looks at the head alone, of which `size`
 * bytes are there, in a file of `file_bytes`. */
enum mw_blackbox_fault
mw_blackbox_check(const struct mw_blackbox_head *head, size_t size, int64_t file_bytes);

/* Everything but the samples. The copies were checked. */
void mw_blackbox_decode(const struct mw_blackbox_copies *copies,
                        struct mw_blackbox_view *out);

/* The whole samples from number `*next` on, or from the oldest that are left, oldest
 * first; `*next` becomes the number of the first that was not written yet. At most
 * MW_BLACKBOX_SAMPLES go to `out`. `*lost` is how many were overwritten before we came.
 * Returns how many there are. */
size_t
mw_blackbox_decode_samples(const struct mw_blackbox_copies *copies, int64_t *next,
                           struct mw_blackbox_sample *out, int64_t *lost);

/* ---- a copy of a box ---- */

/* Bring `to` up to date with the box `from` that another thread writes, but for the
 * identity; a slot that is just being written stays as it was. */
void
mw_blackbox_update(struct mw_blackbox_file *to, const struct mw_blackbox_file *from);

/* What a file that holds `shown` is given before it holds `image`: an odd sequence in
 * each slot that will change, so that readers pass it over; and then, the sequences
 * still odd, the bodies. */
void mw_blackbox_put_torn(struct mw_blackbox_file *shown,
                          const struct mw_blackbox_file *image);
void mw_blackbox_put_bodies(struct mw_blackbox_file *shown,
                            const struct mw_blackbox_file *image);

#endif
