/* What goes over the wire, to the byte. */

#include "support.h"

#include "stream/message_json.h"

static char body[MW_MESSAGE_BODY_BYTES + 1];

static struct mw_blackbox_identity
somebody(void)
{
    struct mw_blackbox_identity who = {.pid = 123, .limit_bytes = MW_ABSENT};

    mw_blackbox_put_text(who.kernel_id, sizeof who.kernel_id, "a-kernel");
    mw_blackbox_put_text(who.host, sizeof who.host, "machine");
    mw_blackbox_put_text(who.user, sizeof who.user, "ann");
    return who;
}

static struct mw_blackbox_cell
a_cell(void)
{
    struct mw_blackbox_cell cell = {
        .number = 3,
        .status = MW_BLACKBOX_OK,
        .t_mono_ns = 1000,
        .t_real_ns = INT64_C(1795435200123456789),
        .rss_start_bytes = 10,
        .rss_peak_bytes = 20,
        .line = 7,
        .result = {.duration_ns = 500,
                   .rss_start_bytes = 10,
                   .rss_end_bytes = 15,
                   .rss_peak_bytes = 20,
                   .used_bytes = 5,
                   .peaked_bytes = 5,
                   .risen_bytes = 10,
                   .drift_bytes = -5,
                   .peak_from_kernel = true,
                   .peak_error_bytes = 0,
                   .anon_bytes = MW_ABSENT,
                   .file_bytes = 1,
                   .shmem_bytes = 2,
                   .swap_bytes = 3,
                   .threads = 4,
                   .system_mean_cpu_percent = MW_ABSENT,
                   .single_max_cpu_percent = 100},
        .title = {.execution_count = 4},
    };

    mw_blackbox_put_text(cell.title.label, sizeof cell.title.label, "In [4]");
    mw_blackbox_put_text(cell.title.source, sizeof cell.title.source, "x = \"1\"");
    return cell;
}

/* The body as a text. */
static const char *
body_of(enum mw_message_kind kind, const struct mw_blackbox_identity *who,
        const struct mw_blackbox_cell *cell)
{
    struct mw_message message = {
        .kind = kind,
        .identity = who,
        .cell = cell,
        .message = 17,
        .dropped = 2,
        .interval_ns = 100000000,
        .t_mono_ns = 1500,
        .t_real_ns = INT64_C(951782399999999999), /* before a leap day */
        .rss_bytes = 15,
        .lifetime_peak_bytes = MW_ABSENT,
    };
    size_t length = mw_message_put_body(&message, body, MW_MESSAGE_BODY_BYTES);

    if (length == 0 || length >= sizeof body) {
        fail_msg("the body has %zu bytes", length);
        return "";
    }
    body[length] = '\0';
    return body;
}

#define HEAD(kind)                                                                     \
    "{\"schema\":2,\"kind\":\"" kind "\",\"kernel_id\":\"a-kernel\","                  \
    "\"host\":\"machine\",\"user\":\"ann\",\"pid\":123,\"notebook\":null,"             \
    "\"message\":17,\"dropped\":2,\"interval_ns\":100000000,"                          \
    "\"sampled_at\":\"2000-02-28T23:59:59.999+00:00\",\"t_mono_ns\":1500,"             \
    "\"rss_bytes\":15,\"lifetime_peak_bytes\":null,\"limit_bytes\":null,"              \
    "\"limit_set_by\":null,\"limit_group\":null,"

#define TITLE                                                                          \
    "\"label\":\"In [4]\",\"execution_count\":4,\"cell_id\":null,"                     \
    "\"source\":\"x = \\\"1\\\"\","

#define CELL                                                                           \
    "\"cell\":{\"number\":3," TITLE                                                    \
    "\"started_at\":\"2026-11-23T12:00:00.123+00:00\","                                \
    "\"duration_ns\":500,\"rss_start_bytes\":10,\"rss_peak_bytes\":20,"                \
    "\"line\":7}"

