/* memwatch._heap: who holds how much of the memory of this interpreter's objects.
 *
 * A module of its own: it is loaded when somebody asks. */

#include "base/clock.h"
#include "python/heap/path.h"
#include "python/heap/walk.h"

/* What measure() and path() have in common. */
struct arguments {
    PyObject *roots; /* a list of lists of objects */
    PyObject *system;
    PyObject *walls;
    PyObject *known;
    PyObject *trusted;
    double seconds;
};

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
        if (mark_all(walk, PyList_GetItem(given->roots, i), MW_HOLDER_SET_ROOT) < 0) {
            return -1;
        }
    }
    if (walk_system(walk, given->system) < 0) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        if (walk_holder(walk, (uint32_t)i, PyList_GetItem(given->roots, i)) < 0) {
            return -1;
        }
    }
    /* Objects of roots that libraries hold as well. */
    return walk_holder(walk, (uint32_t)count, walk->held);
}

static int
start(struct walk *walk, const struct arguments *given)
{
    int64_t now_ns = mw_clock_ns(CLOCK_MONOTONIC);

    return walk_init(walk, given->known, given->trusted,
                     now_ns + (int64_t)(given->seconds * 1e9));
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
    static const char *const reasons[] = {NULL, "time", "interrupt"};
    const struct mw_holder_set *system = &walk->sets.items[MW_HOLDER_SET_SYSTEM];
    const struct mw_holder_set *many = &walk->sets.items[MW_HOLDER_SET_MANY];

    return Py_BuildValue(
        "{s:N,s:L,s:L,s:L,s:n,s:n,s:L,s:z}", "sets", sets_as_list(&walk->sets),
        "system_bytes", (long long)system->bytes, "system_objects",
        (long long)system->objects, "many_bytes", (long long)many->bytes, "objects",
        (Py_ssize_t)walk->table.count, "table_bytes",
        (Py_ssize_t)(mw_object_table_bytes(&walk->table) +
                     walk->stack_capacity * sizeof *walk->stack),
        "failures", (long long)walk->failures, "stopped", reasons[walk->stopped]);
}

PyDoc_STRVAR(
    measure_doc,
    "measure(roots, system, walls, known, trusted, seconds, unreached=False)\n--\n\n"
    "Which of the holders, lists of objects in the list `roots`, hold how much.\n\n"
    "`system` is a list of objects whose memory does not count, nor what they hold;\n"
    "`walls` one of objects that are not entered. `known` is a tuple of (type,\n"
    "function): the function gets an object of the type and returns None or (bytes,\n"
    "((address, bytes), ...), (object, ...), ((address, length), ...)): its own "
    "bytes,\n"
    "buffers, objects, arrays of pointers to objects. `trusted` is a set of names of\n"
    "packages whose __sizeof__ in C may be called.\n\n"
    "The result has `sets`: a list of (holders, bytes, objects), where holders are\n"
    "indexes of roots; len(roots) stands for libraries, which hold an object of a "
    "root\n"
    "too. With `unreached`, len(roots) + 1 stands for cycles that await the garbage\n"
    "collector. `system_bytes`, `many_bytes` (held by more than 64), `objects`,\n"
    "`table_bytes` (what the walk itself took), `failures` (functions that raised),\n"
    "`stopped`: None, 'time' or 'interrupt'.");

static PyObject *
heap_measure(PyObject *Py_UNUSED(module), PyObject *args, PyObject *keywords)
{
    static char *names[] = {"roots",   "system",  "walls",     "known",
                            "trusted", "seconds", "unreached", NULL};
    struct arguments given;
    struct walk walk;
    PyObject *result = NULL;
    int unreached = 0;

    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O!O!O!O!O!d|p:measure", names,
                                     &PyList_Type, &given.roots, &PyList_Type,
                                     &given.system, &PyList_Type, &given.walls,
                                     &PyTuple_Type, &given.known, &PyFrozenSet_Type,
                                     &given.trusted, &given.seconds, &unreached) ||
        check(&given) < 0) {
        return NULL;
    }
    if (start(&walk, &given) == 0 && walk_all(&walk, &given) == 0 &&
        (!unreached ||
         walk_unreached(&walk, (uint32_t)PyList_Size(given.roots) + 1) == 0)) {
        result = result_of(&walk);
    }
    walk_release(&walk);
    return result;
}

PyDoc_STRVAR(
    path_doc,
    "path(holder, roots, system, walls, known, trusted, seconds, least_bytes)\n--\n\n"
    "How the list of objects `holder` holds something of `roots` that takes at least\n"
    "`least_bytes`: a list of objects, each held by the one before it. None: it does\n"
    "not, or time was up. The others as for measure().");

static PyObject *
heap_path(PyObject *Py_UNUSED(module), PyObject *args, PyObject *keywords)
{
    static char *names[] = {"holder",  "roots",   "system",      "walls", "known",
                            "trusted", "seconds", "least_bytes", NULL};
    struct arguments given;
    struct walk walk;
    PyObject *holder;
    PyObject *result = NULL;
    long long least_bytes;

    if (!PyArg_ParseTupleAndKeywords(
            args, keywords, "O!O!O!O!O!O!dL:path", names, &PyList_Type, &holder,
            &PyList_Type, &given.roots, &PyList_Type, &given.system, &PyList_Type,
            &given.walls, &PyTuple_Type, &given.known, &PyFrozenSet_Type,
            &given.trusted, &given.seconds, &least_bytes) ||
        check(&given) < 0) {
        return NULL;
    }
    if (start(&walk, &given) == 0 && walk_all(&walk, &given) == 0) {
        result = path_find(&walk, holder, least_bytes);
    }
    walk_release(&walk);
    return result;
}

/* ---- the module ---- */

static PyMethodDef heap_functions[] = {
    {"measure", (PyCFunction)(void (*)(void))heap_measure, METH_VARARGS | METH_KEYWORDS,
     measure_doc},
    {"path", (PyCFunction)(void (*)(void))heap_path, METH_VARARGS | METH_KEYWORDS,
     path_doc},
    {NULL, NULL, 0, NULL},
};

/* Without Py_mod_gil: the walk is only safe with the GIL. */
static PyModuleDef_Slot heap_slots[] = {ANY_INTERPRETER{0, NULL}};

static struct PyModuleDef heap_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "memwatch._heap",
    .m_doc = "Who holds how much memory.",
    .m_methods = heap_functions,
    .m_slots = heap_slots,
};

PyMODINIT_FUNC
PyInit__heap(void)
{
    return PyModuleDef_Init(&heap_module);
}
