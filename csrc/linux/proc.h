/* The /proc files of one process, kept open. A read then costs a fifth, works without
 * free descriptors, and works after the process has given up the right to open them.
 *
 *     err = mw_proc_open(&proc, MW_PROC_ROOT, 0);
 *     err = mw_proc_read_rss(&proc, &rss_bytes);
 *     mw_proc_close(&proc);
 *
 * Functions return 0 or -errno. Any thread may read. */

#ifndef MW_LINUX_PROC_H
#define MW_LINUX_PROC_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/sample.h"

/* Tests use a folder of captured files instead. */
#define MW_PROC_ROOT "/proc"

/* A file that is kept open. A program that closes all descriptors (to become a daemon)
 * closes ours too, and the number may be reused: so the file's identity is kept. */
struct mw_proc_file {
    int fd; /* -1: not open */
    dev_t device;
    ino_t inode;
};

/* Keep `fd` and its identity. On failure *file is left alone. */
int mw_proc_file_keep(struct mw_proc_file *file, int fd);

/* Whether the descriptor still is that file; about 0.2 us. */
bool mw_proc_file_is_ours(const struct mw_proc_file *file);

/* Close it if it still is that file. No effect if it is not open. */
void mw_proc_file_close(struct mw_proc_file *file);

/* The pid of the caller's process in /proc, which may belong to another pid namespace
 * than getpid(). */
pid_t mw_proc_own_pid(void);

struct mw_proc {
    struct mw_proc_file statm;
    struct mw_proc_file status;
    struct mw_proc_file clear_refs; /* not open: see hwm_errno */
    int hwm_errno;                  /* 0, or why clear_refs could not be opened */
    int64_t page_bytes;
};

/* A struct mw_proc that is not open: mw_proc_close() may be called on it. */
#define MW_PROC_CLOSED ((struct mw_proc){{-1, 0, 0}, {-1, 0, 0}, {-1, 0, 0}, 0, 0})

/* Open ROOT/PID/NAME; `pid` 0: ROOT/self, the caller's own process. Returns a
 * descriptor, which the caller closes, or -errno. */
int mw_proc_open_file(const char *root, pid_t pid, const char *name, int flags);

/* Open ROOT/PID/statm, status and clear_refs; the caller closes. If only clear_refs
 * cannot be opened, hwm_errno says why, and that is a failure only for lack of
 * descriptors or memory. On failure `self` is closed. */
int mw_proc_open(struct mw_proc *self, const char *root, pid_t pid);

/* Close the files that are open and still ours. Keeps errno. Idempotent. */
void mw_proc_close(struct mw_proc *self);

/* Whether the descriptors still are these files; about 0.6 us. If not, close and open
 * again. */
bool mw_proc_is_intact(const struct mw_proc *self);

/* Do not reset the mark any more: hwm_errno becomes EOPNOTSUPP if it was 0. */
void mw_proc_forgo_hwm(struct mw_proc *self);

/* Resident set size in bytes: statm field 2 x page size, about 0.4 us. -ESRCH: the
 * process is gone; -ENODATA: it is a zombie; -EBADMSG. */
int mw_proc_read_rss(const struct mw_proc *self, int64_t *rss_bytes);

/* All of struct mw_memory from one read of status, about 2.5 us. Errors as above. */
int mw_proc_read_memory(const struct mw_proc *self, struct mw_memory *out);

/* Lower the high-water mark to the current RSS: "5" into clear_refs, about 0.4 us for
 * any size. There is one mark per process, so this resets it for every user of it.
 * -hwm_errno; -EBADF: the descriptor is another file by now; nothing is written. */
int mw_proc_reset_hwm(const struct mw_proc *self);

/* RSS of process `pid` (0: the caller's own), once, with no file kept open. */
int mw_proc_read_rss_of(const char *root, pid_t pid, int64_t *rss_bytes);

/* When process `pid` (0: the caller's own) started, in ticks since boot: it differs for
 * two processes with the same pid. -ENOENT: there is no such process. */
int mw_proc_read_start_ticks(const char *root, pid_t pid, int64_t *ticks);

#endif
