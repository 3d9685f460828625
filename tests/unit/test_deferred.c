/* The list of what a worker leaves to be done: what is taken, what is not, and what comes out again. */
#include "table.h"

#include <sys/stat.h>

#include "unpack/deferred.h"

static const struct deferred_item device = {
	.kind = DEFERRED_DEVICE,
	.path = "dev/null",
	.device = { .mode = S_IFCHR | 0666, .uid = 1, .gid = 2, .major = 1, .minor = 3,
		    .times = { { 5, 6 }, { 7, 999999999 } }, .link = "" },
};
static const struct deferred_item opaque = { .kind = DEFERRED_OPAQUE, .path = "." };
static const struct deferred_item attribute = {
	.kind = DEFERRED_XATTR,
	.path = "bin/ping",
	.xattr = { "security.capability", "\1\0\0\2", 4 },
};
static const struct deferred_item implicit = {
	.kind = DEFERRED_IMPLICIT_DIR,
	.path = "usr/lib",
	.attributes_only = true,
};

static struct deferred *list_of(const struct deferred_item *const *items, size_t n)
{
	struct deferred *d = deferred_new();
	struct err err = { 0 };

	for (size_t i = 0; i < n; i++)
		assert_int_equal(deferred_add(d, items[i], &err), 0);
	return d;
}

static void test_what_goes_in_comes_out(void **state)
{
	const struct deferred_item *const items[] = { &device, &opaque, &attribute, &implicit };
	struct deferred *sent = list_of(items, ARRAY_LEN(items)), *got = NULL;
	struct deferred_item item;
	struct err err = { 0 };
	size_t len, at = 0;
	const void *bytes = deferred_bytes(sent, &len);

	(void)state;
	assert_int_equal(deferred_parse(bytes, len, &got, &err), 0);
	assert_true(deferred_next(got, &at, &item));
	assert_string_equal(item.path, device.path);
	assert_int_equal(item.device.mode, device.device.mode);
	assert_int_equal(item.device.minor, 3);
	assert_int_equal(item.device.times[1].tv_nsec, 999999999);
	assert_string_equal(item.device.link, "");
	assert_true(deferred_next(got, &at, &item));
	assert_int_equal(item.kind, DEFERRED_OPAQUE);
	assert_true(deferred_next(got, &at, &item));
	assert_string_equal(item.xattr.name, attribute.xattr.name);
	assert_int_equal(item.xattr.len, 4);
	assert_memory_equal(item.xattr.value, "\1\0\0\2", 4);
	assert_true(deferred_next(got, &at, &item));
	assert_true(item.attributes_only);
	assert_false(deferred_next(got, &at, &item));
	/* Cut anywhere, it is no list, but between two items. */
	deferred_free(got);
	size_t whole = 0;
	for (size_t cut = 0; cut < len; cut++) {
		CLEANUP(freep) char *exact = xmalloc(cut + 1);
		memcpy(exact, bytes, cut);
		if (deferred_parse(exact, cut, &got, &err) == 0) {
			deferred_free(got);
			whole++;
		}
	}
	assert_int_equal(whole, ARRAY_LEN(items));
	deferred_free(sent);
}

#define DEVICE(...) { .kind = DEFERRED_DEVICE, .path = "a", .device = { __VA_ARGS__ } }
#define XATTR(name) { .kind = DEFERRED_XATTR, .path = "a", .xattr = { name, "/", 1 } }

static const struct {
	const char *row;
	struct deferred_item item;
} bad[] = {
	{ "an absolute name", { .kind = DEFERRED_OPAQUE, .path = "/etc" } },
	{ "dots", { .kind = DEFERRED_OPAQUE, .path = "a/../b" } },
	{ "dots at the end", { .kind = DEFERRED_OPAQUE, .path = "a/.." } },
	{ "a dot", { .kind = DEFERRED_IMPLICIT_DIR, .path = "." } },
	{ "nothing between slashes", { .kind = DEFERRED_OPAQUE, .path = "a//b" } },
	{ "a slash at the end", { .kind = DEFERRED_OPAQUE, .path = "a/" } },
	{ "no name", { .kind = DEFERRED_OPAQUE, .path = "" } },
	{ "no kind", { .kind = DEFERRED_KINDS, .path = "a" } },
	{ "a device that is a file", DEVICE(.mode = S_IFREG, .link = "") },
	{ "a device that is a FIFO", DEVICE(.mode = S_IFIFO, .link = "") },
	{ "a mode of more bits", DEVICE(.mode = S_IFCHR | 1 << 20, .link = "") },
	{ "a link out", DEVICE(.mode = S_IFCHR, .link = "../b") },
	{ "no such nanosecond", DEVICE(.mode = S_IFCHR, .times = { { 0, 1000000000 } }, .link = "") },
	{ "an attribute that overlayfs obeys", XATTR("trusted.overlay.redirect") },
	{ "an attribute of users", XATTR("user.x") },
	{ "an attribute without a name", XATTR("") },
};

static void test_what_a_hostile_worker_may_ask_for(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const struct deferred_item *item = &bad[i].item;
		struct deferred *sent = list_of(&item, 1), *got = NULL;
		struct err err = { 0 };
		size_t len;
		const void *bytes = deferred_bytes(sent, &len);
		row_int(bad[i].row, "result", -1, deferred_parse(bytes, len, &got, &err));
		row_int(bad[i].row, "kind", ERR_PROTOCOL, err.kind);
		deferred_free(got);
		deferred_free(sent);
	}
	table_end();
}

static void test_what_is_replaced_is_forgotten(void **state)
{
	const struct deferred_item below = { .kind = DEFERRED_OPAQUE, .path = "dev/null/x" };
	const struct deferred_item beside = { .kind = DEFERRED_OPAQUE, .path = "dev/nullx" };
	const struct deferred_item *const items[] = { &device, &beside, &below, &implicit };
	struct deferred *d = list_of(items, ARRAY_LEN(items));
	struct deferred_item item;
	size_t at = 0;

	(void)state;
	deferred_forget(d, "dev/null");
	assert_true(deferred_next(d, &at, &item));
	assert_string_equal(item.path, "dev/nullx");
	assert_true(deferred_next(d, &at, &item));
	assert_string_equal(item.path, "usr/lib");
	assert_false(deferred_next(d, &at, &item));
	deferred_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_goes_in_comes_out),
		cmocka_unit_test(test_what_a_hostile_worker_may_ask_for),
		cmocka_unit_test(test_what_is_replaced_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
