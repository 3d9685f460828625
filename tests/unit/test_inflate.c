/* gzip as Go's multistream reader takes it, zstd frames, plain bytes; whole, cut anywhere, and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "unpack/inflate.h"

/* A gzip member of "abc", in its parts (RFC 1952 §2.3). */
#define GZ_MAGIC "\x1f\x8b\x08"
#define GZ_REST "\0\0\0\0\0\xff" /* MTIME, XFL, OS */
#define GZ_HEAD GZ_MAGIC "\0" GZ_REST
#define GZ_ABC "\x01\x03\0\xfc\xff" "abc" /* one stored block */
#define GZ_TRAILER "\xc2\x41\x24\x35\3\0\0\0"
#define GZ_MEMBER GZ_HEAD GZ_ABC GZ_TRAILER
#define GZ_EMPTY GZ_HEAD "\3\0" "\0\0\0\0\0\0\0\0"
/* 840 bytes in a block of dynamic codes. */
#define GZ_DYNAMIC GZ_HEAD \
	"\xed\xca\xa9\x11\x00\x20\x0c\x04\xc0\x56\x68\xed\x32\x97\x90\x07\x85\xa3\x7b\x6a\x40\x13\xb3\x6a\xe1" \
	"\x33\x09\xd1\xca\x22\x4a\x5c\x35\x28\x74\xd2\x2a\x02\x6e\x13\x1d\x3a\xbc\x87\x85\xa3\x7b\xfc\xe3\x05" \
	"\xc3\x4d\xa9\x79\x48\x03\x00\x00"

#define S16 "sixteen letters "
#define S240 S16 S16 S16 S16 S16 S16 S16 S16 S16 S16 S16 S16 S16 S16 S16
#define S256 S240 S16

/* A zstd frame of "abc" (RFC 8878 §3.1.1): window descriptor, one raw block. */
#define ZS_MAGIC "\x28\xb5\x2f\xfd"
#define ZS_WINDOW(descriptor) ZS_MAGIC "\0" descriptor "\x19\0\0" "abc"
#define ZS_FRAME ZS_WINDOW("\x38")
#define ZS_CHECKED ZS_MAGIC "\x24\3\x19\0\0" "abc" "\x99\x09\x77\xad"
#define ZS_SKIPPABLE "\x5e\x2a\x4d\x18\3\0\0\0" "xyz"

#define B(s) s, sizeof(s) - 1

