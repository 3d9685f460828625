#include "agent/metadata.h"

#include "base/json.h"
#include "base/mem.h"

#define REDACTED "(redacted)"
#define PATH_MAX_BYTES 1024
#define DEPTH_MAX 8       /* network/interfaces/macs/MAC/ipv4-associations/IP is the deepest: 6 */
#define REQUESTS_MAX 1000 /* an instance with 15 interfaces has some 400 entries */
#define INDENT 2

#define IDENTITY_PATH "dynamic/instance-identity/document"

static bool is_user_data(const char *path)
{
	return streq(path, "user-data");
}

/* "security-credentials/ROLE" in any service's branch. */
static bool is_credentials(const char *path)
{
	static const char segment[] = "security-credentials/";
	const char *at = strstr(path, segment);

	return at && at[strlen(segment)];
}

static bool is_word(const char *s, size_t n, const char *word)
{
	return strlen(word) == n && strncmp(s, word, n) == 0;
}

static bool is_root(const char *s, size_t n)
{
	return is_word(s, n, "meta-data") || is_word(s, n, "dynamic") || is_word(s, n, "user-data");
}

char *metadata_path(const char *path, struct err *err)
{
	CLEANUP(buf_free) struct buf out = BUF_INIT(PATH_MAX_BYTES);

	for (const char *s = path, *next; *s; s = next) {
		size_t n = strcspn(s, "/");
		next = s + n + (s[n] == '/');
		if (is_word(s, n, "..")) {
			err_set(err, ERR_USAGE, "\"..\" in the path %s", path);
			return NULL;
		}
		if (!n || is_word(s, n, ".") || (!out.len && is_word(s, n, "latest")))
			continue;
		if (!out.len && !is_root(s, n) && buf_printf(&out, err, "meta-data/") < 0)
			return NULL;
		if (buf_append(&out, s, (size_t)(next - s), err) < 0)
			return NULL;
	}
	return xstrdup(buf_str(&out));
}

static void redact_members(struct json *v)
{
	static const char *const secrets[] = { "SecretAccessKey", "Token" };

	for (const struct json *m = json_first(v); m; m = json_next(m))
		if (json_first(m))
			redact_members((struct json *)m);
	for (size_t i = 0; json_is_object(v) && i < ARRAY_LEN(secrets); i++)
		if (json_get(v, secrets[i]))
			json_set_str(v, secrets[i], REDACTED);
}

char *metadata_redact(const char *path, const char *text, size_t len)
{
	CLEANUP(json_freep) struct json *document = NULL;
	struct err unreadable;

	/* By content too: new branches of the tree may carry keys. */
	if (!is_credentials(path) && !memmem(text, len, "SecretAccessKey", 15) &&
	    !memmem(text, len, "\"Token\"", 7))
		return xstrndup(text, len);
	if (json_parse(text, len, &json_default_limits, &document, &unreadable) < 0 ||
	    !json_is_object(document))
		return xstrdup(REDACTED);
	redact_members(document);
	return json_print(document, true);
}

struct walk {
	struct imds *imds;
	FILE *out;
	unsigned int requests;
};

/* What IMDS holds at path, redacted, as a string of its own; NULL with *err. */
static char *fetch(struct walk *w, const char *path, struct err *err)
{
	CLEANUP(buf_wipe) struct buf answer = BUF_INIT(IMDS_ANSWER_MAX_BYTES);

	if (++w->requests > REQUESTS_MAX) {
		err_set(err, ERR_LIMIT, "IMDS has more than %d entries", REQUESTS_MAX);
		return NULL;
	}
	if (imds_get(w->imds, path, &answer, err) < 0)
		return NULL;
	return metadata_redact(path, buf_str(&answer), answer.len);
}

/* Tags are other people's text, and this goes to a terminal. */
static void print_line(FILE *out, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		fputc((unsigned char)s[i] < ' ' || s[i] == 0x7f ? '?' : s[i], out);
	fputc('\n', out);
}