static void
test_idle(void **state)
{
    struct mw_blackbox_identity who = somebody();

    (void)state;
    assert_string_equal(body_of(MW_MESSAGE_SAMPLE, &who, NULL),
                        HEAD("sample") "\"cell\":null}");
    assert_string_equal(body_of(MW_MESSAGE_BYE, &who, NULL),
                        HEAD("bye") "\"cell\":null}");
}

static void
test_running(void **state)
{
    struct mw_blackbox_identity who = somebody();
    struct mw_blackbox_cell cell = a_cell();

    (void)state;
    assert_string_equal(body_of(MW_MESSAGE_OPEN, &who, &cell), HEAD("open") CELL "}");
}

static void
test_closed(void **state)
{
    struct mw_blackbox_identity who = somebody();
    struct mw_blackbox_cell cell = a_cell();

    (void)state;
    assert_string_equal(
        body_of(MW_MESSAGE_CLOSE, &who, &cell), HEAD("close") CELL
        ",\"report\":{\"schema\":1," TITLE "\"line\":null,"
        "\"started_at\":\"2026-11-23T12:00:00.123+00:00\",\"duration_ns\":500,"
        "\"rss_start_bytes\":10,\"rss_end_bytes\":15,\"rss_peak_bytes\":20,"
        "\"used_bytes\":5,\"peaked_bytes\":5,\"risen_bytes\":10,\"drift_bytes\":-5,"
        "\"peak_error_bytes\":0,\"anon_bytes\":null,"
        "\"file_bytes\":1,\"shmem_bytes\":2,\"swap_bytes\":3,\"threads\":4,"
        "\"system_mean_cpu_percent\":null,\"single_max_cpu_percent\":100,"
        "\"peak_method\":\"kernel\","
        "\"children_count\":null,\"children_pss_bytes\":null,"
        "\"children_rss_bytes\":null,\"children_count_peak\":null,"
        "\"children_rss_peak_bytes\":null,\"children_pss_peak_bytes\":null,"
        "\"tree_pss_peak_bytes\":null,"
        "\"children_missed\":null,\"own_pss_bytes\":null,\"status\":\"ok\","
        "\"timeline\":null}}");
}

static void
test_how_it_ended(void **state)
{
    struct mw_blackbox_identity who = somebody();
    struct mw_blackbox_cell cell = a_cell();

    (void)state;
    cell.result.peak_from_kernel = false;
    cell.status = MW_BLACKBOX_ERROR;
    assert_non_null(
        strstr(body_of(MW_MESSAGE_CLOSE, &who, &cell), "\"status\":\"error\""));
    assert_non_null(strstr(body, "\"peak_method\":\"sampled\""));
    cell.status = MW_BLACKBOX_INTERRUPTED;
    cell.result.rss_peak_bytes = MW_ABSENT;
    assert_non_null(strstr(body_of(MW_MESSAGE_CLOSE, &who, &cell), "\"interrupted\""));
    assert_non_null(strstr(body, "\"peak_method\":null"));
    cell.status = MW_BLACKBOX_CANCELLED;
    assert_non_null(strstr(body_of(MW_MESSAGE_CLOSE, &who, &cell), "\"report\":null}"));
}

static void
test_texts_of_any_bytes(void **state)
{
    static const struct {
        const char *bytes;
        const char *json;
    } texts[] = {
        {"\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80",
         "\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80"},
        {"\"\\/", "\\\"\\\\/"},
        {"\t\x01\x1F\x7F", "\\u0009\\u0001\\u001f\x7F"},
        {"a\xFFz", "a\xEF\xBF\xBDz"},
        {"\xC0\xAF", "\xEF\xBF\xBD\xEF\xBF\xBD"},                 /* too long a way */
        {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"}, /* a surrogate */
        {"\xE2\x82", "\xEF\xBF\xBD\xEF\xBF\xBD"},                 /* cut off */
    };
    struct mw_blackbox_identity who = somebody();

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char wanted[64];

        mw_blackbox_put_text(who.user, sizeof who.user, texts[i].bytes);
        (void)snprintf(wanted, sizeof wanted, "\"user\":\"%s\",", texts[i].json);
        assert_non_null(strstr(body_of(MW_MESSAGE_SAMPLE, &who, NULL), wanted));
    }
}

