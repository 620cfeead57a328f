#include "python/heap/type_table.h"

#include <stdlib.h>

enum {
    FIRST_CAPACITY = 1024,
    POINTER = (int)sizeof(void *),
    GC_HEAD = 2 * POINTER,

    /* Object sizes of CPython's allocators: Objects/obmalloc.c and glibc's malloc. */
    ALIGNMENT = 16,
    PYMALLOC_MOST = 512,
    CHUNK_HEAD = 8,
    MMAP_LEAST = 128 * 1024,
    PAGE = 4096,
};

/* Bits of the type's flags since 3.11, 3.12 and 3.13: not in the limited API. */
static const unsigned long MANAGED_DICT = 1UL << 4;
static const unsigned long MANAGED_WEAKREF = 1UL << 3;
static const unsigned long INLINE_VALUES = 1UL << 2;

static int64_t
rounded(int64_t bytes, int64_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

int64_t
allocated_bytes(int64_t bytes)
{
    if (bytes <= 0) {
        return 0;
    }
    if (bytes <= PYMALLOC_MOST) {
        return rounded(bytes, ALIGNMENT);
    }
    return bytes < MMAP_LEAST ? rounded(bytes + CHUNK_HEAD, ALIGNMENT)
                              : rounded(bytes + 2 * (int64_t)CHUNK_HEAD, PAGE);
}

/* ---- reading types: descriptors of `type` itself, so no metaclass interferes ---- */

/* A new reference to the attribute of `type` that `descriptor` describes; NULL without
 * an exception if it has none. */
static PyObject *
attribute(PyObject *descriptor, PyTypeObject *type)
{
    descrgetfunc get =
        (descrgetfunc)PyType_GetSlot(Py_TYPE(descriptor), Py_tp_descr_get);
    PyObject *value = get(descriptor, (PyObject *)type, (PyObject *)Py_TYPE(type));

    if (value == NULL) {
        PyErr_Clear();
    }
    return value;
}

static Py_ssize_t
size_attribute(PyObject *descriptor, PyTypeObject *type)
{
    PyObject *value = attribute(descriptor, type);
    Py_ssize_t size = value == NULL ? 0 : PyLong_AsSsize_t(value);

    Py_XDECREF(value);
    if (size == -1 && PyErr_Occurred()) {
        PyErr_Clear();
        size = 0;
    }
    return size;
}

static bool
is_trusted(const struct type_table *self, PyTypeObject *type)
{
    PyObject *module = attribute(self->module, type);
    PyObject *package = NULL;
    bool trusted = false;

    if (module != NULL && PyUnicode_CheckExact(module)) {
        Py_ssize_t length = PyUnicode_GetLength(module);
        Py_ssize_t dot = PyUnicode_FindChar(module, '.', 0, length, 1);

        package = PyUnicode_Substring(module, 0, dot < 0 ? length : dot);
        trusted = package != NULL && PySet_Contains(self->trusted, package) == 1;
    }
    PyErr_Clear();
    Py_XDECREF(package);
    Py_XDECREF(module);
    return trusted;
}

/* The C function of __sizeof__ that `owner`, a class in the MRO of the object's type,
 * defines; NULL: it defines none, or none to be called. */
static PyCFunction
size_function(const struct type_table *self, PyTypeObject *owner, PyObject *object)
{
    PyObject *dict = attribute(self->dict, owner);
    PyObject *method = dict == NULL ? NULL : PyObject_GetItem(dict, self->size_of_name);
    PyCFunction function = NULL;

    PyErr_Clear();
    if (method != NULL && Py_TYPE(method) == &PyMethodDescr_Type &&
        is_trusted(self, owner)) {
        descrgetfunc get =
            (descrgetfunc)PyType_GetSlot(Py_TYPE(method), Py_tp_descr_get);
        PyObject *bound = get(method, object, (PyObject *)Py_TYPE(object));

        if (bound != NULL && PyCFunction_Check(bound) &&
            PyCFunction_GetFlags(bound) == METH_NOARGS) {
            function = PyCFunction_GetFunction(bound);
        }
        PyErr_Clear();
        Py_XDECREF(bound);
    }
    Py_XDECREF(method);
    Py_XDECREF(dict);
    return function;
}

/* Set what the classes in the type's MRO decide. -1 with an exception. */
static int
look_at_bases(const struct type_table *self, struct type_info *info, PyObject *object)
{
    PyObject *mro = attribute(self->mro, info->type);
    Py_ssize_t known = PyTuple_Size(self->known);

    if (mro == NULL || !PyTuple_Check(mro)) {
        Py_XDECREF(mro);
        return 0;
    }
    for (Py_ssize_t i = 0; i < PyTuple_Size(mro); i++) {
        PyTypeObject *each = (PyTypeObject *)PyTuple_GetItem(mro, i);

        if (!PyType_Check((PyObject *)each)) {
            continue;
        }
        /* By identity: a metaclass may define __eq__ and __hash__. */
        for (Py_ssize_t j = 0; j < known && info->answer == NULL; j++) {
            PyObject *pair = PyTuple_GetItem(self->known, j);

            if (PyTuple_GetItem(pair, 0) == (PyObject *)each) {
                info->answer = Py_NewRef(PyTuple_GetItem(pair, 1));
            }
        }
        if (info->size_of == NULL && each != &PyBaseObject_Type) {
            info->size_of = size_function(self, each, object);
        }
    }
    Py_DECREF(mro);
    return PyErr_Occurred() ? -1 : 0;
}

static void
look_at_layout(const struct type_table *self, struct type_info *info)
{
    unsigned long flags = PyType_GetFlags(info->type);

    if ((flags & Py_TPFLAGS_HAVE_GC) != 0) {
        info->head_size = GC_HEAD;
    }
    if (self->version >= 0x030B0000 && (flags & Py_TPFLAGS_HEAPTYPE) != 0) {
        bool dict = (flags & MANAGED_DICT) != 0;
        bool weakref = self->version >= 0x030C0000 && (flags & MANAGED_WEAKREF) != 0;

        if (dict || weakref) {
            info->head_size += 2 * POINTER;
        }
        info->values_apart = self->version < 0x030D0000;
        info->has_values = dict && (info->values_apart || (flags & INLINE_VALUES) != 0);
    }
    info->has_tail = info->item_size == 0 && (flags & Py_TPFLAGS_UNICODE_SUBCLASS) == 0;
}

/* ---- the table ---- */

int
type_table_init(struct type_table *self, PyObject *known, PyObject *trusted)
{
    PyObject *dict = PyObject_GetAttrString((PyObject *)&PyType_Type, "__dict__");
    PyObject *version = PySys_GetObject("hexversion"); /* borrowed */

    *self = (struct type_table){.known = known, .trusted = trusted};
    if (dict != NULL) {
        self->basic_size = PyMapping_GetItemString(dict, "__basicsize__");
        self->item_size = PyMapping_GetItemString(dict, "__itemsize__");
        self->mro = PyMapping_GetItemString(dict, "__mro__");
        self->dict = PyMapping_GetItemString(dict, "__dict__");
        self->module = PyMapping_GetItemString(dict, "__module__");
        Py_DECREF(dict);
    }
    self->size_of_name = PyUnicode_InternFromString("__sizeof__");
    self->version = version == NULL ? 0 : PyLong_AsLong(version);
    self->infos = calloc(FIRST_CAPACITY, sizeof *self->infos);
    self->capacity = FIRST_CAPACITY;
    if (self->infos == NULL) {
        PyErr_NoMemory();
    }
    if (PyErr_Occurred()) {
        type_table_release(self);
        return -1;
    }
    return 0;
}

void
type_table_release(struct type_table *self)
{
    for (size_t i = 0; self->infos != NULL && i < self->capacity; i++) {
        Py_XDECREF((PyObject *)self->infos[i].type);
        Py_XDECREF(self->infos[i].answer);
    }
    free(self->infos);
    Py_XDECREF(self->basic_size);
    Py_XDECREF(self->item_size);
    Py_XDECREF(self->mro);
    Py_XDECREF(self->dict);
    Py_XDECREF(self->module);
    Py_XDECREF(self->size_of_name);
    *self = (struct type_table){0};
}

static struct type_info *
place_of(struct type_info *infos, size_t capacity, const PyTypeObject *type)
{
    size_t place = (size_t)((uintptr_t)type / 8 * UINT64_C(0x9E3779B97F4A7C15) >> 32) &
                   (capacity - 1);

    while (infos[place].type != NULL && infos[place].type != type) {
        place = (place + 1) & (capacity - 1);
    }
    return &infos[place];
}

static int
grow(struct type_table *self)
{
    size_t capacity = 2 * self->capacity;
    struct type_info *infos = calloc(capacity, sizeof *infos);

    if (infos == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < self->capacity; i++) {
        if (self->infos[i].type != NULL) {
            *place_of(infos, capacity, self->infos[i].type) = self->infos[i];
        }
    }
    free(self->infos);
    self->infos = infos;
    self->capacity = capacity;
    memset((void *)self->recent, 0, sizeof self->recent);
    return 0;
}

const struct type_info *
type_table_get(struct type_table *self, PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    /* Types are large: the low bits of their addresses tell little. */
    const struct type_info **recent =
        &self->recent[((uintptr_t)type >> 5 ^ (uintptr_t)type >> 9) %
                      TYPE_TABLE_RECENT];
    struct type_info *info;

    if (*recent != NULL && (*recent)->type == type) {
        return *recent;
    }
    info = place_of(self->infos, self->capacity, type);
    if (info->type == NULL) {
        if (2 * self->count >= self->capacity) {
            if (grow(self) < 0) {
                return NULL;
            }
            info = place_of(self->infos, self->capacity, type);
        }
        info->type = (PyTypeObject *)Py_NewRef((PyObject *)type);
        info->traverse = (traverseproc)PyType_GetSlot(type, Py_tp_traverse);
        info->is_gc = (inquiry)PyType_GetSlot(type, Py_tp_is_gc);
        info->basic_size = size_attribute(self->basic_size, type);
        info->item_size = size_attribute(self->item_size, type);
        look_at_layout(self, info);
        self->count++;
        if (look_at_bases(self, info, object) < 0) {
            return NULL;
        }
    }
    *recent = info;
    return info;
}

int64_t
type_info_size(const struct type_info *self, PyObject *object)
{
    int64_t head = self->head_size + self->basic_size;
    int64_t bytes = self->basic_size;

    if (self->size_of != NULL) {
        PyObject *size = self->size_of(object, NULL);

        if (size != NULL) {
            bytes = PyLong_AsSsize_t(size);
            Py_DECREF(size);
        }
        if (PyErr_Occurred()) {
            PyErr_Clear();
            bytes = self->basic_size;
        }
    }
    else if (self->item_size != 0) {
        bytes += self->item_size * (int64_t)Py_ABS(Py_SIZE(object));
    }
    bytes += self->head_size;
    if (self->has_tail && bytes > head) {
        return allocated_bytes(head) + allocated_bytes(bytes - head);
    }
    return allocated_bytes(bytes);
}

int64_t
type_info_values_size(const struct type_info *self, Py_ssize_t values)
{
    /* Objects/dictobject.c: new_values(), _PyInlineValuesSize(). Measured with
     * PYTHONMALLOC=malloc for 0 to 20 attributes on 3.11 to 3.13. */
    if (self->values_apart) {
        return allocated_bytes(values * POINTER + rounded(values + 2, POINTER));
    }
    return (values + 2) * POINTER + rounded(values + 1, POINTER);
}
