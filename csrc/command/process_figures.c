#include "command/process_figures.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "linux/parse.h"
#include "linux/proc.h"

enum { STATUS_ROOM = 16384 };

/* The rest of the line that begins with `key`; NULL: there is none. `text` ends with a
 * NUL. */
static const char *
find_value(const char *text, const char *key)
{
    size_t length = strlen(key);

    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, length) == 0) {
            return line + length;
        }
    }
    return NULL;
}

static void
copy_name(char *name, const char *text)
{
    const char *value = find_value(text, "Name:\t");
    size_t length = value == NULL ? 0 : strcspn(value, "\n");

    if (length >= MW_COMM_ROOM) {
        length = MW_COMM_ROOM - 1;
    }
    memcpy(name, value == NULL ? "" : value, length);
    name[length] = '\0';
}

int
mw_process_figures_read(struct mw_process_figures *out, const char *root, pid_t tid)
{
    struct mw_process_figures found;
    char text[STATUS_ROOM];
    const char *value;
    ssize_t length;
    int err;
    int fd = mw_proc_open_file(root, tid, "status", O_RDONLY);

    if (fd < 0) {
        return fd;
    }
    do {
        length = read(fd, text, sizeof text - 1);
    } while (length < 0 && errno == EINTR);
    err = -errno;
    close(fd);
    if (length < 0) {
        return err;
    }
    text[length] = '\0';
    err = mw_parse_status(text, (size_t)length, &found.memory);
    value = find_value(text, "Tgid:");
    if (err != 0 || value == NULL) {
        return -EBADMSG;
    }
    if (found.memory.rss_bytes == MW_ABSENT) {
        return -ENODATA;
    }
    found.pid = (pid_t)strtol(value, NULL, 10);
    value = find_value(text, "PPid:");
    found.parent = value == NULL ? 0 : (pid_t)strtol(value, NULL, 10);
    copy_name(found.name, text);
    *out = found;
    return 0;
}
