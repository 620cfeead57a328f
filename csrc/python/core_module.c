/* memwatch._core: windows on the interpreter's own process.
 *
 * The sampler's lock is taken with the GIL held. It is held for microseconds only, and
 * its holder never waits for the GIL. */

#include "python/core.h"

#include "python/cpu_capsule.h"

/* ---- functions ---- */

PyDoc_STRVAR(
    core_accuracy_doc,
    "accuracy($module, /)\n--\n\n"
    "How exact this machine's figures are: exact (RSS counts every page at once),\n"
    "hwm_resets (the high-water mark can be reset), hwm_error (why not, else None),\n"
    "bound_bytes (how far the mark may be off). OSError.");

SAMPLER_FUNCTION(core_accuracy)
{
    struct mw_accuracy accuracy = mw_sampler_accuracy(sampler);
    const char *why = accuracy.hwm_resets       ? NULL
                      : accuracy.hwm_errno != 0 ? error_text(accuracy.hwm_errno)
                                                : "the reset has no effect";

    return Py_BuildValue("{sOsOszsL}", "exact", accuracy.exact ? Py_True : Py_False,
                         "hwm_resets", accuracy.hwm_resets ? Py_True : Py_False,
                         "hwm_error", why, "bound_bytes",
                         (long long)accuracy.bound_bytes);
}

PyDoc_STRVAR(
    core_memory_doc,
    "memory($module, /)\n--\n\n"
    "This process's memory now, in bytes, from one read of its status, and its\n"
    "highest RSS since its start (lifetime_peak_bytes). OSError.");

SAMPLER_FUNCTION(core_memory)
{
    struct mw_memory memory;
    struct mw_sampler_status status;
    int err = mw_sampler_read_memory(sampler, &memory);

    if (err != 0) {
        return raise_os_error(err, "cannot read /proc/self/status");
    }
    mw_sampler_read_status(sampler, &status);
    return memory_as_dict(&memory, "lifetime_peak_bytes", status.lifetime_peak_bytes);
}

PyDoc_STRVAR(
    core_sampler_doc,
    "sampler($module, /)\n--\n\n"
    "The sampler: samples taken and missed (the thread was late), open_windows, and\n"
    "whether the thread is running and parked. OSError.");

SAMPLER_FUNCTION(core_sampler)
{
    struct mw_sampler_status status;

    mw_sampler_read_status(sampler, &status);
    return Py_BuildValue("{sLsLsisOsO}", "samples", (long long)status.samples, "missed",
                         (long long)status.missed, "open_windows", status.open_windows,
                         "running", status.running ? Py_True : Py_False, "parked",
                         status.parked ? Py_True : Py_False);
}

PyDoc_STRVAR(
    core_set_cpu_reader_doc,
    "set_cpu_reader($module, reader, /)\n--\n\n"
    "Read CPU usage by `reader`, from memwatch._procps.cpu_reader(); None: do not.");