static const struct stream {
	const char *name;
	enum inflate_format format;
	const char *bytes;
	size_t len;
	const char *text;  /* comes out; NULL: not compared */
	const char *error; /* NULL: none */
} streams[] = {
	{ "plain", INFLATE_PLAIN, B("abc"), "abc", NULL },
	{ "plain, empty", INFLATE_PLAIN, B(""), "", NULL },

	{ "one member", INFLATE_GZIP, B(GZ_MEMBER), "abc", NULL },
	{ "dynamic codes", INFLATE_GZIP, B(GZ_DYNAMIC), NULL, NULL },
	{ "an empty member", INFLATE_GZIP, B(GZ_EMPTY), "", NULL },
	{ "two members", INFLATE_GZIP, B(GZ_MEMBER GZ_MEMBER), "abcabc", NULL },
	{ "an empty member between two", INFLATE_GZIP, B(GZ_MEMBER GZ_EMPTY GZ_MEMBER), "abcabc", NULL },
	{ "extra field", INFLATE_GZIP, B(GZ_MAGIC "\4" GZ_REST "\3\0xyz" GZ_ABC GZ_TRAILER), "abc", NULL },
	{ "empty extra field", INFLATE_GZIP, B(GZ_MAGIC "\4" GZ_REST "\0\0" GZ_ABC GZ_TRAILER), "abc", NULL },
	{ "name", INFLATE_GZIP, B(GZ_MAGIC "\x08" GZ_REST "a.tar\0" GZ_ABC GZ_TRAILER), "abc", NULL },
	{ "empty name, comment", INFLATE_GZIP, B(GZ_MAGIC "\x18" GZ_REST "\0note\0" GZ_ABC GZ_TRAILER), "abc", NULL },
	{ "header CRC", INFLATE_GZIP, B(GZ_MAGIC "\2" GZ_REST "\x90\xc9" GZ_ABC GZ_TRAILER), "abc", NULL },
	{ "every flag", INFLATE_GZIP,
	  B(GZ_MAGIC "\x1e" GZ_REST "\3\0xyz" "name\0" "note\0" "\xab\x18" GZ_ABC GZ_TRAILER), "abc", NULL },
	{ "text flag and reserved flags, which Go ignores", INFLATE_GZIP,
	  B(GZ_MAGIC "\xe1" GZ_REST GZ_ABC GZ_TRAILER), "abc", NULL },
	{ "a name of 511 bytes", INFLATE_GZIP,
	  B(GZ_MAGIC "\x08" GZ_REST S256 S240 "fifteen letters" "\0" GZ_ABC GZ_TRAILER), "abc", NULL },
	{ "a name of 512 bytes", INFLATE_GZIP,
	  B(GZ_MAGIC "\x08" GZ_REST S256 S256 "\0" GZ_ABC GZ_TRAILER), NULL, "bad header" },
	{ "wrong header CRC", INFLATE_GZIP, B(GZ_MAGIC "\2" GZ_REST "\x91\xc9" GZ_ABC GZ_TRAILER), NULL, "bad header" },
	{ "no gzip", INFLATE_GZIP, B("PK\3\4abcdefgh"), NULL, "bad header" },
	{ "another method", INFLATE_GZIP, B("\x1f\x8b\7\0" GZ_REST GZ_ABC GZ_TRAILER), NULL, "bad header" },
	{ "wrong CRC", INFLATE_GZIP, B(GZ_HEAD GZ_ABC "\xc3\x41\x24\x35\3\0\0\0"), NULL, "bad checksum" },
	{ "wrong length", INFLATE_GZIP, B(GZ_HEAD GZ_ABC "\xc2\x41\x24\x35\4\0\0\0"), NULL, "bad checksum" },
	{ "wrong CRC in the second member", INFLATE_GZIP, B(GZ_MEMBER GZ_HEAD GZ_ABC "\xc2\x41\x24\x34\3\0\0\0"), NULL,
	  "bad checksum" },
	{ "reserved block type", INFLATE_GZIP, B(GZ_HEAD "\7\0\0\0\0\0" GZ_TRAILER), NULL, "corrupt" },
	{ "stored length and its complement differ", INFLATE_GZIP, B(GZ_HEAD "\1\3\0\xfd\xff" "abc" GZ_TRAILER), NULL,
	  "corrupt" },
	{ "a match before the first byte", INFLATE_GZIP, B(GZ_HEAD "\x03\x02\0" GZ_TRAILER), NULL, "corrupt" },
	{ "one zero behind", INFLATE_GZIP, B(GZ_MEMBER "\0"), NULL, "behind the last member" },
	{ "zero padding behind", INFLATE_GZIP, B(GZ_MEMBER "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), NULL,
	  "behind the last member" },
	{ "text behind", INFLATE_GZIP, B(GZ_MEMBER "and more text"), NULL, "behind the last member" },
	{ "half a header behind", INFLATE_GZIP, B(GZ_MEMBER "\x1f\x8b\x08\0"), NULL, "behind the last member" },
	{ "nothing", INFLATE_GZIP, B(""), NULL, "truncated" },

	{ "one frame", INFLATE_ZSTD, B(ZS_FRAME), "abc", NULL },
	{ "a checked frame", INFLATE_ZSTD, B(ZS_CHECKED), "abc", NULL },
	{ "two frames", INFLATE_ZSTD, B(ZS_FRAME ZS_CHECKED), "abcabc", NULL },
	{ "skippable frames", INFLATE_ZSTD, B(ZS_SKIPPABLE ZS_FRAME ZS_SKIPPABLE), "abc", NULL },
	{ "an empty skippable frame", INFLATE_ZSTD, B(ZS_FRAME "\x50\x2a\x4d\x18\0\0\0\0"), "abc", NULL },
	{ "a window of 128 MiB", INFLATE_ZSTD, B(ZS_WINDOW("\x88")), "abc", NULL },
	{ "a window of 128 MiB and an eighth", INFLATE_ZSTD, B(ZS_WINDOW("\x89")), NULL, "window" },
	{ "a window of 2 GiB", INFLATE_ZSTD, B(ZS_WINDOW("\xa8")), NULL, "window" },
	{ "wrong frame checksum", INFLATE_ZSTD, B(ZS_MAGIC "\x24\3\x19\0\0" "abc" "\x99\x09\x77\xac"), NULL,
	  "checksum" },
	{ "a dictionary", INFLATE_ZSTD, B(ZS_MAGIC "\1\x38\7" "\x19\0\0" "abc"), NULL, "ictionary" },
	{ "reserved block", INFLATE_ZSTD, B(ZS_MAGIC "\0\x38" "\x1f\0\0" "abc"), NULL, "zstd: " },
	/* From the magic number on it looks like a skippable frame, which libzstd takes for the whole. */
	{ "zstd frame in a header", INFLATE_ZSTD, B(ZS_MAGIC "\x50\x2a\x4d\x18\4\0\0\0\x8b\4\x48\xfd"),
	  NULL, "zstd: " },
	{ "no zstd", INFLATE_ZSTD, B("abcdefgh"), NULL, "bad magic" },
	{ "a format older than 1.0", INFLATE_ZSTD, B("\x27\xb5\x2f\xfd\0\x38\x19\0\0" "abc"), NULL, "bad magic" },
	{ "text behind", INFLATE_ZSTD, B(ZS_FRAME "and more"), NULL, "behind the last frame" },
	{ "zeros behind", INFLATE_ZSTD, B(ZS_FRAME "\0\0\0\0"), NULL, "behind the last frame" },
	{ "nothing", INFLATE_ZSTD, B(""), NULL, "truncated" },
};

static int collect(void *arg, const void *bytes, size_t len, struct err *err)
{
	assert_in_range(len, 1, 1 * MIB);
	return buf_append(arg, bytes, len, err);
}

/* Feeds the first len bytes in pieces of `piece`, each in memory of its own so that a sanitizer sees its bounds. */
static int run(const struct stream *s, size_t len, size_t piece, struct buf *out, struct err *err)
{
	struct inflate *x;
	int result = 0;

	assert_int_equal(inflate_new(s->format, &x, err), 0);
	for (size_t at = 0; at < len && result == 0; at += piece) {
		size_t n = len - at < piece ? len - at : piece;
		char *copy = xmalloc(n);
		memcpy(copy, s->bytes + at, n);
		result = inflate_feed(x, copy, n, collect, out, err);
		free(copy);
	}
	if (result == 0)
		result = inflate_end(x, err);
	inflate_free(x);
	return result;
}

static void check_stream(const struct stream *s, size_t piece)
{
	CLEANUP(buf_free) struct buf out = BUF_INIT(1 * MIB);
	struct err err = { 0 };
	int result = run(s, s->len, piece, &out, &err);

	if (s->error ? result == 0 || err.kind != ERR_REFUSED || !strstr(err.msg, s->error) : result != 0)
		fail_msg("%s, in pieces of %zu: expected %s, got \"%s\"", s->name, piece,
			 s->error ? s->error : "success", err.msg);
	if (s->text)
		assert_string_equal(buf_str(&out), s->text);
}

static void test_streams(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(streams); i++)
		for (size_t piece = 1; piece < 20; piece++)
			check_stream(&streams[i], piece);
	for (size_t i = 0; i < ARRAY_LEN(streams); i++)
		check_stream(&streams[i], SIZE_MAX / 2);
}

