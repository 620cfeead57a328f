/* memwatch._heap: what malloc holds and nobody uses. For %memwatch last alone: nobody
 * loads it who does not ask. */

#include "support_module.h"

#include "mw_heap.h"

PyDoc_STRVAR(heap_allocator_doc,
             "allocator($module, /)\n--\n\n"
             "What malloc holds now and nobody uses: retained_bytes, an upper bound\n"
             "for what RSS has of it (mallinfo2().fordblks), and duration_ns, how\n"
             "long finding out took. None where malloc does not tell: glibc before\n"
             "2.33, musl, a malloc that is preloaded.");

static PyObject *
heap_allocator(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    struct mw_heap heap;
    int err;
    /* It goes through all that is free: milliseconds where there is much. */
    PyThreadState *thread = PyEval_SaveThread();

    err = mw_heap_read(&heap);
    PyEval_RestoreThread(thread);
    if (err != 0) {
        Py_RETURN_NONE;
    }
    return Py_BuildValue("{sLsL}", "retained_bytes", (long long)heap.retained_bytes,
                         "duration_ns", (long long)heap.duration_ns);
}

static PyMethodDef heap_methods[] = {
    {"allocator", heap_allocator, METH_NOARGS, heap_allocator_doc},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot heap_slots[] = {
    LAST_MODULE_SLOTS,
};

PyDoc_STRVAR(heap_doc, "What malloc holds and nobody uses.");

static struct PyModuleDef heap_definition = {
    PyModuleDef_HEAD_INIT, .m_name = "memwatch._heap", .m_doc = heap_doc,
    .m_size = 0,           .m_methods = heap_methods,  .m_slots = heap_slots,
};

PyMODINIT_FUNC
PyInit__heap(void)
{
    return PyModuleDef_Init(&heap_definition);
}
