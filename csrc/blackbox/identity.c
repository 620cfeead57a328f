#include "blackbox/identity.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "linux/cgroup/limit.h"
#include "linux/proc.h"

#define BOOT_ID "/proc/sys/kernel/random/boot_id"

static void
read_boot_id(char *room, size_t size)
{
    int fd = open(BOOT_ID, O_RDONLY | O_CLOEXEC);
    char text[MW_BLACKBOX_SHORT_TEXT] = "";

    if (fd >= 0) {
        ssize_t length = read(fd, text, sizeof text - 1);
        close(fd);
        text[length > 0 ? length : 0] = '\0';
        text[strcspn(text, "\n")] = '\0';
    }
    mw_blackbox_put_text(room, size, text);
}

static int64_t
namespace_of(const char *file)
{
    struct stat found;

    return stat(file, &found) == 0 ? (int64_t)found.st_ino : MW_ABSENT;
}

void
mw_blackbox_identity_find(struct mw_blackbox_identity *self)
{
    char text[MW_CGROUP_PATH_ROOM] = "";

    self->pid = getpid();
    self->parent_pid = getppid();
    self->session_id = getsid(0);
    self->uid = getuid();
    self->t_mono_ns = mw_clock_mono_ns();
    self->t_real_ns = mw_clock_real_ns();
    if (mw_proc_read_start_ticks(MW_PROC_ROOT, 0, &self->start_ticks) != 0) {
        self->start_ticks = MW_ABSENT;
    }
    self->pid_namespace = namespace_of(MW_PROC_ROOT "/self/ns/pid");
    self->time_namespace = namespace_of(MW_PROC_ROOT "/self/ns/time");
    if (mw_cgroup_find_oom_kills(MW_PROC_ROOT, MW_CGROUP_MOUNT, 0, &self->oom_kills,
                                 text) != 0) {
        self->oom_kills = MW_ABSENT;
        *text = '\0';
    }
    mw_blackbox_put_text(self->oom_file, sizeof self->oom_file, text);
    read_boot_id(self->boot_id, sizeof self->boot_id);
    if (gethostname(text, sizeof text - 1) != 0) {
        *text = '\0';
    }
    mw_blackbox_put_text(self->host, sizeof self->host, text);
}
