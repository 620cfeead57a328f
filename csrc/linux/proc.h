/* One process: its /proc files, kept open.
 *
 * Reading through a kept-open descriptor costs a fifth of opening the file each
 * time, still works when the process is out of descriptors, and, for the mark,
 * still works when the process gives up the right to open the file. */

#ifndef MW_LINUX_PROC_H
#define MW_LINUX_PROC_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/sample.h"

/* Where the kernel mounts it. Tests give a folder of captured files instead. */
#define MW_PROC_ROOT "/proc"

/* A kept-open file. Whoever closes descriptors in bulk (a program that makes itself a
 * daemon) closes ours too, and the number may come to be somebody else's file: so we
 * remember which file it was. */
struct mw_proc_file {
    int fd; /* -1: not open */
    dev_t device;
    ino_t inode;
};

/* Remember which file `fd` is, and keep it. -errno; then *file is left alone. */
int mw_proc_file_keep(struct mw_proc_file *file, int fd);

/* Whether it still is the file that was kept; about 0.2 us. */
bool mw_proc_file_is_ours(const struct mw_proc_file *file);

/* Close it, if it still is that file. Where it is not open: nothing. */
void mw_proc_file_close(struct mw_proc_file *file);

struct mw_proc {
    struct mw_proc_file statm;
    struct mw_proc_file status;
    struct mw_proc_file clear_refs; /* not open: see hwm_errno */
    int hwm_errno;                  /* 0, or why clear_refs could not be opened */
    int64_t page_bytes;
};

/* A struct mw_proc that is not open: mw_proc_close() may be called on it. */
#define MW_PROC_CLOSED ((struct mw_proc){{-1, 0, 0}, {-1, 0, 0}, {-1, 0, 0}, 0, 0})

/* Open ROOT/PID/NAME; `pid` 0 is the caller's own process (ROOT/self, right in every
 * pid namespace). Returns a descriptor, which the caller closes, or -errno. */
int mw_proc_open_file(const char *root, pid_t pid, const char *name, int flags);

/* Open ROOT/PID/statm, status and clear_refs. That clear_refs cannot be opened is
 * no failure, hwm_errno tells, unless it is for want of descriptors or of kernel
 * memory, which may pass: then it may be tried again. The caller closes. -errno of
 * the first file that could not be opened; `self` is then closed. */
int mw_proc_open(struct mw_proc *self, const char *root, pid_t pid);

/* Close what is open and still ours. Leaves errno alone; may be called twice. */
void mw_proc_close(struct mw_proc *self);

/* Whether the descriptors that were opened are still what they were; about 0.6 us. If
 * not, close and open anew. */
bool mw_proc_is_intact(const struct mw_proc *self);

/* Never reset the mark through it: from now on hwm_errno is EOPNOTSUPP, unless there
 * was another reason. */
void mw_proc_forgo_hwm(struct mw_proc *self);

/* Resident set size in bytes: statm field 2 x page size, about 0.4 us. Any
 * thread. -errno; -ESRCH where the process is gone; -ENODATA where it is a zombie;
 * -EBADMSG. */
int mw_proc_read_rss(const struct mw_proc *self, int64_t *rss_bytes);

/* All of struct mw_memory from one read of status, about 2.5 us. Any thread.
 * -errno as above; -ENODATA where the kernel shows no VmRSS (a zombie). */
int mw_proc_read_memory(const struct mw_proc *self, struct mw_memory *out);

/* Lower the high-water mark to the RSS of now: "5" into clear_refs, about
 * 0.4 us however large the process. It belongs to the whole process: who resets
 * it takes it from everybody else. Any thread. -errno, -hwm_errno; -EBADF where the
 * descriptor is somebody else's by now: nothing is written to it. */
int mw_proc_reset_hwm(const struct mw_proc *self);

/* The same, once, of process `pid` (0: the caller's own), with nothing kept open. */
int mw_proc_read_rss_of(const char *root, pid_t pid, int64_t *rss_bytes);

/* When process `pid` (0: the caller's own) began, in ticks since boot. Two processes
 * that had the same pid differ in it. -errno; -ENOENT where there is none of that pid.
 */
int mw_proc_read_start_ticks(const char *root, pid_t pid, int64_t *ticks);

#endif
