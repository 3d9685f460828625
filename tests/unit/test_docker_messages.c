/*
 * Docker's streams: JSON objects that chunks cut anywhere, output in frames; and small parsers of
 * its answers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "engine/container_internal.h"
#include "engine/docker_internal.h"
#include "engine/docker_messages.h"

static bool collect(void *arg, const struct json *message)
{
	CLEANUP(freep) char *text = json_print(message, false);
	struct err err;

	if (buf_printf(arg, &err, "%s;", text) < 0)
		fail_msg("%s", err.msg);
	return true;
}

/* want NULL: refused, with that kind; what came before the fault is in `before`. */
static const struct {
	const char *stream, *want;
	enum err_kind kind;
} streams[] = {
	{ "", "", ERR_NONE },
	{ " \r\n", "", ERR_NONE },
	{ "{}", "{};", ERR_NONE },
	{ "{\"a\":1}\r\n{\"b\":2}\r\n", "{\"a\":1};{\"b\":2};", ERR_NONE },
	{ "{\"a\":1}{\"b\":[{},{}]}", "{\"a\":1};{\"b\":[{},{}]};", ERR_NONE },
	{ "{\"s\":\"}{][\\\"}\"}{}", "{\"s\":\"}{][\\\"}\"};{};", ERR_NONE },
	{ "{\"s\":\"\\\\\"}{}", "{\"s\":\"\\\\\"};{};", ERR_NONE },
	{ "{\"s\":\"a\\u0000b\"}",
	  "{\"s\":\"a\xef\xbf\xbd"
	  "b\"};",
	  ERR_NONE },
	{ "{\"s\":\"\\\\u0000\"}", "{\"s\":\"\\\\u0000\"};", ERR_NONE },
	{ "Loaded image: x\n", NULL, ERR_PROTOCOL },
	{ "{}garbage", NULL, ERR_PROTOCOL },
	{ "[1]", NULL, ERR_PROTOCOL },
	{ "{\"a\":1]", NULL, ERR_PROTOCOL },
	{ "{\"a\":1,}", NULL, ERR_PROTOCOL },
	{ "{\"a\":", NULL, ERR_PROTOCOL },
	{ "{\"a\":\"", NULL, ERR_PROTOCOL },
	{ "{\"a\":1,\"a\":2}", NULL, ERR_PROTOCOL },
};

static void feed_in_chunks(size_t row, size_t chunk)
{
	CLEANUP(docker_messages_free) struct docker_messages m;
	CLEANUP(buf_free) struct buf got = BUF_INIT(4 * KIB);
	size_t len = strlen(streams[row].stream);
	struct err err = { 0 };
	int result = 0;

	docker_messages_init(&m);
	for (size_t at = 0; at < len && result == 0; at += chunk) {
		size_t n = len - at < chunk ? len - at : chunk;
		/* A copy of its own size: reading beyond a chunk is seen by the sanitizer. */
		CLEANUP(freep) char *copy = xmalloc(n);
		memcpy(copy, streams[row].stream + at, n);
		result = docker_messages_feed(&m, copy, n, collect, &got, &err);
	}
	if (result == 0)
		result = docker_messages_end(&m, &err);
	if (!streams[row].want) {
		if (result == 0)
			fail_msg("%s: accepted in chunks of %zu", streams[row].stream, chunk);
		assert_int_equal(err.kind, streams[row].kind);
		return;
	}
	if (result < 0)
		fail_msg("%s in chunks of %zu: %s", streams[row].stream, chunk, err.msg);
	assert_string_equal(buf_str(&got), streams[row].want);
}

static void test_messages(void **state)
{
	(void)state;
	for (size_t row = 0; row < ARRAY_LEN(streams); row++)
		for (size_t chunk = 1; chunk < 40; chunk++)
			feed_in_chunks(row, chunk);
}

static void test_message_without_end_is_cut_off(void **state)
{
	CLEANUP(docker_messages_free) struct docker_messages m;
	CLEANUP(buf_free) struct buf got = BUF_INIT(4 * KIB);
	static char filler[64 * KIB];
	struct err err = { 0 };
	size_t fed = 0;

	(void)state;
	memset(filler, 'x', sizeof filler);
	docker_messages_init(&m);
	assert_int_equal(docker_messages_feed(&m, "{\"a\":\"", 6, collect, &got, &err), 0);
	while (docker_messages_feed(&m, filler, sizeof filler, collect, &got, &err) == 0)
		assert_true((fed += sizeof filler) <= DOCKER_MESSAGE_MAX_BYTES);
	assert_int_equal(err.kind, ERR_LIMIT);
}

static bool take_one(void *arg, const struct json *message)
{
	(void)collect(arg, message); /* true */
	return false;
}

static void test_reader_may_stop(void **state)
{
	CLEANUP(docker_messages_free) struct docker_messages m;
	CLEANUP(buf_free) struct buf got = BUF_INIT(4 * KIB);
	struct err err = { 0 };

	(void)state;
	docker_messages_init(&m);
	assert_int_equal(docker_messages_feed(&m, "{\"a\":1}{\"b\":2}", 14, take_one, &got, &err),
			 0);
	assert_string_equal(buf_str(&got), "{\"a\":1};");
}

static void append(void *arg, const char *bytes, size_t len)
{
	struct err err;

	if (buf_append(arg, bytes, len, &err) < 0)
		fail_msg("%s", err.msg);
}

