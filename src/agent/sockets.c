#include "agent/sockets.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"

static const char *const tables[] = { "/proc/net/tcp", "/proc/net/tcp6" };

/* The kernel prints each 32-bit word of the address as a number of this machine's byte order. */
static bool parse_address(const char *hex, size_t digits, struct in6_addr *out)
{
	uint32_t words[4] = { 0, 0, htonl(0xffff), 0 };
	size_t n = digits / 8, first = n == 4 ? 0 : 3;

	if (digits != 8 && digits != 32)
		return false;
	for (size_t i = 0; i < n; i++) {
		char word[9];
		memcpy(word, hex + 8 * i, 8);
		word[8] = '\0';
		if (strspn(word, "0123456789ABCDEFabcdef") != 8)
			return false;
		words[first + i] = (uint32_t)strtoul(word, NULL, 16);
	}
	memcpy(out, words, sizeof *out);
	return true;
}

/* "0100007F:1F90" */
static bool parse_end(const char *text, struct in6_addr *address, uint16_t *port)
{
	const char *colon = strchr(text, ':');
	char *end;

	if (!colon || !parse_address(text, (size_t)(colon - text), address))
		return false;
	unsigned long n = strtoul(colon + 1, &end, 16);
	if (end == colon + 1 || *end || n > UINT16_MAX)
		return false;
	*port = (uint16_t)n;
	return true;
}

/* Fields: slot, local, remote, state, queues, timer, retransmits, uid, timeout, inode. */
#define FIELDS 10

bool socket_line_parse(const char *line, struct socket_line *out)
{
	char copy[512], *fields[FIELDS], *save = NULL, *end;
	struct socket_line l = { 0 };

	if (strlen(line) >= sizeof copy)
		return false;
	memcpy(copy, line, strlen(line) + 1);
	for (size_t i = 0; i < FIELDS; i++)
		if (!(fields[i] = strtok_r(i ? NULL : copy, " \n", &save)))
			return false;
	if (!isdigit((unsigned char)fields[0][0]) || !parse_end(fields[1], &l.local, &l.local_port) ||
	    !parse_end(fields[2], &l.remote, &l.remote_port))
		return false;
	unsigned long state = strtoul(fields[3], &end, 16);
	if (*end || state > UINT8_MAX)
		return false;
	l.state = (unsigned int)state;
	l.inode = strtoull(fields[9], &end, 10);
	if (*end)
		return false;
	*out = l;
	return true;
}

static int each_in(const char *path, socket_line_fn *fn, void *arg, struct err *err)
{
	struct socket_line parsed;
	char line[512];
	FILE *file = fopen(path, "re");

	if (!file)
		return errno == ENOENT ? 0 : err_sys(err, errno, "open %s", path);
	while (fgets(line, sizeof line, file))
		if (socket_line_parse(line, &parsed))
			fn(arg, &parsed);
	bool failed = ferror(file);
	(void)fclose(file); /* only read */
	return failed ? err_set(err, ERR_SYSTEM, "read %s", path) : 0;
}

int sockets_each(socket_line_fn *fn, void *arg, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(tables); i++)
		if (each_in(tables[i], fn, arg, err) < 0)
			return -1;
	return 0;
}

struct search {
	const struct in6_addr *address;
	uint16_t port;
	uint64_t inode;
	bool found;
};

static bool any_address(const struct in6_addr *a)
{
	return IN6_IS_ADDR_UNSPECIFIED(a) || (IN6_IS_ADDR_V4MAPPED(a) && !a->s6_addr32[3]);
}

/* :: takes IPv4 too, unless its owner said not to; bind(2) has failed already, so what fits is the reason. */
static bool in_the_way(const struct in6_addr *held, const struct in6_addr *wanted)
{
	bool same_family = IN6_IS_ADDR_V4MAPPED(held) == IN6_IS_ADDR_V4MAPPED(wanted);

	if (IN6_IS_ADDR_UNSPECIFIED(held) || IN6_IS_ADDR_UNSPECIFIED(wanted))
		return true;
	return same_family && (any_address(held) || any_address(wanted) || IN6_ARE_ADDR_EQUAL(held, wanted));
}

static void look(void *arg, const struct socket_line *line)
{
	struct search *s = arg;

	if (s->found || line->state != SOCKET_LISTEN || line->local_port != s->port ||
	    !in_the_way(&line->local, s->address))
		return;
	s->found = true;
	s->inode = line->inode;
}

static bool process_has(const char *pid, const char *wanted)
{
	CLEANUP(freep) char *path = xasprintf("/proc/%s/fd", pid);
	DIR *dir = opendir(path);
	bool found = false;

	if (!dir)
		return false;
	for (struct dirent *e; !found && (e = readdir(dir));) {
		char link[64];
		ssize_t n = readlinkat(dirfd(dir), e->d_name, link, sizeof link - 1);
		if (n <= 0)
			continue;
		link[n] = '\0';
		found = streq(link, wanted);
	}
	(void)closedir(dir); /* only read */
	return found;
}

static void describe(const char *pid, char *out, size_t size)
{
	CLEANUP(freep) char *path = xasprintf("/proc/%s/comm", pid);
	CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	char comm[64] = "";
	ssize_t n = fd < 0 ? 0 : read(fd, comm, sizeof comm - 1);

	comm[n > 0 ? n : 0] = '\0';
	comm[strcspn(comm, "\n")] = '\0';
	text_clean(comm);
	(void)snprintf(out, size, "%s (pid %s)", *comm ? comm : "a process", pid);
}

bool sockets_holder(const struct in6_addr *address, uint16_t port, char *out, size_t size)
{
	struct search s = { .address = address, .port = port };
	struct err ignored;

	if (sockets_each(look, &s, &ignored) < 0 || !s.found)
		return false;
	(void)snprintf(out, size, "another process");
	CLEANUP(freep) char *wanted = xasprintf("socket:[%llu]", (unsigned long long)s.inode);
	DIR *proc = opendir("/proc");
	if (!proc)
		return true;
	for (struct dirent *e; (e = readdir(proc));)
		if (isdigit((unsigned char)e->d_name[0]) && process_has(e->d_name, wanted)) {
			describe(e->d_name, out, size);
			break;
		}
	(void)closedir(proc); /* only read */
	return true;
}
