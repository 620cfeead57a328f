#include "support.h"

#include <sys/sysmacros.h>

#include "linux/parse.h"

/* A file of tests/data, whole. The caller frees. */
static char *
read_data(const char *name, size_t *length)
{
    char path[4096];
    char *text = malloc(65536);
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", TEST_DATA, name);
    file = fopen(path, "rb");
    if (file == NULL) {
        fail_msg("cannot open %s", path);
    }
    *length = fread(text, 1, 65536, file);
    fclose(file);
    /* As long as the text, so that a sanitizer sees each byte read past it. */
    return realloc(text, *length ? *length : 1);
}

#define KIB INT64_C(1024)

static int
status_of(const char *name, struct mw_memory *memory)
{
    size_t length;
    char *text = read_data(name, &length);
    int err = mw_parse_status(text, length, memory);

    free(text);
    return err;
}

static int
statm_of(const char *name, int64_t *rss_bytes)
{
    size_t length;
    char *text = read_data(name, &length);
    int err = mw_parse_statm(text, length, 4096, rss_bytes);

    free(text);
    return err;
}

static void
assert_memory(const char *name, struct mw_memory expected)
{
    struct mw_memory memory;

    if (status_of(name, &memory) != 0) {
        fail_msg("%s is not parsed", name);
    }
    assert_int_equal(memory.rss_bytes, expected.rss_bytes);
    assert_int_equal(memory.hwm_bytes, expected.hwm_bytes);
    assert_int_equal(memory.anon_bytes, expected.anon_bytes);
    assert_int_equal(memory.file_bytes, expected.file_bytes);
    assert_int_equal(memory.shmem_bytes, expected.shmem_bytes);
    assert_int_equal(memory.swap_bytes, expected.swap_bytes);
    assert_int_equal(memory.threads, expected.threads);
}

/* ---- status ---- */

static void
test_status_of_several_kernels(void **state)
{
    (void)state;
    assert_memory("proc/5.10/status-self",
                  (struct mw_memory){4 * KIB, 4 * KIB, 4 * KIB, 0, 0, 0, 1});
    assert_memory("proc/6.1/status-self",
                  (struct mw_memory){4 * KIB, 4 * KIB, 4 * KIB, 0, 0, 0, 1});
    assert_memory("proc/6.12/status-self",
                  (struct mw_memory){1468 * KIB, 1468 * KIB, 56 * KIB, 4 * KIB,
                                     1408 * KIB, 0, 1});
    assert_memory("proc/6.18/status-self",
                  (struct mw_memory){1464 * KIB, 1464 * KIB, 52 * KIB, 4 * KIB,
                                     1408 * KIB, 0, 1});
    assert_memory("proc/7.3/status-self",
                  (struct mw_memory){1468 * KIB, 1468 * KIB, 56 * KIB, 4 * KIB,
                                     1408 * KIB, 0, 1});
}

static void
test_status_of_a_member_of_many_groups(void **state)
{
    struct mw_memory memory;

    (void)state;
    assert_int_equal(status_of("proc/6.18/status-groups", &memory), 0);
    assert_int_equal(memory.rss_bytes, 1464 * KIB);
    assert_int_equal(memory.threads, 1);
}

/* They have no memory of their own: absent, not 0. */
static void
test_status_of_kernel_threads_and_zombies(void **state)
{
    static const char *names[] = {
        "proc/5.10/status-kthread", "proc/5.10/status-zombie",
        "proc/6.1/status-kthread",  "proc/6.1/status-zombie",
        "proc/6.12/status-kthread", "proc/6.12/status-zombie",
        "proc/6.18/status-kthread", "proc/6.18/status-zombie",
        "proc/7.3/status-kthread",  "proc/7.3/status-zombie",
    };
    struct mw_memory expected = MW_MEMORY_ABSENT;

    (void)state;
    expected.threads = 1;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_memory(names[i], expected);
    }
}

