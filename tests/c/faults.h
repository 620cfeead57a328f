/* Calls that fail on demand, so that every error path can be walked.
 *
 * The linker's --wrap has each call below come here first: malloc, calloc, strdup,
 * open, read, pread, pwrite, mmap, sched_getaffinity, and what of pthread_* can fail.
 * Only calls of the thread that armed count, so the sampler's own thread disturbs no
 * counting. */

#ifndef FAULTS_H
#define FAULTS_H

#include <stdint.h>

/* The call that was made to fail. */
struct fault {
    const char *call; /* NULL: none was */
    int err;          /* the errno it failed with, positive */
    char path[256];   /* what an open was for, else "" */
};

/* Have the Nth call from now fail, counted from 1, with the errno that is likely for
 * it; then all go well again. */
void faults_arm(int nth);

/* The same, of calls that a signal may interrupt: the Nth of them fails with EINTR. */
void faults_interrupt(int nth);

/* Have every call of that name fail from now on. */
void faults_refuse(const char *call);

/* Whether and what failed since; nothing fails from now on. */
struct fault faults_disarm(void);

/* What is mapped by mmap() of all threads and not unmapped yet. */
int64_t faults_mapped_bytes(void);

/* How many mutexes, conditions and attributes were made and not destroyed yet. */
int faults_live_objects(void);

#endif
