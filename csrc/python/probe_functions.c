/* memwatch._trial: what this machine lets us do with children. For memwatch doctor
 * alone: no notebook loads it. */

#include "support_module.h"

#include <errno.h>

#include "mw_trial.h"

static const char *
why_not(int err)
{
    if (err == EOPNOTSUPP) {
        return "the kernel takes it and does nothing";
    }
    return err == 0 ? NULL : error_text(err);
}

PyDoc_STRVAR(trial_child_doc,
             "child($module, /)\n--\n\n"
             "Fork a child that does nothing, and try on it: reading its RSS\n"
             "(rss_error), its PSS (pss_error), resetting its high-water mark\n"
             "(mark_error), tracing it (seize_error), reading its mark at its exit\n"
             "(last_mark_error). Each is None where it can be done, else why not.\n"
             "OSError where no child can be had.");

static PyObject *
trial_child(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    struct mw_trial trial;
    int err = mw_trial_run(&trial);

    if (err != 0) {
        return raise_os_error(err, "cannot start a child to try on");
    }
    /* One strerror() at a time: they share their storage. */
    return Py_BuildValue(
        "{sNsNsNsNsN}", "rss_error", Py_BuildValue("z", why_not(trial.rss_errno)),
        "pss_error", Py_BuildValue("z", why_not(trial.pss_errno)), "mark_error",
        Py_BuildValue("z", why_not(trial.mark_errno)), "seize_error",
        Py_BuildValue("z", why_not(trial.seize_errno)), "last_mark_error",
        Py_BuildValue("z", why_not(trial.last_mark_errno)));
}

static PyMethodDef trial_methods[] = {
    {"child", trial_child, METH_NOARGS, trial_child_doc},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot trial_slots[] = {
    LAST_MODULE_SLOTS,
};

PyDoc_STRVAR(trial_doc, "What this machine lets us do with children.");

static struct PyModuleDef trial_definition = {
    PyModuleDef_HEAD_INIT, .m_name = "memwatch._trial", .m_doc = trial_doc,
    .m_size = 0,           .m_methods = trial_methods,  .m_slots = trial_slots,
};

PyMODINIT_FUNC
PyInit__trial(void)
{
    return PyModuleDef_Init(&trial_definition);
}
