/* How objects hold another one: a shortest way from one to the other. */

#ifndef MW_PYTHON_HEAP_PATH_H
#define MW_PYTHON_HEAP_PATH_H

#include "python/heap/walk.h"

/* A new list of objects, from one of the list `from` to one that `inside` has in a set
 * of holders and that takes at least `least_bytes`, each held by the one before it.
 * None if there is no way, or no time. NULL with an exception. `inside` has been
 * walked; its deadline counts. */
PyObject *path_find(struct walk *inside, PyObject *from, int64_t least_bytes);

#endif
