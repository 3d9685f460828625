/* The child's work when it unpacks: this thread inflates, a second one writes, and the one that is ahead hashes. */
#include "unpack/worker_private.h"

#include <pthread.h>

#include "base/mem.h"
#include "unpack/jail.h"
#include "unpack/layer.h"
#include "unpack/ring.h"

/* Large enough that handing one over costs nothing, few enough that a worker stays small. */
#define BLOCK_BYTES (128 * KIB)
#define BLOCKS 8
/* libarchive and the writer keep little there. */
#define STACK_BYTES (512 * KIB)

struct unpack {
	const struct zygote_order *order;
	int root_fd;
	struct ring *ring;
	struct inflate *inflate;
	struct sha256 *hash;
	struct deferred *deferred;
	struct worker_result *result;
	pthread_barrier_t started;
};

/* Where the decoder puts what comes next. */
static int aim(struct unpack *u, struct err *err)
{
	void *room;
	size_t len;

	if (ring_room(u->ring, &room, &len, err) < 0)
		return -1;
	inflate_output_to(u->inflate, room, len);
	return 0;
}

static int copy_in(struct unpack *u, const uint8_t *bytes, size_t len, struct err *err)
{
	while (len) {
		void *room;
		size_t n;
		if (ring_room(u->ring, &room, &n, err) < 0)
			return -1;
		n = len < n ? len : n;
		memcpy(room, bytes, n);
		ring_put(u->ring, n);
		bytes += n;
		len -= n;
	}
	return 0;
}

/* Inflated bytes are in the ring already. */
static int put(void *arg, const void *bytes, size_t len, struct err *err)
{
	struct unpack *u = arg;

	if (u->order->format == INFLATE_PLAIN)
		return copy_in(u, bytes, len, err);
	ring_put(u->ring, len);
	return aim(u, err);
}

static ssize_t take(void *arg, void **bytes, struct err *err)
{
	struct unpack *u = arg;
	ssize_t n = ring_take(u->ring, bytes, err);

	if (n <= 0)
		return n;
	if (n > WORKER_OUTPUT_MAX_BYTES - u->result->size_bytes)
		return err_set(err, ERR_LIMIT, "inflates to more than %lld GiB",
			       (long long)(WORKER_OUTPUT_MAX_BYTES / (int64_t)GIB));
	u->result->size_bytes += n;
	return n;
}

static void hash(void *arg, const void *bytes, size_t len)
{
	struct unpack *u = arg;

	sha256_update(u->hash, bytes, len);
}

static void *write_files(void *arg)
{
	struct unpack *u = arg;
	struct err err = { 0 };

	(void)pthread_barrier_wait(&u->started);
	int result = layer_apply(u->root_fd, u->order->bottom, take, u, u->deferred, &err);

	ring_close(u->ring, result < 0 ? &err : NULL);
	return NULL;
}

static int start_writer(struct unpack *u, struct err *err)
{
	pthread_attr_t attributes;
	pthread_t thread;

	(void)pthread_barrier_init(&u->started, NULL, 2);
	(void)pthread_attr_init(&attributes);
	(void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
	int error = pthread_create(&thread, &attributes, write_files, u);
	(void)pthread_attr_destroy(&attributes);
	if (error)
		return err_sys(err, error, "starting a thread");
	/* What the C library asks the kernel for at a thread's start is not allowed later. */
	(void)pthread_barrier_wait(&u->started);
	return 0;
}

static int enter_jail(struct unpack *u, const struct jail *jail, struct err *err)
{
	static const int keep[] = { WORKER_DATA_FD, WORKER_RESULT_FD, WORKER_ROOT_FD };

	u->root_fd = WORKER_ROOT_FD;
	if (jail_confine(jail, keep, ARRAY_LEN(keep), &u->root_fd, err) < 0)
		return -1;
	return start_writer(u, err) < 0 || jail_seal(err) < 0 ? -1 : 0;
}

int worker_unpack(const struct zygote_order *order, const struct jail *jail, struct deferred *deferred,
		  struct worker_result *out, struct err *err)
{
	static struct unpack u; /* the second thread's, as long as there is one */

	u = (struct unpack){ .order = order, .deferred = deferred, .result = out };
	if (inflate_new(order->format, &u.inflate, err) < 0)
		return -1;
	u.hash = sha256_new();
	u.ring = ring_new(BLOCKS, BLOCK_BYTES, hash, &u);
	if (enter_jail(&u, jail, err) < 0)
		return -1;

	int result = aim(&u, err) < 0 ? -1 : worker_inflate(u.inflate, put, &u, err);
	ring_end(u.ring, result < 0 ? err : NULL);
	if (result < 0 || ring_wait_closed(u.ring, err) < 0)
		return -1;
	sha256_final(u.hash, out->diff_id);
	return 0;
}
