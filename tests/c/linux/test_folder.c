/* Folders for black boxes, and the file systems on which they can be mapped. */

#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "linux/folder.h"

static char root[64];

static const char *
under_root(const char *name)
{
    static char path[128];

    (void)snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

static mode_t
mode_of(const char *path)
{
    struct stat found;

    assert_int_equal(lstat(path, &found), 0);
    return found.st_mode & 0777;
}

static int
set_up(void **state)
{
    (void)state;
    (void)snprintf(root, sizeof root, "%s", make_root());
    return 0;
}

static void
test_made_for_one_user(void **state)
{
    const char *folder = under_root("new");

    (void)state;
    assert_int_equal(mw_folder_make(folder), 0);
    assert_int_equal(mode_of(folder), 0700);
    assert_int_equal(chmod(folder, 0755), 0);
    assert_int_equal(mw_folder_make(folder), 0);
    assert_int_equal(mode_of(folder), 0700);
}

static void
test_something_else_is_there(void **state)
{
    const char *path = under_root("a file");

    (void)state;
    close(open(path, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(mw_folder_make(path), -ENOTDIR);
    assert_int_equal(mode_of(path), 0600);
    path = under_root("a link");
    assert_int_equal(symlink("/tmp", path), 0);
    assert_int_equal(mw_folder_make(path), -ENOTDIR);
    assert_int_equal(mw_folder_make(under_root("no parent/folder")), -ENOENT);
}

static void
test_folder_of_another_user(void **state)
{
    const char *folder = under_root("another's");

    (void)state;
    if (geteuid() != 0) {
        skip(); /* only root can give a folder away */
    }
    assert_int_equal(mkdir(folder, 0755), 0);
    assert_int_equal(chown(folder, 65534, 65534), 0);
    assert_int_equal(mw_folder_make(folder), -EPERM);
    assert_int_equal(mode_of(folder), 0755);
}

static void
test_file_systems(void **state)
{
    (void)state;
    assert_int_equal(mw_folder_is_mappable("/proc"), 0);
    assert_int_equal(mw_folder_is_mappable(under_root("missing")), -ENOENT);
}

static int
mount_overlay(const char *upper_name, const char *mount_point)
{
    char options[512];

    (void)snprintf(options, sizeof options,
                   "lowerdir=%s/lower,upperdir=%s/%s,workdir=%s/work", root, root,
                   upper_name, root);
    return mount("overlay", under_root(mount_point), "overlay", 0, options);
}

/* 0, or the number of what is wrong. */
static int
check_overlays(void)
{
    static const char *const names[] = {"lower", "upper", "work", "merged"};

    if (unshare(CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", root, "tmpfs", 0, NULL) != 0) {
        return NO_NAMESPACE;
    }
    if (mw_folder_is_mappable(root) != 1) {
        return 1;
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (mkdir(under_root(names[i]), 0700) != 0) {
            return 2;
        }
    }
    if (mount_overlay("upper", "merged") != 0) {
        return NO_NAMESPACE;
    }
    /* Its upper layer is the tmpfs, which keeps its blocks. */
    if (mkdir(under_root("merged/box"), 0700) != 0 ||
        mw_folder_is_mappable(under_root("merged/box")) != 1) {
        return 3;
    }
    /* The upper folder cannot be found once its place is hidden: unknown. */
    if (mount("tmpfs", under_root("upper"), "tmpfs", 0, NULL) != 0 ||
        mw_folder_is_mappable(under_root("merged/box")) != 0) {
        return 4;
    }
    return 0;
}

static void
test_overlays(void **state)
{
    (void)state;
    SKIP_UNDER_TSAN();
    assert_passes_with_mounts(check_overlays);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_made_for_one_user, set_up),
        cmocka_unit_test_setup(test_something_else_is_there, set_up),
        cmocka_unit_test_setup(test_folder_of_another_user, set_up),
        cmocka_unit_test_setup(test_file_systems, set_up),
        cmocka_unit_test_setup(test_overlays, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
