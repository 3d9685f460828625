/* Platforms: containerd's normal forms, and containerd's order of what a machine runs. */
#include "table.h"

#include "oci/platform.h"

static void platforms_are_normalised(void **state)
{
	static const struct {
		const char *text, *normal; /* NULL: refused */
	} rows[] = {
		{ "linux/amd64", "linux/amd64" },
		{ "Linux/AMD64", "linux/amd64" },
		{ "linux/x86_64", "linux/amd64" },
		{ "linux/x86-64", "linux/amd64" },
		{ "linux/amd64/v1", "linux/amd64" },
		{ "linux/x86_64/v1", "linux/amd64" },
		{ "linux/amd64/v3", "linux/amd64/v3" },
		{ "linux/i386", "linux/386" },
		{ "linux/i386/v7", "linux/386" },
		{ "linux/386", "linux/386" },
		{ "linux/arm64", "linux/arm64" },
		{ "linux/aarch64", "linux/arm64" },
		{ "linux/arm64/v8", "linux/arm64" },
		{ "linux/arm64/8", "linux/arm64" },
		{ "linux/arm64/v8.0", "linux/arm64" },
		{ "linux/aarch64/v8", "linux/arm64" },
		{ "linux/arm64/9", "linux/arm64/v9" },
		{ "linux/arm64/v9.0", "linux/arm64/v9" },
		{ "linux/arm64/v8.2", "linux/arm64/v8.2" },
		{ "linux/arm", "linux/arm/v7" },
		{ "linux/arm/7", "linux/arm/v7" },
		{ "linux/arm/6", "linux/arm/v6" },
		{ "linux/armhf", "linux/arm/v7" },
		{ "linux/armel", "linux/arm/v6" },
		{ "linux/riscv64", "linux/riscv64" },
		{ "macos/arm64", "darwin/arm64" },
		{ "windows/amd64", "windows/amd64" },
		{ "", NULL },
		{ "linux", NULL },
		{ "amd64", NULL },
		{ "linux/", NULL },
		{ "/amd64", NULL },
		{ "linux//v8", NULL },
		{ "linux/arm64/", NULL },
		{ "linux/arm/v7/x", NULL },
		{ "linux/a b", NULL },
		{ "linux/*", NULL },
		{ "linux/\xc3\xa9", NULL },
		{ "linux/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		  "linux/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" },
		{ "linux/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL },
		{ "linux/arm/v345678901234567", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct platform p = { .os = "untouched" };
		char text[PLATFORM_STR_SIZE];
		struct err err = { 0 };
		int result = platform_parse(rows[i].text, &p, &err);

		if (!rows[i].normal) {
			row_refused(rows[i].text, result, ERR_USAGE,
				    "is not os/arch or os/arch/variant", &err);
			row_str(rows[i].text, "out", "untouched", p.os);
		} else if (row_ok(rows[i].text, result, &err)) {
			row_str(rows[i].text, "normal form", rows[i].normal,
				platform_str(&p, text));
		}
	}
	table_end();
}

/* Each list is in falling order of preference; platforms in none of them do not run. */
static void a_machine_prefers_the_nearest(void **state)
{
	static const struct {
		const char *host;
		const char *runs[26];
		const char * not [10];
	} rows[] = {
		{ "linux/amd64",
		  { "linux/amd64", "linux/386" },
		  { "linux/amd64/v2", "linux/arm64", "linux/arm/v7", "windows/amd64",
		    "linux/riscv64" } },
		{ "linux/amd64/v3",
		  { "linux/amd64/v3", "linux/amd64/v2", "linux/amd64", "linux/386" },
		  { "linux/amd64/v4", "linux/arm64" } },
		{ "linux/386", { "linux/386" }, { "linux/amd64", "linux/arm64" } },
		{ "linux/arm/v8",
		  { "linux/arm/v8", "linux/arm", "linux/arm/v6", "linux/arm/v5" },
		  { "linux/arm/v4", "linux/arm64", "linux/amd64" } },
		{ "linux/arm/v7",
		  { "linux/arm/v7", "linux/arm/v6", "linux/arm/v5" },
		  { "linux/arm/v8", "linux/arm/v4", "linux/arm64" } },
		{ "linux/arm/v6",
		  { "linux/arm/v6", "linux/arm/v5" },
		  { "linux/arm", "linux/arm/v7" } },
		{ "linux/arm/v5", { "linux/arm/v5" }, { "linux/arm/v6", "linux/arm/v4" } },
		{ "linux/arm/v4", { "linux/arm/v4" }, { "linux/arm/v5", "linux/arm" } },
		{ "linux/arm64",
		  { "linux/arm64", "linux/arm/v8", "linux/arm/v7", "linux/arm/v6", "linux/arm/v5" },
		  { "linux/arm64/v8.1", "linux/arm64/v9", "linux/arm/v4", "linux/amd64" } },
		{ "linux/arm64/v8.2",
		  { "linux/arm64/v8.2", "linux/arm64/v8.1", "linux/arm64/v8", "linux/arm/v8",
		    "linux/arm" },
		  { "linux/arm64/v8.3", "linux/arm64/v9" } },
		{ "linux/arm64/v9",
		  { "linux/arm64/v9", "linux/arm64/v8.5", "linux/arm64/v8.4", "linux/arm64/v8.3",
		    "linux/arm64/v8.2", "linux/arm64/v8.1", "linux/arm64", "linux/arm/v8",
		    "linux/arm/v7" },
		  { "linux/arm64/v9.1", "linux/arm64/v8.6" } },
		{ "linux/arm64/v9.6",
		  { "linux/arm64/v9.6", "linux/arm64/v9.5", "linux/arm64/v9.4", "linux/arm64/v9.3",
		    "linux/arm64/v9.2", "linux/arm64/v9.1", "linux/arm64/v9.0", "linux/arm64/v8.9",
		    "linux/arm64/v8.8", "linux/arm64/v8.7", "linux/arm64/v8.6", "linux/arm64/v8.5",
		    "linux/arm64/v8.4", "linux/arm64/v8.3", "linux/arm64/v8.2", "linux/arm64/v8.1",
		    "linux/arm64/v8",	"linux/arm/v8",	    "linux/arm/v7",	"linux/arm/v6",
		    "linux/arm/v5" },
		  { "linux/arm64/v9.7", "linux/arm64/v8.10", "linux/arm/v4" } },
		{ "linux/arm64/v8.10", { "linux/arm/v8", "linux/arm/v7" }, { "linux/arm64" } },
		{ "linux/arm64/foo", { "linux/arm/foo" }, { "linux/arm64", "linux/arm" } },
		{ "linux/s390x", { "linux/s390x" }, { "linux/amd64" } },
		{ "windows/amd64", { "windows/amd64", "windows/386" }, { "linux/amd64" } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct platform host, p;
		struct err err = { 0 };
		int last = INT32_MAX;

		assert_int_equal(platform_parse(rows[i].host, &host, &err), 0);
		for (size_t k = 0; rows[i].runs[k]; k++) {
			assert_int_equal(platform_parse(rows[i].runs[k], &p, &err), 0);
			int match = platform_match(&host, &p);
			if (match <= 0 || match >= last) {
				print_error("%s: %s: expected 0 < match < %d, got %d\n",
					    rows[i].host, rows[i].runs[k], last, match);
				table_failures++;
			}
			last = match;
		}
		for (size_t k = 0; rows[i].not [k]; k++) {
			assert_int_equal(platform_parse(rows[i].not [k], &p, &err), 0);
			row_int(rows[i].host, rows[i].not [k], 0, platform_match(&host, &p));
		}
	}
	table_end();
}

/* What stands in documents is not normal yet. */
static void raw_spellings_match_too(void **state)
{
	static const struct {
		struct platform host, p;
		bool matches;
	} rows[] = {
		{ { "linux", "arm64", "" }, { "linux", "arm64", "v8" }, true },
		{ { "linux", "arm64", "v8" }, { "linux", "aarch64", "" }, true },
		{ { "linux", "amd64", "" }, { "Linux", "x86_64", "v1" }, true },
		{ { "linux", "amd64", "" },
		  { "", "amd64", "" },
		  true }, /* no OS: ours, as containerd has it */
		{ { "linux", "amd64", "" }, { "linux", "", "" }, false },
		{ { "linux", "amd64", "" }, { "", "", "" }, false },
		{ { "linux", "amd64", "" }, { "unknown", "unknown", "" }, false },
		{ { "linux", "amd64", "v999999999999" }, { "linux", "386", "" }, true },
		{ { "linux", "amd64", "v63" }, { "linux", "amd64", "v62" }, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[PLATFORM_STR_SIZE];

		row_int(platform_str(&rows[i].p, text), "matches", rows[i].matches,
			platform_match(&rows[i].host, &rows[i].p) > 0);
	}
	table_end();
}

static void this_machine_has_a_platform(void **state)
{
	struct platform host;

	(void)state;
	platform_host(&host);
	assert_string_equal(host.os, "linux");
	assert_true(host.arch[0]);
	assert_true(platform_match(&host, &host) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(platforms_are_normalised),
		cmocka_unit_test(a_machine_prefers_the_nearest),
		cmocka_unit_test(raw_spellings_match_too),
		cmocka_unit_test(this_machine_has_a_platform),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
