/* Which snapshotters may rebase, and what a commit says to one that does and to one that does not. */
#include "engine/containerd_internal.h"
#include "table.h"

#define ROOT "\x2a\x0d\x0a\x04root\x12\x05/snap" /* exports: { "root", "/snap" } */
#define CAPABILITY(length, name) "\x32" length name

static const struct {
	const char *name, *plugin; /* as on the wire, field 1 of the answer */
	bool rebases;
} answers[] = {
	{ "1.7, 2.0", ROOT CAPABILITY("\x09", "remap-ids"), false },
	{ "without any capability", ROOT, false },
	{ "2.2, 2.3",
	  ROOT CAPABILITY("\x09", "remap-ids") CAPABILITY("\x0e", "only-remap-ids") CAPABILITY("\x06", "rebase"),
	  true },
	{ "2.2 before its directory", CAPABILITY("\x06", "rebase") ROOT, true },
	{ "something like it", ROOT CAPABILITY("\x07", "rebases"), false },
	{ "something like it, shorter", ROOT CAPABILITY("\x05", "rebas"), false },
};

static Ctd__PluginsResponse *answer_of(const char *plugin)
{
	size_t len = strlen(plugin);
	CLEANUP(freep) uint8_t *bytes = xmalloc(2 + len);

	assert_true(len < 128); /* one byte of varint */
	bytes[0] = 0x0a;
	bytes[1] = (uint8_t)len;
	memcpy(bytes + 2, plugin, len);
	return ctd__plugins_response__unpack(NULL, 2 + len, bytes);
}

static void test_who_rebases(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		struct containerd c = { .snapshotter = (char *)"overlayfs" };
		Ctd__PluginsResponse *answer = answer_of(answers[i].plugin);
		struct err err;
		assert_non_null(answer);
		if (row_ok(answers[i].name, containerd_note_plugins(&c, answer, &err), &err)) {
			row_int(answers[i].name, "rebases", answers[i].rebases, containerd_rebases(&c));
			row_str(answers[i].name, "root", "/snap/snapshots", containerd_root(&c));
		}
		ctd__plugins_response__free_unpacked(answer, NULL);
		free(c.root);
	}
	table_end();
}

static void test_a_later_answer_counts(void **state)
{
	struct containerd c = { .snapshotter = (char *)"overlayfs" };
	Ctd__PluginsResponse *newer = answer_of(answers[2].plugin), *older = answer_of(answers[0].plugin);
	struct err err;

	(void)state;
	assert_int_equal(containerd_note_plugins(&c, newer, &err), 0);
	assert_int_equal(containerd_note_plugins(&c, older, &err), 0);
	assert_false(containerd_rebases(&c));
	ctd__plugins_response__free_unpacked(newer, NULL);
	ctd__plugins_response__free_unpacked(older, NULL);
	free(c.root);
}

static void test_no_such_snapshotter(void **state)
{
	static const char *const plugins[] = { "", CAPABILITY("\x06", "rebase") };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(plugins); i++) {
		struct containerd c = { .snapshotter = (char *)"overlayfs" };
		Ctd__PluginsResponse *answer = answer_of(plugins[i]);
		struct err err;
		row_refused(plugins[i], containerd_note_plugins(&c, answer, &err), ERR_CONFIG,
			    "no snapshotter overlayfs", &err);
		row_int(plugins[i], "rebases", false, containerd_rebases(&c));
		ctd__plugins_response__free_unpacked(answer, NULL);
		free(c.root);
	}
	table_end();
}

/* An old containerd's request is what it always was: field 5 is absent. */
static const struct {
	const char *parent, *bytes;
} commits[] = {
	{ NULL, "\x0a\x09overlayfs\x12\x04name\x1a\x03key" },
	{ "sha256:0f", "\x0a\x09overlayfs\x12\x04name\x1a\x03key\x2a\x09sha256:0f" },
};

static void test_what_a_commit_says(void **state)
{
	struct containerd c = { .snapshotter = (char *)"overlayfs" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(commits); i++) {
		Ctd__CommitSnapshotRequest req = containerd_commit_request(&c, "key", "name", commits[i].parent);
		uint8_t bytes[64] = { 0 };
		assert_true(protobuf_c_message_get_packed_size(&req.base) < sizeof bytes);
		(void)protobuf_c_message_pack(&req.base, bytes);
		row_str(commits[i].parent ? "upon a parent" : "upon its own", "bytes", commits[i].bytes, (char *)bytes);
	}
	table_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_rebases),
		cmocka_unit_test(test_a_later_answer_counts),
		cmocka_unit_test(test_no_such_snapshotter),
		cmocka_unit_test(test_what_a_commit_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
