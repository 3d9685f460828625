#include "engine/docker_messages.h"

#include "engine/docker_internal.h"

void docker_messages_init(struct docker_messages *m)
{
	*m = (struct docker_messages){ .partial = BUF_INIT(DOCKER_MESSAGE_MAX_BYTES) };
}

void docker_messages_free(struct docker_messages *m)
{
	buf_free(&m->partial);
}

/*
 * How many of the bytes belong to the message; *complete: it ends with them. Only brackets and
 * strings count here; the reader judges the rest.
 */
static size_t scan(struct docker_messages *m, const char *bytes, size_t len, bool *complete)
{
	for (size_t i = 0; i < len; i++) {
		char c = bytes[i];
		if (m->escaped)
			m->escaped = false;
		else if (m->in_string && c == '\\')
			m->escaped = true;
		else if (c == '"')
			m->in_string = !m->in_string;
		else if (!m->in_string && (c == '{' || c == '['))
			m->depth++;
		else if (!m->in_string && (c == '}' || c == ']') && --m->depth == 0) {
			*complete = true;
			return i + 1;
		}
	}
	*complete = false;
	return len;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

int docker_messages_feed(struct docker_messages *m, const void *bytes, size_t len,
			 docker_each_fn *fn, void *arg, struct err *err)
{
	const char *p = bytes, *end = p + len;

	while (p < end) {
		CLEANUP(json_freep) struct json *message = NULL;
		bool complete;
		if (!m->depth && is_space(*p)) {
			p++;
			continue;
		}
		if (!m->depth && *p != '{')
			return err_set(err, ERR_PROTOCOL,
				       "Docker's answer is no stream of JSON objects");
		size_t n = scan(m, p, (size_t)(end - p), &complete);
		if (buf_append(&m->partial, p, n, err) < 0)
			return err_wrap(err, "a message in Docker's answer");
		p += n;
		if (!complete)
			continue;
		if (docker_parse(m->partial.data, m->partial.len, DOCKER_MESSAGE_MAX_BYTES,
				 &message, err) < 0)
			return err_wrap(err, "a message in Docker's answer");
		buf_clear(&m->partial);
		if (!fn(arg, message))
			return 0;
	}
	return 0;
}

int docker_messages_end(const struct docker_messages *m, struct err *err)
{
	if (m->depth)
		return err_set(err, ERR_PROTOCOL, "Docker's answer ends within a message");
	return 0;
}
