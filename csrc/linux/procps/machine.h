/* The machine's memory and processors, by libproc2. With its own libraries that takes
 * 1.1 MiB, as much as all of memwatch: so memwatch._procps is loaded on demand.
 *
 *     err = mw_machine_new(&machine);
 *     err = mw_machine_read_memory(machine, &memory);
 *     mw_machine_free(&machine);
 */

#ifndef MW_LINUX_PROCPS_MACHINE_H
#define MW_LINUX_PROCPS_MACHINE_H

#include "base/sample.h"

struct mw_machine_memory {
    int64_t total_bytes;     /* MemTotal */
    int64_t available_bytes; /* MemAvailable: can be allocated without swapping */
};

struct mw_machine; /* opaque: its insides are libproc2's */

/* The caller owns *out and frees it. -errno. */
int mw_machine_new(struct mw_machine **out);
void mw_machine_free(struct mw_machine **self);

/* /proc/meminfo, about 7 us. One thread at a time. -errno. */
int mw_machine_read_memory(struct mw_machine *self, struct mw_machine_memory *out);

/* /proc/stat, about 5 us on two processors. One thread at a time. The busiest processor
 * is computed since the previous call. -errno. */
int mw_machine_read_cpu(struct mw_machine *self, struct mw_cpu *out);

#endif
