#include "sampler/recording.h"

#include <string.h>

int
mw_recording_start(struct mw_sampler *sampler, const char *path, const char *copy,
                   const struct mw_blackbox_identity *given)
{
    struct mw_sampler_status status;
    struct mw_blackbox_writer *writer;
    int err;

    mw_sampler_read_status(sampler, &status);
    err =
        mw_blackbox_writer_new(&writer, path, copy, given, status.lifetime_peak_bytes);
    if (err == 0) {
        writer = mw_sampler_replace_writer(sampler, writer);
        mw_blackbox_writer_free(&writer);
    }
    return err;
}

void
mw_recording_stop(struct mw_sampler *sampler)
{
    struct mw_blackbox_writer *writer = mw_sampler_replace_writer(sampler, NULL);

    mw_blackbox_writer_free(&writer);
}

static void
copy_status(const struct mw_blackbox_writer *writer, void *argument)
{
    struct mw_recording *out = argument;
    const char *path = mw_blackbox_writer_path(writer);

    out->copy_errno = mw_blackbox_writer_copy_errno(writer);
    memcpy(out->path, path, strlen(path) + 1);
}

bool
mw_recording_read(struct mw_sampler *sampler, struct mw_recording *out)
{
    return mw_sampler_visit_writer(sampler, copy_status, out);
}

static void
check_lost(const struct mw_blackbox_writer *writer, void *out)
{
    *(bool *)out = mw_blackbox_writer_is_lost(writer);
}

bool
mw_recording_is_lost(struct mw_sampler *sampler)
{
    bool is_lost = false;

    mw_sampler_visit_writer(sampler, check_lost, &is_lost);
    return is_lost;
}
