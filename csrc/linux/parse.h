/* Parses the text of /proc and cgroup files. Pure: no I/O, no allocation, no state; any
 * thread.
 *
 * The text has `length` bytes and needs no NUL. It may be cut off anywhere, because a
 * read can be short: a line without its newline is ignored. Functions return 0, or
 * -EBADMSG if the kernel does not write such a text; then they leave the out-parameters
 * alone.
 *
 *     err = mw_parse_status(text, length, &memory); // memory.rss_bytes
 */

#ifndef MW_LINUX_PARSE_H
#define MW_LINUX_PARSE_H

#include <limits.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/sample.h"

/* /proc/PID/statm: field 2 (resident) x page size. -ENODATA: the process has no memory
 * (a zombie, a kernel thread), field 1 (size) is 0. */
int
mw_parse_statm(const char *text, size_t length, int64_t page_bytes, int64_t *rss_bytes);

/* /proc/PID/status: the lines that struct mw_memory names, kB x 1024. A missing line
 * (kernel threads and zombies have none) gives MW_ABSENT. */
int mw_parse_status(const char *text, size_t length, struct mw_memory *out);

/* /proc/PID/stat: field 22 (starttime), ticks since boot. With the pid it identifies
 * the process, because pids are reused. */
int mw_parse_start_ticks(const char *text, size_t length, int64_t *ticks);

/* /proc/PID/cgroup: the path of the group in the hierarchy of `controller` ("memory");
 * NULL: in the unified one. The path points into `text`. -ENODATA: there is no such
 * hierarchy. */
int mw_parse_cgroup_path(const char *text, size_t length, const char *controller,
                         const char **path, size_t *path_length);

/* A line of /proc/PID/mountinfo: where the hierarchy of `controller` (NULL: the unified
 * one) is mounted (`point`), and which of its groups is mounted (`root`; "/../.." if it
 * is above the group of the reader's namespace). Texts of at most `size` bytes with
 * their NUL, decoded. -ENODATA: another mount; -ENAMETOOLONG. */
int mw_parse_cgroup_mount(const char *line, size_t length, const char *controller,
                          char *root, char *point, size_t size);

struct mw_overlay_mount {
    dev_t device;
    char root[PATH_MAX];  /* the folder of the overlay that is mounted */
    char point[PATH_MAX]; /* where */
    char upper[PATH_MAX]; /* the folder of its upper layer */
};

/* A line of /proc/PID/mountinfo: an overlay. Texts are decoded. -ENODATA: another
 * mount, or an overlay without an upper layer; -ENAMETOOLONG. */
int
mw_parse_overlay_mount(const char *line, size_t length, struct mw_overlay_mount *out);

/* memory.max, memory.high: a number of bytes, or "max" -> MW_UNLIMITED. */
int mw_parse_cgroup_limit(const char *text, size_t length, int64_t *limit_bytes);

/* memory.events, memory.stat: the number in the line "`key` NUMBER". -ENODATA: there is
 * no such line. */
int mw_parse_keyed(const char *text, size_t length, const char *key, int64_t *value);

#endif
