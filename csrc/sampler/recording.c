#include "sampler/recording.h"

#include <string.h>

int
mw_recording_start(struct mw_sampler *sampler, const char *path, const char *copy,
                   const struct mw_blackbox_identity *given)
{
    struct mw_sampler_status status;
    struct mw_blackbox_writer *recorder;
    int err;

    mw_sampler_read_status(sampler, &status);
    err = mw_blackbox_writer_new(&recorder, path, copy, given,
                                 status.lifetime_peak_bytes);
    if (err == 0) {
        recorder = mw_sampler_replace_recorder(sampler, recorder);
        mw_blackbox_writer_free(&recorder);
    }
    return err;
}

void
mw_recording_stop(struct mw_sampler *sampler)
{
    struct mw_blackbox_writer *recorder = mw_sampler_replace_recorder(sampler, NULL);

    mw_blackbox_writer_free(&recorder);
}

static void
look(const struct mw_blackbox_writer *recorder, void *argument)
{
    struct mw_recording *out = argument;
    const char *path = mw_blackbox_writer_path(recorder);

    out->copy_errno = mw_blackbox_writer_copy_errno(recorder);
    memcpy(out->path, path, strlen(path) + 1);
}

bool
mw_recording_read(struct mw_sampler *sampler, struct mw_recording *out)
{
    return mw_sampler_look_at_recorder(sampler, look, out);
}

static void
look_whether_lost(const struct mw_blackbox_writer *recorder, void *out)
{
    *(bool *)out = mw_blackbox_writer_is_lost(recorder);
}

bool
mw_recording_is_lost(struct mw_sampler *sampler)
{
    bool is_lost = false;

    mw_sampler_look_at_recorder(sampler, look_whether_lost, &is_lost);
    return is_lost;
}
