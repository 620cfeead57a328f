#include "python/heap/walk_private.h"

#include <stdlib.h>

#include "base/clock.h"

enum {
    FIRST_DEPTH = 1024,
    LOOK_EVERY = 32768, /* objects between two looks at the clock: about 2 ms */
};

static const uint32_t SYSTEM_HOLDER = UINT32_MAX;

int
walk_init(struct walk *self, PyObject *known, PyObject *trusted, int64_t t_deadline_ns)
{
    *self = (struct walk){
        .t_deadline_ns = t_deadline_ns,
        .until_look = LOOK_EVERY,
        .collector_was_on = PyGC_Disable() == 1,
    };
    mw_object_table_init(&self->table);
    self->unanswered = PyList_New(0);
    self->answers = PyDict_New();
    self->held = PyList_New(0);
    self->stack = calloc(FIRST_DEPTH, sizeof *self->stack);
    self->stack_capacity = FIRST_DEPTH;
    if (self->unanswered == NULL || self->answers == NULL || self->held == NULL) {
        return -1;
    }
    if (self->stack == NULL || mw_holder_sets_init(&self->sets) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    return type_table_init(&self->types, known, trusted);
}

void
walk_end(struct walk *self)
{
    if (self->collector_was_on) {
        PyGC_Enable();
    }
    self->collector_was_on = false;
}

void
walk_release(struct walk *self)
{
    mw_object_table_release(&self->table);
    mw_holder_sets_release(&self->sets);
    type_table_release(&self->types);
    free(self->stack);
    Py_XDECREF(self->unanswered);
    Py_XDECREF(self->answers);
    Py_XDECREF(self->held);
    walk_end(self);
    *self = (struct walk){0};
}

int
walk_no_memory(struct walk *self)
{
    self->stopped = WALK_NO_MEMORY;
    return 0;
}

static void
look_at_the_clock(struct walk *self)
{
    if (--self->until_look > 0) {
        return;
    }
    self->until_look = LOOK_EVERY;
    if (mw_clock_mono_ns() > self->t_deadline_ns) {
        self->stopped = WALK_LATE;
    }
    /* Unlike PyErr_CheckSignals() it runs no handler, which could change objects. */
    else if (PyOS_InterruptOccurred()) {
        self->stopped = WALK_INTERRUPTED;
    }
}

/* ---- what to traverse: a stack ---- */

static int
push(struct walk *self, PyObject *object, Py_ssize_t next, uint32_t from)
{
    if (self->depth == self->stack_capacity) {
        size_t capacity = 2 * self->stack_capacity;
        struct walk_pending *stack = realloc(self->stack, capacity * sizeof *stack);

        if (stack == NULL) {
            return walk_no_memory(self);
        }
        self->stack = stack;
        self->stack_capacity = capacity;
    }
    self->stack[self->depth++] =
        (struct walk_pending){.object = object, .next = next, .from = from};
    return 0;
}

/* ---- reaching an object ---- */

void
walk_next_set(struct walk *self, uint32_t set, uint32_t *out)
{
    *out = set;
    if (self->holder == SYSTEM_HOLDER) {
        if (set == MW_HOLDER_SET_NONE) {
            *out = MW_HOLDER_SET_SYSTEM;
        }
        else if (set == MW_HOLDER_SET_ROOT) {
            *out = MW_HOLDER_SET_HELD;
        }
        return;
    }
    if (set == self->last_from && self->last_to != 0) {
        *out = self->last_to;
        return;
    }
    if (mw_holder_set_has_holders(set)) {
        if (self->sets.items[set].holder == self->holder) {
            return;
        }
    }
    else if (set == MW_HOLDER_SET_SYSTEM || set == MW_HOLDER_SET_WALL ||
             set == MW_HOLDER_SET_MANY) {
        return;
    }
    self->last_from = set;
    if (!mw_holder_set_has_holders(set)) {
        set = MW_HOLDER_SET_NONE;
    }
    if (mw_holder_sets_add(&self->sets, set, self->holder, out) < 0) {
        (void)walk_no_memory(self);
        return;
    }
    self->last_to = *out;
}

/* Put what has been counted into the sets. */
static void
settle(struct walk *self)
{
    if (self->moved.objects > 0) {
        mw_holder_sets_move(&self->sets, self->moved.from, self->moved.to,
                            self->moved.bytes, self->moved.objects);
    }
    self->moved.bytes = self->moved.objects = 0;
}

void
walk_count(struct walk *self, uint32_t from, uint32_t to, int64_t bytes)
{
    if (!mw_holder_set_has_holders(from)) {
        from = MW_HOLDER_SET_NONE;
    }
    if (from != self->moved.from || to != self->moved.to) {
        settle(self);
        self->moved.from = from;
        self->moved.to = to;
    }
    self->moved.bytes += bytes;
    self->moved.objects++;
}

static int
reach(struct walk *self, PyObject *object, uint16_t *number)
{
    uint32_t from =
        number != NULL ? *number : mw_object_table_get(&self->table, (uintptr_t)object);
    const struct type_info *info;
    uint32_t to;

    walk_next_set(self, from, &to);
    if (to == from) {
        return 0;
    }
    if (number != NULL) {
        *number = (uint16_t)to;
        self->table.count += from == MW_HOLDER_SET_NONE;
    }
    else if (mw_object_table_set(&self->table, (uintptr_t)object, to) < 0) {
        return walk_no_memory(self);
    }
    if (to == MW_HOLDER_SET_HELD) {
        return PyList_Append(self->held, object);
    }
    info = type_table_get(&self->types, object);
    if (info == NULL) {
        return -1;
    }
    walk_count(self, from, to, type_info_size(info, object));
    if (info->answer != NULL && PyList_Append(self->unanswered, object) < 0) {
        return -1;
    }
    if (type_info_may_traverse(info, object)) {
        return push(self, object, 0, from);
    }
    return 0;
}

/* ---- a short queue in which objects wait for the processor's cache ---- */

static int
reach_first(struct walk *self)
{
    struct walk_queued first = self->queue[self->queue_first];

    self->queue_first = (self->queue_first + 1) % WALK_QUEUE;
    self->queue_count--;
    return reach(self, first.object, first.number);
}

int
walk_enqueue(struct walk *self, PyObject *object)
{
    if (self->queue_count == WALK_QUEUE && reach_first(self) < 0) {
        return -1;
    }
    __builtin_prefetch(object);
    self->queue[(self->queue_first + self->queue_count++) % WALK_QUEUE] =
        (struct walk_queued){
            .object = object,
            .number = mw_object_table_locate(&self->table, (uintptr_t)object),
    };
    return 0;
}

static int
visit(PyObject *object, void *walk)
{
    struct walk *self = walk;

    self->visited++;
    return walk_enqueue(self, object);
}

/* ---- traversing ---- */

/* Visit WALK_STEP items of a large container; the rest stays on the stack. */
static int
visit_items(struct walk *self, struct walk_pending pending)
{
    PyObject *object = pending.object;
    Py_ssize_t size;

    if (PyDict_CheckExact(object)) {
        Py_ssize_t steps = 0;
        PyObject *key;
        PyObject *value;

        while (PyDict_Next(object, &pending.next, &key, &value)) {
            if (walk_enqueue(self, key) < 0 || walk_enqueue(self, value) < 0) {
                return -1;
            }
            if (++steps == WALK_STEP) {
                return push(self, object, pending.next, pending.from);
            }
        }
        return 0;
    }
    size = PyList_CheckExact(object) ? PyList_Size(object) : PyTuple_Size(object);
    for (Py_ssize_t steps = 0; pending.next < size; pending.next++) {
        PyObject *item = PyList_CheckExact(object)
                             ? PyList_GetItem(object, pending.next)
                             : PyTuple_GetItem(object, pending.next);

        if (steps++ == WALK_STEP) {
            return push(self, object, pending.next, pending.from);
        }
        if (item != NULL && walk_enqueue(self, item) < 0) {
            return -1;
        }
    }
    return 0;
}

static bool
is_large(PyObject *object)
{
    return (PyList_CheckExact(object) && PyList_Size(object) > WALK_STEP) ||
           (PyTuple_CheckExact(object) && PyTuple_Size(object) > WALK_STEP) ||
           (PyDict_CheckExact(object) && PyDict_Size(object) > WALK_STEP);
}

/* The set that the object, which the current holder has reached, is in. */
static uint32_t
set_of(const struct walk *self, const PyObject *object)
{
    return mw_object_table_get(&self->table, (uintptr_t)object);
}

static int
traverse(struct walk *self, struct walk_pending pending)
{
    const struct type_info *info = type_table_get(&self->types, pending.object);
    traverseproc function;
    bool has_values;

    if (info == NULL) {
        return -1;
    }
    if (is_large(pending.object)) {
        return visit_items(self, pending);
    }
    function = info->traverse;
    has_values = info->has_values;
    self->visited = 0;
    if (function(pending.object, visit, self) != 0) {
        return -1;
    }
    if (has_values) {
        Py_ssize_t values = self->visited - 1; /* without its type */
        uint32_t set = set_of(self, pending.object);
        int64_t bytes;

        info = type_table_get(&self->types, pending.object);
        if (info == NULL) {
            return -1;
        }
        bytes = type_info_values_size(info, values > 0 ? values : 0);
        self->sets.items[set].bytes += bytes;
        if (mw_holder_set_has_holders(pending.from)) {
            self->sets.items[pending.from].bytes -= bytes;
        }
    }
    return 0;
}

int
walk_drain(struct walk *self)
{
    while (self->stopped == WALK_COMPLETE) {
        if (self->depth > 0) {
            if (traverse(self, self->stack[--self->depth]) < 0) {
                return -1;
            }
        }
        else if (self->queue_count > 0) {
            if (reach_first(self) < 0) {
                return -1;
            }
        }
        else {
            return 0;
        }
        look_at_the_clock(self);
    }
    self->depth = 0;
    self->queue_count = 0;
    return 0;
}

static int
walk_objects(struct walk *self, uint32_t holder, PyObject *objects)
{
    self->holder = holder;
    self->last_from = self->last_to = 0;
    for (Py_ssize_t i = 0; i < PyList_Size(objects); i++) {
        if (walk_enqueue(self, PyList_GetItem(objects, i)) < 0) {
            return -1;
        }
    }
    if (walk_ask(self) < 0) {
        return -1;
    }
    settle(self);
    return 0;
}

int
walk_mark(struct walk *self, const PyObject *object, uint32_t set)
{
    if (mw_object_table_set(&self->table, (uintptr_t)object, set) < 0) {
        return walk_no_memory(self);
    }
    return 0;
}

int
walk_system(struct walk *self, PyObject *objects)
{
    return walk_objects(self, SYSTEM_HOLDER, objects);
}

int
walk_holder(struct walk *self, uint32_t holder, PyObject *objects)
{
    return walk_objects(self, holder, objects);
}
