/* What walk.c and answers.c share. */

#ifndef MW_PYTHON_HEAP_WALK_PRIVATE_H
#define MW_PYTHON_HEAP_WALK_PRIVATE_H

#include "python/heap/walk.h"

/* A list, tuple, dict or array with more items is traversed in steps of so many: the
 * stack stays small. */
enum { WALK_STEP = 1024 };

/* There is no memory for the table: what was found stays. */
int walk_no_memory(struct walk *self);

/* The set in which an object of `set` is after the current holder has reached it; the
 * same: nothing to do. */
void walk_next_set(struct walk *self, uint32_t set, uint32_t *out);

/* Move `bytes` of an object or a buffer. A root has not been counted yet. */
void walk_count(struct walk *self, uint32_t from, uint32_t to, int64_t bytes);

/* The current holder reaches the object, now or in the next walk_drain(). */
int walk_enqueue(struct walk *self, PyObject *object);

/* Until nothing is left to traverse. */
int walk_drain(struct walk *self);

/* The same, then ask about the objects of known libraries that were reached; repeat. */
int walk_ask(struct walk *self);

#endif
