#include "aws/sigv4.h"

#include <assert.h>
#include <ctype.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"

#define ALGORITHM "AWS4-HMAC-SHA256"

/* Path, query and headers; a session token is up to 4 KiB, and the body is only hashed. */
#define CANONICAL_MAX_BYTES (64 * KIB)
/* Far more than any request here has, so that sorting costs nothing. */
#define PAIRS_MAX 256

/* A header, or a query parameter: sorted by name, then as `compare` says. */
struct pair {
	char *name;
	char *value;
	size_t position; /* as sent */
};

struct pairs {
	struct pair *v;
	size_t n;
};

void aws_credentials_clear(struct aws_credentials *c)
{
	free(c->access_key_id);
	secret_clear(&c->secret_access_key);
	secret_clear(&c->session_token);
	*c = (struct aws_credentials){ 0 };
}

void aws_credentials_copy(struct aws_credentials *to, const struct aws_credentials *from)
{
	if (to == from)
		return;
	aws_credentials_clear(to);
	to->access_key_id = xstrdup(from->access_key_id);
	secret_copy(&to->secret_access_key, &from->secret_access_key);
	secret_copy(&to->session_token, &from->session_token);
	to->expires_ms = from->expires_ms;
	memcpy(to->source, from->source, sizeof to->source);
}

void sigv4_result_clear(struct sigv4_result *r)
{
	free(r->authorization);
	wipep(&r->canonical_request); /* holds the session token */
	free(r->string_to_sign);
	secret_clear(&r->token);
	*r = (struct sigv4_result){ 0 };
}

static void pairs_clear(struct pairs *p)
{
	for (size_t i = 0; i < p->n; i++) {
		wipep(&p->v[i].name);
		wipep(&p->v[i].value);
	}
	free(p->v);
}

/* Takes both strings. */
static int pairs_add(struct pairs *p, char *name, char *value, struct err *err)
{
	CLEANUP(wipep) char *n = name, *v = value;

	if (p->n == PAIRS_MAX)
		return err_set(err, ERR_LIMIT, "more than %d headers or parameters to sign",
			       PAIRS_MAX);
	p->v = xreallocarray(p->v, p->n + 1, sizeof *p->v);
	p->v[p->n] = (struct pair){ STEAL(n), STEAL(v), p->n };
	p->n++;
	return 0;
}

static bool has_control_bytes(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return true;
	return false;
}

static bool is_unreserved(unsigned char c) /* RFC 3986 §2.3 */
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '.' || c == '_' || c == '~';
}

static int encode(struct buf *out, const char *s, size_t len, bool keep_slash, struct err *err)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];
		const char triplet[3] = { '%', digits[c >> 4], digits[c & 15] };
		bool plain = is_unreserved(c) || (keep_slash && c == '/');
		if (buf_append(out, plain ? &s[i] : triplet, plain ? 1 : 3, err) < 0)
			return -1;
	}
	return 0;
}

/* Drops the last segment of "/a/b". */
static void pop_segment(struct buf *path)
{
	while (path->len && path->data[--path->len] != '/')
		;
	if (path->data)
		path->data[path->len] = '\0';
}

/* RFC 3986 §5.2.4, and empty segments dropped: "//a/./b/../c/" is "/a/c/". */
static int normalize(struct buf *out, const char *path, struct err *err)
{
	size_t total = strlen(path);

	for (const char *s = path; *s;) {
		size_t n = strcspn(s, "/");
		if (n == 2 && s[0] == '.' && s[1] == '.')
			pop_segment(out);
		else if (n && !(n == 1 && s[0] == '.') &&
			 (buf_append(out, "/", 1, err) < 0 || buf_append(out, s, n, err) < 0))
			return -1;
		s += n + (s[n] == '/');
	}
	if (!out->len || path[total - 1] == '/')
		return buf_append(out, "/", 1, err);
	return 0;
}

static int canonical_path(struct buf *out, const struct sigv4_request *req, struct err *err)
{
	CLEANUP(buf_free) struct buf path = BUF_INIT(CANONICAL_MAX_BYTES);

	if (!req->normalize_path && req->path[0])
		return encode(out, req->path, strlen(req->path), true, err);
	if (normalize(&path, req->path, err) < 0)
		return -1;
	return encode(out, path.data, path.len, true, err);
}

/* -1 when it is no digit. */
static int hex_value(char c)
{
	static const char hex_digits[] = "0123456789abcdef";
	const char *at = c ? strchr(hex_digits, c >= 'A' && c <= 'F' ? c | 0x20 : c) : NULL;

	return at ? (int)(at - hex_digits) : -1;
}

