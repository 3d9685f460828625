/* Digests, HMAC and base64 against published vectors. */
#include "table.h"

#include "base/hash.h"

/* FIPS 180-2, appendix B; and the empty string. */
static void sha256_vectors(void **state)
{
	static const struct {
		const char *text, *hex;
	} rows[] = {
		{ "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
		{ "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
	};
	CLEANUP(sha256_freep) struct sha256 *h = sha256_new();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t raw[SHA256_BYTES];
		char hex[SHA256_HEX_SIZE];

		sha256_hex_of(rows[i].text, strlen(rows[i].text), hex);
		row_str(rows[i].text, "at once", rows[i].hex, hex);
		for (const char *p = rows[i].text; *p; p++)
			sha256_update(h, p, 1);
		sha256_update(h, NULL, 0);
		sha256_final(h, raw);
		hex_encode(raw, sizeof raw, hex);
		row_str(rows[i].text, "byte by byte", rows[i].hex, hex);
		sha256_reset(h);
	}
	table_end();
}

static void sha256_of_a_million_letters(void **state)
{
	CLEANUP(freep) char *text = xmalloc(1000000);
	char hex[SHA256_HEX_SIZE];

	(void)state;
	memset(text, 'a', 1000000);
	sha256_hex_of(text, 1000000, hex);
	assert_string_equal(hex,
			    "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* RFC 4231 §4.2 and §4.3, §4.7 (a key longer than a block). */
static void hmac_vectors(void **state)
{
	char long_key[131];
	struct {
		const char *key;
		size_t key_len;
		const char *text, *hex;
	} rows[] = {
		{ "\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b"
		  "\x0b",
		  20, "Hi There",
		  "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7" },
		{ "Jefe", 4, "what do ya want for nothing?",
		  "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843" },
		{ long_key, sizeof long_key,
		  "Test Using Larger Than Block-Size Key - Hash Key First",
		  "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54" },
	};

	(void)state;
	memset(long_key, 0xaa, sizeof long_key);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t raw[SHA256_BYTES];
		char hex[SHA256_HEX_SIZE];

		hmac_sha256(rows[i].key, rows[i].key_len, rows[i].text, strlen(rows[i].text), raw);
		hex_encode(raw, sizeof raw, hex);
		row_str(rows[i].text, "HMAC", rows[i].hex, hex);
	}
	table_end();
}

/* RFC 4648 §10, and the two alphabets. */
static void base64_vectors(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *text, *url;
	} rows[] = {
		{ BYTES(""), "", "" },
		{ BYTES("f"), "Zg==", "Zg==" },
		{ BYTES("fo"), "Zm8=", "Zm8=" },
		{ BYTES("foo"), "Zm9v", "Zm9v" },
		{ BYTES("foob"), "Zm9vYg==", "Zm9vYg==" },
		{ BYTES("fooba"), "Zm9vYmE=", "Zm9vYmE=" },
		{ BYTES("foobar"), "Zm9vYmFy", "Zm9vYmFy" },
		{ BYTES("\xfb\xff\xfe"), "+//+", "-__-" },
		{ BYTES("a\0b"), "YQBi", "YQBi" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(freep) char *text = base64_encode(rows[i].bytes, rows[i].len, false);
		CLEANUP(freep) char *url = base64_encode(rows[i].bytes, rows[i].len, true);
		struct buf back = BUF_INIT(100);
		struct err err = { 0 };

		row_str(rows[i].text, "encoded", rows[i].text, text);
		row_str(rows[i].text, "encoded for URLs", rows[i].url, url);
		(void)row_ok(rows[i].text, base64_decode(text, strlen(text), &back, &err), &err);
		row_int(rows[i].text, "decoded length", (int64_t)rows[i].len, (int64_t)back.len);
		row_int(rows[i].text, "decoded", 0,
			memcmp(buf_str(&back), rows[i].bytes, rows[i].len));
		buf_free(&back);
	}
	table_end();
}

static void broken_base64_is_refused(void **state)
{
	static const struct {
		const char *text;
		size_t len;
	} rows[] = {
		{ BYTES("Zg") },   { BYTES("Zg=") },	  { BYTES("Z===") },
		{ BYTES("====") }, { BYTES("Zg==Zg==") }, { BYTES("Zm9v\n") },
		{ BYTES("Zm 9") }, { BYTES("Zm9-") },	  { BYTES("Zm9\0") },
		{ BYTES("=Zm9") }, { BYTES("Zm=v") },	  { BYTES("\xff\xff\xff\xff") },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf out = BUF_INIT(100);
		struct err err = { 0 };

		row_refused(rows[i].text, base64_decode(rows[i].text, rows[i].len, &out, &err),
			    ERR_PROTOCOL, "base64", &err);
		buf_free(&out);
	}
	table_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sha256_vectors),
		cmocka_unit_test(sha256_of_a_million_letters),
		cmocka_unit_test(hmac_vectors),
		cmocka_unit_test(base64_vectors),
		cmocka_unit_test(broken_base64_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
