#include "blackbox/layout.h"

#include <string.h>

enum { SAMPLE_BODY_BYTES = sizeof(struct mw_blackbox_sample_slot) - sizeof(uint64_t) };

static const char magic[8] = MW_BLACKBOX_MAGIC;

const char *
mw_blackbox_status_name(int64_t status)
{
    static const char *const names[] = {
        [MW_BLACKBOX_OPEN] = "running",      [MW_BLACKBOX_OK] = "ok",
        [MW_BLACKBOX_ERROR] = "error",       [MW_BLACKBOX_INTERRUPTED] = "interrupted",
        [MW_BLACKBOX_CANCELLED] = "unknown",
    };

    if (status < MW_BLACKBOX_OPEN || status > MW_BLACKBOX_CANCELLED) {
        return NULL;
    }
    return names[status];
}

void
mw_blackbox_put_text(char *room, size_t size, const char *text)
{
    size_t length = 0;

    if (text != NULL) {
        length = strnlen(text, size);
    }
    if (text != NULL && length == size) {
        length--;
        /* Not within a character, whose later bytes begin with the bits 10. */
        while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80) {
            length--;
        }
    }
    if (length > 0) {
        memcpy(room, text, length);
    }
    memset(room + length, 0, size - length);
}

const char *
mw_blackbox_describe_fault(enum mw_blackbox_fault fault)
{
    static const char *const texts[] = {
        [MW_BLACKBOX_FINE] = "it is a black box of memwatch",
        [MW_BLACKBOX_NO_BOX] = "it is not a black box of memwatch",
        [MW_BLACKBOX_UNFINISHED] = "it begins with zeroes only: nothing was recorded,"
                                   " or it was wiped",
        [MW_BLACKBOX_TRUNCATED] = "it is truncated",
        [MW_BLACKBOX_NEWER] =
            "it was written by a newer memwatch; read it with that one",
        [MW_BLACKBOX_OLDER] = "it was written by an older memwatch; read it with that"
                              " one",
        [MW_BLACKBOX_FOREIGN] = "it was written on a machine with another byte order;"
                                " read it there",
        [MW_BLACKBOX_INCONSISTENT] = "it is damaged: it has impossible values",
    };

    return texts[fault];
}

static bool
is_zero(const void *memory, size_t size)
{
    const unsigned char *at = memory;

    for (size_t i = 0; i < size; i++) {
        if (at[i] != 0) {
            return false;
        }
    }
    return true;
}

enum mw_blackbox_fault
mw_blackbox_check(const struct mw_blackbox_head *head, size_t size, int64_t file_bytes)
{
    /* Common to all versions. */
    const size_t fixed = offsetof(struct mw_blackbox_head, reserved);

    if (size < fixed) {
        return size >= sizeof magic && memcmp(head->magic, magic, sizeof magic) == 0
                   ? MW_BLACKBOX_TRUNCATED
               : size == 0 ? MW_BLACKBOX_TRUNCATED
                           : MW_BLACKBOX_NO_BOX;
    }
    if (is_zero(head, fixed)) {
        return MW_BLACKBOX_UNFINISHED;
    }
    if (memcmp(head->magic, magic, sizeof magic) != 0) {
        return MW_BLACKBOX_NO_BOX;
    }
    if (head->byte_order != MW_BLACKBOX_BYTE_ORDER) {
        return MW_BLACKBOX_FOREIGN;
    }
    if (head->version != MW_BLACKBOX_VERSION) {
        return head->version > MW_BLACKBOX_VERSION ? MW_BLACKBOX_NEWER
                                                   : MW_BLACKBOX_OLDER;
    }
    if (head->bytes != MW_BLACKBOX_BYTES) {
        return MW_BLACKBOX_INCONSISTENT;
    }
    if (file_bytes < MW_BLACKBOX_BYTES || size < sizeof *head) {
        return MW_BLACKBOX_TRUNCATED;
    }
    /* Every writer knows these, and readers compute with them. */
    if (head->identity.pid <= 0 || head->identity.t_mono_ns < 0 ||
        head->identity.t_real_ns < 0 || head->progress.samples < 0 ||
        head->progress.opened < 0) {
        return MW_BLACKBOX_INCONSISTENT;
    }
    return MW_BLACKBOX_FINE;
}

#define END_TEXT(text) ((text)[sizeof(text) - 1] = '\0')

/* A hostile file may have texts without an end. */
static void
end_texts_of_identity(struct mw_blackbox_identity *identity)
{
    END_TEXT(identity->boot_id);
    END_TEXT(identity->user);
    END_TEXT(identity->host);
    END_TEXT(identity->limit_set_by);
    END_TEXT(identity->kernel_id);
    END_TEXT(identity->limit_group);
    END_TEXT(identity->oom_file);
    END_TEXT(identity->notebook);
}

static bool
take_cell(const struct mw_blackbox_copies *copies, int slot,
          struct mw_blackbox_cell *out)
{
    const struct mw_blackbox_cell_slot *data = &copies->data->cells[slot];
    uint64_t before = copies->before->cells[slot].sequence;
    uint64_t after = copies->after->cells[slot].sequence;

    if (before != after || before == 0 || before % 2 != 0) {
        return false;
    }
    *out = data->cell;
    if (out->number < 0 || out->t_mono_ns < 0 || out->t_real_ns < 0 ||
        out->status < MW_BLACKBOX_OPEN || out->status > MW_BLACKBOX_CANCELLED) {
        return false;
    }
    if (out->status == MW_BLACKBOX_OPEN) {
        out->rss_peak_bytes = data->rss_peak_bytes;
        out->line = data->line > 0 ? data->line : MW_ABSENT;
    }
    else {
        out->line = MW_ABSENT;
    }
    END_TEXT(out->title.label);
    END_TEXT(out->title.cell_id);
    END_TEXT(out->title.source);
    return true;
}

