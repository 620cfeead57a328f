/* One look at a process, also at one that is stopped at its exit and still has its
 * memory.
 *
 *     err = mw_process_figures_read(&figures, MW_PROC_ROOT, tid);
 *     // figures.memory.hwm_bytes of the process figures.pid
 */

#ifndef MW_COMMAND_PROCESS_FIGURES_H
#define MW_COMMAND_PROCESS_FIGURES_H

#include <sys/types.h>

#include "base/sample.h"

enum { MW_COMM_ROOM = 16 }; /* TASK_COMM_LEN of the kernel */

struct mw_process_figures {
    pid_t pid;               /* the process of the thread that was asked for */
    pid_t parent;            /* of that process; 0: unknown, or not visible */
    char name[MW_COMM_ROOM]; /* of that thread (comm) */
    struct mw_memory memory;
};

/* From one read of ROOT/TID/status. Returns 0 or -errno; -ENODATA: it has no memory any
 * more. */
int
mw_process_figures_read(struct mw_process_figures *out, const char *root, pid_t tid);

#endif
