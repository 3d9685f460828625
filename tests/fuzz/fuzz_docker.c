/*
 * Docker's streams: messages are the same however the bytes are cut, and what is printed of a
 * container's output is printable. The first byte is the length of the chunks.
 */
#include "fuzz.h"

#include "engine/container_internal.h"
#include "engine/docker_messages.h"

struct seen {
	size_t messages, bytes;
};

static bool count_message(void *arg, const struct json *message)
{
	struct seen *s = arg;
	CLEANUP(freep) char *text = json_print(message, false);

	MUST(json_is_object(message));
	s->messages++;
	s->bytes += strlen(text);
	return true;
}

static int feed(const uint8_t *data, size_t size, size_t chunk, struct seen *seen)
{
	CLEANUP(docker_messages_free) struct docker_messages m;
	struct err err = { 0 };
	int result = 0;

	docker_messages_init(&m);
	for (size_t at = 0; at < size && result == 0; at += chunk)
		result = docker_messages_feed(&m, data + at, size - at < chunk ? size - at : chunk,
					      count_message, seen, &err);
	if (result == 0)
		result = docker_messages_end(&m, &err);
	MUST(result == 0 || err.kind == ERR_PROTOCOL || err.kind == ERR_LIMIT);
	return result;
}

static void append(void *arg, const char *bytes, size_t len)
{
	struct err err;

	MUST(buf_append(arg, bytes, len, &err) == 0);
}

static void check_output(const uint8_t *data, size_t size)
{
	CLEANUP(buf_free) struct buf payload = BUF_INIT(size), text = BUF_INIT(size);
	struct docker_frames frames = { 0 };
	struct err err = { 0 };

	if (docker_frames_feed(&frames, data, size, append, &payload, &err) < 0)
		MUST(err.kind == ERR_PROTOCOL);
	MUST(output_printable(buf_str(&payload), payload.len, &text, &err) == 0);
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.data[i];
		MUST((c >= 0x20 && c != 0x7f) || c == '\n' || c == '\t');
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen whole = { 0 }, cut = { 0 };

	if (!size)
		return 0;
	MUST(feed(data + 1, size - 1, size, &whole) == feed(data + 1, size - 1, data[0] + 1, &cut));
	MUST(whole.messages == cut.messages && whole.bytes == cut.bytes);
	check_output(data, size);
	return 0;
}
