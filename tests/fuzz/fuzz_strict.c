/*
 * Any bytes as a tar. First byte: how many blocks the strict reader gets at once, which must make no difference, and
 * whether checksums are made right. What it takes has sane fields, and when it is read again as the reader has left it,
 * says the same.
 */
#include "fuzz.h"

#include "base/hash.h"
#include "tar.h"
#include "unpack/strict.h"

struct outcome {
	enum err_kind kind;
	size_t entries, missing;
	uint8_t digest[SHA256_BYTES]; /* of all that was said of them */
};

static void check_entry(const struct strict_entry *e)
{
	MUST(e->type == STRICT_GLOBAL || (e->type >= STRICT_FILE && e->type <= STRICT_FIFO));
	MUST((e->type == STRICT_GLOBAL) == (e->name != NULL));
	MUST(e->size_bytes >= 0 && e->n_xattrs <= STRICT_XATTRS_MAX);
	MUST(e->type == STRICT_FILE || (!e->size_bytes && !e->is_sparse));
}

static void add_entries(struct strict *s, struct sha256 *hash, struct outcome *out)
{
	struct strict_entry e;

	while (strict_next(s, &e)) {
		check_entry(&e);
		const int64_t numbers[] = { e.type, e.size_bytes, e.is_sparse, e.is_old, e.major, e.minor };
		sha256_update(hash, numbers, sizeof numbers);
		if (e.name)
			sha256_update(hash, e.name, strlen(e.name) + 1);
		for (size_t i = 0; i < e.n_xattrs; i++) {
			sha256_update(hash, e.xattrs[i].name, strlen(e.xattrs[i].name) + 1);
			sha256_update(hash, e.xattrs[i].value, e.xattrs[i].len);
		}
		out->entries++;
	}
}

/* Changes the bytes, as strict_feed() does. */
static struct outcome read_tar(uint8_t *bytes, size_t len, size_t piece)
{
	struct outcome out = { .kind = ERR_NONE };
	struct sha256 *hash = sha256_new();
	struct strict *s = strict_new();
	struct err err = { 0 };
	int result = 0;

	for (size_t at = 0; at < len && result == 0; at += piece) {
		result = strict_feed(s, bytes + at, len - at < piece ? len - at : piece, &err);
		add_entries(s, hash, &out);
	}
	if (result == 0)
		result = strict_end(s, &out.missing, &err);
	MUST(out.missing < STRICT_BLOCK_BYTES);
	MUST(result == 0 || err.kind == ERR_REFUSED || err.kind == ERR_LIMIT);
	out.kind = result == 0 ? ERR_NONE : err.kind;
	sha256_final(hash, out.digest);
	sha256_free(hash);
	strict_free(s);
	return out;
}

static void must_be_same(const struct outcome *a, const struct outcome *b)
{
	MUST(a->kind == b->kind && a->entries == b->entries && a->missing == b->missing);
	MUST(memcmp(a->digest, b->digest, sizeof a->digest) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	size_t len = size - 1;
	CLEANUP(freep) uint8_t *whole = xmalloc(len);
	CLEANUP(freep) uint8_t *split = xmalloc(len);
	memcpy(whole, data + 1, len);
	if (data[0] & 0x80)
		fix_checksums(whole, len);
	memcpy(split, whole, len);
	struct outcome a = read_tar(whole, len, len);
	struct outcome b = read_tar(split, len, (size_t)(data[0] % 4 + 1) * STRICT_BLOCK_BYTES);
	must_be_same(&a, &b);
	MUST(memcmp(whole, split, len) == 0);
	if (a.kind == ERR_NONE) {
		b = read_tar(whole, len, len);
		must_be_same(&a, &b);
	}
	return 0;
}
