/* memwatch._host: the machine's memory and processors, by libproc2. */

#include "support_module.h"

#include "mw_cpu_capsule.h"
#include "mw_host.h"

PyDoc_STRVAR(host_memory_doc,
             "memory($module, /)\n--\n\n"
             "The machine's total_bytes and available_bytes, from /proc/meminfo\n"
             "(MemTotal, MemAvailable). OSError.");

static PyObject *
host_memory(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    struct mw_host *host;
    struct mw_host_memory memory;
    int err = mw_host_new(&host);

    if (err == 0) {
        err = mw_host_read_memory(host, &memory);
        mw_host_free(&host);
    }
    if (err != 0) {
        return raise_os_error(err, "libproc2 cannot read /proc/meminfo");
    }
    return Py_BuildValue("{sLsL}", "total_bytes", (long long)memory.total_bytes,
                         "available_bytes", (long long)memory.available_bytes);
}

static int
read_cpu(void *self, struct mw_cpu *out)
{
    return mw_host_read_cpu(self, out);
}

static void
free_reader(PyObject *capsule)
{
    struct mw_cpu_reader *reader = PyCapsule_GetPointer(capsule, MW_CPU_CAPSULE);
    struct mw_host *host = reader->self;

    mw_host_free(&host);
    PyMem_Free(reader);
}

PyDoc_STRVAR(host_cpu_reader_doc,
             "cpu_reader($module, /)\n--\n\n"
             "A reader of /proc/stat for memwatch._core.set_cpu_reader(). OSError.");

static PyObject *
host_cpu_reader(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    struct mw_cpu_reader *reader;
    struct mw_cpu first;
    struct mw_host *host;
    PyObject *capsule;
    int err = mw_host_new(&host);

    if (err == 0) {
        /* libproc2 sizes its buffers at the first reading: here, so that the
         * sampler's thread has nothing to allocate. */
        err = mw_host_read_cpu(host, &first);
        if (err != 0) {
            mw_host_free(&host);
        }
    }
    if (err != 0) {
        return raise_os_error(err, "libproc2 cannot read /proc/stat");
    }
    reader = PyMem_Malloc(sizeof *reader);
    if (reader == NULL) {
        mw_host_free(&host);
        return PyErr_NoMemory();
    }
    *reader = (struct mw_cpu_reader){.read = read_cpu, .self = host};
    capsule = PyCapsule_New(reader, MW_CPU_CAPSULE, free_reader);
    if (capsule == NULL) {
        mw_host_free(&host);
        PyMem_Free(reader);
    }
    return capsule;
}

static PyMethodDef host_methods[] = {
    {"memory", host_memory, METH_NOARGS, host_memory_doc},
    {"cpu_reader", host_cpu_reader, METH_NOARGS, host_cpu_reader_doc},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot host_slots[] = {
    LAST_MODULE_SLOTS,
};

PyDoc_STRVAR(host_doc, "The machine that this process runs on.");

static struct PyModuleDef host_definition = {
    PyModuleDef_HEAD_INIT, .m_name = "memwatch._host", .m_doc = host_doc,
    .m_size = 0,           .m_methods = host_methods,  .m_slots = host_slots,
};

PyMODINIT_FUNC
PyInit__host(void)
{
    return PyModuleDef_Init(&host_definition);
}
