#include "heap/object_table.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* An entry: the granule (36 bits); whether it has a record (1 bit); then the index of
 * the record, or slot and number of the only object (24 bits). */
enum {
    GRANULE_BITS = 12,
    SLOT_BITS = 4, /* an address without these is a slot of MW_OBJECT_BYTES_MIN */
    NUMBER_BITS = 16,
    INDEX_BITS = 24,

    FIRST_CAPACITY = 1024,
    FIRST_BLOCKS = 16,
    HUGE_PAGE = 2 * 1024 * 1024,
    RECORDS_PER_BLOCK = HUGE_PAGE / (int)sizeof(struct mw_object_record),
};

static const uint64_t HAS_RECORD = (uint64_t)1 << INDEX_BITS;
static const uint64_t GRANULE_MASK = ~(uint64_t)0 << (INDEX_BITS + 1);

static uint64_t
granule_of(uintptr_t address)
{
    return (uint64_t)address >> GRANULE_BITS << (INDEX_BITS + 1);
}

static uint32_t
slot_of(uintptr_t address)
{
    return (uint32_t)(address >> SLOT_BITS) % MW_OBJECT_SLOTS;
}

static uint32_t
index_of(uint64_t entry)
{
    return (uint32_t)entry & ((1U << INDEX_BITS) - 1);
}

static struct mw_object_record *
record_of(const struct mw_object_table *self, uint64_t entry)
{
    size_t index = index_of(entry);

    return &self->blocks[index / RECORDS_PER_BLOCK][index % RECORDS_PER_BLOCK];
}

/* A block of a multiple of HUGE_PAGE, in huge pages if the kernel has them: a walk that
 * jumps in it misses fewer translations of addresses. */
static void *
new_huge_block(size_t bytes)
{
    void *block = aligned_alloc(HUGE_PAGE, bytes);

    if (block != NULL) {
        (void)madvise(block, bytes, MADV_HUGEPAGE);
    }
    return block;
}

static int
add_block(struct mw_object_table *self)
{
    size_t block = self->records / RECORDS_PER_BLOCK;

    if (block == self->blocks_room) {
        size_t room = block == 0 ? FIRST_BLOCKS : 2 * block;
        struct mw_object_record **blocks = (struct mw_object_record **)realloc(
            (void *)self->blocks, room * sizeof *blocks);

        if (blocks == NULL) {
            return -ENOMEM;
        }
        self->blocks = blocks;
        self->blocks_room = room;
    }
    self->blocks[block] = new_huge_block(HUGE_PAGE);
    return self->blocks[block] == NULL ? -ENOMEM : 0;
}

static size_t
place_of(const struct mw_object_table *self, uint64_t granule)
{
    /* Fibonacci hashing. */
    return (size_t)((granule >> INDEX_BITS) * UINT64_C(0x9E3779B97F4A7C15) >> 32) &
           (self->capacity - 1);
}

/* The entry of `granule`, or the empty place for it. There is always an empty one. */
static uint64_t *
look_up(const struct mw_object_table *self, uint64_t granule)
{
    size_t mask = self->capacity - 1;
    size_t place = place_of(self, granule);

    while (self->entries[place] != 0 &&
           (self->entries[place] & GRANULE_MASK) != granule) {
        place = (place + 1) & mask;
    }
    return &self->entries[place];
}

static int
grow(struct mw_object_table *self)
{
    struct mw_object_table grown = *self;
    size_t bytes;

    grown.capacity = self->capacity == 0 ? FIRST_CAPACITY : 2 * self->capacity;
    bytes = grown.capacity * sizeof *grown.entries;
    grown.entries = bytes < HUGE_PAGE ? malloc(bytes) : new_huge_block(bytes);
    if (grown.entries == NULL) {
        return -ENOMEM;
    }
    memset(grown.entries, 0, bytes);
    for (size_t i = 0; i < self->capacity; i++) {
        if (self->entries[i] != 0) {
            *look_up(&grown, self->entries[i] & GRANULE_MASK) = self->entries[i];
        }
    }
    free(self->entries);
    *self = grown;
    return 0;
}

