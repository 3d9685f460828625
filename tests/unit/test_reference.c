/* Image names: docker's grammar, docker's defaults, docker's short forms. */
#include "table.h"

#include "oci/reference.h"

#define A8     "aaaaaaaa"
#define A64    A8 A8 A8 A8 A8 A8 A8 A8
#define HEX64  "1a3f5e7d9c1b3a5f7e9d1c3b5a7f9e1d3c5b7a9f1e3d5d7c9b1a3f5e7d9c1b3a"
#define DIGEST "sha256:" HEX64

static void names_are_read_as_docker_does(void **state)
{
	static const struct {
		const char *text, *host, *repository, *tag, *digest;
	} rows[] = {
		{ "debian", "docker.io", "library/debian", "latest", NULL },
		{ "debian:12", "docker.io", "library/debian", "12", NULL },
		{ "debian@" DIGEST, "docker.io", "library/debian", NULL, DIGEST },
		{ "debian:12@" DIGEST, "docker.io", "library/debian", "12", DIGEST },
		{ "library/debian", "docker.io", "library/debian", "latest", NULL },
		{ "docker.io/debian", "docker.io", "library/debian", "latest", NULL },
		{ "index.docker.io/debian:1", "docker.io", "library/debian", "1", NULL },
		{ "index.docker.io/a/b", "docker.io", "a/b", "latest", NULL },
		{ "a/b", "docker.io", "a/b", "latest", NULL },
		{ "a/b/c", "docker.io", "a/b/c", "latest", NULL },
		{ "library/a/b", "docker.io", "library/a/b", "latest", NULL },
		{ "d/t", "docker.io", "d/t", "latest", NULL },
		{ "ghcr.io/owner/name:tag", "ghcr.io", "owner/name", "tag", NULL },
		{ "ghcr.io/name", "ghcr.io", "name", "latest", NULL },
		{ "GHCR.io/owner/name", "ghcr.io", "owner/name", "latest", NULL },
		{ "Docker.IO/debian", "docker.io", "library/debian", "latest", NULL },
		{ "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app:v1.2-3",
		  "123456789012.dkr.ecr.eu-west-1.amazonaws.com", "team/app", "v1.2-3", NULL },
		{ "localhost/x", "localhost", "x", "latest", NULL },
		{ "LOCALHOST/x", "localhost", "x", "latest", NULL },
		{ "localhost:5000/x:1", "localhost:5000", "x", "1", NULL },
		{ "host:5000/x", "host:5000", "x", "latest", NULL },
		{ "127.0.0.1:5000/x", "127.0.0.1:5000", "x", "latest", NULL },
		{ "127.0.0.1/x", "127.0.0.1", "x", "latest", NULL },
		{ "[::1]:5000/x", "[::1]:5000", "x", "latest", NULL },
		{ "[2001:DB8::1]/x:y", "[2001:db8::1]", "x", "y", NULL },
		{ "xn--n3h.com/x:xn--n3h.com", "xn--n3h.com", "x", "xn--n3h.com", NULL },
		{ "a-b.c/x", "a-b.c", "x", "latest", NULL },
		{ "host:65535/x", "host:65535", "x", "latest", NULL },
		/* Without a slash a name is never a host. */
		{ "localhost", "docker.io", "library/localhost", "latest", NULL },
		{ "192.168.0.1", "docker.io", "library/192.168.0.1", "latest", NULL },
		{ "192.168.0.1:80", "docker.io", "library/192.168.0.1", "80", NULL },
		{ "test.com:5000", "docker.io", "library/test.com", "5000", NULL },
		{ "foo_bar.com:8080", "docker.io", "library/foo_bar.com", "8080", NULL },
		{ "foo/foo_bar.com:8080", "docker.io", "foo/foo_bar.com", "8080", NULL },
		/* Separators. */
		{ "r/a.b_c__d-e---f", "docker.io", "r/a.b_c__d-e---f", "latest", NULL },
		{ "b.gcr.io/test.example.com/my-app:test.example.com", "b.gcr.io",
		  "test.example.com/my-app", "test.example.com", NULL },
		/* Tags. */
		{ "x:_", "docker.io", "library/x", "_", NULL },
		{ "x:A.b-c_9", "docker.io", "library/x", "A.b-c_9", NULL },
		{ "x:" A64 A64, "docker.io", "library/x", A64 A64, NULL },
		/* A hexadecimal name is an image ID only when it stands alone. */
		{ "docker.io/" HEX64, "docker.io", "library/" HEX64, "latest", NULL },
		{ HEX64 ":x", "docker.io", "library/" HEX64, "x", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(reference_free) struct reference ref = { 0 };
		struct err err = { 0 };
		int result = reference_parse(rows[i].text, &ref, &err);

		if (!row_ok(rows[i].text, result, &err))
			continue;
		row_str(rows[i].text, "host", rows[i].host, ref.host);
		row_str(rows[i].text, "repository", rows[i].repository, ref.repository);
		row_str(rows[i].text, "tag", rows[i].tag, ref.tag);
		row_str(rows[i].text, "digest", rows[i].digest, ref.digest);
	}
	table_end();
}

static void other_names_are_refused_with_the_part_at_fault(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{ "", "the name is empty" },
		{ HEX64, "this is an image ID" },
		{ ":tag", "the repository is missing" },
		{ "@" DIGEST, "the repository is missing" },
		{ "ghcr.io/", "the repository is missing" },
		{ "docker/", "cannot be part of a repository's name" },
		{ "/x", "cannot be part of a repository's name" },
		{ "a//b", "cannot be part of a repository's name" },
		{ "a/./b", "\".\" cannot be part" },
		{ "a/../b", "\"..\" cannot be part" },
		{ "ghcr.io/../b", "\"..\" cannot be part" },
		{ "Debian", "repository \"Debian\" is not lower-case" },
		{ "a/B", "repository \"a/B\" is not lower-case" },
		{ "ghcr.io/a/B", "repository \"a/B\" is not lower-case" },
		{ "Foo/bar", "\"Foo\" is neither lower-case nor a host" },
		{ "L/bar", "\"L\" is neither lower-case nor a host" },
		{ "-a", "\"-a\" cannot be part" },
		{ "a-", "\"a-\" cannot be part" },
		{ "_a", "\"_a\" cannot be part" },
		{ "a_", "\"a_\" cannot be part" },
		{ "a___b", "\"a___b\" cannot be part" },
		{ "a..b", "\"a..b\" cannot be part" },
		{ "a_.b", "\"a_.b\" cannot be part" },
		{ "a-.b", "\"a-.b\" cannot be part" },
		{ "a b", "\"a b\" cannot be part" },
		{ "a\n", "cannot be part" },
		{ "é", "cannot be part" },
		{ "a$^/b", "\"a$^\" cannot be part" },
		{ "https://ghcr.io/a/b", "has no \"https://\"" },
		{ "a.b_c/x", "\"a.b_c\" is not a host" },
		{ "foo_bar.com/x", "\"foo_bar.com\" is not a host" },
		{ "-a.com/x", "\"-a.com\" is not a host" },
		{ "a..com/x", "\"a..com\" is not a host" },
		{ ".a/x", "\".a\" is not a host" },
		{ "a.com./x", "\"a.com.\" is not a host" },
		{ "host:/x", "\"host:\" is not a host" },
		{ "host:0/x", "\"host:0\" is not a host" },
		{ "host:65536/x", "\"host:65536\" is not a host" },
		{ "host:99999999999999999999/x", "is not a host" },
		{ "host:http/x", "\"host:http\" is not a host" },
		{ "host:80:80/x", "is not a host" },
		{ "user@host.com/x", "digest \"host.com/x\"" },
		{ "fc00::1:5000/x", "is not a host" },
		{ "[::1", "is not a tag" },
		{ "[::1]", "is not a tag" },
		{ "[::1]/x y", "\"x y\" cannot be part" },
		{ "[]/x", "cannot be part" },
		{ "[fe80::1%eth0]:5000/x", "is not a host" },
		{ "[::ffff:192.0.2.33]:5000/x", "is not a host" },
		{ "[::1]5000/x", "is not a host" },
		{ "x:", "a tag has 1 to 128 characters, not 0" },
		{ "x:-a", "\"-a\" is not a tag" },
		{ "x:.a", "\".a\" is not a tag" },
		{ "x:a:b", "\"a:b\" is not a tag" },
		{ "x:a b", "\"a b\" is not a tag" },
		{ "x:" A64 A64 "a", "a tag has 1 to 128 characters, not 129" },
		{ "x@", "digest \"\"" },
		{ "x@sha256:ffff", "has 4 hex digits, not 64" },
		{ "x@" A64, "is not sha256:<64 hex digits>" },
		{ "x@sha512:" A64 A64, "digest algorithm \"sha512\" is not supported" },
		{ "x@sha256:A" A64, "upper-case hex" },
		{ "x@" DIGEST ":tag", "not a hex digit" },
		{ "x@" DIGEST "@" DIGEST, "not a hex digit" },
		{ A64 A64 A64 A64 "/b", "repository of 258 characters" },
		{ A64 A64 A64 A64, "repository of 256 characters; at most 255 are allowed" },
		{ A64 A64 A64 A64 A64 A64 A64 A64 A64 A64 A64 A64 A64 A64 A64 A64 "a",
		  "1025 characters; at most 1024 are read" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct reference ref = { .host = (char *)"untouched" };
		struct err err = { 0 };

		row_refused(rows[i].text, reference_parse(rows[i].text, &ref, &err), ERR_USAGE,
			    rows[i].why, &err);
		row_str(rows[i].text, "out", "untouched", ref.host);
	}
	table_end();
}

static void names_are_written_in_full_and_as_docker_shows_them(void **state)
{
	static const struct {
		const char *text, *full, *familiar, *key, *api_host, *name;
	} rows[] = {
		{ "debian", "docker.io/library/debian:latest", "debian:latest", "latest",
		  "registry-1.docker.io", "debian" },
		{ "index.docker.io/library/a-1.2:x", "docker.io/library/a-1.2:x", "a-1.2:x", "x",
		  "registry-1.docker.io", "a-1.2" },
		{ "library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest", "latest",
		  "registry-1.docker.io", "b" },
		{ "a/library", "docker.io/a/library:latest", "a/library:latest", "latest",
		  "registry-1.docker.io", "library" },
		{ "registry-1.docker.io/library/a", "registry-1.docker.io/library/a:latest",
		  "registry-1.docker.io/library/a:latest", "latest", "registry-1.docker.io", "a" },
		{ "ghcr.io/library/a:1", "ghcr.io/library/a:1", "ghcr.io/library/a:1", "1",
		  "ghcr.io", "a" },
		{ "[::1]:5000/a:1@" DIGEST, "[::1]:5000/a:1@" DIGEST, "[::1]:5000/a:1@" DIGEST,
		  DIGEST, "[::1]:5000", "a" },
		{ "a@" DIGEST, "docker.io/library/a@" DIGEST, "a@" DIGEST, DIGEST,
		  "registry-1.docker.io", "a" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(reference_free) struct reference ref = { 0 };
		CLEANUP(reference_free) struct reference copy = { 0 };
		struct err err = { 0 };

		if (!row_ok(rows[i].text, reference_parse(rows[i].text, &ref, &err), &err))
			continue;
		reference_copy(&copy, &ref);
		CLEANUP(freep) char *full = reference_str(&copy);
		CLEANUP(freep) char *familiar = reference_familiar(&ref);
		row_str(rows[i].text, "full", rows[i].full, full);
		row_str(rows[i].text, "familiar", rows[i].familiar, familiar);
		row_str(rows[i].text, "key", rows[i].key, reference_manifest_key(&ref));
		row_str(rows[i].text, "API host", rows[i].api_host, reference_api_host(&ref));
		row_str(rows[i].text, "name", rows[i].name, reference_name(&ref));
	}
	table_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_read_as_docker_does),
		cmocka_unit_test(other_names_are_refused_with_the_part_at_fault),
		cmocka_unit_test(names_are_written_in_full_and_as_docker_shows_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
