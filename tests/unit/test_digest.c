/* Digests and chain IDs. */
#include "table.h"

#include "oci/digest.h"

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define ABC   "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static void only_lower_case_sha256_is_read(void **state)
{
	static const struct {
		const char *text;
		size_t len;
		const char *why; /* NULL: read */
	} rows[] = {
		{ BYTES("sha256:" ABC), NULL },
		{ BYTES("sha256:" EMPTY), NULL },
		{ BYTES(""), "is not sha256:<64 hex digits>" },
		{ BYTES("sha256"), "is not sha256:<64 hex digits>" },
		{ BYTES(ABC), "is not sha256:<64 hex digits>" },
		{ BYTES("sha256:"), "has 0 hex digits, not 64" },
		{ BYTES("sha256:e3b0"), "has 4 hex digits, not 64" },
		{ BYTES("sha256:a" ABC), "has 65 hex digits, not 64" },
		{ BYTES("sha256:BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
		  "upper-case hex at position 7" },
		{ BYTES("sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a"),
		  "has 63 hex digits, not 64" },
		{ BYTES("sha256:ga7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
		  "not a hex digit at position 7" },
		{ BYTES("sha256:../../../../../../etc/passwd"), "not a hex digit at position 7" },
		{ BYTES("sha256:..\x2f.."), "not a hex digit" },
		{ BYTES("sha256:" ABC "\0"), "not a hex digit at position 71" },
		{ BYTES("sha256:" ABC "\n"), "not a hex digit at position 71" },
		{ BYTES(" sha256:" ABC), "digest algorithm \" sha256\"" },
		{ BYTES("sha256\0:" ABC), "digest algorithm \"sha256" },
		{ BYTES("SHA256:" ABC), "digest algorithm \"SHA256\" is not supported" },
		{ BYTES("sha512:" ABC ABC),
		  "digest algorithm \"sha512\" is not supported, only sha256" },
		{ BYTES("md5:d41d8cd98f00b204e9800998ecf8427e"), "digest algorithm \"md5\"" },
		{ BYTES("sha256+b64:LCa0a2j"), "digest algorithm \"sha256+b64\"" },
		{ BYTES(":" ABC), "digest algorithm \"\"" },
		{ BYTES("\xff\xfe:"), "digest algorithm" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct digest d = { "untouched" };
		struct err err = { 0 };
		int result = digest_parse(rows[i].text, rows[i].len, &d, &err);

		if (!rows[i].why) {
			(void)row_ok(rows[i].text, result, &err);
			row_str(rows[i].text, "text", rows[i].text, d.text);
			row_str(rows[i].text, "hex", rows[i].text + strlen("sha256:"),
				digest_hex(&d));
		} else {
			row_refused(rows[i].text, result, ERR_REFUSED, rows[i].why, &err);
			row_str(rows[i].text, "out", "untouched", d.text);
		}
	}
	table_end();
}

static void bytes_have_a_digest(void **state)
{
	struct digest a, b;
	uint8_t raw[SHA256_BYTES];

	(void)state;
	digest_of("abc", 3, &a);
	assert_string_equal(a.text, "sha256:" ABC);
	sha256_of("abc", 3, raw);
	digest_from_raw(raw, &b);
	assert_true(digest_equal(&a, &b));
	digest_of("", 0, &b);
	assert_string_equal(b.text, "sha256:" EMPTY);
	assert_false(digest_equal(&a, &b));
}

/* image-spec config.md, "Layer ChainID"; the sums are sha256sum(1)'s. */
static void a_chain_id_names_a_layer_with_all_below(void **state)
{
	struct digest d0, d1, c0, c1, c2;

	(void)state;
	digest_of("abc", 3, &d0);
	digest_of("", 0, &d1);
	chain_id(NULL, &d0, &c0);
	assert_string_equal(c0.text, d0.text);
	chain_id(&c0, &d1, &c1);
	assert_string_equal(
		c1.text, "sha256:dd8ddd90bdf3ccbd91abd3f399218c9d93e91246734fab743933f42048ac3e2c");
	chain_id(&c1, &d0, &c2);
	assert_string_equal(
		c2.text, "sha256:8e9c277940fe142021d5811c9b85cc258bdc32d33c6adea713521839f5d43c85");
	chain_id(&c1, &d0, &c1); /* in place */
	assert_string_equal(c1.text, c2.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_lower_case_sha256_is_read),
		cmocka_unit_test(bytes_have_a_digest),
		cmocka_unit_test(a_chain_id_names_a_layer_with_all_below),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
