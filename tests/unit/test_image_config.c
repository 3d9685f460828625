/* Image configs: platform, diff_ids, healthcheck; and the odd shapes that are in the wild. */
#include "table.h"

#include "documents.h"
#include "oci/manifest.h"

#define OS	    "\"os\":\"linux\",\"architecture\":\"arm64\""
#define ROOTFS(ids) ",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":" ids "}"
#define ONE	    ROOTFS("[\"" DIGEST_A "\"]")
#define TEST(test)  ",\"config\":{\"Healthcheck\":{\"Test\":" test "}}"

static void configs_are_read(void **state)
{
	static const struct {
		const char *text;
		size_t n_layers;
		bool has_healthcheck;
		const char *platform;
	} rows[] = {
		{ "{" OS ONE "}", 1, false, "linux/arm64" },
		{ "{" OS ",\"variant\":\"v8\"" ONE "}", 1, false, "linux/arm64/v8" },
		{ "{" OS ",\"variant\":null" ONE "}", 1, false, "linux/arm64" },
		{ "{" OS ROOTFS("[\"" DIGEST_B "\",\"" DIGEST_A "\"]") "}", 2, false,
		  "linux/arm64" },
		/* FROM scratch: no layers, and the ways Go writes that. */
		{ "{" OS ROOTFS("[]") "}", 0, false, "linux/arm64" },
		{ "{" OS ROOTFS("null") "}", 0, false, "linux/arm64" },
		{ "{" OS ",\"rootfs\":{\"type\":\"layers\"}}", 0, false, "linux/arm64" },
		{ "{" OS ",\"rootfs\":null}", 0, false, "linux/arm64" },
		{ "{" OS "}", 0, false, "linux/arm64" },
		{ "{}", 0, false, "/" },
		/* What is in the wild. */
		{ "{" OS ONE ",\"config\":null}", 1, false, "linux/arm64" },
		{ "{" OS ONE
		  ",\"config\":{\"Cmd\":null,\"Volumes\":null,\"Entrypoint\":null,\"Env\":null,"
		  "\"Labels\":null,\"OnBuild\":null,\"Healthcheck\":null}}",
		  1, false, "linux/arm64" },
		{ "{" OS ONE ",\"config\":{\"Memory\":9223372036854775807,\"CpuShares\":-1,"
		  "\"StopTimeout\":18446744073709551615}}",
		  1, false, "linux/arm64" },
		{ "{" OS ONE
		  ",\"history\":[{\"created\":\"2024-01-01T00:00:00Z\",\"created_by\":\"/bin/sh -c "
		  "#(nop) CMD "
		  "[\\\"sh\\\"]\",\"empty_layer\":true},{\"comment\":\"buildkit.dockerfile.v0\"}]}",
		  1, false, "linux/arm64" },
		{ "{" OS ONE
		  ",\"created\":null,\"id\":\"x\",\"docker_version\":\"\",\"container_config\":{}}",
		  1, false, "linux/arm64" },
		{ "{" OS ONE ",\"moby.buildkit.buildinfo.v1\":\"e30=\",\"os.version\":\"10.0\"}", 1,
		  false, "linux/arm64" },
		/* Healthchecks. */
		{ "{" OS ONE TEST("[\"CMD-SHELL\",\"curl localhost\"]") "}", 1, true,
		  "linux/arm64" },
		{ "{" OS ONE TEST("[\"CMD\",\"/check\"]") "}", 1, true, "linux/arm64" },
		{ "{" OS ONE TEST("[\"NONE\"]") "}", 1, false, "linux/arm64" },
		{ "{" OS ONE TEST("[]") "}", 1, false, "linux/arm64" },
		{ "{" OS ONE TEST("null") "}", 1, false, "linux/arm64" },
		{ "{" OS ONE TEST("[\"\"]") "}", 1, false, "linux/arm64" },
		{ "{" OS ONE TEST("[7]") "}", 1, false, "linux/arm64" },
		{ "{" OS ONE ",\"config\":{\"Healthcheck\":{\"Interval\":1000000000}}}", 1, false,
		  "linux/arm64" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(image_config_free) struct image_config c = { 0 };
		char platform[PLATFORM_STR_SIZE];
		struct err err = { 0 };
		const char *text = rows[i].text;

		if (!row_ok(text,
			    image_config_parse(text, strlen(text), rows[i].n_layers, &c, &err),
			    &err))
			continue;
		row_int(text, "diff_ids", (int64_t)rows[i].n_layers, (int64_t)c.n_diff_ids);
		if (c.n_diff_ids)
			row_str(text, "last diff_id", DIGEST_A, c.diff_ids[c.n_diff_ids - 1].text);
		row_int(text, "healthcheck", rows[i].has_healthcheck, c.has_healthcheck);
		row_str(text, "platform", rows[i].platform, platform_str(&c.platform, platform));
		row_int(text, "config is kept", 1, json_is_object(c.config));
	}
	table_end();
}

static void other_configs_are_refused(void **state)
{
	static const struct {
		const char *text;
		enum err_kind kind;
		const char *why;
	} rows[] = {
		{ "", ERR_PROTOCOL, "image config: not JSON: empty" },
		{ "[]", ERR_PROTOCOL, "image config: not an object" },
		{ "{" OS ONE "}x", ERR_PROTOCOL, "something behind the value" },
		{ "{" OS ONE ",\"a\":\"\xff\"}", ERR_PROTOCOL, "bad UTF-8" },
		{ "{\"os\":7}", ERR_PROTOCOL, "os: not a string" },
		{ "{\"os\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}", ERR_PROTOCOL,
		  "os: longer than 31" },
		{ "{" OS ",\"rootfs\":[]}", ERR_PROTOCOL, "rootfs: not an object" },
		{ "{" OS ",\"rootfs\":{\"type\":\"layers+base\"}}", ERR_REFUSED,
		  "rootfs: type \"layers+base\" is not supported" },
		{ "{" OS ROOTFS("{}") "}", ERR_PROTOCOL, "rootfs: diff_ids: not an array" },
		/* Too few, too many: one layer is expected. */
		{ "{" OS "}", ERR_REFUSED, "rootfs: 0 diff_ids for 1 layers" },
		{ "{" OS ROOTFS("[]") "}", ERR_REFUSED, "rootfs: 0 diff_ids for 1 layers" },
		{ "{" OS ROOTFS("[\"" DIGEST_A "\",\"" DIGEST_A "\"]") "}", ERR_REFUSED,
		  "rootfs: 2 diff_ids for 1 layers" },
		{ "{" OS ROOTFS("[\"" HEX_A "\"]") "}", ERR_REFUSED,
		  "rootfs: diff_ids[0]: digest" },
		{ "{" OS ROOTFS("[\"sha256:../..\"]") "}", ERR_REFUSED, "not a hex digit" },
		{ "{" OS ROOTFS("[7]") "}", ERR_PROTOCOL, "rootfs: diff_ids[0]: not a string" },
		{ "{" OS ROOTFS("[null]") "}", ERR_PROTOCOL, "rootfs: diff_ids[0]: not a string" },
		{ "{" OS ONE ",\"config\":[]}", ERR_PROTOCOL, "config: not an object" },
		{ "{" OS ONE ",\"config\":{\"Healthcheck\":[]}}", ERR_PROTOCOL,
		  "config: Healthcheck: not an object" },
		{ "{" OS ONE TEST("\"CMD\"") "}", ERR_PROTOCOL, "config: Test: not an array" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct image_config c = { .n_diff_ids = 4711 };
		struct err err = { 0 };
		int result = image_config_parse(rows[i].text, strlen(rows[i].text), 1, &c, &err);

		row_refused(rows[i].text, result, rows[i].kind, rows[i].why, &err);
		row_int(rows[i].text, "out is untouched", 4711, (int64_t)c.n_diff_ids);
	}
	table_end();
}

static void a_config_has_a_limit(void **state)
{
	size_t len = CONFIG_MAX_BYTES + 1;
	CLEANUP(freep) char *text = xmalloc(len);
	CLEANUP(image_config_free) struct image_config c = { 0 };
	struct err err = { 0 };

	(void)state;
	memset(text, ' ', len);
	memcpy(text, "{}", 2);
	row_refused("8 MiB and one byte", image_config_parse(text, len, 0, &c, &err), ERR_LIMIT,
		    "at most 8388608 are read", &err);
	(void)row_ok("8 MiB", image_config_parse(text, len - 1, 0, &c, &err), &err);
	table_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(configs_are_read),
		cmocka_unit_test(other_configs_are_refused),
		cmocka_unit_test(a_config_has_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
