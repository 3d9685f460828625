/* The HTTP client's streams: pausing, uploads, calls inside callbacks, cancelling. */
#include "http_fixture.h"

#include <errno.h>
#include <unistd.h>

#include "base/clock.h"
#include "peer.h"

/* A reader that takes its bytes in turns. */
struct reader {
	struct http_transfer *t;
	size_t taken, pauses;
	bool open, done, failed;
	struct err err;
};

static enum http_flow read_some(void *arg, const struct http_response *head, const void *bytes, size_t len,
				struct err *err)
{
	struct reader *r = arg;

	(void)bytes, (void)err;
	assert_int_equal(head->status, 200);
	if (!r->open) {
		r->pauses++;
		return HTTP_PAUSE;
	}
	r->open = false;
	r->taken += len;
	return HTTP_CONTINUE;
}

static void read_done(void *arg, struct http_response *resp, const struct err *err)
{
	struct reader *r = arg;

	(void)resp;
	r->done = true;
	r->failed = err != NULL;
	if (err)
		r->err = *err;
}

static bool reader_done(void *arg)
{
	return ((struct reader *)arg)->done;
}

static void send_much(void *arg, const struct peer_request *req, struct peer_answer *answer)
{
	size_t len = *(size_t *)arg;
	CLEANUP(freep) char *bytes = xcalloc(len, 1);

	(void)req;
	say_whole(answer, "200 OK", "", bytes, len);
}

/* Long beside what a busy machine keeps this process waiting: while nothing is paused, that counts as silence. */
#define STALL_MS 1000

static void test_pause_and_resume(void **state)
{
	size_t size = 3 * MIB;
	struct peer *peer = peer_new(loop, NULL, send_much, &size);
	CLEANUP(freep) char *url = peer_url(peer, "/x");
	struct reader r = { 0 };
	const struct http_request req = { .method = "GET", .url = url, .on_body = read_some, .on_body_arg = &r,
					  .stall_timeout_ms = STALL_MS };
	struct err err;

	(void)state;
	assert_int_equal(http_start(http, &req, read_done, &r, &r.t, &err), 0);
	/* Paused for longer than the stall limit: still there. */
	assert_int_equal(loop_sleep(loop, STALL_MS + 200, &err), 0);
	assert_false(r.done);
	assert_int_equal(r.taken, 0);
	while (!r.done) {
		size_t before = r.taken;
		r.open = true;
		http_resume(r.t);
		assert_int_equal(r.taken, before); /* never from inside http_resume() */
		assert_int_equal(loop_sleep(loop, 0, &err), 0);
	}
	assert_false(r.failed);
	assert_int_equal(r.taken, size);
	assert_true(r.pauses > 3);
	peer_free(peer);
}

struct writer {
	struct http_transfer *t;
	unsigned int sent, paused;
	bool done, failed;
};

static enum http_flow write_some(void *arg, void *out, size_t max, size_t *len, struct err *err)
{
	struct writer *w = arg;

	(void)err;
	if (w->sent == 3)
		return HTTP_CONTINUE;
	if (w->paused++ % 2 == 0)
		return HTTP_PAUSE;
	assert_true(max >= 5);
	memcpy(out, "12345", 5);
	*len = 5;
	w->sent++;
	return HTTP_CONTINUE;
}

static void write_done(void *arg, struct http_response *resp, const struct err *err)
{
	struct writer *w = arg;

	w->done = true;
	w->failed = err != NULL;
	if (err)
		print_message("%s\n", err->msg);
	else
		assert_non_null(strstr(buf_str(&resp->body), "12345"));
}

