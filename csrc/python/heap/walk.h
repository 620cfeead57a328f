/* A walk over the objects that given holders hold, each object once a holder, and which
 * set of holders holds how much (heap/holder_sets.h).
 *
 * First the system is walked: what modules of libraries hold. Its objects are not
 * entered again. Then one holder after the other; an object that a later holder reaches
 * too moves to the set of both. What is in the set of one holder alone is freed with
 * it.
 *
 *     walk_init(&walk, known, trusted, t_deadline_ns);
 *     walk_mark(&walk, object, MW_HOLDER_SET_WALL);
 *     walk_system(&walk, objects);
 *     walk_holder(&walk, 0, objects);
 *     walk_end(&walk);
 *     walk.sets, walk.stopped
 *     walk_release(&walk);
 *
 * Objects are traversed by tp_traverse, as the garbage collector does, and sized by
 * type_table.h. Python code runs only in the functions of known libraries, and while it
 * runs the walk has no pointer to an object without a reference of its own. Apart from
 * that the GIL is not released, and the collector is disabled: nothing moves.
 *
 * The functions return 0, or -1 with an exception. A walk that is interrupted (Ctrl-C),
 * late or without memory for its table sets `stopped`; what follows does nothing. */

#ifndef MW_PYTHON_HEAP_WALK_H
#define MW_PYTHON_HEAP_WALK_H

#include "heap/holder_sets.h"
#include "heap/object_table.h"
#include "python/heap/type_table.h"

enum {
    WALK_QUEUE = 32,
};

/* An object on its way into the processor's cache. */
struct walk_queued {
    PyObject *object;
    uint16_t *number; /* in the table; NULL: look it up */
};

enum walk_stop { WALK_COMPLETE = 0, WALK_LATE, WALK_INTERRUPTED, WALK_NO_MEMORY };

struct walk_pending {
    PyObject *object;
    Py_ssize_t next; /* of a large list, tuple or dict: where to go on */
    uint32_t from;   /* the set it was in before */
};

struct walk {
    struct mw_object_table table;
    struct mw_holder_sets sets;
    struct type_table types;

    uint32_t holder; /* that is being walked, or WALK_SYSTEM_HOLDER */
    struct walk_pending *stack;
    size_t depth;
    size_t stack_capacity;
    struct walk_queued queue[WALK_QUEUE];
    unsigned queue_first;
    unsigned queue_count;
    Py_ssize_t visited; /* referents of the object that is being traversed */
    uint32_t last_from; /* the last change of set: most repeat it */
    uint32_t last_to;
    struct {
        uint32_t from;
        uint32_t to;
        int64_t bytes;
        int64_t objects;
    } moved; /* not yet in `sets`: most objects make the same move */

    PyObject *unanswered; /* a list of objects of known libraries */
    PyObject *answers;    /* by address: (object, answer) */
    PyObject *held;       /* a list: root objects that the system holds too */
    int64_t failures;     /* functions of known libraries that raised */

    int64_t t_deadline_ns;
    int64_t until_look;
    enum walk_stop stopped;
    bool collector_was_on;
};

int
walk_init(struct walk *self, PyObject *known, PyObject *trusted, int64_t t_deadline_ns);
void walk_release(struct walk *self);

/* Enable the collector again, if it was enabled. What was found stays. */
void walk_end(struct walk *self);

/* Put the object into the set MW_HOLDER_SET_WALL or MW_HOLDER_SET_ROOT. */
int walk_mark(struct walk *self, const PyObject *object, uint32_t set);

/* Walk what the objects of the list hold: by the system; then by a holder, a number
 * that rises from call to call. */
int walk_system(struct walk *self, PyObject *objects);
int walk_holder(struct walk *self, uint32_t holder, PyObject *objects);

/* Walk what no holder reaches: first what C code holds, as part of the system; then the
 * cycles that await the collector, as `holder`. */
int walk_unreached(struct walk *self, uint32_t holder);

/* What the function of a known library answers for an object of it, a new reference:
 * (bytes of its own, buffers ((address, bytes), ...), objects that it holds, arrays of
 * objects ((address, length), ...)). None: nothing. It is asked once for each object.
 */
PyObject *walk_answer(struct walk *self, PyObject *object);

#endif