#define FRAME(stream, len) stream "\0\0\0\0\0\0" len

static void test_frames(void **state)
{
	static const char bytes[] = FRAME("\1", "\5") "hello" FRAME("\2", "\0")
		FRAME("\2", "\6") " world" FRAME("\1", "\1") "!";

	(void)state;
	for (size_t chunk = 1; chunk < sizeof bytes; chunk++) {
		CLEANUP(buf_free) struct buf got = BUF_INIT(KIB);
		struct docker_frames f = { 0 };
		struct err err = { 0 };
		for (size_t at = 0; at < sizeof bytes - 1; at += chunk) {
			size_t n = sizeof bytes - 1 - at < chunk ? sizeof bytes - 1 - at : chunk;
			assert_int_equal(docker_frames_feed(&f, bytes + at, n, append, &got, &err),
					 0);
		}
		assert_string_equal(buf_str(&got), "hello world!");
	}
}

static void test_what_is_no_frame(void **state)
{
	CLEANUP(buf_free) struct buf got = BUF_INIT(KIB);
	struct docker_frames frames = { 0 }, raw = { .raw = true };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(docker_frames_feed(&frames, "plain text", 10, append, &got, &err), -1);
	assert_int_equal(err.kind, ERR_PROTOCOL);
	assert_int_equal(docker_frames_feed(&raw, "plain text", 10, append, &got, &err), 0);
	assert_string_equal(buf_str(&got), "plain text");
}

static void test_output_is_printable(void **state)
{
	static const struct {
		const char *bytes, *want;
	} cases[] = {
		{ "plain\n\ttext\n", "plain\n\ttext\n" },
		{ "line\r\nline\rover", "line\nline?over" },
		{ "\x1b[31mred\x7f\a", "?[31mred??" },
		{ "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x9a\xa2",
		  "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x9a\xa2" },
		{ "\xc2\x9b"
		  "31m \xc2\x85",
		  "??31m ??" },
		{ "\xff\xc3(\xed\xa0\x80\xe2\x82", "?\?(?????" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(buf_free) struct buf got = BUF_INIT(KIB);
		struct err err = { 0 };
		assert_int_equal(
			output_printable(cases[i].bytes, strlen(cases[i].bytes), &got, &err), 0);
		assert_string_equal(buf_str(&got), cases[i].want);
	}
}

static void test_times(void **state)
{
	static const struct {
		const char *text;
		int64_t want;
	} cases[] = {
		{ "2024-05-06T07:08:09.123456789Z", 1714979289123 },
		{ "2024-05-06T07:08:09Z", 1714979289000 },
		{ "2024-05-06T09:08:09.5+02:00", 1714979289500 },
		{ "2024-05-06T01:38:09.05-05:30", 1714979289050 },
		{ "1970-01-01T00:00:01Z", 1000 },
		{ "0001-01-01T00:00:00Z", 0 },
		{ "", 0 },
		{ NULL, 0 },
		{ "yesterday", 0 },
		{ "2024-05-06T07:08:09", 0 },
		{ "2024-05-06T07:08:09+2", 0 },
		{ "2024-05-06 07:08:09Z", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (time_parse(cases[i].text) != cases[i].want)
			fail_msg("\"%s\": expected %lld, got %lld",
				 cases[i].text ? cases[i].text : "NULL", (long long)cases[i].want,
				 (long long)time_parse(cases[i].text));
}

static void test_escape(void **state)
{
	CLEANUP(freep) char *plain = docker_escape("aZ09-._~");
	CLEANUP(freep) char *other = docker_escape("/a b?&%\xc3\xbc:@");

	(void)state;
	assert_string_equal(plain, "aZ09-._~");
	assert_string_equal(other, "%2Fa%20b%3F%26%25%C3%BC%3A%40");
}

static void test_hosts(void **state)
{
	static const struct {
		const char *host;
		bool good;
	} cases[] = {
		{ "unix:///var/run/docker.sock", true },
		{ "tcp://127.0.0.1:2375", true },
		{ "tcp://127.0.0.1", true },
		{ "tcp://localhost:1", true },
		{ "tcp://[::1]:2375", true },
		{ "tcp://[::1]", true },
		{ "/var/run/docker.sock", false },
		{ "", false },
		{ "unix://docker.sock", false },
		{ "unix://", false },
		{ "unix:///aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		  "aaaaaaaaaaaaaaaaaaaa",
		  false },
		{ "tcp://10.0.0.1:2375", false },
		{ "tcp://docker.example:2375", false },
		{ "tcp://127.0.0.1:http", false },
		{ "tcp://127.0.0.1:", false },
		{ "tcp://127.0.0.1:123456", false },
		{ "tcp://[::1", false },
		{ "tcp://[::1]x", false },
		{ "tcp://", false },
		{ "ssh://host", false },
		{ "http://127.0.0.1", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct docker *d = NULL;
		struct err err = { 0 };
		int result = docker_new(NULL, NULL, cases[i].host, &d, &err);
		if ((result == 0) != cases[i].good)
			fail_msg("\"%s\": %s", cases[i].host, result ? err.msg : "accepted");
		if (result < 0)
			assert_int_equal(err.kind, ERR_CONFIG);
		docker_free(d);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_message_without_end_is_cut_off),
		cmocka_unit_test(test_reader_may_stop),
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_what_is_no_frame),
		cmocka_unit_test(test_output_is_printable),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_escape),
		cmocka_unit_test(test_hosts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
