/* What a walk over objects needs to know of their types: how to traverse an object and
 * how to size it, without running code of the user's.
 *
 * Sizes are what the allocator hands out: sys.getsizeof() plus the rounding of pymalloc
 * and malloc, and from 3.11 on the attribute values that an instance keeps outside its
 * __dict__. Only a __sizeof__ that is implemented in C by a type of a trusted package
 * is called; for other types the size is that of the C structure.
 *
 *     info = type_table_get(&types, object);
 *     bytes = type_info_size(info, object);
 *
 * The caller holds the GIL. Nothing here runs Python bytecode or the cyclic garbage
 * collector, if that is disabled: objects stay where they are. */

#ifndef MW_PYTHON_HEAP_TYPE_TABLE_H
#define MW_PYTHON_HEAP_TYPE_TABLE_H

#include <stdbool.h>

#include "python/support.h"

enum { TYPE_TABLE_RECENT = 16 }; /* a power of two */

struct type_info {
    PyTypeObject *type;    /* strong; NULL: empty place */
    traverseproc traverse; /* NULL: its objects refer to nothing */
    inquiry is_gc;         /* NULL: all its objects can be traversed */
    PyCFunction size_of;   /* __sizeof__; NULL: from the two sizes below */
    PyObject *answer;      /* strong; the function for a type of a known library */
    Py_ssize_t basic_size;
    Py_ssize_t item_size;
    int head_size;     /* before the object: GC header, dict and weakref pointers */
    bool has_tail;     /* what exceeds the basic size is a block of its own */
    bool has_values;   /* instances keep attribute values outside a dict */
    bool values_apart; /* in a block of their own, not behind the object */
};

struct type_table {
    struct type_info *infos;
    size_t capacity;
    size_t count;
    const struct type_info *recent[TYPE_TABLE_RECENT]; /* by the type's address */
    PyObject *known;   /* borrowed: a tuple of (type, function) */
    PyObject *trusted; /* borrowed: a set of names of packages */
    PyObject *basic_size;
    PyObject *item_size;
    PyObject *mro;
    PyObject *dict;
    PyObject *module;
    PyObject *size_of_name;
    long version; /* sys.hexversion */
};

/* -1 with an exception. `known`, the first match in the MRO counts, and `trusted` must
 * outlive the table. */
int type_table_init(struct type_table *self, PyObject *known, PyObject *trusted);
void type_table_release(struct type_table *self);

/* Valid until the next call. NULL with an exception: no memory. */
const struct type_info *type_table_get(struct type_table *self, PyObject *object);

/* Bytes. An object whose __sizeof__ fails has the size of its structure. */
int64_t type_info_size(const struct type_info *self, PyObject *object);

/* Bytes of the attribute values of an instance with so many, for has_values. */
int64_t type_info_values_size(const struct type_info *self, Py_ssize_t values);

/* Bytes that the allocator hands out for a block of `bytes`. */
int64_t allocated_bytes(int64_t bytes);

/* Whether tp_traverse may be called on the object. */
static inline bool
type_info_may_traverse(const struct type_info *self, PyObject *object)
{
    return self->traverse != NULL && (self->is_gc == NULL || self->is_gc(object) != 0);
}

#endif
