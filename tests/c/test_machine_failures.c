/* Calls fail while the machine's processors and cgroups are read. */

#include "failures.h"

static void
test_processors_that_cannot_be_read(void **state)
{
    struct mw_sampler *sampler;
    struct mw_watch watch;
    struct mw_result result;
    int refuses = -1;
    struct mw_cpu_reader reader = {refuse_or_count, &refuses};

    (void)state;
    assert_int_equal(mw_sampler_new(&sampler, MW_PROC_ROOT, 0), 0);
    mw_sampler_set_cpu_reader(sampler, &reader);
    assert_int_equal(mw_sampler_open(sampler, &watch, NULL), 0);
    assert_int_equal(mw_sampler_close(sampler, &watch, NULL, &result), 0);
    assert_int_equal(result.system_mean_cpu_percent, MW_ABSENT);
    assert_int_equal(result.single_max_cpu_percent, MW_ABSENT);
    mw_sampler_free(&sampler);
}

struct groups {
    const char *root;
    char mount[4096];
    int64_t limit_bytes;
    int64_t kills;
};

static int
read_limit(void *context)
{
    const struct groups *groups = context;
    struct mw_cgroup_limit limit = {.limit_bytes = 77};
    int err = mw_cgroup_read_limit(groups->root, groups->mount, 0, &limit);

    /* A limit that could not be read is not one that is not set. */
    assert_int_equal(limit.limit_bytes, err == 0 ? groups->limit_bytes : 77);
    return err;
}

static int
read_kills(void *context)
{
    const struct groups *groups = context;
    int64_t kills = 77;
    int err = mw_cgroup_read_oom_kills(groups->root, groups->mount, 0, &kills);

    assert_int_equal(kills, err == 0 ? groups->kills : 77);
    return err;
}

static void
test_groups_of_version_2(void **state)
{
    struct groups groups = {.root = make_root(), .limit_bytes = 4096, .kills = 3};

    (void)state;
    snprintf(groups.mount, sizeof groups.mount, "%s/cgroup", groups.root);
    write_file(groups.root, "self/cgroup", "0::/outer/inner\n");
    write_file(groups.root, "cgroup/outer/memory.max", "4096\n");
    write_file(groups.root, "cgroup/outer/memory.events", "oom_kill 3\n");
    write_file(groups.root, "cgroup/outer/inner/memory.max", "8192\n");
    assert_true(walk((struct operation){read_limit, NULL, &groups}) > 6);
    assert_true(walk((struct operation){read_kills, NULL, &groups}) > 4);
    walk_interrupted((struct operation){read_limit, NULL, &groups});
    walk_interrupted((struct operation){read_kills, NULL, &groups});
    remove_root(groups.root);
}

static void
test_groups_of_version_1(void **state)
{
    struct groups groups = {.root = make_root(), .limit_bytes = 4096, .kills = 3};

    (void)state;
    snprintf(groups.mount, sizeof groups.mount, "%s/cgroup", groups.root);
    write_file(groups.root, "self/cgroup", "4:memory:/a\n0::/\n");
    write_file(groups.root, "cgroup/memory/a/memory.stat",
               "hierarchical_memory_limit 4096\n");
    write_file(groups.root, "cgroup/memory/a/memory.oom_control", "oom_kill 3\n");
    assert_true(walk((struct operation){read_limit, NULL, &groups}) > 6);
    assert_true(walk((struct operation){read_kills, NULL, &groups}) > 4);
    walk_interrupted((struct operation){read_limit, NULL, &groups});
    walk_interrupted((struct operation){read_kills, NULL, &groups});
    remove_root(groups.root);
}

/* The group's name is not told, and is found by its processes. */
static void
test_groups_above_the_namespace(void **state)
{
    struct groups groups = {.root = make_root(), .limit_bytes = 4096, .kills = 3};
    char text[5000];

    (void)state;
    snprintf(groups.mount, sizeof groups.mount, "%s/cgroup", groups.root);
    write_file(groups.root, "self/cgroup", "0::/\n");
    snprintf(text, sizeof text, "1 1 0:1 /.. %s rw - cgroup2 cgroup2 rw\n",
             groups.mount);
    write_file(groups.root, "self/mountinfo", text);
    snprintf(text, sizeof text, "%d\n", (int)getpid());
    write_file(groups.root, "cgroup/a/cgroup.procs", text);
    write_file(groups.root, "cgroup/a/memory.max", "4096\n");
    write_file(groups.root, "cgroup/a/memory.events", "oom_kill 3\n");
    assert_true(walk((struct operation){read_limit, NULL, &groups}) > 8);
    assert_true(walk((struct operation){read_kills, NULL, &groups}) > 6);
    walk_interrupted((struct operation){read_limit, NULL, &groups});
    walk_interrupted((struct operation){read_kills, NULL, &groups});
    remove_root(groups.root);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_processors_that_cannot_be_read),
        cmocka_unit_test(test_groups_of_version_2),
        cmocka_unit_test(test_groups_of_version_1),
        cmocka_unit_test(test_groups_above_the_namespace),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