/* Every text as long as can be, of what takes the most room. */
static void
test_largest(void **state)
{
    static const char *const worst[] = {"\x01", "\"", "\xFF", "\xF0\x9F\x98\x80"};
    struct mw_blackbox_identity who = somebody();
    struct mw_blackbox_cell cell = a_cell();

    (void)state;
    for (size_t i = 0; i < sizeof worst / sizeof *worst; i++) {
        char text[MW_BLACKBOX_PATH * 2] = "";
        size_t length = strlen(worst[i]);

        for (size_t at = 0; at + length < MW_BLACKBOX_PATH; at += length) {
            memcpy(text + at, worst[i], length);
        }
        mw_blackbox_put_text(who.user, sizeof who.user, text);
        mw_blackbox_put_text(who.host, sizeof who.host, text);
        mw_blackbox_put_text(who.limit_set_by, sizeof who.limit_set_by, text);
        mw_blackbox_put_text(who.kernel_id, sizeof who.kernel_id, text);
        mw_blackbox_put_text(who.limit_group, sizeof who.limit_group, text);
        mw_blackbox_put_text(who.notebook, sizeof who.notebook, text);
        mw_blackbox_put_text(cell.title.label, sizeof cell.title.label, text);
        mw_blackbox_put_text(cell.title.cell_id, sizeof cell.title.cell_id, text);
        mw_blackbox_put_text(cell.title.source, sizeof cell.title.source, text);
        for (size_t at = 0; at < sizeof cell.result / 8; at++) {
            if (at != offsetof(struct mw_result, peak_from_kernel) / 8) {
                ((int64_t *)(void *)&cell.result)[at] = INT64_MAX - 1;
            }
        }
        assert_true(strlen(body_of(MW_MESSAGE_CLOSE, &who, &cell)) > 4000);
    }
}

static void
test_no_room(void **state)
{
    struct mw_blackbox_identity who = somebody();
    struct mw_message message = {.identity = &who};
    size_t length = mw_message_put_body(&message, body, sizeof body);

    (void)state;
    for (size_t size = 0; size < length; size++) {
        char *room = malloc(size + 1);

        assert_int_equal(mw_message_put_body(&message, room, size), 0);
        free(room);
    }
}

static void
test_topics(void **state)
{
    static const char *const wanted[] = {
        "memwatch.sample.a-kernel", "memwatch.open.a-kernel", "memwatch.close.a-kernel",
        "memwatch.bye.a-kernel"};
    struct mw_blackbox_identity who = somebody();
    char topic[MW_MESSAGE_TOPIC_BYTES];

    (void)state;
    for (int kind = MW_MESSAGE_SAMPLE; kind <= MW_MESSAGE_BYE; kind++) {
        size_t length = mw_message_put_topic((enum mw_message_kind)kind, &who, topic);

        assert_int_equal(length, strlen(wanted[kind]));
        assert_memory_equal(topic, wanted[kind], length);
    }
    memset(who.kernel_id, 0xFF, sizeof who.kernel_id - 1);
    assert_int_equal(mw_message_put_topic(MW_MESSAGE_BYE, &who, topic),
                     strlen("memwatch.bye.") + (size_t)(MW_BLACKBOX_NAME - 1) * 3);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_idle),
        cmocka_unit_test(test_running),
        cmocka_unit_test(test_closed),
        cmocka_unit_test(test_how_it_ended),
        cmocka_unit_test(test_texts_of_any_bytes),
        cmocka_unit_test(test_largest),
        cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_topics),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
