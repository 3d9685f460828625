#include "oci/challenge.h"

#include "base/mem.h"

/* Real ones are under 1 KiB; a header that passed the HTTP caps may still be 64 KiB of commas. */
#define CHALLENGE_MAX_BYTES (16 * KIB)

struct cursor {
	const char *p, *end;
	struct err *err;
};

struct token {
	const char *at;
	size_t len;
};

static int bad(struct cursor *c, const char *what)
{
	return err_set(c->err, ERR_PROTOCOL, "WWW-Authenticate: %s", what);
}

static void skip_space(struct cursor *c)
{
	while (c->p < c->end && (*c->p == ' ' || *c->p == '\t'))
		c->p++;
}

/* RFC 7230 §7: lists may have empty elements. */
static void skip_commas(struct cursor *c)
{
	while (c->p < c->end && (*c->p == ' ' || *c->p == '\t' || *c->p == ','))
		c->p++;
}

static bool at_element_end(const struct cursor *c)
{
	return c->p == c->end || *c->p == ',';
}

/* RFC 7230 §3.2.6 tchar, and what `also` adds. */
static struct token take_token(struct cursor *c, const char *also)
{
	static const char marks[] = "!#$%&'*+-.^_`|~";
	const char *from = c->p;

	for (; c->p < c->end && *c->p; c->p++) {
		char low = (char)(*c->p | 0x20);
		if (!(low >= 'a' && low <= 'z') && !(*c->p >= '0' && *c->p <= '9') &&
		    !strchr(marks, *c->p) && !strchr(also, *c->p))
			break;
	}
	return (struct token){ from, (size_t)(c->p - from) };
}

static bool is(struct token t, const char *word)
{
	return t.len == strlen(word) && strncasecmp(t.at, word, t.len) == 0;
}

/* At the opening quote; quoted-pairs lose their backslash. *out is the caller's. */
static int take_quoted(struct cursor *c, char **out)
{
	CLEANUP(freep) char *text = xmalloc((size_t)(c->end - c->p));
	size_t n = 0;

	for (c->p++;; c->p++) {
		if (c->p < c->end && *c->p == '"')
			break;
		if (c->p < c->end && *c->p == '\\')
			c->p++;
		if (c->p == c->end)
			return bad(c, "a quoted value does not end");
		if (*c->p == '\t')
			return bad(c, "a tab in a quoted value");
		text[n++] = *c->p;
	}
	c->p++;
	text[n] = '\0';
	*out = STEAL(text);
	return 0;
}

/* Some servers leave the quotes away where RFC 7235 wants them: "realm=https://…". */
static int take_value(struct cursor *c, char **out)
{
	if (c->p < c->end && *c->p == '"')
		return take_quoted(c, out);
	struct token t = take_token(c, "/:?=@[]();");
	*out = xstrndup(t.at, t.len);
	return 0;
}

/* "name = value" ahead, and not token68 or the next scheme: takes the name and the equals sign. */
static bool take_param_name(struct cursor *c, struct token *name)
{
	struct cursor ahead = *c;

	*name = take_token(&ahead, "");
	skip_space(&ahead);
	if (!name->len || ahead.p == ahead.end || *ahead.p != '=')
		return false;
	ahead.p++;
	skip_space(&ahead);
	*c = ahead;
	return true;
}

/* RFC 7235 §2.1: "Negotiate oYGeMIGb…==" has one opaque word instead of parameters. */
static bool take_token68(struct cursor *c)
{
	struct cursor ahead = *c;

	if (!take_token(&ahead, "/").len)
		return false;
	while (ahead.p < ahead.end && *ahead.p == '=')
		ahead.p++;
	skip_space(&ahead);
	if (!at_element_end(&ahead))
		return false;
	*c = ahead;
	return true;
}

/* Takes value. */
static int set_param(struct cursor *c, struct challenge *to, struct token name, char *value)
{
	const struct {
		const char *name;
		char **slot;
	} known[] = {
		{ "realm", &to->realm },
		{ "service", &to->service },
		{ "scope", &to->scope },
		{ "error", &to->error },
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (!is(name, known[i].name))
			continue;
		if (*known[i].slot) {
			free(value);
			return err_set(c->err, ERR_PROTOCOL, "WWW-Authenticate: %s twice",
				       known[i].name);
		}
		*known[i].slot = value;
		return 0;
	}
	free(value);
	return 0;
}

/* One challenge; *out is to be freed also on failure. */
static int take_challenge(struct cursor *c, struct challenge *out)
{
	struct token scheme = take_token(c, ""), name;
	char *value = NULL;

	if (!scheme.len)
		return bad(c, "a scheme was expected");
	if (c->p < c->end && !strchr(" \t,", *c->p))
		return bad(c, "a space was expected behind the scheme");
	out->scheme = is(scheme, "bearer")  ? CHALLENGE_BEARER
		      : is(scheme, "basic") ? CHALLENGE_BASIC
					    : CHALLENGE_NONE;
	skip_space(c);
	if (at_element_end(c) || take_token68(c))
		return 0;
	while (take_param_name(c, &name)) {
		if (take_value(c, &value) < 0 || set_param(c, out, name, value) < 0)
			return -1;
		skip_space(c);
		if (!at_element_end(c))
			return bad(c, "a comma was expected");
		skip_commas(c);
	}
	return 0;
}

/* A token URL is what makes a Bearer challenge one that can be answered. */
static bool better(const struct challenge *a, const struct challenge *than)
{
	return a->scheme > than->scheme &&
	       (a->scheme != CHALLENGE_BEARER || (a->realm && *a->realm));
}

static int check_text(const char *value, size_t len, struct err *err)
{
	if (len > CHALLENGE_MAX_BYTES)
		return err_set(err, ERR_LIMIT,
			       "WWW-Authenticate of %zu bytes; at most %zu are read", len,
			       CHALLENGE_MAX_BYTES);
	for (size_t i = 0; i < len; i++)
		if (((unsigned char)value[i] < 0x20 && value[i] != '\t') || value[i] == 0x7f)
			return err_set(err, ERR_PROTOCOL,
				       "WWW-Authenticate: control byte at position %zu", i);
	return 0;
}

int challenge_parse(const char *value, size_t len, struct challenge *out, struct err *err)
{
	CLEANUP(challenge_free) struct challenge best = { 0 };
	struct cursor c = { .p = value, .end = value + len, .err = err };

	if (check_text(value, len, err) < 0)
		return -1;
	for (skip_commas(&c); c.p < c.end; skip_commas(&c)) {
		CLEANUP(challenge_free) struct challenge next = { 0 };
		if (take_challenge(&c, &next) < 0)
			return -1;
		if (better(&next, &best)) {
			struct challenge worse = best;
			best = next;
			next = worse;
		}
	}
	*out = best;
	best = (struct challenge){ 0 };
	return 0;
}

void challenge_free(struct challenge *c)
{
	free(c->realm);
	free(c->service);
	free(c->scope);
	free(c->error);
	*c = (struct challenge){ 0 };
}
