/* What no holder reaches, found as the garbage collector finds it. */

#include "python/heap/walk.h"

static uint32_t
reference_count(PyObject *object)
{
    /* From 3.14 on the upper half has flags. */
    return (uint32_t)Py_REFCNT(object);
}

static int
/* cppcheck-suppress constParameterCallback ; a visitproc */
count_reference(PyObject *object, void *references)
{
    struct mw_object_table *self = references;
    uint32_t number = mw_object_table_get(self, (uintptr_t)object);

    if (number > 1 && number < MW_OBJECT_NUMBER_MAX) {
        return mw_object_table_set(self, (uintptr_t)object, number - 1);
    }
    return 0;
}

static PyObject *
all_objects(void)
{
    PyObject *module = PyImport_ImportModule("gc");
    PyObject *objects =
        module == NULL ? NULL : PyObject_CallMethod(module, "get_objects", NULL);

    Py_XDECREF(module);
    return objects;
}

/* Give each object that no holder reaches the number 1 + its references from elsewhere.
 */
static int
count_references(struct walk *self, struct mw_object_table *references,
                 PyObject *objects)
{
    Py_ssize_t size = PyList_Size(objects);

    for (Py_ssize_t i = 0; i < size; i++) {
        PyObject *each = PyList_GetItem(objects, i);
        uint32_t number = reference_count(each); /* one of them is the list's */

        if (number > MW_OBJECT_NUMBER_MAX) {
            number = MW_OBJECT_NUMBER_MAX;
        }
        if (mw_object_table_get(&self->table, (uintptr_t)each) == 0 &&
            mw_object_table_set(references, (uintptr_t)each, number) < 0) {
            PyErr_NoMemory();
            return -1;
        }
    }
    for (Py_ssize_t i = 0; i < size; i++) {
        PyObject *each = PyList_GetItem(objects, i);
        const struct type_info *info;

        if (mw_object_table_get(references, (uintptr_t)each) == 0) {
            continue;
        }
        info = type_table_get(&self->types, each);
        if (info == NULL) {
            return -1;
        }
        if (type_info_may_traverse(info, each) &&
            info->traverse(each, count_reference, references) != 0) {
            return -1;
        }
    }
    return 0;
}

/* A new list of the objects that have references from elsewhere, or that have none. */
static PyObject *
choose(struct walk *self, const struct mw_object_table *references, PyObject *objects,
       bool has_references)
{
    PyObject *chosen = PyList_New(0);

    for (Py_ssize_t i = 0; chosen != NULL && i < PyList_Size(objects); i++) {
        PyObject *each = PyList_GetItem(objects, i);
        uint32_t number = mw_object_table_get(references, (uintptr_t)each);

        if (number == 0 || (number > 1) != has_references ||
            mw_object_table_get(&self->table, (uintptr_t)each) != 0) {
            continue;
        }
        if (PyList_Append(chosen, each) < 0) {
            Py_CLEAR(chosen);
        }
    }
    return chosen;
}

int
walk_unreached(struct walk *self, uint32_t holder)
{
    struct mw_object_table references;
    PyObject *objects = NULL;
    PyObject *held = NULL;
    PyObject *garbage = NULL;
    int err = -1;

    if (self->stopped != WALK_COMPLETE) {
        return 0; /* what was not walked would look unreached */
    }
    mw_object_table_init(&references);
    objects = all_objects();
    if (objects == NULL || count_references(self, &references, objects) < 0) {
        goto out;
    }
    held = choose(self, &references, objects, true);
    if (held == NULL || walk_system(self, held) < 0) {
        goto out;
    }
    /* What they hold has been reached by now. */
    garbage = choose(self, &references, objects, false);
    if (garbage != NULL && self->stopped == WALK_COMPLETE) {
        err = walk_holder(self, holder, garbage);
    }
    else if (garbage != NULL) {
        err = 0;
    }
out:
    mw_object_table_release(&references);
    Py_XDECREF(objects);
    Py_XDECREF(held);
    Py_XDECREF(garbage);
    return err;
}
