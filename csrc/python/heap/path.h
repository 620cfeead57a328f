/* How objects hold another one: a shortest way from one to the other. */

#ifndef MW_PYTHON_HEAP_PATH_H
#define MW_PYTHON_HEAP_PATH_H

#include "python/heap/walk.h"

/* A new list of objects, from one of the list `from` to one that `holder` holds too and
 * that takes at least `least_bytes`, each held by the one before it. None if there is
 * no way, or no time until `t_deadline_ns`. NULL with an exception. The walk has ended.
 */
PyObject *path_find(struct walk *walk, PyObject *from, uint32_t holder,
                    int64_t least_bytes, int64_t t_deadline_ns);

#endif
