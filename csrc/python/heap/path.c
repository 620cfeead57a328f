#include "python/heap/path.h"

#include <stdlib.h>

#include "base/clock.h"

enum { FIRST_CAPACITY = 1024, LOOK_EVERY = 4096 };

struct step {
    PyObject *object; /* strong: functions of known libraries run in between */
    size_t from;      /* the step before it; its own number: the first */
};

struct search {
    struct walk *walk;
    uint32_t holder;
    struct mw_object_table seen;
    struct step *steps; /* in the order in which they were reached */
    size_t count;
    size_t capacity;
    size_t current;
    int64_t least_bytes;
    size_t found; /* SIZE_MAX: not yet */
};

static int
is_target(struct search *self, PyObject *object, bool *out)
{
    uint32_t set = mw_object_table_get(&self->walk->table, (uintptr_t)object);
    const struct type_info *info;

    *out = false;
    while (mw_holder_set_has_holders(set) &&
           self->walk->sets.items[set].holder != self->holder) {
        set = self->walk->sets.items[set].parent;
    }
    if (!mw_holder_set_has_holders(set)) {
        return 0;
    }
    info = type_table_get(&self->walk->types, object);
    if (info == NULL) {
        return -1;
    }
    *out = type_info_size(info, object) >= self->least_bytes;
    return 0;
}

static bool
is_wall(const struct search *self, const PyObject *object)
{
    uint32_t set = mw_object_table_get(&self->walk->table, (uintptr_t)object);

    return set == MW_HOLDER_SET_WALL || set == MW_HOLDER_SET_SYSTEM;
}

static int
add_step(PyObject *object, void *search)
{
    struct search *self = search;
    bool found;

    if (self->found != SIZE_MAX || is_wall(self, object)) {
        return 0;
    }
    if (mw_object_table_get(&self->seen, (uintptr_t)object) != 0) {
        return 0;
    }
    if (mw_object_table_set(&self->seen, (uintptr_t)object, 1) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    if (self->count == self->capacity) {
        size_t capacity = self->capacity == 0 ? FIRST_CAPACITY : 2 * self->capacity;
        struct step *steps = realloc(self->steps, capacity * sizeof *steps);

        if (steps == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        self->steps = steps;
        self->capacity = capacity;
    }
    self->steps[self->count] =
        (struct step){.object = Py_NewRef(object), .from = self->current};
    if (is_target(self, object, &found) < 0) {
        return -1;
    }
    if (found) {
        self->found = self->count;
    }
    self->count++;
    return 0;
}

static int
add_steps(struct search *self, PyObject *objects)
{
    for (Py_ssize_t i = 0; i < PySequence_Size(objects); i++) {
        PyObject *each = PySequence_GetItem(objects, i);
        int err = each == NULL ? -1 : add_step(each, self);

        Py_XDECREF(each);
        if (err < 0) {
            return -1;
        }
    }
    return 0;
}

/* Follow what the object holds. */
static int
follow(struct search *self, PyObject *object)
{
    const struct type_info *info = type_table_get(&self->walk->types, object);

    if (info == NULL) {
        return -1;
    }
    if (type_info_may_traverse(info, object) &&
        info->traverse(object, add_step, self) != 0) {
        return -1;
    }
    info = type_table_get(&self->walk->types, object);
    if (info != NULL && info->answer != NULL) {
        PyObject *answer = walk_answer(self->walk, object);
        int err = answer == NULL ? -1 : 0;

        if (answer != NULL && answer != Py_None) {
            err = add_steps(self, PyTuple_GetItem(answer, 2));
        }
        Py_XDECREF(answer);
        return err;
    }
    return 0;
}

static PyObject *
steps_to(const struct search *self, size_t last)
{
    PyObject *path = PyList_New(0);

    for (size_t i = last; path != NULL; i = self->steps[i].from) {
        if (PyList_Append(path, self->steps[i].object) < 0) {
            Py_CLEAR(path);
        }
        if (self->steps[i].from == i) {
            break;
        }
    }
    if (path != NULL && PyList_Reverse(path) < 0) {
        Py_CLEAR(path);
    }
    return path;
}

PyObject *
path_find(struct walk *walk, PyObject *from, uint32_t holder, int64_t least_bytes,
          int64_t t_deadline_ns)
{
    struct search self = {
        .walk = walk,
        .holder = holder,
        .least_bytes = least_bytes,
        .found = SIZE_MAX,
    };
    PyObject *path = NULL;
    int err = 0;

    mw_object_table_init(&self.seen);
    for (Py_ssize_t i = 0; err == 0 && i < PyList_Size(from); i++) {
        self.current = self.count;
        err = add_step(PyList_GetItem(from, i), &self);
    }
    for (size_t i = 0; err == 0 && i < self.count && self.found == SIZE_MAX; i++) {
        self.current = i;
        err = follow(&self, self.steps[i].object);
        if (i % LOOK_EVERY == 0 &&
            (PyOS_InterruptOccurred() || mw_clock_mono_ns() > t_deadline_ns)) {
            break;
        }
    }
    if (err == 0) {
        path =
            self.found == SIZE_MAX ? Py_NewRef(Py_None) : steps_to(&self, self.found);
    }
    for (size_t i = 0; i < self.count; i++) {
        Py_DECREF(self.steps[i].object);
    }
    free(self.steps);
    mw_object_table_release(&self.seen);
    return path;
}
