#include "support.h"

#include "linux/cgroup/limit.h"

static struct mw_cgroup_limit
limit_of(const char *root)
{
    char mount[4096];
    struct mw_cgroup_limit limit;

    snprintf(mount, sizeof mount, "%s/cgroup", root);
    assert_int_equal(mw_cgroup_read_limit(root, mount, 0, &limit), 0);
    return limit;
}

static int
kills_of(const char *root, int64_t *kills)
{
    char mount[4096];

    snprintf(mount, sizeof mount, "%s/cgroup", root);
    return mw_cgroup_read_oom_kills(root, mount, 0, kills);
}

static void
test_v2_takes_the_least_of_the_ancestors(void **state)
{
    char *root = make_root();
    struct mw_cgroup_limit limit;
    int64_t kills;

    (void)state;
    write_file(root, "self/cgroup", "0::/outer/middle/inner\n");
    write_file(root, "cgroup/outer/memory.max", "1073741824\n");
    write_file(root, "cgroup/outer/middle/memory.max", "268435456\n");
    write_file(root, "cgroup/outer/middle/inner/memory.max", "max\n");
    write_file(root, "cgroup/outer/middle/inner/memory.events",
               "low 0\nhigh 0\nmax 7\noom 2\noom_kill 3\noom_group_kill 0\n");
    limit = limit_of(root);
    assert_int_equal(limit.limit_bytes, 256 * MIB);
    assert_string_equal(limit.group, "/outer/middle");
    assert_int_equal(kills_of(root, &kills), 0);
    assert_int_equal(kills, 3);
    remove_root(root);
}

static void
test_v2_without_a_limit(void **state)
{
    char *root = make_root();
    struct mw_cgroup_limit limit;
    int64_t kills;

    (void)state;
    write_file(root, "self/cgroup", "0::/\n");
    write_file(root, "cgroup/cgroup.procs", "1\n");
    limit = limit_of(root);
    assert_int_equal(limit.limit_bytes, MW_UNLIMITED);
    assert_string_equal(limit.group, "");
    assert_int_equal(kills_of(root, &kills), -ENODATA);
    remove_root(root);
}

/* A container: /proc names the group as the host does, the mount shows it as its
 * root. */
static void
test_container_sees_its_group_as_the_root(void **state)
{
    char *root = make_root();
    struct mw_cgroup_limit limit;

    (void)state;
    write_file(root, "self/cgroup", "0::/docker/0123abcd\n");
    write_file(root, "cgroup/memory.max", "536870912\n");
    limit = limit_of(root);
    assert_int_equal(limit.limit_bytes, 512 * MIB);
    assert_string_equal(limit.group, "/");
    remove_root(root);
}

static void
test_v1_and_hybrid(void **state)
{
    char *root = make_root();
    struct mw_cgroup_limit limit;
    int64_t kills;

    (void)state;
    write_file(root, "self/cgroup",
               "9:cpuset:/\n4:cpu,memory:/a:b/c\n1:name=systemd:/a\n0::/a\n");
    write_file(root, "cgroup/memory/a:b/c/memory.stat",
               "cache 0\nrss 8192\nhierarchical_memory_limit 104857600\n"
               "hierarchical_memsw_limit 9223372036854771712\n");
    write_file(root, "cgroup/memory/a:b/c/memory.oom_control",
               "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n");
    limit = limit_of(root);
    assert_int_equal(limit.limit_bytes, 100 * MIB);
    assert_string_equal(limit.group, "/a:b/c");
    assert_int_equal(kills_of(root, &kills), 0);
    assert_int_equal(kills, 1);
    remove_root(root);
}

static void
test_v1_without_a_limit(void **state)
{
    char *root = make_root();

    (void)state;
    write_file(root, "self/cgroup", "4:memory:/a\n");
    write_file(root, "cgroup/memory/a/memory.stat",
               "hierarchical_memory_limit 9223372036854771712\n");
    assert_int_equal(limit_of(root).limit_bytes, MW_UNLIMITED);
    remove_root(root);
}

