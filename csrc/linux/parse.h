/* Text of /proc and cgroup files -> fields. Pure: no I/O, no allocation, no
 * state; any thread.
 *
 * The text need not end in a NUL; `length` bytes are looked at. It may be torn
 * anywhere, for a read can come short: a line counts only when its newline is
 * there. Each function returns 0, or -EBADMSG where the text is not what the
 * kernel writes, and then leaves its out-parameters alone. */

#ifndef MW_LINUX_PARSE_H
#define MW_LINUX_PARSE_H

#include <stddef.h>

#include "base/sample.h"

/* /proc/PID/statm: field 2 (resident) x page size. -ENODATA where the process has
 * no memory to hold anything in (a zombie, a kernel thread): field 1 (size) is 0. */
int
mw_parse_statm(const char *text, size_t length, int64_t page_bytes, int64_t *rss_bytes);

/* /proc/PID/status: the lines that struct mw_memory names, kB x 1024. A line
 * that is not there (kernel threads and zombies have none) gives MW_ABSENT. */
int mw_parse_status(const char *text, size_t length, struct mw_memory *out);

/* /proc/PID/stat: field 22 (starttime), when the process began, in ticks since boot:
 * with its pid, what tells it from another that had the pid before. */
int mw_parse_start_ticks(const char *text, size_t length, int64_t *ticks);

/* /proc/PID/cgroup: the path of the group in the hierarchy of `controller`
 * ("memory"), or in the unified one where `controller` is NULL. The path points
 * into `text`. -ENODATA where the process is in no such hierarchy. */
int mw_parse_cgroup_path(const char *text, size_t length, const char *controller,
                         const char **path, size_t *path_length);

/* A line of /proc/PID/mountinfo: where the hierarchy of `controller`, or the unified
 * one where `controller` is NULL, is mounted (`point`), and which of its groups is seen
 * there (`root`; "/../.." where that is above the group of the reader's namespace).
 * Texts of at most `size` bytes with their NUL, escapes decoded. -ENODATA: a mount of
 * something else; -ENAMETOOLONG. */
int mw_parse_cgroup_mount(const char *line, size_t length, const char *controller,
                          char *root, char *point, size_t size);

/* memory.max, memory.high: a number of bytes, or "max" -> MW_UNLIMITED. */
int mw_parse_cgroup_limit(const char *text, size_t length, int64_t *limit_bytes);

/* memory.events, memory.stat: the number on the line "`key` NUMBER". -ENODATA
 * where there is no such line. */
int mw_parse_keyed(const char *text, size_t length, const char *key, int64_t *value);

#endif
