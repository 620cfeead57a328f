/* memwatch._stream: publishes this process's black box over ZeroMQ. */

#include "python/support.h"

#include <errno.h>

#include "stream/authenticator.h"
#include "stream/publisher.h"

enum { MOST_ADMITTED = 10000 };

/* Python does not know libzmq's errnos: the text describes them. */
static PyObject *
raise_zmq_error(int err, const char *call)
{
    return raise_described_error(err, call, mw_pub_socket_describe(err));
}

/* ---- Publisher ---- */

typedef struct {
    PyObject_HEAD
    struct mw_publisher *publisher; /* NULL: closed; publisher.c guards it */
} PublisherObject;

/* The keys of the tuple `admitted`, as borrowed texts; PyMem_Free() the array. NULL
 * with an exception set. */
static const char **
texts_of(PyObject *admitted, size_t *count)
{
    Py_ssize_t size = PySequence_Size(admitted);
    const char **texts;

    if (size < 0 || size > MOST_ADMITTED) {
        if (size > 0) {
            PyErr_SetString(PyExc_ValueError, "at most 10000 keys can be admitted");
        }
        return NULL;
    }
    texts = (const char **)PyMem_Malloc((size_t)(size + 1) * sizeof *texts);
    if (texts == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    for (Py_ssize_t i = 0; i < size; i++) {
        PyObject *each = PyTuple_GetItem(admitted, i);

        texts[i] = each == NULL ? NULL : PyUnicode_AsUTF8AndSize(each, NULL);
        if (texts[i] == NULL) {
            PyMem_Free((void *)texts);
            return NULL;
        }
    }
    *count = (size_t)size;
    return texts;
}

static PyObject *
raise_at(enum mw_pub_socket_step step, int err, const char *path, const char *endpoint)
{
    static const char *const formats[] = {
        [MW_PUB_SOCKET_BOX] = "the black box %.400s",
        [MW_PUB_SOCKET_ADDRESS] = "%.400s",
        [MW_PUB_SOCKET_KEYS] = "the CURVE keys",
        [MW_PUB_SOCKET_ZMQ] = "libzmq",
        [MW_PUB_SOCKET_THREAD] = "the threads for publishing (pthread_create)",
    };
    char call[MW_PUB_SOCKET_ENDPOINT_BYTES + 64];

    /* NOLINTNEXTLINE(clang-diagnostic-format-nonliteral): one of those above */
    (void)PyOS_snprintf(call, sizeof call, formats[step],
                        step == MW_PUB_SOCKET_BOX ? path : endpoint);
    return raise_zmq_error(err, call);
}

static PyObject *
publisher_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {
        "path",           "endpoint",   "interval_ns", "own_secret_key",
        "own_public_key", "server_key", "admitted",    NULL};
    struct mw_pub_socket_options options = {.endpoint = NULL};
    enum mw_pub_socket_step step;
    struct mw_publisher *publisher;
    PyObject *path;
    PyObject *where;
    PyObject *admitted = NULL;
    const char **texts = NULL;
    const char *endpoint;
    long long interval_ns = 0;
    PublisherObject *self = NULL;
    int err;

    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "O&O&|$LzzzO!:Publisher", names, PyUnicode_FSConverter, &path,
            PyUnicode_FSConverter, &where, &interval_ns, &options.own_secret_key,
            &options.own_public_key, &options.server_key, &PyTuple_Type, &admitted)) {
        return NULL;
    }
    endpoint = PyBytes_AsString(where);
    if ((endpoint[0] != '@' && endpoint[0] != '>') || interval_ns <= 0) {
        PyErr_SetString(PyExc_ValueError,
                        "expected an endpoint with @ or > and a positive interval");
        goto out;
    }
    if ((options.own_secret_key == NULL) != (options.own_public_key == NULL) ||
        (options.own_secret_key == NULL && options.server_key != NULL) ||
        (options.own_secret_key != NULL && endpoint[0] == '>' &&
         options.server_key == NULL)) {
        PyErr_SetString(PyExc_ValueError,
                        "expected both own keys, and to connect the server's key");
        goto out;
    }
    if (admitted != NULL) {
        texts = texts_of(admitted, &options.admitted_count);
        if (texts == NULL) {
            goto out;
        }
    }
    options.admitted = texts;
    options.endpoint = endpoint + 1;
    options.connects = endpoint[0] == '>';
    options.interval_ns = interval_ns;
    self = PyObject_New(PublisherObject, type);
    if (self == NULL) {
        goto out;
    }
    self->publisher = NULL;
    Py_BEGIN_ALLOW_THREADS;
    err = mw_publisher_new(&publisher, PyBytes_AsString(path), &options, &step);
    Py_END_ALLOW_THREADS;
    if (err != 0) {
        Py_CLEAR(self);
        raise_at(step, err, PyBytes_AsString(path), endpoint);
        goto out;
    }
    self->publisher = publisher;

out:
    PyMem_Free((void *)texts);
    Py_DECREF(where);
    Py_DECREF(path);
    return (PyObject *)self;
}