static void
test_status_that_lacks_fields(void **state)
{
    (void)state;
    assert_memory("proc/written/status-before-4.5",
                  (struct mw_memory){20480 * KIB, 30720 * KIB, MW_ABSENT, MW_ABSENT,
                                     MW_ABSENT, 512 * KIB, 3});
    assert_memory("proc/written/status-gvisor",
                  (struct mw_memory){11780 * KIB, MW_ABSENT, MW_ABSENT, MW_ABSENT,
                                     MW_ABSENT, MW_ABSENT, 1});
}

static void
test_status_garbage_is_refused_and_touches_nothing(void **state)
{
    static const char *names[] = {
        "empty",
        "newlines",
        "status-overflow",
        "status-negative",
        "status-other-unit",
        "status-overflow-in-bytes",
        "html",
        "status-no-number",
        "status-threads",
        "random",
    };

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[256];
        struct mw_memory memory = {.rss_bytes = 77};

        snprintf(path, sizeof path, "proc/garbage/%s", names[i]);
        assert_int_equal(status_of(path, &memory), -EBADMSG);
        assert_int_equal(memory.rss_bytes, 77);
    }
}

static void
test_status_with_nul_bytes(void **state)
{
    struct mw_memory memory;

    (void)state;
    assert_int_equal(status_of("proc/garbage/nul", &memory), 0);
    assert_int_equal(memory.rss_bytes, MW_ABSENT);
}

/* A process is called what it likes: its name is no line of figures. */
static void
test_status_of_a_process_named_like_a_line(void **state)
{
    static const char size[] = "Name:VmRSS:\t   4 kB\nVmHWM:\t   8 kB\nThreads:\t2\n";
    static const char threads[] = "Name:Threads:\t1\nVmRSS:\t   4 kB\nThreads:\t2\n";
    struct mw_memory memory;

    (void)state;
    assert_int_equal(mw_parse_status(size, sizeof size - 1, &memory), 0);
    assert_int_equal(memory.rss_bytes, MW_ABSENT);
    assert_int_equal(memory.hwm_bytes, 8 * KIB);
    assert_int_equal(mw_parse_status(threads, sizeof threads - 1, &memory), 0);
    assert_int_equal(memory.rss_bytes, 4 * KIB);
    assert_int_equal(memory.threads, 2);
}

static void
assert_same_or_absent(int64_t value, int64_t whole)
{
    assert_true(value == whole || value == MW_ABSENT);
}

/* `length` bytes of `whole`, in memory of their own: what lies after them is not
 * to be looked at, and the sanitizer sees to that. */
static char *
cut(const char *whole, size_t length)
{
    char *text = malloc(length ? length : 1);

    memcpy(text, whole, length);
    return text;
}

/* A read that comes short, at every byte: what is there is right, the rest absent. */
static void
test_status_cut_anywhere(void **state)
{
    static const char *names[] = {
        "proc/5.10/status-self",   "proc/6.1/status-self",
        "proc/6.12/status-self",   "proc/6.18/status-self",
        "proc/7.3/status-self",    "proc/6.18/status-groups",
        "proc/6.18/status-zombie", "proc/6.18/status-kthread",
    };

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t whole_length;
        char *whole = read_data(names[i], &whole_length);
        struct mw_memory all;

        assert_int_equal(mw_parse_status(whole, whole_length, &all), 0);
        for (size_t length = 0; length < whole_length; length++) {
            char *text = cut(whole, length);
            struct mw_memory memory;
            int err = mw_parse_status(text, length, &memory);

            if (err == 0) {
                assert_same_or_absent(memory.rss_bytes, all.rss_bytes);
                assert_same_or_absent(memory.hwm_bytes, all.hwm_bytes);
                assert_same_or_absent(memory.anon_bytes, all.anon_bytes);
                assert_same_or_absent(memory.file_bytes, all.file_bytes);
                assert_same_or_absent(memory.shmem_bytes, all.shmem_bytes);
                assert_same_or_absent(memory.swap_bytes, all.swap_bytes);
                assert_same_or_absent(memory.threads, all.threads);
            }
            else {
                assert_int_equal(err, -EBADMSG);
                assert_true(length < strlen("Name:"));
            }
            free(text);
        }
        free(whole);
    }
}