/* /proc names a group whose hierarchy is mounted elsewhere or not at all. */
static void
test_group_that_is_not_to_be_seen(void **state)
{
    char *root = make_root();
    int64_t kills;

    (void)state;
    write_file(root, "self/cgroup", "4:memory:/a/b\n0::/a/b\n");
    assert_int_equal(limit_of(root).limit_bytes, MW_UNLIMITED);
    assert_int_equal(kills_of(root, &kills), -ENODATA);
    remove_root(root);
}

/* ---- groups that are to be resolved against the mount's root ---- */

static void
write_mount(const char *root, const char *seen, const char *point, const char *type)
{
    char text[4096];

    snprintf(text, sizeof text,
             "23 22 0:5 / /proc rw,relatime - proc proc rw\n"
             "31 23 0:28 / %s/cgroup rw - tmpfs tmpfs rw,mode=755\n"
             "32 31 0:29 / %s/cgroup/cpu rw shared:9 - cgroup cgroup rw,cpu\n"
             "35 31 0:32 %s %s/cgroup%s ro,nosuid shared:7 master:2 - %s\n"
             "41 31 0:38 / /elsewhere rw - cgroup2 cgroup2 rw\n",
             root, root, seen, root, point, type);
    write_file(root, "self/mountinfo", text);
}

#define V1 "cgroup cgroup rw,memory"
#define V2 "cgroup2 cgroup2 rw,nsdelegate"

/* The file of processes that has ours in it, among others. */
static void
write_processes(const char *root, const char *group)
{
    char path[512];
    char text[64];

    snprintf(path, sizeof path, "cgroup%s/cgroup.procs", group);
    snprintf(text, sizeof text, "0\n1\n%d\n", (int)getpid());
    write_file(root, path, text);
}

static void
test_v2_through_a_namespace_below_the_mount(void **state)
{
    char *root = make_root();
    struct mw_cgroup_limit limit;
    int64_t kills;

    (void)state;
    write_file(root, "self/cgroup", "0::/\n");
    write_mount(root, "/../..", "", V2);
    write_file(root, "cgroup/memory.events", "oom_kill 99\n");
    write_file(root, "cgroup/a/other/memory.max", "4096\n");
    write_file(root, "cgroup/a/other/cgroup.procs", "1\n");
    write_file(root, "cgroup/b/memory.max", "268435456\n");
    write_file(root, "cgroup/b/ours/memory.max", "1073741824\n");
    write_file(root, "cgroup/b/ours/memory.events", "oom_kill 2\n");
    write_processes(root, "/b/ours");
    limit = limit_of(root);
    assert_int_equal(limit.limit_bytes, 256 * MIB); /* of the parent, which is seen */
    assert_string_equal(limit.group, "/b");
    assert_int_equal(kills_of(root, &kills), 0);
    assert_int_equal(kills, 2);

    /* A group below the namespace's, whose name is told. */
    write_file(root, "self/cgroup", "0::/inner/most\n");
    write_file(root, "cgroup/b/ours/inner/most/memory.max", "1048576\n");
    write_processes(root, "/b/ours/inner/most");
    limit = limit_of(root);
    assert_int_equal(limit.limit_bytes, MIB);
    assert_string_equal(limit.group, "/b/ours/inner/most");

    /* One beside it, one level up. */
    write_file(root, "self/cgroup", "0::/../beside\n");
    write_file(root, "cgroup/a/beside/memory.max", "2097152\n");
    write_processes(root, "/a/beside");
    assert_string_equal(limit_of(root).group, "/a/beside");

    /* One that is above the mount, or is in no group that can be seen: no limit is made
     * up of the others'. */
    write_file(root, "self/cgroup", "0::/../../../x\n");
    assert_int_equal(limit_of(root).limit_bytes, MW_UNLIMITED);
    write_file(root, "self/cgroup", "0::/nowhere\n");
    assert_int_equal(limit_of(root).limit_bytes, MW_UNLIMITED);
    assert_int_equal(kills_of(root, &kills), -ENODATA);
    remove_root(root);
}

