/* memwatch._heap: who holds how much of the memory of this interpreter's objects.
 *
 * A module of its own: it is loaded when somebody asks. */

#include "base/clock.h"
#include "python/heap/path.h"
#include "python/heap/walk.h"

typedef struct {
    PyObject_HEAD
    PyObject *known;   /* the walk borrows it */
    PyObject *trusted; /* and that */
    struct walk walk;
} WalkObject;

struct arguments {
    PyObject *roots; /* a list of lists of objects */
    PyObject *system;
    PyObject *walls;
    PyObject *known;
    PyObject *trusted;
    double seconds;
    Py_ssize_t expected; /* so many roots, the first ones, the system holds anyway */
    int unreached;
};

static int64_t
deadline(double seconds)
{
    return mw_clock_mono_ns() + (int64_t)(seconds * 1e9);
}

static int
mark_all(struct walk *walk, PyObject *objects, uint32_t set)
{
    for (Py_ssize_t i = 0; i < PyList_Size(objects); i++) {
        if (walk_mark(walk, PyList_GetItem(objects, i), set) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Check what the C code below takes for granted. */
static int
check(const struct arguments *given)
{
    for (Py_ssize_t i = 0; i < PyList_Size(given->roots); i++) {
        if (!PyList_Check(PyList_GetItem(given->roots, i))) {
            PyErr_SetString(PyExc_TypeError, "roots: expected a list of lists");
            return -1;
        }
    }
    for (Py_ssize_t i = 0; i < PyTuple_Size(given->known); i++) {
        PyObject *each = PyTuple_GetItem(given->known, i);

        if (!PyTuple_Check(each) || PyTuple_Size(each) != 2) {
            PyErr_SetString(PyExc_TypeError, "known: expected (type, function)");
            return -1;
        }
    }
    return 0;
}

/* Walk the system and each root. */
static int
walk_all(struct walk *walk, const struct arguments *given)
{
    Py_ssize_t count = PyList_Size(given->roots);

    if (mark_all(walk, given->walls, MW_HOLDER_SET_WALL) < 0) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        uint32_t set = i < given->expected ? MW_HOLDER_SET_WALL : MW_HOLDER_SET_ROOT;

        if (mark_all(walk, PyList_GetItem(given->roots, i), set) < 0) {
            return -1;
        }
    }
    if (walk_system(walk, given->system) < 0) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < count && i < given->expected; i++) {
        if (mark_all(walk, PyList_GetItem(given->roots, i), MW_HOLDER_SET_ROOT) < 0) {
            return -1;
        }
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        if (walk_holder(walk, (uint32_t)i, PyList_GetItem(given->roots, i)) < 0) {
            return -1;
        }
    }
    /* Objects of roots that libraries hold as well. */
    if (walk_holder(walk, (uint32_t)count, walk->held) < 0) {
        return -1;
    }
    return given->unreached ? walk_unreached(walk, (uint32_t)count + 1) : 0;
}

/* ---- results ---- */

static PyObject *
holders_of(const struct mw_holder_sets *sets, uint32_t set)
{
    PyObject *holders = PyTuple_New(sets->items[set].size);

    /* The last one was added last: their order is that of their numbers. */
    for (Py_ssize_t i = sets->items[set].size - 1; holders != NULL && i >= 0; i--) {
        PyObject *number = PyLong_FromUnsignedLong(sets->items[set].holder);

        if (number == NULL || PyTuple_SetItem(holders, i, number) < 0) {
            Py_CLEAR(holders);
        }
        set = sets->items[set].parent;
    }
    return holders;
}

static PyObject *
sets_as_list(const struct mw_holder_sets *sets)
{
    PyObject *list = PyList_New(0);

    for (uint32_t i = MW_HOLDER_SET_FIRST; list != NULL && i < sets->count; i++) {
        const struct mw_holder_set *each = &sets->items[i];
        PyObject *item;

        if (each->objects == 0) {
            continue;
        }
        item = Py_BuildValue("NLL", holders_of(sets, i), (long long)each->bytes,
                             (long long)each->objects);
        if (item == NULL || PyList_Append(list, item) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(item);
    }
    return list;
}

static PyObject *
result_of(const struct walk *walk)
{
    static const char *const reasons[] = {NULL, "time", "interrupt", "memory"};
    const struct mw_holder_set *system = &walk->sets.items[MW_HOLDER_SET_SYSTEM];
    const struct mw_holder_set *many = &walk->sets.items[MW_HOLDER_SET_MANY];

    return Py_BuildValue(
        "{s:N,s:O,s:L,s:L,s:L,s:n,s:n,s:L,s:z}", "sets", sets_as_list(&walk->sets),
        "held", walk->held, "system_bytes", (long long)system->bytes, "system_objects",
        (long long)system->objects, "many_bytes", (long long)many->bytes, "objects",
        (Py_ssize_t)walk->table.count, "table_bytes",
        (Py_ssize_t)(mw_object_table_bytes(&walk->table) +
                     walk->stack_capacity * sizeof *walk->stack),
        "failures", (long long)walk->failures, "stopped", reasons[walk->stopped]);
}

PyDoc_STRVAR(
    walk_result_doc,
    "result()\n--\n\n"
    "`sets`: a list of (holders, bytes, objects), where holders are indexes of roots.\n"
    "len(roots) stands for libraries, which hold an object of a root too, and with\n"
    "`unreached` len(roots) + 1 for cycles that await the garbage collector. `held`:\n"
    "the objects of roots that libraries hold. `system_bytes`, `many_bytes` (held by\n"
    "more than 64), `objects`, `table_bytes` (what the walk itself took), `failures`\n"
    "(functions that raised), `stopped`: None, 'time', 'interrupt' or 'memory'.");

static PyObject *
walk_result(PyObject *op, PyObject *Py_UNUSED(unused))
{
    return result_of(&((WalkObject *)op)->walk);
}

PyDoc_STRVAR(walk_path_doc, "path(objects, holder, least_bytes, seconds)\n--\n\n"
                            "How the list of objects holds something that the root of "
                            "index `holder` holds and\n"
                            "that takes at least `least_bytes`: a list of objects, "
                            "each held by the one before\n"
                            "it. None: it does not, or time was up.");

static PyObject *
walk_path(PyObject *op, PyObject *args)
{
    PyObject *objects;
    unsigned int holder;
    long long least_bytes;
    double seconds;

    if (!PyArg_ParseTuple(args, "O!ILd:path", &PyList_Type, &objects, &holder,
                          &least_bytes, &seconds)) {
        return NULL;
    }
    return path_find(&((WalkObject *)op)->walk, objects, holder, least_bytes,
                     deadline(seconds));
}

/* ---- the type ---- */

static PyObject *
walk_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"roots",   "expected", "system",    "walls", "known",
                            "trusted", "seconds",  "unreached", NULL};
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    struct arguments given = {0};
    WalkObject *self;

    if (!PyArg_ParseTupleAndKeywords(
            args, keywords, "O!nO!O!O!O!d|p:Walk", names, &PyList_Type, &given.roots,
            &given.expected, &PyList_Type, &given.system, &PyList_Type, &given.walls,
            &PyTuple_Type, &given.known, &PyFrozenSet_Type, &given.trusted,
            &given.seconds, &given.unreached) ||
        check(&given) < 0) {
        return NULL;
    }
    self = (WalkObject *)alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->known = Py_NewRef(given.known);
    self->trusted = Py_NewRef(given.trusted);
    if (walk_init(&self->walk, given.known, given.trusted, deadline(given.seconds)) <
            0 ||
        walk_all(&self->walk, &given) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    walk_end(&self->walk);
    return (PyObject *)self;
}

static void
walk_dealloc(PyObject *op)
{
    WalkObject *self = (WalkObject *)op;
    PyTypeObject *type = Py_TYPE(op);
    freefunc free_object = (freefunc)PyType_GetSlot(type, Py_tp_free);

    walk_release(&self->walk);
    Py_XDECREF(self->known);
    Py_XDECREF(self->trusted);
    free_object(op);
    Py_DECREF(type);
}

static PyMethodDef walk_methods[] = {
    {"result", walk_result, METH_NOARGS, walk_result_doc},
    {"path", walk_path, METH_VARARGS, walk_path_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(
    walk_doc,
    "Walk(roots, expected, system, walls, known, trusted, seconds, unreached=False)\n"
    "--\n\n"
    "Which of the holders, lists of objects in the list `roots`, hold how much.\n\n"
    "`system` is a list of objects whose memory does not count, nor what they hold;\n"
    "`walls` one of objects that are not entered. The first `expected` roots are held\n"
    "by the system anyway, which is not told. `known` is a tuple of (type, function):\n"
    "the function gets an object of the type and returns None or (bytes, ((address,\n"
    "bytes), ...), (object, ...), ((address, length), ...)): its own bytes, buffers,\n"
    "objects, arrays of pointers to objects. `trusted` is a set of names of packages\n"
    "whose __sizeof__ in C may be called. `unreached`: find garbage too.");

static PyType_Slot walk_slots[] = {
    {Py_tp_doc, (void *)walk_doc},
    {Py_tp_new, walk_new},
    {Py_tp_dealloc, walk_dealloc},
    {Py_tp_methods, walk_methods},
    {0, NULL},
};

static PyType_Spec walk_spec = {
    .name = "memwatch._heap.Walk",
    .basicsize = sizeof(WalkObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = walk_slots,
};

/* ---- the module ---- */

static int
heap_exec(PyObject *module)
{
    return add_type(module, &walk_spec, NULL);
}

/* Without Py_mod_gil: the walk is only safe with the GIL. */
static PyModuleDef_Slot heap_slots[] = {{Py_mod_exec, heap_exec},
                                        ANY_INTERPRETER{0, NULL}};

static struct PyModuleDef heap_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "memwatch._heap",
    .m_doc = "Who holds how much memory.",
    .m_slots = heap_slots,
};

PyMODINIT_FUNC
PyInit__heap(void)
{
    return PyModuleDef_Init(&heap_module);
}
