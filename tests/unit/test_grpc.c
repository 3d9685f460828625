/* gRPC's frames and statuses. */
#include "engine/grpc.h"
#include "table.h"

static const struct {
	const char *name, *bytes;
	size_t len;
	const char *message; /* NULL: refused */
	size_t message_len;
	const char *why;
} frames[] = {
	{ "an empty message", BYTES("\0\0\0\0\0"), "", 0, NULL },
	{ "a message", BYTES("\0\0\0\0\3abc"), "abc", 3, NULL },
	{ "the first of two", BYTES("\0\0\0\0\1a\0\0\0\0\1b"), "a", 1, NULL },
	{ "nothing", BYTES(""), NULL, 0, "0 bytes is no gRPC frame" },
	{ "half a head", BYTES("\0\0\0"), NULL, 0, "3 bytes is no gRPC frame" },
	{ "a compressed message", BYTES("\1\0\0\0\3abc"), NULL, 0, "compressed" },
	{ "a message cut short", BYTES("\0\0\0\0\4abc"), NULL, 0, "4 bytes where 3 came" },
	{ "a length near 4 GiB", BYTES("\0\377\377\377\377abc"), NULL, 0, "4294967295 bytes where 3 came" },
};

static void test_frames(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(frames); i++) {
		const uint8_t *message;
		struct err err = { 0 };
		size_t len;
		int r = grpc_frame_parse(frames[i].bytes, frames[i].len, &message, &len, &err);
		if (!frames[i].message) {
			row_refused(frames[i].name, r, ERR_PROTOCOL, frames[i].why, &err);
		} else if (row_ok(frames[i].name, r, &err)) {
			row_int(frames[i].name, "length", (int64_t)frames[i].message_len, (int64_t)len);
			row_int(frames[i].name, "bytes", 0, memcmp(message, frames[i].message, len));
		}
	}
	table_end();
}

static void test_a_head_is_what_is_parsed(void **state)
{
	static const size_t sizes[] = { 0, 1, 255, 256, 65536, GRPC_MESSAGE_MAX_BYTES };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		CLEANUP(freep) uint8_t *body = grpc_frame_new(sizes[i]);
		const uint8_t *message;
		struct err err;
		size_t len;
		assert_int_equal(grpc_frame_parse(body, GRPC_FRAME_HEAD_BYTES + sizes[i], &message, &len, &err), 0);
		assert_int_equal(len, sizes[i]);
	}
}

static const struct {
	const char *status, *message;
	enum err_kind kind; /* ERR_NONE: success */
	const char *text;
} statuses[] = {
	{ "0", NULL, ERR_NONE, NULL },
	{ "0", "ignored", ERR_NONE, NULL },
	{ "5", "snapshot x: not found", ERR_NOT_FOUND, "snapshot x: not found" },
	{ "6", NULL, ERR_CONFLICT, "already exists" },
	{ "7", "", ERR_DENIED, "permission denied" },
	{ "12", "unknown service", ERR_CONFIG, "unknown service" },
	{ "14", "down", ERR_NETWORK, "down" },
	{ "13", "disk%20full%3A 100%", ERR_FAILED, "disk full: 100%" },
	{ "2", "%C3%A9%zz%", ERR_FAILED, "é%zz%" },
	{ "2", "a%00b%0Ac", ERR_FAILED, "a%00b?c" },
	{ NULL, "x", ERR_PROTOCOL, "status \"\"" },
	{ "", NULL, ERR_PROTOCOL, "status \"\"" },
	{ "17", NULL, ERR_PROTOCOL, "status \"17\"" },
	{ "-1", NULL, ERR_PROTOCOL, "status \"-1\"" },
	{ "0x", NULL, ERR_PROTOCOL, "status \"0x\"" },
	{ "005", NULL, ERR_PROTOCOL, "status \"005\"" },
	{ "99999999999999999999", NULL, ERR_PROTOCOL, "status \"99999999999999999999\"" },
};

static void test_statuses(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
		struct err err = { 0 };
		const char *name = statuses[i].status ? statuses[i].status : "none";
		int r = grpc_status(statuses[i].status, statuses[i].message, &err);
		if (statuses[i].kind == ERR_NONE)
			row_ok(name, r, &err);
		else
			row_refused(name, r, statuses[i].kind, statuses[i].text, &err);
	}
	table_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_a_head_is_what_is_parsed),
		cmocka_unit_test(test_statuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