static PyObject *
core_set_cpu_reader(PyObject *module, PyObject *capsule)
{
    struct core_state *state = get_state(module);
    struct mw_sampler *sampler = get_sampler(state);
    const struct mw_cpu_reader *reader = NULL;
    PyObject *before;

    if (sampler == NULL) {
        return NULL;
    }
    if (capsule != Py_None) {
        reader = PyCapsule_GetPointer(capsule, MW_CPU_CAPSULE);
        if (reader == NULL) {
            return NULL;
        }
    }
    PyThread_acquire_lock(state->lock, WAIT_LOCK);
    mw_sampler_set_cpu_reader(sampler, reader);
    before = state->cpu_capsule;
    state->cpu_capsule = reader != NULL ? Py_NewRef(capsule) : NULL;
    PyThread_release_lock(state->lock);
    Py_XDECREF(before);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(
    core_set_attributes_doc,
    "set_attributes($module, object, values, /)\n--\n\n"
    "Set attributes as object.__setattr__() does: fills a frozen dataclass fast.");

static PyObject *
core_set_attributes(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *object;
    PyObject *values;
    PyObject *name;
    PyObject *value;
    Py_ssize_t position = 0;

    if (!PyArg_ParseTuple(args, "OO!:set_attributes", &object, &PyDict_Type, &values)) {
        return NULL;
    }
    while (PyDict_Next(values, &position, &name, &value)) {
        if (PyObject_GenericSetAttr(object, name, value) < 0) {
            return NULL;
        }
    }
    Py_RETURN_NONE;
}

/* ---- the module ---- */

static PyMethodDef core_methods[] = {
    {"accuracy", core_accuracy, METH_NOARGS, core_accuracy_doc},
    {"memory", core_memory, METH_NOARGS, core_memory_doc},
    {"sampler", core_sampler, METH_NOARGS, core_sampler_doc},
    {"set_attributes", core_set_attributes, METH_VARARGS, core_set_attributes_doc},
    {"set_cpu_reader", core_set_cpu_reader, METH_O, core_set_cpu_reader_doc},
    {NULL, NULL, 0, NULL},
};

static int
core_exec(PyObject *module)
{
    struct core_state *state = get_state(module);
    PyObject *end_figures;

    state->lock = PyThread_allocate_lock();
    if (state->lock == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    /* state->sampler stays NULL until something is measured: an import must not reset
     * the high-water mark, as the probe does. */
    state->figure_names = core_figure_names(mw_result_figures, MW_RESULT_FIGURE_COUNT);
    end_figures = core_figure_names(mw_end_figures, MW_END_FIGURE_COUNT);
    if (state->figure_names == NULL || end_figures == NULL ||
        PyModule_AddObjectRef(module, "END_FIGURES", end_figures) < 0) {
        Py_XDECREF(end_figures);
        return -1;
    }
    Py_DECREF(end_figures);
    if (add_type(module, &core_window_spec, &state->window_type) < 0 ||
        add_type(module, &core_process_spec, NULL) < 0 ||
        add_type(module, &core_command_spec, NULL) < 0 ||
        add_type(module, &core_lines_spec, NULL) < 0 ||
        core_add_recording_functions(module) < 0 ||
        core_add_blackbox_functions(module) < 0) {
        return -1;
    }
    return core_add_system_functions(module);
}

static int
core_traverse(PyObject *module, visitproc visit, void *arg)
{
    struct core_state *state = get_state(module);

    Py_VISIT(state->cpu_capsule);
    Py_VISIT(state->figure_names);
    Py_VISIT(state->blackbox_error);
    Py_VISIT(state->window_type);
    return 0;
}

static int
core_clear(PyObject *module)
{
    struct core_state *state = get_state(module);

    if (state->cpu_capsule != NULL) {
        mw_sampler_remove_cpu_reader(
            state->sampler, PyCapsule_GetPointer(state->cpu_capsule, MW_CPU_CAPSULE));
    }
    Py_CLEAR(state->cpu_capsule);
    Py_CLEAR(state->figure_names);
    Py_CLEAR(state->blackbox_error);
    Py_CLEAR(state->window_type);
    return 0;
}

static void
core_free(void *module)
{
    struct core_state *state = get_state((PyObject *)module);

    core_clear((PyObject *)module);
    mw_process_sampler_release(&state->sampler);
    if (state->lock != NULL) {
        PyThread_free_lock(state->lock);
    }
}

static PyModuleDef_Slot core_slots[] = {
    {Py_mod_exec, core_exec},
    LAST_MODULE_SLOTS,
};

PyDoc_STRVAR(core_doc, "Measures the memory of this process over a window of time.");

static struct PyModuleDef core_definition = {
    PyModuleDef_HEAD_INIT,       .m_name = "memwatch._core",
    .m_doc = core_doc,           .m_size = sizeof(struct core_state),
    .m_methods = core_methods,   .m_slots = core_slots,
    .m_traverse = core_traverse, .m_clear = core_clear,
    .m_free = core_free,
};

PyMODINIT_FUNC
PyInit__core(void)
{
    return PyModuleDef_Init(&core_definition);
}