void
mw_blackbox_decode(const struct mw_blackbox_copies *copies,
                   struct mw_blackbox_view *out)
{
    const struct mw_blackbox_head *head = &copies->data->head;

    out->identity = head->identity;
    end_texts_of_identity(&out->identity);
    out->progress = head->progress;
    if (out->progress.t_ended_ns <= 0) {
        out->progress.t_ended_ns = MW_ABSENT;
    }
    out->cell_count = 0;
    for (int slot = 0; slot < MW_BLACKBOX_CELLS; slot++) {
        struct mw_blackbox_cell cell;
        int place = out->cell_count;

        if (!take_cell(copies, slot, &cell)) {
            continue;
        }
        for (; place > 0 && out->cells[place - 1].number > cell.number; place--) {
            out->cells[place] = out->cells[place - 1];
        }
        out->cells[place] = cell;
        out->cell_count++;
    }
}

size_t
mw_blackbox_decode_samples(const struct mw_blackbox_copies *copies, int64_t *next,
                           struct mw_blackbox_sample *out, int64_t *lost)
{
    int64_t written = copies->data->head.progress.samples;
    int64_t oldest = written > MW_BLACKBOX_SAMPLES ? written - MW_BLACKBOX_SAMPLES : 0;
    int64_t number = *next;
    size_t count = 0;

    *lost = 0;
    /* Impossible, and a hostile value would overflow below. */
    if (written < 0 || written > INT64_MAX / 2 - 1) {
        return 0;
    }
    if (number < 0 || number > written) {
        number = written;
    }
    if (number < oldest) {
        *lost = oldest - number;
        number = oldest;
    }
    for (; number < written; number++) {
        const int slot = (int)(number % MW_BLACKBOX_SAMPLES);
        const struct mw_blackbox_sample_slot *data = &copies->data->samples[slot];
        const uint64_t whole = 2 * ((uint64_t)number + 1);

        if (copies->after->samples[slot].sequence > whole) {
            ++*lost;
            continue;
        }
        /* Written between the copies: complete next time. */
        if (copies->before->samples[slot].sequence != whole ||
            copies->after->samples[slot].sequence != whole) {
            break;
        }
        out[count].t_mono_ns = data->t_mono_ns;
        out[count].rss_bytes = data->rss_bytes;
        count++;
    }
    *next = number;
    return count;
}

/* ---- a copy of a box ---- */

/* Copy `size` bytes of a slot if it is complete and has changed. */
static void
take_slot(const _Atomic uint64_t *sequence, const void *body,
          _Atomic uint64_t *sequence_out, void *body_out, size_t size)
{
    uint64_t before = atomic_load_explicit(sequence, memory_order_acquire);
    struct mw_blackbox_cell room;

    if (before % 2 != 0 ||
        before == atomic_load_explicit(sequence_out, memory_order_relaxed)) {
        return;
    }
    memcpy(&room, body, size);
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load_explicit(sequence, memory_order_relaxed) == before) {
        memcpy(body_out, &room, size);
        atomic_store_explicit(sequence_out, before, memory_order_relaxed);
    }
}

/* One by one, because each is atomic and the struct is not. */
static void
take_progress(const struct mw_blackbox_progress *source,
              struct mw_blackbox_progress *out)
{
    out->samples = source->samples;
    out->opened = source->opened;
    out->lifetime_peak_bytes = source->lifetime_peak_bytes;
    out->untold = source->untold;
    out->boot_ahead_ns = source->boot_ahead_ns;
    out->real_ahead_ns = source->real_ahead_ns;
    out->t_ended_ns = source->t_ended_ns;
}

void
mw_blackbox_update(struct mw_blackbox_file *to, const struct mw_blackbox_file *from)
{
    take_progress(&from->head.progress, &to->head.progress);
    for (int i = 0; i < MW_BLACKBOX_CELLS; i++) {
        take_slot(&from->cells[i].sequence, &from->cells[i].cell,
                  &to->cells[i].sequence, &to->cells[i].cell, sizeof to->cells[i].cell);
        to->cells[i].rss_peak_bytes = from->cells[i].rss_peak_bytes;
        to->cells[i].line = from->cells[i].line;
    }
    for (int i = 0; i < MW_BLACKBOX_SAMPLES; i++) {
        take_slot(&from->samples[i].sequence, &from->samples[i].t_mono_ns,
                  &to->samples[i].sequence, &to->samples[i].t_mono_ns,
                  SAMPLE_BODY_BYTES);
    }
}

void
mw_blackbox_put_torn(struct mw_blackbox_file *shown,
                     const struct mw_blackbox_file *image)
{
    for (int i = 0; i < MW_BLACKBOX_CELLS; i++) {
        if (shown->cells[i].sequence != image->cells[i].sequence) {
            shown->cells[i].sequence = image->cells[i].sequence - 1;
        }
    }
    for (int i = 0; i < MW_BLACKBOX_SAMPLES; i++) {
        if (shown->samples[i].sequence != image->samples[i].sequence) {
            shown->samples[i].sequence = image->samples[i].sequence - 1;
        }
    }
}

void
mw_blackbox_put_bodies(struct mw_blackbox_file *shown,
                       const struct mw_blackbox_file *image)
{
    for (int i = 0; i < MW_BLACKBOX_CELLS; i++) {
        shown->cells[i].cell = image->cells[i].cell;
    }
    for (int i = 0; i < MW_BLACKBOX_SAMPLES; i++) {
        shown->samples[i].t_mono_ns = image->samples[i].t_mono_ns;
        shown->samples[i].rss_bytes = image->samples[i].rss_bytes;
    }
}
