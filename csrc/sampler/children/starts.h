/* Counts the children that this process starts, so that those which end before a sample
 * sees them are known.
 *
 *     mw_children_announce(MW_CHILDREN_POPEN); // Python is about to start one
 *     started = mw_children_count_starts();
 *
 * Any thread may call any function; none takes a lock. */

#ifndef MW_SAMPLER_CHILDREN_STARTS_H
#define MW_SAMPLER_CHILDREN_STARTS_H

#include <stdint.h>

/* How the calling thread is about to start a child. fork() is counted by a handler; not
 * so vfork(), which Python's subprocess uses, posix_spawn() and system(). */
enum mw_children_start {
    MW_CHILDREN_FORK,   /* by fork(): not counted until it happens */
    MW_CHILDREN_POPEN,  /* by any of them: the next start on this thread is the same */
    MW_CHILDREN_SPAWN,  /* by posix_spawn(): the same child as a POPEN just announced */
    MW_CHILDREN_SYSTEM, /* by system() */
};

/* Announce a child. */
void mw_children_announce(enum mw_children_start how);

/* How many were announced or forked so far. */
int64_t mw_children_count_starts(void);

/* For the handlers of fork(), on the thread that called it. */
void mw_children_forked_in_parent(void);
void mw_children_forked_in_child(void);

#endif