/* Where a stream of whole units may end; anywhere else it is truncated. */
static const struct {
	const char *bytes;
	size_t len, unit;
	enum inflate_format format;
} cuts[] = {
	{ B(GZ_MEMBER GZ_MEMBER), sizeof(GZ_MEMBER) - 1, INFLATE_GZIP },
	{ B(GZ_DYNAMIC), sizeof(GZ_DYNAMIC) - 1, INFLATE_GZIP },
	{ B(ZS_FRAME ZS_FRAME), sizeof(ZS_FRAME) - 1, INFLATE_ZSTD },
	{ B(ZS_CHECKED), sizeof(ZS_CHECKED) - 1, INFLATE_ZSTD },
};

static void test_every_truncation(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
		for (size_t len = 0; len <= cuts[i].len; len++) {
			const struct stream s = { "cut", cuts[i].format, cuts[i].bytes, len, NULL, NULL };
			CLEANUP(buf_free) struct buf out = BUF_INIT(1 * MIB);
			struct err err = { 0 };
			bool whole = len && len % cuts[i].unit == 0;
			int result = run(&s, len, 7, &out, &err);
			if ((result == 0) != whole || (!whole && err.kind != ERR_REFUSED))
				fail_msg("stream %zu cut at %zu: %d \"%s\"", i, len, result, err.msg);
		}
	}
}

