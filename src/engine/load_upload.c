#include "engine/load_upload.h"

#include "base/clock.h"
#include "base/mem.h"
#include "engine/load_archive.h"

/* The containerd store and Podman say nothing during a layer, which for gigabytes on a slow volume takes minutes. */
#define SILENT_IDLE_MS (10 * 60 * 1000)

int64_t load_classic_idle_ms = 2 * 60 * 1000;

struct load_upload {
	struct load_archive *archive;
	struct docker_stream *stream; /* NULL: ended */
	store_event_fn *event;
	void *arg;
	bool waits;                   /* for bytes */
	int64_t heard_ms;             /* when the engine last said something; -1: never */
	struct err error;
};

static enum http_flow upload(void *arg, void *out, size_t max, size_t *len, struct err *err)
{
	struct load_upload *u = arg;
	bool had_room = load_archive_has_room(u->archive);

	(void)err;
	*len = load_archive_read(u->archive, out, max);
	if (!*len && !load_archive_at_end(u->archive)) {
		u->waits = true;
		return HTTP_PAUSE;
	}
	if (!had_room && load_archive_has_room(u->archive) && load_archive_wants(u->archive) >= 0)
		u->event(u->arg);
	return HTTP_CONTINUE;
}

static void wake(struct load_upload *u)
{
	if (!u->waits || !u->stream)
		return;
	u->waits = false;
	docker_stream_resume(u->stream);
}

static void on_message(void *arg, const struct json *message)
{
	(void)message;
	((struct load_upload *)arg)->heard_ms = clock_mono_ms();
}

static void on_done(void *arg, const struct err *err)
{
	struct load_upload *u = arg;

	u->stream = NULL;
	if (err)
		u->error = *err;
	else if (!load_archive_at_end(u->archive))
		(void)err_set(&u->error, ERR_PROTOCOL, "Docker answered before it had the whole image");
	u->event(u->arg);
}

static int new_archive(const struct load_upload_request *req, enum docker_store kind, struct load_archive **out,
		       struct err *err)
{
	if (req->fifos)
		return load_archive_new_fifos(req->image, req->skip, req->fifos, out, err);
	return load_archive_new(kind == DOCKER_STORE_CONTAINERD ? LOAD_OCI_LAYOUT : LOAD_DOCKER_ARCHIVE, req->image,
				req->skip, out, err);
}

/* 0: none, where it may be us that the engine waits for. */
static int64_t idle_ms(const struct load_upload_request *req, enum docker_store kind)
{
	if (req->fifos)
		return 0;
	return kind == DOCKER_STORE_CLASSIC ? load_classic_idle_ms : SILENT_IDLE_MS;
}

int load_upload_start(const struct load_upload_request *req, struct load_upload **out, struct err *err)
{
	enum docker_store kind = docker_info(req->docker)->store;
	struct load_upload *u = xcalloc(1, sizeof *u);
	const struct docker_stream_request stream = {
		.method = "POST",
		.path = "/images/load?quiet=0", /* its progress shows that it lives */
		.content_type = "application/x-tar",
		.upload = upload,
		.upload_arg = u,
		.message = on_message,
		.done = on_done,
		.arg = u,
		.idle_ms = idle_ms(req, kind),
	};

	*u = (struct load_upload){ .event = req->event, .arg = req->arg, .heard_ms = -1 };
	if (new_archive(req, kind, &u->archive, err) < 0 ||
	    docker_stream_start(req->docker, &stream, &u->stream, err) < 0) {
		load_upload_free(u);
		return -1;
	}
	*out = u;
	return 0;
}

void load_upload_free(struct load_upload *u)
{
	if (!u)
		return;
	docker_stream_cancel(u->stream);
	load_archive_free(u->archive);
	free(u);
}

ssize_t load_upload_wants(const struct load_upload *u)
{
	return load_archive_wants(u->archive);
}

bool load_upload_at_layer_start(const struct load_upload *u)
{
	return load_archive_at_layer_start(u->archive);
}

size_t load_upload_put(struct load_upload *u, const void *bytes, size_t len)
{
	size_t taken = load_archive_put(u->archive, bytes, len);

	if (taken)
		wake(u);
	return taken;
}

int load_upload_finish(struct load_upload *u, struct err *err)
{
	if (load_archive_finish(u->archive, err) < 0)
		return -1;
	wake(u);
	return 0;
}

bool load_upload_ended(const struct load_upload *u, struct err *error)
{
	if (u->stream)
		return false;
	*error = u->error;
	return true;
}

int64_t load_upload_heard_ms(const struct load_upload *u)
{
	return u->heard_ms;
}
