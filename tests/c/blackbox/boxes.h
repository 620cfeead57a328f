/* Black boxes that tests write and read. */

#ifndef MW_TEST_BOXES_H
#define MW_TEST_BOXES_H

#include "support.h"

#include <limits.h>
#include <pthread.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "blackbox/reader.h"
#include "blackbox/writer.h"

struct place {
    char folder[64];
    char path[96];
};

static inline int
set_up(void **state)
{
    static struct place place;

    (void)snprintf(place.folder, sizeof place.folder, "%s", make_root());
    (void)snprintf(place.path, sizeof place.path, "%s/1-1.box", place.folder);
    *state = &place;
    return 0;
}

static inline int
tear_down(void **state)
{
    remove_root(((struct place *)*state)->folder);
    return 0;
}

static inline struct mw_blackbox_writer *
new_recorder(const struct place *place)
{
    struct mw_blackbox_identity given = {.limit_bytes = 512 * MIB};
    struct mw_blackbox_writer *writer = NULL;

    mw_blackbox_put_text(given.kernel_id, sizeof given.kernel_id, "a-kernel");
    mw_blackbox_put_text(given.limit_set_by, sizeof given.limit_set_by, "cgroup");
    assert_int_equal(
        mw_blackbox_writer_new(&writer, place->path, NULL, &given, 9 * MIB), 0);
    return writer;
}

static inline struct mw_blackbox_title
title_of(const char *label, const char *source)
{
    struct mw_blackbox_title title = {.execution_count = 4};

    mw_blackbox_put_text(title.label, sizeof title.label, label);
    mw_blackbox_put_text(title.source, sizeof title.source, source);
    return title;
}

static inline struct mw_blackbox_reader *
new_reader(const struct place *place)
{
    struct mw_blackbox_reader *reader = NULL;
    enum mw_blackbox_fault fault = MW_BLACKBOX_FINE;

    assert_int_equal(mw_blackbox_reader_new(&reader, place->path, &fault), 0);
    return reader;
}

static inline struct mw_blackbox_view
view_of(const struct place *place)
{
    struct mw_blackbox_view view;
    struct mw_blackbox_reader *reader = new_reader(place);

    mw_blackbox_reader_view(reader, &view);
    mw_blackbox_reader_free(&reader);
    return view;
}

struct writer {
    struct mw_blackbox_writer *writer;
    _Atomic bool stop;
};

static inline enum mw_blackbox_fault
fault_of(const struct place *place)
{
    struct mw_blackbox_reader *reader = NULL;
    enum mw_blackbox_fault fault = MW_BLACKBOX_FINE;
    int err = mw_blackbox_reader_new(&reader, place->path, &fault);

    assert_int_equal(err, fault == MW_BLACKBOX_FINE ? 0 : -EBADMSG);
    mw_blackbox_reader_free(&reader);
    assert_true(strlen(mw_blackbox_describe_fault(fault)) > 10);
    return fault;
}

#endif
