#include "heap/holder_sets.h"

#include <errno.h>
#include <stdlib.h>

#include "heap/object_table.h"

enum { FIRST_CAPACITY = 64 };

int
mw_holder_sets_init(struct mw_holder_sets *self)
{
    *self = (struct mw_holder_sets){
        .items = calloc(FIRST_CAPACITY, sizeof *self->items),
        .index = calloc(2 * (size_t)FIRST_CAPACITY, sizeof *self->index),
        .count = MW_HOLDER_SET_FIRST,
        .capacity = FIRST_CAPACITY,
        .index_capacity = 2 * FIRST_CAPACITY,
    };
    if (self->items == NULL || self->index == NULL) {
        mw_holder_sets_release(self);
        return -ENOMEM;
    }
    return 0;
}

void
mw_holder_sets_release(struct mw_holder_sets *self)
{
    free(self->items);
    free(self->index);
    *self = (struct mw_holder_sets){0};
}

/* The place in the index of the set, or the empty place for it. */
static uint32_t *
look_up(const struct mw_holder_sets *self, uint32_t parent, uint32_t holder)
{
    uint64_t key = (uint64_t)parent << 32 | holder;
    uint32_t mask = self->index_capacity - 1;
    uint32_t place = (uint32_t)(key * UINT64_C(0x9E3779B97F4A7C15) >> 32) & mask;

    while (self->index[place] != 0) {
        const struct mw_holder_set *each = &self->items[self->index[place]];

        if (each->parent == parent && each->holder == holder) {
            break;
        }
        place = (place + 1) & mask;
    }
    return &self->index[place];
}

static int
grow(struct mw_holder_sets *self)
{
    struct mw_holder_sets grown = *self;

    grown.capacity = 2 * self->capacity;
    grown.index_capacity = 2 * self->index_capacity;
    grown.index = calloc(grown.index_capacity, sizeof *grown.index);
    if (grown.index == NULL) {
        return -ENOMEM;
    }
    grown.items = realloc(self->items, grown.capacity * sizeof *grown.items);
    if (grown.items == NULL) {
        free(grown.index);
        return -ENOMEM;
    }
    for (uint32_t i = MW_HOLDER_SET_FIRST; i < grown.count; i++) {
        *look_up(&grown, grown.items[i].parent, grown.items[i].holder) = i;
    }
    free(self->index);
    *self = grown;
    return 0;
}

int
mw_holder_sets_add(struct mw_holder_sets *self, uint32_t set, uint32_t holder,
                   uint32_t *out)
{
    uint32_t *place = look_up(self, set, holder);
    uint32_t size = self->items[set].size + 1;

    if (*place != 0) {
        *out = *place;
        return 0;
    }
    if (size > MW_HOLDER_SET_LARGEST || self->count > MW_OBJECT_NUMBER_MAX) {
        *out = MW_HOLDER_SET_MANY;
        return 0;
    }
    if (self->count == self->capacity) {
        int err = grow(self);

        if (err < 0) {
            return err;
        }
        place = look_up(self, set, holder);
    }
    *out = *place = self->count++;
    self->items[*out] =
        (struct mw_holder_set){.parent = set, .holder = holder, .size = size};
    return 0;
}

void
mw_holder_sets_move(struct mw_holder_sets *self, uint32_t from, uint32_t to,
                    int64_t bytes, int64_t objects)
{
    if (from != MW_HOLDER_SET_NONE) {
        self->items[from].bytes -= bytes;
        self->items[from].objects -= objects;
    }
    self->items[to].bytes += bytes;
    self->items[to].objects += objects;
}