static void
test_v1_through_a_namespace_below_the_mount(void **state)
{
    char *root = make_root();
    struct mw_cgroup_limit limit;
    int64_t kills;
    char file[MW_CGROUP_PATH_ROOM];
    char mount[4096];

    (void)state;
    snprintf(mount, sizeof mount, "%s/cgroup", root);
    write_file(root, "self/cgroup", "4:memory:/\n0::/\n");
    write_mount(root, "/..", "/memory", V1);
    write_file(root, "cgroup/memory/memory.stat",
               "hierarchical_memory_limit 9223372036854771712\n");
    write_file(root, "cgroup/memory/memory.oom_control", "oom_kill 99\n");
    write_file(root, "cgroup/memory/job 7/memory.stat",
               "hierarchical_memory_limit 104857600\n");
    write_file(root, "cgroup/memory/job 7/memory.oom_control", "oom_kill 1\n");
    write_processes(root, "/memory/job 7");
    limit = limit_of(root);
    assert_int_equal(limit.limit_bytes, 100 * MIB);
    assert_string_equal(limit.group, "/job 7");
    assert_int_equal(mw_cgroup_find_oom_kills(root, mount, 0, &kills, file), 0);
    assert_int_equal(kills, 1);
    assert_string_equal(file, "/memory/job 7/memory.oom_control");
    assert_int_equal(mw_cgroup_reread_oom_kills(mount, file, &kills), 0);
    remove_root(root);
}

/* Version 1 for memory, version 2 beside it, each where it is mounted. */
static void
test_hybrid_with_other_places(void **state)
{
    char *root = make_root();
    struct mw_cgroup_limit limit;
    char text[4096];

    (void)state;
    write_file(root, "self/cgroup", "4:cpu,memory:/a/b\n0::/a/b\n");
    snprintf(text, sizeof text,
             "35 31 0:32 / %s/cgroup/cpu,memory rw - cgroup cgroup rw,cpu,memory\n"
             "41 31 0:38 / %s/cgroup/unified rw - cgroup2 cgroup2 rw\n",
             root, root);
    write_file(root, "self/mountinfo", text);
    write_file(root, "cgroup/cpu,memory/a/b/memory.stat",
               "hierarchical_memory_limit 104857600\n");
    limit = limit_of(root);
    assert_int_equal(limit.limit_bytes, 100 * MIB);
    assert_string_equal(limit.group, "/a/b");
    write_file(root, "cgroup/unified/a/memory.max", "1048576\n");
    limit = limit_of(root);
    assert_int_equal(limit.limit_bytes, MIB);
    assert_string_equal(limit.group, "/a");
    remove_root(root);
}

/* A container whose mount shows its own group only, as the host names it. */
static void
test_mount_of_a_part(void **state)
{
    char *root = make_root();
    struct mw_cgroup_limit limit;

    (void)state;
    write_file(root, "self/cgroup", "0::/docker/0123abcd/inner\n");
    write_mount(root, "/docker/0123abcd", "", V2);
    write_file(root, "cgroup/memory.max", "536870912\n");
    write_file(root, "cgroup/inner/memory.max", "268435456\n");
    limit = limit_of(root);
    assert_int_equal(limit.limit_bytes, 256 * MIB);
    assert_string_equal(limit.group, "/inner");

    /* Not that of a group whose name only begins alike. */
    write_file(root, "self/cgroup", "0::/docker/0123abcde/inner\n");
    limit = limit_of(root);
    assert_int_equal(limit.limit_bytes, 512 * MIB);
    assert_string_equal(limit.group, "/");
    remove_root(root);
}