void
mw_object_table_init(struct mw_object_table *self)
{
    *self = (struct mw_object_table){0};
}

void
mw_object_table_release(struct mw_object_table *self)
{
    for (size_t i = 0; i < self->records; i += RECORDS_PER_BLOCK) {
        free(self->blocks[i / RECORDS_PER_BLOCK]);
    }
    free((void *)self->blocks);
    free(self->entries);
    mw_object_table_init(self);
}

uint32_t
mw_object_table_get(const struct mw_object_table *self, uintptr_t address)
{
    uint64_t entry = self->capacity == 0 ? 0 : *look_up(self, granule_of(address));

    if ((entry & HAS_RECORD) != 0) {
        return record_of(self, entry)->numbers[slot_of(address)];
    }
    return index_of(entry) >> NUMBER_BITS == slot_of(address) ? entry & UINT16_MAX : 0;
}

static int
add_granule(struct mw_object_table *self, uint64_t granule, uint32_t only)
{
    /* At most two thirds full. */
    if (3 * self->granules >= 2 * self->capacity && grow(self) < 0) {
        return -ENOMEM;
    }
    *look_up(self, granule) = granule | only;
    self->granules++;
    self->count++;
    return 0;
}

/* Give the granule of `entry` a record instead of its only object. */
static int
add_record(struct mw_object_table *self, uint64_t *entry)
{
    uint32_t only = index_of(*entry);
    struct mw_object_record *record;

    if (self->records >> INDEX_BITS != 0 ||
        (self->records % RECORDS_PER_BLOCK == 0 && add_block(self) < 0)) {
        return -ENOMEM;
    }
    *entry = (*entry & GRANULE_MASK) | HAS_RECORD | self->records++;
    record = record_of(self, *entry);
    *record = (struct mw_object_record){0};
    record->numbers[only >> NUMBER_BITS] = (uint16_t)(only & UINT16_MAX);
    return 0;
}

int
mw_object_table_set(struct mw_object_table *self, uintptr_t address, uint32_t number)
{
    uint64_t granule = granule_of(address);
    uint32_t only = slot_of(address) << NUMBER_BITS | number;
    uint64_t *entry = self->capacity == 0 ? NULL : look_up(self, granule);
    uint16_t *place;

    if (entry == NULL || *entry == 0) {
        return add_granule(self, granule, only);
    }
    if ((*entry & HAS_RECORD) == 0) {
        if (index_of(*entry) >> NUMBER_BITS == slot_of(address)) {
            *entry = granule | only;
            return 0;
        }
        if (add_record(self, entry) < 0) {
            return -ENOMEM;
        }
    }
    place = &record_of(self, *entry)->numbers[slot_of(address)];
    self->count += *place == 0;
    *place = (uint16_t)number;
    return 0;
}

uint16_t *
mw_object_table_locate(struct mw_object_table *self, uintptr_t address)
{
    uint64_t granule = granule_of(address);
    uint16_t *place;

    if (granule != self->last_granule) {
        uint64_t entry = self->capacity == 0 ? 0 : *look_up(self, granule);

        if ((entry & HAS_RECORD) == 0) {
            return NULL;
        }
        self->last_granule = granule;
        self->last_record = record_of(self, entry);
    }
    place = &self->last_record->numbers[slot_of(address)];
    __builtin_prefetch(place, 1);
    return place;
}

size_t
mw_object_table_bytes(const struct mw_object_table *self)
{
    size_t blocks = (self->records + RECORDS_PER_BLOCK - 1) / RECORDS_PER_BLOCK;

    return self->capacity * sizeof *self->entries +
           blocks * RECORDS_PER_BLOCK * sizeof **self->blocks +
           self->blocks_room * sizeof *self->blocks;
}