/* ---- statm ---- */

static void
test_statm_of_several_kernels(void **state)
{
    int64_t rss;

    (void)state;
    assert_int_equal(statm_of("proc/5.10/statm-self", &rss), 0);
    assert_int_equal(rss, 1 * 4096);
    assert_int_equal(statm_of("proc/6.12/statm-self", &rss), 0);
    assert_int_equal(rss, 366 * 4096);
    assert_int_equal(statm_of("proc/6.18/statm-self", &rss), 0);
    assert_int_equal(rss, 365 * 4096);
    assert_int_equal(statm_of("proc/7.3/statm-self", &rss), 0);
    assert_int_equal(rss, 367 * 4096);
    rss = 77;
    assert_int_equal(statm_of("proc/6.18/statm-kthread", &rss), -ENODATA);
    assert_int_equal(rss, 77);
}

static void
test_statm_garbage_is_refused_and_touches_nothing(void **state)
{
    static const char *names[] = {"empty",  "newlines",       "html",
                                  "random", "statm-negative", "statm-overflow",
                                  "nul",    "statm-one-field"};

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[256];
        int64_t rss = 77;

        snprintf(path, sizeof path, "proc/garbage/%s", names[i]);
        assert_int_equal(statm_of(path, &rss), -EBADMSG);
        assert_int_equal(rss, 77);
    }
}

static void
test_statm_cut_anywhere_is_refused(void **state)
{
    static const char *names[] = {"proc/5.10/statm-self", "proc/6.1/statm-self",
                                  "proc/6.12/statm-self", "proc/6.18/statm-self",
                                  "proc/7.3/statm-self"};
    int64_t rss = 77;

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t whole_length;
        char *whole = read_data(names[i], &whole_length);

        for (size_t length = 0; length < whole_length; length++) {
            char *text = cut(whole, length);

            assert_int_equal(mw_parse_statm(text, length, 4096, &rss), -EBADMSG);
            free(text);
        }
        free(whole);
    }
    assert_int_equal(rss, 77);
}

static void
test_statm_counts_in_pages(void **state)
{
    static const char text[] = "583 365 353 388 0 93 0\n";
    int64_t rss;

    (void)state;
    assert_int_equal(mw_parse_statm(text, sizeof text - 1, 65536, &rss), 0);
    assert_int_equal(rss, 365 * 65536);
}

/* ---- control groups ---- */

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
        cmocka_unit_test(test_status_of_several_kernels),
        cmocka_unit_test(test_status_of_a_member_of_many_groups),
        cmocka_unit_test(test_status_of_kernel_threads_and_zombies),
        cmocka_unit_test(test_status_that_lacks_fields),
        cmocka_unit_test(test_status_garbage_is_refused_and_touches_nothing),
        cmocka_unit_test(test_status_with_nul_bytes),
        cmocka_unit_test(test_status_of_a_process_named_like_a_line),
        cmocka_unit_test(test_status_cut_anywhere),
        cmocka_unit_test(test_statm_of_several_kernels),
        cmocka_unit_test(test_statm_garbage_is_refused_and_touches_nothing),
        cmocka_unit_test(test_statm_cut_anywhere_is_refused),
        cmocka_unit_test(test_statm_counts_in_pages),
        cmocka_unit_test(test_cgroup_path),
        cmocka_unit_test(test_cgroup_mount),
        cmocka_unit_test(test_overlay_mount),
        cmocka_unit_test(test_cgroup_path_odd_lines),
        cmocka_unit_test(test_cgroup_limit),
        cmocka_unit_test(test_keyed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
