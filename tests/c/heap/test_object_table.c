#include "support.h"

#include <stdlib.h>

#include "heap/object_table.h"

enum { GRANULE = 4096 };

static void
test_absent_addresses_have_no_number(void **state)
{
    struct mw_object_table table;

    (void)state;
    mw_object_table_init(&table);
    assert_int_equal(mw_object_table_get(&table, 0x1000), 0);
    assert_null(mw_object_table_locate(&table, 0x1000));
    assert_int_equal(mw_object_table_set(&table, 0x1000, 1), 0);
    assert_int_equal(mw_object_table_get(&table, 0x1010), 0);
    assert_int_equal(mw_object_table_get(&table, 0x2000), 0);
    assert_int_equal(table.count, 1);
    mw_object_table_release(&table);
}

static void
test_numbers_change_as_a_granule_fills(void **state)
{
    struct mw_object_table table;

    (void)state;
    mw_object_table_init(&table);
    for (uint32_t i = 0; i < MW_OBJECT_SLOTS; i++) {
        uintptr_t address = 0x7f0000000000 + (uintptr_t)i * MW_OBJECT_BYTES_MIN;

        assert_int_equal(mw_object_table_set(&table, address, i + 1), 0);
        assert_int_equal(mw_object_table_set(&table, address, i + 2), 0);
        for (uint32_t j = 0; j <= i; j++) {
            address = 0x7f0000000000 + (uintptr_t)j * MW_OBJECT_BYTES_MIN;
            assert_int_equal(mw_object_table_get(&table, address), j + 2);
        }
    }
    assert_int_equal(table.count, MW_OBJECT_SLOTS);
    assert_int_equal(table.records, 1);
    mw_object_table_release(&table);
}

static void
test_the_largest_number_in_the_last_slot(void **state)
{
    const uintptr_t last = ((uintptr_t)1 << 48) - MW_OBJECT_BYTES_MIN;
    struct mw_object_table table;

    (void)state;
    mw_object_table_init(&table);
    assert_int_equal(mw_object_table_set(&table, last, MW_OBJECT_NUMBER_MAX), 0);
    assert_int_equal(mw_object_table_get(&table, last), MW_OBJECT_NUMBER_MAX);
    assert_int_equal(mw_object_table_set(&table, last - 16, 1), 0);
    assert_int_equal(mw_object_table_get(&table, last), MW_OBJECT_NUMBER_MAX);
    mw_object_table_release(&table);
}

static void
test_a_located_number_is_the_number(void **state)
{
    struct mw_object_table table;
    uint16_t *number;

    (void)state;
    mw_object_table_init(&table);
    assert_int_equal(mw_object_table_set(&table, 0x5000, 3), 0);
    /* One object alone has no record. */
    assert_null(mw_object_table_locate(&table, 0x5000));
    assert_int_equal(mw_object_table_set(&table, 0x5020, 4), 0);
    number = mw_object_table_locate(&table, 0x5020);
    assert_non_null(number);
    assert_int_equal(*number, 4);
    number = mw_object_table_locate(&table, 0x5040);
    assert_int_equal(*number, 0);
    *number = 9;
    assert_int_equal(mw_object_table_get(&table, 0x5040), 9);
    assert_int_equal(mw_object_table_get(&table, 0x5000), 3);
    mw_object_table_release(&table);
}

/* A linear congruential generator: the same addresses in each run. */
static uintptr_t
next_address(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uintptr_t)(*seed >> 20 & UINT64_C(0xFFFFFFFFFF0));
}

static void
test_many_addresses_far_apart(void **state)
{
    enum { COUNT = 100000 };
    struct mw_object_table table;
    uint64_t seed = 1;

    (void)state;
    mw_object_table_init(&table);
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_int_equal(
            mw_object_table_set(&table, next_address(&seed) | GRANULE, i % 1000 + 1),
            0);
    }
    seed = 1;
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_int_equal(mw_object_table_get(&table, next_address(&seed) | GRANULE),
                         i % 1000 + 1);
    }
    assert_int_equal(table.count, COUNT);
    mw_object_table_release(&table);
}

static void
test_small_objects_take_few_bytes(void **state)
{
    enum { COUNT = 1000000, BYTES = 64 };
    struct mw_object_table table;

    (void)state;
    mw_object_table_init(&table);
    for (uintptr_t i = 0; i < COUNT; i++) {
        assert_int_equal(mw_object_table_set(&table, 0x10000 + i * BYTES, 1), 0);
    }
    assert_in_range(mw_object_table_bytes(&table), 8 * COUNT, 10 * COUNT);
    mw_object_table_release(&table);
    assert_int_equal(mw_object_table_bytes(&table), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_absent_addresses_have_no_number),
        cmocka_unit_test(test_numbers_change_as_a_granule_fills),
        cmocka_unit_test(test_the_largest_number_in_the_last_slot),
        cmocka_unit_test(test_a_located_number_is_the_number),
        cmocka_unit_test(test_many_addresses_far_apart),
        cmocka_unit_test(test_small_objects_take_few_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