/* Joins the thread, which needs no GIL. */
static void
close_publisher(PublisherObject *self)
{
    Py_BEGIN_ALLOW_THREADS;
    mw_publisher_free(&self->publisher);
    Py_END_ALLOW_THREADS;
}

static void
publisher_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);

    close_publisher((PublisherObject *)op);
    PyObject_Free(op);
    Py_DECREF(type);
}

PyDoc_STRVAR(publisher_close_doc,
             "close($self, /)\n--\n\n"
             "Send the bye message and stop, within 20 ms. Idempotent.");

static PyObject *
publisher_close(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    close_publisher((PublisherObject *)op);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(
    publisher_status_doc,
    "status($self, /)\n--\n\n"
    "The endpoint, messages sent and dropped, refused connections, and current\n"
    "subscriptions (0: there are no subscribers). None: it is closed.");

static PyObject *
publisher_status(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    PublisherObject *self = (PublisherObject *)op;
    struct mw_publisher_status status;

    if (mw_publisher_get_status(&self->publisher, &status) != 0) {
        Py_RETURN_NONE;
    }
    const struct int_item items[] = {
        {"sent", status.sent},
        {"dropped", status.dropped},
        {"refused", status.refused},
        {"subscriptions", status.subscriptions},
    };
    PyObject *dict = INTS_AS_DICT(items);

    if (dict != NULL &&
        (set_item(dict, "endpoint", PyUnicode_DecodeFSDefault(status.endpoint)) < 0 ||
         set_item(dict, "alive", PyBool_FromLong(status.alive)) < 0)) {
        Py_CLEAR(dict);
    }
    return dict;
}

static PyMethodDef publisher_methods[] = {
    {"close", publisher_close, METH_NOARGS, publisher_close_doc},
    {"status", publisher_status, METH_NOARGS, publisher_status_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(
    publisher_doc,
    "Publisher(path, endpoint, *, interval_ns, own_secret_key=None,\n"
    "          own_public_key=None, server_key=None, admitted=())\n--\n\n"
    "Publishes this process's black box `path`. '@ENDPOINT' binds, '>ENDPOINT'\n"
    "connects. OSError.");

static PyType_Slot publisher_slots[] = {
    {Py_tp_doc, (void *)publisher_doc},
    {Py_tp_new, publisher_new},
    {Py_tp_dealloc, publisher_dealloc},
    {Py_tp_methods, publisher_methods},
    {0, NULL},
};

static PyType_Spec publisher_spec = {
    .name = "memwatch._stream.Publisher",
    .basicsize = sizeof(PublisherObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = publisher_slots,
};

/* ---- functions ---- */

PyDoc_STRVAR(
    stream_make_keys_doc,
    "make_keys($module, /)\n--\n\n"
    "A new pair of CURVE keys: (public, secret), 40 characters each. OSError.");

static PyObject *
stream_make_keys(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    char public_key[MW_CURVE_KEY_CHARACTERS + 1];
    char secret_key[MW_CURVE_KEY_CHARACTERS + 1];
    int err = mw_curve_make_keys(public_key, secret_key);

    if (err != 0) {
        return raise_zmq_error(err, "zmq_curve_keypair");
    }
    return Py_BuildValue("(ss)", public_key, secret_key);
}

PyDoc_STRVAR(stream_public_key_doc,
             "public_key($module, secret_key, /)\n--\n\n"
             "The public key of a secret key. OSError: it is not a key.");

static PyObject *
stream_public_key(PyObject *Py_UNUSED(module), PyObject *secret_key)
{
    char public_key[MW_CURVE_KEY_CHARACTERS + 1];
    const char *text = PyUnicode_AsUTF8AndSize(secret_key, NULL);
    int err;

    if (text == NULL) {
        return NULL;
    }
    err = mw_curve_public_key(text, public_key);
    if (err != 0) {
        return raise_zmq_error(err, "zmq_curve_public");
    }
    return PyUnicode_FromString(public_key);
}

/* ---- the module ---- */

static PyMethodDef stream_methods[] = {
    {"make_keys", stream_make_keys, METH_NOARGS, stream_make_keys_doc},
    {"public_key", stream_public_key, METH_O, stream_public_key_doc},
    {NULL, NULL, 0, NULL},
};

static int
stream_exec(PyObject *module)
{
    return add_type(module, &publisher_spec, NULL);
}

static PyModuleDef_Slot stream_slots[] = {
    {Py_mod_exec, stream_exec},
    LAST_MODULE_SLOTS,
};

PyDoc_STRVAR(stream_doc, "Publishes this process's black box over ZeroMQ.");

static struct PyModuleDef stream_definition = {
    PyModuleDef_HEAD_INIT, .m_name = "memwatch._stream", .m_doc = stream_doc,
    .m_size = 0,           .m_methods = stream_methods,  .m_slots = stream_slots,
};

PyMODINIT_FUNC
PyInit__stream(void)
{
    return PyModuleDef_Init(&stream_definition);
}