/* More lines, and longer ones, than are read at once. */
static void
test_mounts_without_an_end(void **state)
{
    char *root = make_root();
    static char text[200000];
    char *at = text;

    (void)state;
    write_file(root, "self/cgroup", "0::/a\n");
    for (int i = 0; i < 1000; i++) {
        at += snprintf(at, 200, "9%d 9 0:7 / /var/lib/x%d rw - overlay overlay rw\n", i,
                       i);
    }
    memset(at, 'x', 20000);
    at += 20000;
    snprintf(at, 4096, "\n41 31 0:38 / %s/cgroup/v2\\040 rw - cgroup2 cgroup2 rw\n",
             root);
    write_file(root, "self/mountinfo", text);
    write_file(root, "cgroup/v2 /a/memory.max", "1048576\n");
    assert_int_equal(limit_of(root).limit_bytes, MIB);
    remove_root(root);
}

static void
test_names_that_are_too_long(void **state)
{
    char *root = make_root();
    char line[MW_CGROUP_PATH_ROOM + 16] = "0::/";
    static char slashes[8192];
    struct mw_cgroup_limit limit = {.limit_bytes = 77};

    (void)state;
    memset(line + 4, 'a', MW_CGROUP_PATH_ROOM);
    line[4 + MW_CGROUP_PATH_ROOM] = '\n';
    write_file(root, "self/cgroup", line);
    assert_int_equal(mw_cgroup_read_limit(root, root, 0, &limit), -ENAMETOOLONG);
    write_file(root, "self/cgroup", "0::/a\n");
    memset(slashes, '/', sizeof slashes - 1);
    assert_int_equal(mw_cgroup_read_limit(root, slashes, 0, &limit), -ENAMETOOLONG);
    assert_int_equal(mw_cgroup_read_limit(slashes, "/", 0, &limit), -ENAMETOOLONG);
    assert_int_equal(limit.limit_bytes, 77);
    remove_root(root);
}

/* A file that is there and cannot be read may hold a limit: an error. One that is
 * hidden from us, or whose group is just going, is as good as not there. */
static void
test_not_a_regular_file(void **state)
{
    char *root = make_root();
    char mount[4096];
    struct mw_cgroup_limit limit;

    (void)state;
    snprintf(mount, sizeof mount, "%s/cgroup", root);
    write_file(root, "self/cgroup", "0::/a\n");
    write_file(root, "cgroup/a/memory.max/x", "");
    assert_int_equal(mw_cgroup_read_limit(root, mount, 0, &limit), -EISDIR);
    remove_root(root);
}

static void
test_unreadable(void **state)
{
    struct mw_cgroup_limit limit;
    int64_t kills;

    (void)state;
    assert_int_equal(mw_cgroup_read_limit("/nowhere", "/nowhere", 0, &limit), -ENOENT);
    assert_int_equal(mw_cgroup_read_oom_kills("/nowhere", "/nowhere", 0, &kills),
                     -ENOENT);
}

static void
test_this_machine(void **state)
{
    struct mw_cgroup_limit limit;

    (void)state;
    assert_int_equal(mw_cgroup_read_limit("/proc", MW_CGROUP_MOUNT, 0, &limit), 0);
    assert_true(limit.limit_bytes > 0);
    assert_int_equal(limit.limit_bytes == MW_UNLIMITED, limit.group[0] == '\0');
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_v2_takes_the_least_of_the_ancestors),
        cmocka_unit_test(test_v2_without_a_limit),
        cmocka_unit_test(test_container_sees_its_group_as_the_root),
        cmocka_unit_test(test_v1_and_hybrid),
        cmocka_unit_test(test_v1_without_a_limit),
        cmocka_unit_test(test_group_that_is_not_to_be_seen),
        cmocka_unit_test(test_v2_through_a_namespace_below_the_mount),
        cmocka_unit_test(test_v1_through_a_namespace_below_the_mount),
        cmocka_unit_test(test_hybrid_with_other_places),
        cmocka_unit_test(test_mount_of_a_part),
        cmocka_unit_test(test_mounts_without_an_end),
        cmocka_unit_test(test_names_that_are_too_long),
        cmocka_unit_test(test_not_a_regular_file),
        cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_this_machine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