/* Every single flipped bit of a checked stream is noticed, or changes nothing that comes out. */
static void test_every_bit_flip(void **state)
{
	static const struct stream good = { "good", INFLATE_GZIP, B(GZ_DYNAMIC), NULL, NULL };
	CLEANUP(buf_free) struct buf want = BUF_INIT(1 * MIB);
	struct err err = { 0 };

	(void)state;
	assert_int_equal(run(&good, good.len, good.len, &want, &err), 0);
	for (size_t bit = 0; bit < 8 * good.len; bit++) {
		char bytes[sizeof GZ_DYNAMIC];
		struct stream s = good;
		CLEANUP(buf_free) struct buf got = BUF_INIT(1 * MIB);
		memcpy(bytes, good.bytes, good.len);
		bytes[bit / 8] ^= (char)(1 << bit % 8);
		s.bytes = bytes;
		if (run(&s, s.len, s.len, &got, &err) == 0 &&
		    (got.len != want.len || memcmp(got.data, want.data, got.len) != 0))
			fail_msg("bit %zu flipped: other bytes, no error", bit);
	}
}

static int refuse_all(void *arg, const void *bytes, size_t len, struct err *err)
{
	(void)arg;
	(void)bytes;
	(void)len;
	return err_set(err, ERR_LIMIT, "enough");
}

static void test_the_sinks_error_is_passed_on(void **state)
{
	static const struct stream all[] = {
		{ "plain", INFLATE_PLAIN, B("abc"), NULL, NULL },
		{ "gzip", INFLATE_GZIP, B(GZ_MEMBER), NULL, NULL },
		{ "zstd", INFLATE_ZSTD, B(ZS_FRAME), NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		struct inflate *x;
		struct err err = { 0 };
		assert_int_equal(inflate_new(all[i].format, &x, &err), 0);
		assert_int_equal(inflate_feed(x, all[i].bytes, all[i].len, refuse_all, NULL, &err), -1);
		assert_int_equal(err.kind, ERR_LIMIT);
		inflate_free(x);
	}
}

/* Each of two RLE blocks makes 64 KiB of four bytes. */
static void test_output_comes_in_pieces(void **state)
{
	static const char rle[] = ZS_MAGIC "\0\x88" "\x02\0\x08" "\0" "\x03\0\x08" "\0"; /* two blocks of 64 KiB */
	static const struct stream s = { "rle", INFLATE_ZSTD, rle, sizeof rle - 1, NULL, NULL };
	CLEANUP(buf_free) struct buf out = BUF_INIT(1 * MIB);
	struct err err = { 0 };

	(void)state;
	assert_int_equal(run(&s, s.len, 1, &out, &err), 0);
	assert_int_equal(out.len, 2 * 64 * KIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_every_truncation),
		cmocka_unit_test(test_every_bit_flip),
		cmocka_unit_test(test_the_sinks_error_is_passed_on),
		cmocka_unit_test(test_output_comes_in_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
