/* Sets of holders, and how much memory each set holds. Pure.
 *
 * A holder is a number: a variable, Out[3], a thread's frame. Memory that two variables
 * reach is held by the set of both. A set is a number too; sets are only made by adding
 * one holder to a set, in the order of the holders, so each is made once.
 *
 *     err = mw_holder_sets_init(&sets);
 *     err = mw_holder_sets_add(&sets, MW_HOLDER_SET_NONE, 3, &set); // {3}
 *     err = mw_holder_sets_add(&sets, set, 5, &both);               // {3, 5}
 *     mw_holder_sets_move(&sets, set, both, bytes, 1);
 *     sets.items[both].bytes;
 *     mw_holder_sets_release(&sets);
 */

#ifndef MW_HEAP_HOLDER_SETS_H
#define MW_HEAP_HOLDER_SETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MW_HOLDER_SET_NONE = 0,   /* the empty set */
    MW_HOLDER_SET_SYSTEM = 1, /* modules of libraries and the interpreter */
    MW_HOLDER_SET_WALL = 2,   /* not entered and not counted */
    MW_HOLDER_SET_MANY = 3,   /* more than MW_HOLDER_SET_LARGEST, whoever they are */
    MW_HOLDER_SET_ROOT = 4,   /* the object of a holder, not visited yet */
    MW_HOLDER_SET_HELD = 5,   /* the same, and the system holds it too */
    MW_HOLDER_SET_FIRST = 6,  /* the first set of holders */

    MW_HOLDER_SET_LARGEST = 64, /* holders: more would take too long to visit */
};

struct mw_holder_set {
    uint32_t parent; /* the set without `holder` */
    uint32_t holder; /* the last one that was added */
    uint32_t size;
    int64_t bytes;
    int64_t objects;
};

struct mw_holder_sets {
    struct mw_holder_set *items;
    uint32_t count;
    uint32_t capacity;
    uint32_t *index; /* a hash table of numbers of sets; 0: empty */
    uint32_t index_capacity;
};

/* -ENOMEM. */
int mw_holder_sets_init(struct mw_holder_sets *self);
void mw_holder_sets_release(struct mw_holder_sets *self);

/* The set `set` and `holder`; MW_HOLDER_SET_MANY if it would be too large, or if there
 * are more than MW_OBJECT_NUMBER_MAX sets. -ENOMEM. */
int mw_holder_sets_add(struct mw_holder_sets *self, uint32_t set, uint32_t holder,
                       uint32_t *out);

/* Objects of so many bytes, counted in `from` (MW_HOLDER_SET_NONE: nowhere yet), are
 * now counted in `to`. */
void mw_holder_sets_move(struct mw_holder_sets *self, uint32_t from, uint32_t to,
                         int64_t bytes, int64_t objects);

/* Whether `set` consists of holders. */
static inline bool
mw_holder_set_has_holders(uint32_t set)
{
    return set >= MW_HOLDER_SET_FIRST;
}

#endif
