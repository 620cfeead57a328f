#include "fuzz.h"

/* On success two texts that fit, and the same of a line that ends in more blanks; else
 * nothing is known of them. */
static void
expect_properties(const struct text *text, const char *controller)
{
    char root[64];
    char point[64];
    int err = mw_parse_cgroup_mount(text->at, text->length, controller, root, point,
                                    sizeof root);

    HOLDS(err == 0 || err == -EBADMSG || err == -ENODATA || err == -ENAMETOOLONG);
    if (err == 0) {
        char again[64];
        char same[64];

        HOLDS(memchr(root, '\0', sizeof root) != NULL);
        HOLDS(memchr(point, '\0', sizeof point) != NULL);
        HOLDS(mw_parse_cgroup_mount(text->at, text->length, controller, again, same,
                                    sizeof again) == 0);
        HOLDS(strcmp(root, again) == 0 && strcmp(point, same) == 0);
        HOLDS(mw_parse_cgroup_mount(text->at, text->length, controller, again, same,
                                    1) == -ENAMETOOLONG ||
              (*root == '\0' && *point == '\0'));
    }
}

static void
expect_texts(const struct text *text)
{
    static struct mw_overlay_mount mount;
    int err = mw_parse_overlay_mount(text->at, text->length, &mount);

    HOLDS(err == 0 || err == -EBADMSG || err == -ENODATA || err == -ENAMETOOLONG);
    if (err == 0) {
        HOLDS(memchr(mount.root, '\0', sizeof mount.root) != NULL);
        HOLDS(memchr(mount.point, '\0', sizeof mount.point) != NULL);
        HOLDS(memchr(mount.upper, '\0', sizeof mount.upper) != NULL);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text text = copy_of(data, size);

    expect_properties(&text, NULL);
    expect_properties(&text, "memory");
    expect_texts(&text);
    free(text.block);
    return 0;
}
