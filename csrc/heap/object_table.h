/* A table of addresses, each with a small number, for a walk over millions of objects.
 * Pure.
 *
 * Memory is divided into granules of 4 KiB. A hash table has an entry of 8 bytes for
 * each granule that has objects. If it has one object, the entry has its number. If it
 * has more, the entry refers to a record of 512 bytes, with a number for each 16 bytes
 * of the granule. So objects that were allocated together are together in the table,
 * which matters more to the speed than anything else. An object of up to 100 bytes
 * takes less than 16 bytes of it, and all objects less than a sixth of their own
 * memory.
 *
 *     mw_object_table_init(&table);
 *     err = mw_object_table_set(&table, address, 7);
 *     number = mw_object_table_get(&table, address); // 7; 0: not in the table
 *     mw_object_table_release(&table);
 */

#ifndef MW_HEAP_OBJECT_TABLE_H
#define MW_HEAP_OBJECT_TABLE_H

#include <stddef.h>
#include <stdint.h>

enum {
    MW_OBJECT_NUMBER_MAX = UINT16_MAX,
    MW_OBJECT_BYTES_MIN = 16, /* two addresses are at least so far apart */
    MW_OBJECT_SLOTS = 256,    /* of a granule */
};

struct mw_object_record {
    uint16_t numbers[MW_OBJECT_SLOTS]; /* 0: no object */
};

struct mw_object_table {
    uint64_t *entries; /* 0: empty */
    size_t capacity;   /* a power of two */
    size_t granules;
    size_t count;
    struct mw_object_record **blocks; /* of records, which stay in place */
    size_t records;
    size_t blocks_room;
    uint64_t last_granule; /* that was located: neighbours come in a row */
    struct mw_object_record *last_record;
};

void mw_object_table_init(struct mw_object_table *self);
void mw_object_table_release(struct mw_object_table *self);

/* The number of `address`; 0: it has none. */
uint32_t mw_object_table_get(const struct mw_object_table *self, uintptr_t address);

/* Give `address`, which is below 2^48, a number from 1 to MW_OBJECT_NUMBER_MAX.
 * -ENOMEM: no memory, or more than 16 million records. */
int
mw_object_table_set(struct mw_object_table *self, uintptr_t address, uint32_t number);

/* Where the number of `address` is, 0 if it has none yet, or NULL: use the functions
 * above. Gets it into the processor's cache: several objects on, access is fast. Valid
 * as long as the table, which does not count an object whose number is set there. */
uint16_t *mw_object_table_locate(struct mw_object_table *self, uintptr_t address);

/* Bytes that the table takes. */
size_t mw_object_table_bytes(const struct mw_object_table *self);

#endif
