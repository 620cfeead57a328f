#include "fuzz.h"

#include "blackbox/layout.h"

static struct mw_blackbox_file before;
static struct mw_blackbox_file data_of_box;
static struct mw_blackbox_file after;
static struct mw_blackbox_view view;
static struct mw_blackbox_sample samples[MW_BLACKBOX_SAMPLES];

#define ENDS(text) (memchr((text), '\0', sizeof(text)) != NULL)

static void
expect_view(const struct mw_blackbox_copies *copies)
{
    mw_blackbox_decode(copies, &view);
    HOLDS(ENDS(view.identity.boot_id) && ENDS(view.identity.user));
    HOLDS(ENDS(view.identity.host) && ENDS(view.identity.limit_set_by));
    HOLDS(ENDS(view.identity.kernel_id) && ENDS(view.identity.limit_group));
    HOLDS(ENDS(view.identity.oom_file) && ENDS(view.identity.notebook));
    HOLDS(view.cell_count >= 0 && view.cell_count <= MW_BLACKBOX_CELLS);
    for (int i = 0; i < view.cell_count; i++) {
        const struct mw_blackbox_cell *cell = &view.cells[i];

        HOLDS(ENDS(cell->title.label) && ENDS(cell->title.cell_id));
        HOLDS(ENDS(cell->title.source));
        HOLDS(cell->status >= MW_BLACKBOX_OPEN &&
              cell->status <= MW_BLACKBOX_CANCELLED);
        HOLDS(i == 0 || view.cells[i - 1].number <= cell->number);
    }
}

static void
expect_samples(const struct mw_blackbox_copies *copies, int64_t from)
{
    int64_t next = from;
    int64_t again;
    int64_t lost;
    size_t count = mw_blackbox_decode_samples(copies, &next, samples, &lost);

    HOLDS(count <= MW_BLACKBOX_SAMPLES && lost >= 0);
    if (from >= 0 && next > from) {
        HOLDS((int64_t)count + lost == next - from);
    }
    again = next;
    HOLDS(mw_blackbox_decode_samples(copies, &again, samples, &lost) == 0 &&
          again == next);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct mw_blackbox_copies copies = {&before, &data_of_box, &after};
    struct text text = copy_of(data, size);
    size_t length = size < sizeof before ? size : sizeof before;
    struct mw_blackbox_head head = {0};

    /* As a file: what does not pass for a box is not looked at any further. */
    memcpy(&head, text.at, size < sizeof head ? size : sizeof head);
    HOLDS(strlen(mw_blackbox_describe_fault(
              mw_blackbox_check(&head, size, (int64_t)size))) > 10);

    /* As one that passed: of its own, then in three versions. */
    memset(&data_of_box, 0, sizeof data_of_box);
    memcpy(&data_of_box, text.at, length);
    before = data_of_box;
    after = data_of_box;
    expect_view(&copies);
    expect_samples(&copies, 0);
    memset(&after, 0, sizeof after);
    expect_view(&copies);
    expect_samples(&copies, 0);

    /* As samples, after a head that says how many. */
    if (size >= sizeof(int64_t)) {
        size_t room = sizeof before.samples;

        memset(&before, 0, sizeof before);
        memcpy(&before.head.progress.samples, text.at, sizeof(int64_t));
        memcpy(before.samples, text.at, size < room ? size : room);
        data_of_box = before;
        after = before;
        expect_samples(&copies, 0);
        expect_samples(&copies, 1);
        expect_samples(&copies, -1);
    }
    free(text.block);
    return 0;
}