static void test_upload(void **state)
{
	char path[] = "/tmp/berth-test-XXXXXX";
	CLEANUP(freep) char *sock = NULL;
	struct writer w = { 0 };
	struct http_request req = { .method = "POST", .url = "http://docker/load", .upload = write_some,
				    .upload_arg = &w, .max_body_bytes = 4096 };
	struct peer *peer;
	struct err err;

	(void)state;
	assert_non_null(mkdtemp(path));
	sock = xasprintf("%s/s", path);
	peer = peer_new(loop, sock, echo, NULL);
	req.unix_socket = sock;
	assert_int_equal(http_start(http, &req, write_done, &w, &w.t, &err), 0);
	while (!w.done) {
		http_resume(w.t);
		assert_int_equal(loop_sleep(loop, 1, &err), 0);
	}
	assert_false(w.failed);
	assert_non_null(
		strstr(buf_str(peer_received(peer)), "\r\n5\r\n12345\r\n5\r\n12345\r\n5\r\n12345\r\n0\r\n\r\n"));
	peer_free(peer);
	assert_int_equal(unlink(sock), 0);
	assert_int_equal(rmdir(path), 0);
}

/* A body callback that cancels the other transfer, ends its own, and starts a third. */
struct tangle {
	struct http_transfer *other, *third;
	const struct http_request *req;
	struct reader reader;
};

static void must_not_end(void *arg, struct http_response *resp, const struct err *err)
{
	(void)arg, (void)resp, (void)err;
	fail_msg("a cancelled transfer called back");
}

static enum http_flow entangle(void *arg, const struct http_response *head, const void *bytes, size_t len,
			       struct err *err)
{
	struct tangle *x = arg;

	(void)head, (void)bytes, (void)len;
	http_cancel(STEAL(x->other));
	x->reader.open = true;
	assert_int_equal(http_start(http, x->req, read_done, &x->reader, &x->third, err), 0);
	return (enum http_flow)(err_set(err, ERR_REFUSED, "enough"), HTTP_ABORT);
}

static void test_calls_inside_callbacks(void **state)
{
	size_t size = 10;
	struct peer *peer = peer_new(loop, NULL, send_much, &size);
	struct peer *quiet = peer_new(loop, NULL, silence, NULL);
	CLEANUP(freep) char *url = peer_url(peer, "/x");
	CLEANUP(freep) char *quiet_url = peer_url(quiet, "/x");
	struct tangle x = { 0 };
	struct reader first = { 0 };
	const struct http_request third = { .method = "GET", .url = url, .on_body = read_some,
					    .on_body_arg = &x.reader };
	const struct http_request hang = { .method = "GET", .url = quiet_url };
	const struct http_request tangle = { .method = "GET", .url = url, .on_body = entangle, .on_body_arg = &x };
	struct err err;

	(void)state;
	x.req = &third;
	assert_int_equal(http_start(http, &hang, must_not_end, NULL, &x.other, &err), 0);
	assert_int_equal(http_start(http, &tangle, read_done, &first, &first.t, &err), 0);
	assert_int_equal(loop_wait(loop, reader_done, &x.reader, clock_mono_ms() + 5000, &err), 0);
	assert_true(first.done && first.failed);
	assert_int_equal(first.err.kind, ERR_REFUSED);
	assert_non_null(strstr(first.err.msg, "enough"));
	assert_false(x.reader.failed);
	assert_int_equal(x.reader.taken, size);
	peer_free(peer);
	peer_free(quiet);
}

static void stop(void *arg)
{
	loop_cancel(arg, "a test");
}

static void test_cancelled_loop(void **state)
{
	struct peer *quiet = peer_new(loop, NULL, silence, NULL);
	CLEANUP(freep) char *url = peer_url(quiet, "/x");
	const struct http_request req = { .method = "GET", .url = url };
	struct http_response resp;
	struct err err;

	(void)state;
	(void)loop_timer_start(loop, 20, stop, loop);
	assert_int_equal(http_do(http, &req, &resp, &err), -1);
	assert_int_equal(err.kind, ERR_CANCELLED);
	assert_string_equal(err.msg, "stopped by a test");
	loop_uncancel(loop);
	peer_free(quiet);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pause_and_resume, setup, teardown),
		cmocka_unit_test_setup_teardown(test_upload, setup, teardown),
		cmocka_unit_test_setup_teardown(test_calls_inside_callbacks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cancelled_loop, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
