/* /proc/PID/cgroup, /proc/PID/mountinfo and the files of a cgroup. */

#include "parsing.h"

static void
assert_path(const char *name, const char *controller, const char *expected)
{
    size_t length;
    char *text = read_data(name, &length);
    const char *path;
    size_t path_length;

    assert_int_equal(
        mw_parse_cgroup_path(text, length, controller, &path, &path_length), 0);
    assert_int_equal(path_length, strlen(expected));
    assert_memory_equal(path, expected, path_length);
    free(text);
}

static void
assert_no_path(const char *name, const char *controller)
{
    size_t length;
    char *text = read_data(name, &length);
    const char *path;
    size_t path_length;

    assert_int_equal(
        mw_parse_cgroup_path(text, length, controller, &path, &path_length), -ENODATA);
    free(text);
}

static void
test_cgroup_path(void **state)
{
    (void)state;
    assert_path("cgroup/7.3/cgroup-v2", NULL, "/outer/inner");
    assert_path("cgroup/7.3/cgroup-v2-cgroupns", NULL, "/");
    assert_path("cgroup/7.3/cgroup-v2-zombie-deleted", NULL, "/gone (deleted)");
    assert_path("cgroup/5.10/cgroup-v1", "memory", "/outer/inner");
    assert_path("cgroup/5.10/cgroup-hybrid", "memory", "/outer/inner");
    assert_path("cgroup/5.10/cgroup-hybrid", NULL, "/");
    assert_no_path("cgroup/5.10/cgroup-v1", NULL);
    assert_no_path("cgroup/7.3/cgroup-v2", "memory");
    assert_no_path("cgroup/7.3/cgroup-nomount", NULL);
}

static int
mount_of(const char *line, const char *controller, char *root, char *point, size_t size)
{
    return mw_parse_cgroup_mount(line, strlen(line), controller, root, point, size);
}

static void
test_cgroup_mount(void **state)
{
    char root[32];
    char point[32];

    (void)state;
    assert_int_equal(mount_of("35 31 0:32 /../.. /sys/fs/cgroup/memory rw shared:7 - "
                              "cgroup cgroup rw,cpu,memory",
                              "memory", root, point, sizeof root),
                     0);
    assert_string_equal(root, "/../..");
    assert_string_equal(point, "/sys/fs/cgroup/memory");
    assert_int_equal(mount_of("41 31 0:38 / /a\\040b\\134c rw - cgroup2 cgroup2 rw",
                              NULL, root, point, sizeof root),
                     0);
    assert_string_equal(point, "/a b\\c");
    assert_int_equal(
        mount_of("1 1 0:1 / /a\\04 rw - cgroup2 x y", NULL, root, point, sizeof root),
        0);
    assert_string_equal(point, "/a\\04"); /* no escape */

    /* Another controller, the other version, no control groups. */
    assert_int_equal(mount_of("1 1 0:1 / /a rw - cgroup x rw,memoryx", "memory", root,
                              point, sizeof root),
                     -ENODATA);
    assert_int_equal(
        mount_of("1 1 0:1 / /a rw - cgroup2 x rw", "memory", root, point, sizeof root),
        -ENODATA);
    assert_int_equal(mount_of("1 1 0:1 / /a rw - cgroup x rw,memory", NULL, root, point,
                              sizeof root),
                     -ENODATA);
    assert_int_equal(
        mount_of("1 1 0:1 / /a rw - tmpfs x rw", NULL, root, point, sizeof root),
        -ENODATA);

    assert_int_equal(mount_of("1 1 0:1 / /a rw - cgroup2 x rw", NULL, root, point, 2),
                     -ENAMETOOLONG);
    assert_int_equal(mount_of("", NULL, root, point, sizeof root), -EBADMSG);
    assert_int_equal(mount_of("1 1 0:1 /", NULL, root, point, sizeof root), -EBADMSG);
    assert_int_equal(mount_of("1 1 0:1 / /a rw x", NULL, root, point, sizeof root),
                     -EBADMSG);
    assert_int_equal(mount_of("1 1 0:1 / /a rw -", NULL, root, point, sizeof root),
                     -EBADMSG);
    assert_int_equal(
        mount_of("1 1 0:1 / /a rw - cgroup2 x", NULL, root, point, sizeof root),
        -EBADMSG);
}

static int
overlay_of(const char *line, struct mw_overlay_mount *mount)
{
    return mw_parse_overlay_mount(line, strlen(line), mount);
}

