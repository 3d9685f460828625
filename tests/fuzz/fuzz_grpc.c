/*
 * What somebody on containerd's socket says: HTTP/2, gRPC's frames and statuses. Two calls are under way, a simple one
 * and one whose messages stream; whatever comes, both end, with a reason that can be shown. The first byte: whether the
 * server's settings come first, as they should.
 */
#include "fuzz.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "engine/grpc.h"
#include "net/http.h"

#define PATIENCE_MS 5000 /* nothing here takes any time: after it something waits for ever */
#define CALLS 2

static struct loop *loop;
static struct http *http;
static struct sockaddr_un address = { .sun_family = AF_UNIX };

static void begin_process(void)
{
	const struct http_config config = { .user_agent = "berth/fuzz" };
	const char *tmp = getenv("TMPDIR");
	struct err err;

	if (loop)
		return;
	(void)snprintf(address.sun_path, sizeof address.sun_path, "%s/berth-fuzz-grpc-%d", tmp ? tmp : "/tmp",
		       (int)getpid());
	MUST(loop_new(&loop, &err) == 0 && http_new(loop, &config, &http, &err) == 0);
}

/* One that can be connected to once: who is cut off and comes again finds nobody. */
static int listen_once(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	MUST(fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof address) == 0 && listen(fd, CALLS) == 0);
	return fd;
}

static struct grpc_call *ask(struct grpc *g, bool answers)
{
	const struct grpc_request req = {
		.method = "/test.v1.Test/Ask", .answers = answers, .once = answers, .timeout_ms = PATIENCE_MS
	};
	struct grpc_call *call;
	struct err err;

	MUST(grpc_start(g, &req, grpc_frame_new(0), &call, &err) == 0);
	return call;
}

/* What fits the socket, and then the end. */
static void say(int listener, const uint8_t *data, size_t size)
{
	static const uint8_t settings[9] = { [3] = 4 };
	int fd = accept(listener, NULL, NULL);

	MUST(fd >= 0);
	if (data[0] & 1)
		MUST(send(fd, settings, sizeof settings, MSG_NOSIGNAL) == sizeof settings);
	(void)!send(fd, data + 1, size - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)shutdown(fd, SHUT_WR);
	MUST(unlink(address.sun_path) == 0);
	close(listener);
	for (char heard[4096];
	     loop_sleep(loop, 0, &(struct err){ 0 }) == 0 && recv(fd, heard, sizeof heard, MSG_DONTWAIT) > 0;)
		;
	close(fd);
}

static void end(struct grpc_call *call)
{
	CLEANUP(buf_free) struct buf answer = BUF_INIT(GRPC_MESSAGE_MAX_BYTES);
	int64_t begun_ms = clock_mono_ms();
	struct err err = { 0 };

	int result = grpc_finish(call, &answer, &err);
	MUST(clock_mono_ms() - begun_ms < PATIENCE_MS);
	if (result == 0)
		return;
	MUST(err.kind != ERR_NONE && err.msg[0] && !answer.len);
	for (const char *p = err.msg; *p; p++)
		MUST((unsigned char)*p >= 0x20 && *p != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct grpc_call *calls[CALLS];

	if (!size)
		return 0;
	begin_process();
	int listener = listen_once();
	struct grpc *g = grpc_new(http, address.sun_path);
	for (int i = 0; i < CALLS; i++)
		calls[i] = ask(g, i > 0);
	say(listener, data, size);
	for (int i = 0; i < CALLS; i++)
		end(calls[i]);
	grpc_free(g);
	return 0;
}
