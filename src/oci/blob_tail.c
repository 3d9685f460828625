#include "oci/blob_tail.h"

#include "base/mem.h"
#include "oci/registry_internal.h"

struct tails;

struct tail_request {
	struct tails *all;
	size_t i;
	struct walk *walk;
};

struct tails {
	struct registry *registry;
	const struct descriptor *blobs;
	const bool *wanted;
	size_t n, next, running;
	struct blob_tail *out;
	struct tail_request requests[BLOB_TAILS_PARALLEL];
};

static void start_more(struct tails *t);

static void on_end(void *arg, struct http_response *resp, bool elsewhere, const struct err *err)
{
	struct tail_request *q = arg;
	struct blob_tail *tail = &q->all->out[q->i];

	(void)elsewhere;
	q->walk = NULL;
	q->all->running--;
	if (!err && resp->status == 206 && resp->body.len == BLOB_TAIL_BYTES) {
		memcpy(tail->bytes, resp->body.data, BLOB_TAIL_BYTES);
		tail->known = true;
	}
	start_more(q->all);
}

static void start(struct tails *t, struct tail_request *q, size_t i)
{
	CLEANUP(freep) char *path = xasprintf("/v2/%s/blobs/%s", t->registry->ref.repository, t->blobs[i].digest.text);
	const struct walk_request req = {
		.path = path,
		.offset = t->blobs[i].size - BLOB_TAIL_BYTES,
		.max_body_bytes = BLOB_TAIL_BYTES, /* a server without ranges is cut off at once */
		.total_timeout_ms = BLOB_TAIL_TIMEOUT_MS,
		.http1_only = true,
	};

	*q = (struct tail_request){ .all = t, .i = i };
	t->running++;
	q->walk = walk_start(t->registry, &req, on_end, q);
}

static void start_more(struct tails *t)
{
	for (size_t k = 0; k < BLOB_TAILS_PARALLEL; k++) {
		if (t->requests[k].walk)
			continue;
		while (t->next < t->n && (!t->wanted[t->next] || t->blobs[t->next].size <= BLOB_TAIL_BYTES))
			t->next++;
		if (t->next == t->n)
			return;
		start(t, &t->requests[k], t->next++);
	}
}

static bool all_ended(void *arg)
{
	return ((const struct tails *)arg)->running == 0;
}

int blob_tails(struct registry *r, struct loop *loop, const struct descriptor *blobs, const bool *wanted, size_t n,
	       struct blob_tail *tails, struct err *err)
{
	struct tails t = { .registry = r, .blobs = blobs, .wanted = wanted, .n = n, .out = tails };

	memset(tails, 0, n * sizeof *tails);
	start_more(&t);
	int result = loop_wait(loop, all_ended, &t, -1, err);
	for (size_t k = 0; k < BLOB_TAILS_PARALLEL; k++)
		walk_cancel(t.requests[k].walk);
	return result;
}