/* The service decodes a parameter and encodes it its own way; so do we. */
static char *recode(const char *s, size_t len, struct err *err)
{
	CLEANUP(buf_free) struct buf out = BUF_INIT(CANONICAL_MAX_BYTES);

	for (size_t i = 0; i < len; i++) {
		char c = s[i];
		int high = c == '%' && len - i > 2 ? hex_value(s[i + 1]) : -1;
		int low = high >= 0 ? hex_value(s[i + 2]) : -1;
		if (low >= 0) {
			c = (char)(high * 16 + low);
			i += 2;
		}
		if (encode(&out, &c, 1, false, err) < 0)
			return NULL;
	}
	return xstrdup(buf_str(&out));
}

static int compare_parameters(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;
	int by_name = strcmp(x->name, y->name);

	return by_name ? by_name : strcmp(x->value, y->value);
}

static int canonical_query(struct buf *out, const char *query, struct err *err)
{
	CLEANUP(pairs_clear) struct pairs parameters = { 0 };

	for (const char *s = query; *s;) {
		size_t n = strcspn(s, "&"), name = strcspn(s, "&="), value = name + (name < n);
		if (n) {
			char *k = recode(s, name, err), *v = recode(s + value, n - value, err);
			if (!k || !v) {
				free(k);
				free(v);
				return -1;
			}
			if (pairs_add(&parameters, k, v, err) < 0)
				return -1;
		}
		s += n + (s[n] == '&');
	}
	if (parameters.n)
		qsort(parameters.v, parameters.n, sizeof *parameters.v, compare_parameters);
	for (size_t i = 0; i < parameters.n; i++)
		if (buf_printf(out, err, "%s%s=%s", i ? "&" : "", parameters.v[i].name,
			       parameters.v[i].value) < 0)
			return -1;
	return 0;
}

/* Without spaces at the ends, and one where there are several; inside quotes too. */
static char *fold(const char *value)
{
	char *out = xmalloc(strlen(value) + 1), *end = out;

	for (const char *s = value + strspn(value, " "); *s; s++)
		if (*s != ' ' || (s[1] != ' ' && s[1]))
			*end++ = *s;
	*end = '\0';
	return out;
}

static int add_header(struct pairs *headers, const char *name, const char *value, struct err *err)
{
	if (!name[0] || has_control_bytes(name) || strpbrk(name, " :"))
		return err_set(err, ERR_CONFIG, "signing: not the name of a header: %s", name);
	if (has_control_bytes(value))
		return err_set(err, ERR_CONFIG, "signing: control bytes in header %s", name);

	char *lower = xstrdup(name);
	for (char *p = lower; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	return pairs_add(headers, lower, fold(value), err);
}

static int compare_headers(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;
	int by_name = strcmp(x->name, y->name);

	return by_name ? by_name : (x->position > y->position) - (x->position < y->position);
}

/* What is sent, with what signing itself adds; sorted. */
static int collect_headers(struct pairs *headers, const struct sigv4_request *req,
			   const struct sigv4_result *r, struct err *err)
{
	for (size_t i = 0; i < req->n_headers; i++)
		if (add_header(headers, req->headers[i].name, req->headers[i].value, err) < 0)
			return -1;
	if (add_header(headers, "x-amz-date", r->amz_date, err) < 0)
		return -1;
	if (req->sign_body_header &&
	    add_header(headers, "x-amz-content-sha256", r->content_sha256, err) < 0)
		return -1;
	if (secret_is_set(&r->token) &&
	    add_header(headers, "x-amz-security-token", secret_str(&r->token), err) < 0)
		return -1;
	assert(headers->v); /* the date at least */
	qsort(headers->v, headers->n, sizeof *headers->v, compare_headers);
	return 0;
}

static int canonical_headers(struct buf *out, struct buf *names, const struct pairs *headers,
			     struct err *err)
{
	for (size_t i = 0; i < headers->n; i++) {
		const struct pair *h = &headers->v[i];
		bool again = i && streq(h->name, headers->v[i - 1].name);
		if (again && buf_printf(out, err, ",%s", h->value) < 0)
			return -1;
		if (!again &&
		    (buf_printf(out, err, "%s%s:%s", i ? "\n" : "", h->name, h->value) < 0 ||
		     buf_printf(names, err, "%s%s", i ? ";" : "", h->name) < 0))
			return -1;
	}
	return buf_append(out, "\n", 1, err);
}

static int canonical_request(struct buf *out, struct buf *names, const struct sigv4_request *req,
			     const struct sigv4_result *r, struct err *err)
{
	CLEANUP(pairs_clear) struct pairs headers = { 0 };

	if (collect_headers(&headers, req, r, err) < 0 ||
	    buf_printf(out, err, "%s\n", req->method) < 0 || canonical_path(out, req, err) < 0 ||
	    buf_append(out, "\n", 1, err) < 0 || canonical_query(out, req->query, err) < 0 ||
	    buf_append(out, "\n", 1, err) < 0 || canonical_headers(out, names, &headers, err) < 0)
		return -1;
	return buf_printf(out, err, "\n%s\n%s", buf_str(names), r->content_sha256);
}

/* kSigning = HMAC(HMAC(HMAC(HMAC("AWS4" + secret, day), region), service), "aws4_request") */
static void signing_key(const struct sigv4_request *req, const struct aws_credentials *creds,
			const char *day, uint8_t out[SHA256_BYTES])
{
	CLEANUP(wipep) char *first = xasprintf("AWS4%s", secret_str(&creds->secret_access_key));
	const char *steps[] = { day, req->region, req->service, "aws4_request" };
	uint8_t key[SHA256_BYTES];

	hmac_sha256(first, strlen(first), steps[0], strlen(steps[0]), out);
	for (size_t i = 1; i < ARRAY_LEN(steps); i++) {
		memcpy(key, out, sizeof key);
		hmac_sha256(key, sizeof key, steps[i], strlen(steps[i]), out);
	}
	explicit_bzero(key, sizeof key);
}

static int amz_date(int64_t wall_ms, char out[17], struct err *err)
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm tm;

	if (wall_ms < 0 || !gmtime_r(&seconds, &tm) || tm.tm_year > 9999 - 1900 ||
	    strftime(out, 17, "%Y%m%dT%H%M%SZ", &tm) != 16)
		return err_set(err, ERR_CONFIG, "signing: the clock says %lld ms",
			       (long long)wall_ms);
	return 0;
}

