#include "support.h"

#include "heap/holder_sets.h"
#include "heap/object_table.h"

static uint32_t
add(struct mw_holder_sets *sets, uint32_t set, uint32_t holder)
{
    uint32_t out = MW_HOLDER_SET_NONE;

    assert_int_equal(mw_holder_sets_add(sets, set, holder, &out), 0);
    return out;
}

static void
test_the_same_holders_are_the_same_set(void **state)
{
    struct mw_holder_sets sets;
    uint32_t one;
    uint32_t both;

    (void)state;
    assert_int_equal(mw_holder_sets_init(&sets), 0);
    one = add(&sets, MW_HOLDER_SET_NONE, 3);
    both = add(&sets, one, 5);
    assert_true(mw_holder_set_has_holders(one));
    assert_true(one != both);
    assert_int_equal(add(&sets, MW_HOLDER_SET_NONE, 3), one);
    assert_int_equal(add(&sets, one, 5), both);
    assert_int_equal(sets.items[both].parent, one);
    assert_int_equal(sets.items[both].holder, 5);
    assert_int_equal(sets.items[both].size, 2);
    mw_holder_sets_release(&sets);
}

static void
test_moved_bytes_are_in_one_set(void **state)
{
    struct mw_holder_sets sets;
    uint32_t one;
    uint32_t both;

    (void)state;
    assert_int_equal(mw_holder_sets_init(&sets), 0);
    one = add(&sets, MW_HOLDER_SET_NONE, 0);
    both = add(&sets, one, 1);
    mw_holder_sets_move(&sets, MW_HOLDER_SET_NONE, one, 100, 2);
    mw_holder_sets_move(&sets, one, both, 60, 1);
    assert_int_equal(sets.items[one].bytes, 40);
    assert_int_equal(sets.items[one].objects, 1);
    assert_int_equal(sets.items[both].bytes, 60);
    assert_int_equal(sets.items[both].objects, 1);
    mw_holder_sets_release(&sets);
}

static void
test_too_many_holders_are_many(void **state)
{
    struct mw_holder_sets sets;
    uint32_t set = MW_HOLDER_SET_NONE;

    (void)state;
    assert_int_equal(mw_holder_sets_init(&sets), 0);
    for (uint32_t i = 0; i < MW_HOLDER_SET_LARGEST; i++) {
        set = add(&sets, set, i);
        assert_int_equal(sets.items[set].size, i + 1);
    }
    assert_int_equal(add(&sets, set, 1000), MW_HOLDER_SET_MANY);
    mw_holder_sets_release(&sets);
}

static void
test_too_many_sets_are_many(void **state)
{
    struct mw_holder_sets sets;

    (void)state;
    assert_int_equal(mw_holder_sets_init(&sets), 0);
    for (uint32_t i = MW_HOLDER_SET_FIRST; i <= MW_OBJECT_NUMBER_MAX; i++) {
        assert_int_equal(add(&sets, MW_HOLDER_SET_NONE, i), i);
    }
    assert_int_equal(add(&sets, MW_HOLDER_SET_NONE, 7000000), MW_HOLDER_SET_MANY);
    assert_int_equal(add(&sets, MW_HOLDER_SET_NONE, 10), 10);
    mw_holder_sets_release(&sets);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_same_holders_are_the_same_set),
        cmocka_unit_test(test_moved_bytes_are_in_one_set),
        cmocka_unit_test(test_too_many_holders_are_many),
        cmocka_unit_test(test_too_many_sets_are_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
