/* Objects of known libraries: what their functions answer is part of the walk. */

#include "python/heap/walk_private.h"

PyObject *
walk_answer(struct walk *self, PyObject *object)
{
    const struct type_info *info = type_table_get(&self->types, object);
    PyObject *key = PyLong_FromVoidPtr(object);
    PyObject *answer = NULL;
    PyObject *kept;
    PyObject *function;

    if (info == NULL || key == NULL) {
        Py_XDECREF(key);
        return NULL;
    }
    kept = PyDict_GetItemWithError(self->answers, key);
    if (kept != NULL) {
        Py_DECREF(key);
        return Py_NewRef(PyTuple_GetItem(kept, 1));
    }
    function = Py_NewRef(info->answer);
    answer = PyObject_CallFunctionObjArgs(function, object, NULL);
    Py_DECREF(function);
    if (answer == NULL && PyErr_ExceptionMatches(PyExc_Exception)) {
        PyErr_Clear();
        self->failures++;
        answer = Py_NewRef(Py_None);
    }
    if (answer != NULL) {
        kept = PyTuple_Pack(2, object, answer);
        if (kept == NULL || PyDict_SetItem(self->answers, key, kept) < 0) {
            Py_CLEAR(answer);
        }
        Py_XDECREF(kept);
    }
    Py_DECREF(key);
    return answer;
}

static int
reach_buffer(struct walk *self, uintptr_t address, int64_t bytes)
{
    uint32_t from = mw_object_table_get(&self->table, address);
    uint32_t to;

    walk_next_set(self, from, &to);
    if (to != from) {
        if (mw_object_table_set(&self->table, address, to) < 0) {
            return walk_no_memory(self);
        }
        walk_count(self, from, to, allocated_bytes(bytes));
    }
    return 0;
}

static int
reach_array(struct walk *self, uintptr_t address, Py_ssize_t length)
{
    /* NOLINTNEXTLINE(performance-no-int-to-ptr): NumPy tells it as a number */
    PyObject *const *items = (PyObject *const *)address;

    for (Py_ssize_t i = 0; i < length; i++) {
        if (items[i] != NULL && walk_enqueue(self, items[i]) < 0) {
            return -1;
        }
        /* Not more than needed in the stack. */
        if (i % WALK_STEP == WALK_STEP - 1 && walk_drain(self) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Apply the answer for an object, which the current holder has reached. */
static int
take_answer(struct walk *self, const PyObject *object, PyObject *answer)
{
    long long own;
    PyObject *buffers;
    PyObject *objects;
    PyObject *arrays;

    if (answer == Py_None) {
        return 0;
    }
    if (!PyArg_ParseTuple(answer, "LO!O!O!", &own, &PyTuple_Type, &buffers,
                          &PyTuple_Type, &objects, &PyTuple_Type, &arrays)) {
        return -1;
    }
    /* Own bytes are counted as a buffer inside the object. */
    if (own > 0 &&
        reach_buffer(self, (uintptr_t)object + MW_OBJECT_BYTES_MIN, own) < 0) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < PyTuple_Size(buffers); i++) {
        Py_ssize_t address;
        long long bytes;

        if (!PyArg_ParseTuple(PyTuple_GetItem(buffers, i), "nL", &address, &bytes) ||
            reach_buffer(self, (uintptr_t)address, bytes) < 0) {
            return -1;
        }
    }
    for (Py_ssize_t i = 0; i < PyTuple_Size(objects); i++) {
        if (walk_enqueue(self, PyTuple_GetItem(objects, i)) < 0) {
            return -1;
        }
    }
    for (Py_ssize_t i = 0; i < PyTuple_Size(arrays); i++) {
        Py_ssize_t address;
        Py_ssize_t length;

        if (!PyArg_ParseTuple(PyTuple_GetItem(arrays, i), "nn", &address, &length) ||
            reach_array(self, (uintptr_t)address, length) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Drain, ask about the objects of known libraries that were reached, and repeat. */
int
walk_ask(struct walk *self)
{
    if (walk_drain(self) < 0) {
        return -1;
    }
    while (PyList_Size(self->unanswered) > 0 && self->stopped == WALK_COMPLETE) {
        PyObject *batch = self->unanswered;

        self->unanswered = PyList_New(0);
        if (self->unanswered == NULL) {
            self->unanswered = batch;
            return -1;
        }
        for (Py_ssize_t i = 0; i < PyList_Size(batch); i++) {
            PyObject *object = PyList_GetItem(batch, i);
            PyObject *answer = walk_answer(self, object);
            int err = answer == NULL ? -1 : take_answer(self, object, answer);

            /* `answers` keeps it: what is in the queue stays. */
            Py_XDECREF(answer);
            if (err < 0 || walk_drain(self) < 0) {
                Py_DECREF(batch);
                return -1;
            }
        }
        Py_DECREF(batch);
    }
    return 0;
}