static void
test_overlay_mount(void **state)
{
    static struct mw_overlay_mount mount;

    (void)state;
    assert_int_equal(overlay_of("9 1 0:35 /a\\040b /c rw - overlay none "
                                "rw,lowerdir=/l,upperdir=/u\\054v,workdir=/w",
                                &mount),
                     0);
    assert_int_equal(mount.device, makedev(0, 35));
    assert_string_equal(mount.root, "/a b");
    assert_string_equal(mount.point, "/c");
    assert_string_equal(mount.upper, "/u,v");
    assert_int_equal(overlay_of("9 1 0:35 / / rw - overlay x upperdir=/u", &mount), 0);
    assert_string_equal(mount.upper, "/u");

    /* Read-only, another file system, incomplete. */
    assert_int_equal(overlay_of("9 1 0:35 / / rw - overlay x lowerdir=/l", &mount),
                     -ENODATA);
    assert_int_equal(overlay_of("9 1 0:35 / / rw - ext4 x upperdir=/u", &mount),
                     -ENODATA);
    assert_int_equal(overlay_of("9 1 35 / / rw - overlay x upperdir=/u", &mount),
                     -EBADMSG);
    assert_int_equal(overlay_of("9 1 0:35 / / rw - overlay", &mount), -EBADMSG);
}

static int
path_of(const char *text, const char *controller, const char **path, size_t *length)
{
    return mw_parse_cgroup_path(text, strlen(text), controller, path, length);
}

static void
test_cgroup_path_odd_lines(void **state)
{
    const char *path;
    size_t length;

    (void)state;
    assert_int_equal(path_of("4:cpu,memory,pids:/a:b\n", "memory", &path, &length), 0);
    assert_int_equal(length, 4);
    assert_memory_equal(path, "/a:b", 4);
    /* "memo" is no part of a name, and the unified hierarchy's ID is 0. */
    assert_int_equal(path_of("4:memory:/a\n", "memo", &path, &length), -ENODATA);
    assert_int_equal(path_of("4:memory:/a\n", "memoryx", &path, &length), -ENODATA);
    assert_int_equal(path_of("1::/a\n", NULL, &path, &length), -ENODATA);
    assert_int_equal(path_of("0::/a", NULL, &path, &length), -ENODATA);
    assert_int_equal(path_of("x::/a\n", NULL, &path, &length), -EBADMSG);
    assert_int_equal(path_of("0:\n", NULL, &path, &length), -EBADMSG);
    assert_int_equal(path_of("0::\n", NULL, &path, &length), -EBADMSG);
    assert_int_equal(path_of("0::a\n", NULL, &path, &length), -EBADMSG);
}

static int64_t
limit_of(const char *name)
{
    size_t length;
    char *text = read_data(name, &length);
    int64_t limit;

    assert_int_equal(mw_parse_cgroup_limit(text, length, &limit), 0);
    free(text);
    return limit;
}

static void
test_cgroup_limit(void **state)
{
    static const char *garbage[] = {
        "", "max", "12", "maximum\n", "-1\n", "12 34\n", "99999999999999999999\n"};
    int64_t limit = 77;

    (void)state;
    assert_int_equal(limit_of("cgroup/7.3/memory-max-inner"), MW_UNLIMITED);
    assert_int_equal(limit_of("cgroup/7.3/memory-max-outer"), 256 * MIB);
    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
        assert_int_equal(mw_parse_cgroup_limit(garbage[i], strlen(garbage[i]), &limit),
                         -EBADMSG);
    }
    assert_int_equal(limit, 77);
}

static int64_t
keyed(const char *name, const char *key)
{
    size_t length;
    char *text = read_data(name, &length);
    int64_t value;

    assert_int_equal(mw_parse_keyed(text, length, key, &value), 0);
    free(text);
    return value;
}

static void
test_keyed(void **state)
{
    static const char torn[] = "oom 1\noom_kill 2";
    static const char bad[] = "oom_kill x\n";
    int64_t value = 77;

    (void)state;
    assert_int_equal(keyed("cgroup/5.10/memory-events-afteroom-inner", "oom_kill"), 1);
    assert_int_equal(keyed("cgroup/7.3/memory-events-afteroom-inner", "oom_kill"), 1);
    assert_int_equal(keyed("cgroup/7.3/memory-events-afteroom-inner", "oom"), 0);
    assert_int_equal(keyed("cgroup/5.10/oom-control-v1-afteroom", "oom_kill"), 1);
    assert_int_equal(keyed("cgroup/5.10/memory-stat-v1", "hierarchical_memory_limit"),
                     256 * MIB);
    assert_int_equal(
        keyed("cgroup/5.10/memory-stat-v1-nohier", "hierarchical_memory_limit"),
        INT64_C(9223372036854771712));
    assert_int_equal(mw_parse_keyed(torn, sizeof torn - 1, "oom_kill", &value),
                     -ENODATA);
    assert_int_equal(mw_parse_keyed(bad, sizeof bad - 1, "oom_kill", &value), -EBADMSG);
    assert_int_equal(value, 77);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cgroup_path),
        cmocka_unit_test(test_cgroup_mount),
        cmocka_unit_test(test_overlay_mount),
        cmocka_unit_test(test_cgroup_path_odd_lines),
        cmocka_unit_test(test_cgroup_limit),
        cmocka_unit_test(test_keyed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