/* "name: value", or the name and the lines below it. */
static void print_value(FILE *out, int indent, const char *name, const char *value)
{
	size_t len = strlen(value);

	while (len && value[len - 1] == '\n')
		len--;
	fprintf(out, "%*s%s:", indent, "", name);
	if (!memchr(value, '\n', len)) {
		if (len)
			fputc(' ', out);
		print_line(out, value, len);
		return;
	}
	fputc('\n', out);
	for (const char *s = value, *end = value + len; s < end;) {
		size_t n = strcspn(s, "\n");
		if (n > (size_t)(end - s))
			n = (size_t)(end - s);
		fprintf(out, "%*s", indent + INDENT, "");
		print_line(out, s, n);
		s += n + 1;
	}
}

static int print_tree(struct walk *w, const char *path, int depth, struct err *err);

/* An entry of a listing: a value, or with a slash at its end a branch. */
static int print_entry(struct walk *w, const char *path, const char *name, int depth,
		       struct err *err)
{
	CLEANUP(freep) char *child = xasprintf("%s%s", path, name), *value = NULL;

	/* "0=my-key": a number with the key's name; and tags/instance is listed like a value. */
	if (strchr(name, '=')) {
		fprintf(w->out, "%*s%s\n", depth * INDENT, "", name);
		return 0;
	}
	if (streq(child, "meta-data/tags/instance")) {
		CLEANUP(freep) char *branch = xasprintf("%s/", name);
		return print_entry(w, path, branch, depth, err);
	}
	if (name[strlen(name) - 1] == '/') {
		fprintf(w->out, "%*s%s\n", depth * INDENT, "", name);
		return print_tree(w, child, depth + 1, err);
	}
	if (!(value = fetch(w, child, err))) {
		if (err->kind != ERR_NOT_FOUND)
			return -1;
		err_clear(err); /* gone since it was listed */
		return 0;
	}
	print_value(w->out, depth * INDENT, name, value);
	return 0;
}

/* A name as listings have them; anything else would lead elsewhere. */
static bool is_entry(const char *name)
{
	size_t n = strlen(name), slash = strcspn(name, "/");

	if (!n || n > 256 || slash + 1 < n || name[0] == '/' || streq(name, "../") ||
	    streq(name, "./"))
		return false;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)name[i] < ' ' || name[i] == 0x7f)
			return false;
	return true;
}

/* Everything below path, which ends with a slash. */
static int print_tree(struct walk *w, const char *path, int depth, struct err *err)
{
	CLEANUP(freep) char *listing = NULL;
	char *rest, *name;

	if (depth > DEPTH_MAX)
		return err_set(err, ERR_LIMIT, "IMDS is deeper than %d levels at %s", DEPTH_MAX,
			       path);
	if (!(listing = fetch(w, path, err))) {
		if (err->kind != ERR_NOT_FOUND || depth == 0)
			return -1;
		err_clear(err); /* gone since it was listed */
		return 0;
	}
	for (rest = listing; (name = strsep(&rest, "\n"));)
		if (is_entry(name) && print_entry(w, path, name, depth, err) < 0)
			return -1;
	return 0;
}

static int print_everything(struct walk *w, struct err *err)
{
	CLEANUP(freep) char *identity = NULL;

	if (print_tree(w, "meta-data/", 0, err) < 0)
		return -1;
	if ((identity = fetch(w, IDENTITY_PATH, err))) {
		print_value(w->out, 0, IDENTITY_PATH, identity);
		return 0;
	}
	if (err->kind != ERR_NOT_FOUND)
		return -1;
	err_clear(err);
	return 0;
}

static int print_one(struct walk *w, const char *path, struct err *err)
{
	CLEANUP(buf_wipe) struct buf answer = BUF_INIT(IMDS_ANSWER_MAX_BYTES);
	CLEANUP(freep) char *text = NULL;

	if (is_user_data(path)) { /* as it is: it may be compressed, and goes into files */
		if (imds_get(w->imds, path, &answer, err) < 0)
			return -1;
		fwrite(buf_str(&answer), 1, answer.len, w->out);
		return 0;
	}
	if (!(text = fetch(w, path, err)))
		return -1;
	for (char *s = text, *line; (line = strsep(&s, "\n"));)
		if (s || *line)
			print_line(w->out, line, strlen(line));
	return 0;
}

int metadata_print(struct imds *imds, const char *path, FILE *out, struct err *err)
{
	CLEANUP(freep) char *clean = metadata_path(path ? path : "", err);
	struct walk w = { .imds = imds, .out = out };

	if (!clean)
		return -1;
	return clean[0] ? print_one(&w, clean, err) : print_everything(&w, err);
}
