#include "fuzz.h"

#include "json.h"
#include "stream/message_json.h"

/* What a box may hold, whoever wrote it; its texts end, as mw_blackbox_decode() sees
 * to. */
struct told {
    struct mw_blackbox_identity identity;
    struct mw_blackbox_cell cell;
    int64_t figures[7];
};

#define END(text) ((text)[sizeof(text) - 1] = '\0')

/* The bytes over and over: so that few of them reach everything. */
static void
fill(void *memory, size_t size, const uint8_t *data, size_t length)
{
    for (size_t i = 0; i < size; i++) {
        ((uint8_t *)memory)[i] = length > 0 ? data[i % length] : 0;
    }
}

static void
expect_message(const struct mw_message *message)
{
    char topic[MW_MESSAGE_TOPIC_BYTES];
    char *body = malloc(MW_MESSAGE_BODY_BYTES);
    size_t topic_length = mw_message_put_topic(message->kind, message->identity, topic);
    size_t length;

    HOLDS(body != NULL);
    HOLDS(topic_length >= strlen("memwatch.bye."));
    HOLDS(topic_length < sizeof topic && memcmp(topic, "memwatch.", 9) == 0);
    length = mw_message_put_body(message, body, MW_MESSAGE_BODY_BYTES);
    HOLDS(length > 0 && length <= MW_MESSAGE_BODY_BYTES);
    HOLDS(is_json_object(body, length));
    /* To the byte: no more is written than there is room for. */
    for (size_t size = length - 1; size <= length; size++) {
        char *exact = malloc(size);

        HOLDS(exact != NULL);
        HOLDS(mw_message_put_body(message, exact, size) ==
              (size < length ? 0 : length));
        HOLDS(size < length || memcmp(exact, body, length) == 0);
        free(exact);
    }
    free(body);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct told *told = malloc(sizeof *told);
    struct mw_message message;

    HOLDS(told != NULL);
    fill(told, sizeof *told, data, size);
    told->cell.result.peak_from_kernel = size % 2 == 0; /* not any byte is a bool */
    END(told->identity.user);
    END(told->identity.host);
    END(told->identity.limit_set_by);
    END(told->identity.kernel_id);
    END(told->identity.limit_group);
    END(told->identity.notebook);
    END(told->cell.title.label);
    END(told->cell.title.cell_id);
    END(told->cell.title.source);
    message = (struct mw_message){
        .identity = &told->identity,
        .message = told->figures[0],
        .dropped = told->figures[1],
        .interval_ns = told->figures[2],
        .t_mono_ns = told->figures[3],
        .t_real_ns = told->figures[4],
        .rss_bytes = told->figures[5],
        .lifetime_peak_bytes = told->figures[6],
    };
    for (int kind = MW_MESSAGE_SAMPLE; kind <= MW_MESSAGE_BYE; kind++) {
        message.kind = (enum mw_message_kind)kind;
        message.cell = NULL;
        expect_message(&message);
        message.cell = &told->cell;
        told->cell.status = kind;
        expect_message(&message);
    }
    free(told);
    return 0;
}