static int check_credentials(const struct aws_credentials *creds, struct err *err)
{
	const char *id = creds->access_key_id;

	if (!id || !id[0] || !creds->secret_access_key.len)
		return err_set(err, ERR_CONFIG, "signing: no access key");
	if (has_control_bytes(id) || strpbrk(id, " /,"))
		return err_set(err, ERR_CONFIG,
			       "signing: the access key ID has bytes that none has");
	if (has_control_bytes(secret_str(&creds->secret_access_key)) ||
	    has_control_bytes(secret_str(&creds->session_token)))
		return err_set(err, ERR_CONFIG, "signing: control bytes in the credentials");
	return 0;
}

int sigv4_sign(const struct sigv4_request *req, const struct aws_credentials *creds,
	       int64_t wall_ms, struct sigv4_result *out, struct err *err)
{
	CLEANUP(buf_wipe) struct buf canonical = BUF_INIT(CANONICAL_MAX_BYTES);
	CLEANUP(buf_free) struct buf names = BUF_INIT(CANONICAL_MAX_BYTES);
	CLEANUP(sigv4_result_clear) struct sigv4_result r = { 0 };
	CLEANUP(freep) char *scope = NULL;
	char day[9], hash[SHA256_HEX_SIZE];
	uint8_t key[SHA256_BYTES], mac[SHA256_BYTES];

	if (check_credentials(creds, err) < 0 || amz_date(wall_ms, r.amz_date, err) < 0)
		return -1;
	if (creds->session_token.len)
		secret_copy(&r.token, &creds->session_token);
	sha256_hex_of(req->body, req->body_len, r.content_sha256);
	if (canonical_request(&canonical, &names, req, &r, err) < 0)
		return -1;
	r.canonical_request = xstrdup(buf_str(&canonical));

	memcpy(day, r.amz_date, 8);
	day[8] = '\0';
	scope = xasprintf("%s/%s/%s/aws4_request", day, req->region, req->service);
	sha256_hex_of(canonical.data, canonical.len, hash);
	r.string_to_sign = xasprintf(ALGORITHM "\n%s\n%s\n%s", r.amz_date, scope, hash);

	signing_key(req, creds, day, key);
	hmac_sha256(key, sizeof key, r.string_to_sign, strlen(r.string_to_sign), mac);
	explicit_bzero(key, sizeof key);
	hex_encode(mac, sizeof mac, hash);
	r.authorization = xasprintf(ALGORITHM " Credential=%s/%s, SignedHeaders=%s, Signature=%s",
				    creds->access_key_id, scope, buf_str(&names), hash);
	*out = r;
	r = (struct sigv4_result){ 0 };
	return 0;
}
