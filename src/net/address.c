#include "net/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <strings.h>

#include "base/mem.h"

/* The first matching row wins; what no row names is public. */
static const struct {
	uint32_t net;
	unsigned int bits;
	enum address_class class;
} ipv4[] = {
	{ 0x00000000, 8, ADDRESS_NEVER },    /* 0/8: "this network", RFC 1122 §3.2.1.3 */
	{ 0x0a000000, 8, ADDRESS_PRIVATE },  /* RFC 1918 */
	{ 0x64400000, 10, ADDRESS_PRIVATE }, /* 100.64/10, RFC 6598 */
	{ 0x7f000000, 8, ADDRESS_LOOPBACK }, /* RFC 1122 */
	{ 0xa9fe0000, 16, ADDRESS_NEVER },   /* 169.254/16, RFC 3927 */
	{ 0xac100000, 12, ADDRESS_PRIVATE }, /* RFC 1918 */
	{ 0xc0a80000, 16, ADDRESS_PRIVATE }, /* RFC 1918 */
	{ 0xe0000000, 3, ADDRESS_NEVER }, /* multicast, RFC 5771; reserved, RFC 1112; broadcast */
};

static enum address_class class_ipv4(uint32_t addr)
{
	for (size_t i = 0; i < ARRAY_LEN(ipv4); i++)
		if ((addr ^ ipv4[i].net) >> (32 - ipv4[i].bits) == 0)
			return ipv4[i].class;
	return ADDRESS_PUBLIC;
}

static const struct {
	uint8_t net[16];
	unsigned int bits;
	enum address_class class;
} ipv6[] = {
	{ { [15] = 0 }, 128, ADDRESS_NEVER },              /* :: */
	{ { [15] = 1 }, 128, ADDRESS_LOOPBACK },           /* ::1 */
	{ { 0 }, 96, ADDRESS_NEVER },                      /* IPv4-compatible, RFC 4291 §2.5.5.1 */
	{ { 0xfd, 0x00, 0x0e, 0xc2 }, 32, ADDRESS_NEVER }, /* EC2's own services: IMDS */
	{ { 0xfc }, 7, ADDRESS_PRIVATE },                  /* RFC 4193 */
	{ { 0xfe, 0x80 }, 10, ADDRESS_NEVER },             /* RFC 4291 §2.5.6 */
	{ { 0xfe, 0xc0 }, 10, ADDRESS_PRIVATE },           /* site-local, RFC 3879 */
	{ { 0xff }, 8, ADDRESS_NEVER },                    /* multicast */
};

/* Prefixes whose last 32 bits are an IPv4 address that the packet ends up at. */
static const uint8_t ipv4_inside[][12] = {
	{ [10] = 0xff, [11] = 0xff }, /* ::ffff:0:0/96, RFC 4291 §2.5.5.2 */
	{ 0x00, 0x64, 0xff, 0x9b },   /* 64:ff9b::/96, RFC 6052 */
};

static bool has_prefix(const uint8_t *addr, const uint8_t *net, unsigned int bits)
{
	unsigned int whole = bits / 8, rest = bits % 8;

	return memcmp(addr, net, whole) == 0 &&
	       (!rest || (addr[whole] ^ net[whole]) >> (8 - rest) == 0);
}

static enum address_class class_ipv6(const uint8_t addr[16])
{
	uint32_t inside;

	for (size_t i = 0; i < ARRAY_LEN(ipv4_inside); i++) {
		if (memcmp(addr, ipv4_inside[i], sizeof ipv4_inside[i]) == 0) {
			memcpy(&inside, addr + 12, sizeof inside);
			return class_ipv4(ntohl(inside));
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(ipv6); i++)
		if (has_prefix(addr, ipv6[i].net, ipv6[i].bits))
			return ipv6[i].class;
	return ADDRESS_PUBLIC;
}

enum address_class address_class(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET)
		return class_ipv4(ntohl(((const struct sockaddr_in *)sa)->sin_addr.s_addr));
	if (sa->sa_family == AF_INET6)
		return class_ipv6(((const struct sockaddr_in6 *)sa)->sin6_addr.s6_addr);
	return ADDRESS_NEVER;
}

bool address_class_of_text(const char *ip, enum address_class *out)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	char bare[INET6_ADDRSTRLEN];
	const char *zone;
	size_t len = strlen(ip);

	if (len >= 2 && ip[0] == '[' && ip[len - 1] == ']') {
		ip++;
		len -= 2;
	}
	zone = memchr(ip, '%', len);
	if (zone)
		len = (size_t)(zone - ip);
	if (len >= sizeof bare)
		return false;
	memcpy(bare, ip, len);
	bare[len] = '\0';
	if (inet_pton(AF_INET, bare, &v4.sin_addr) == 1)
		*out = address_class((struct sockaddr *)&v4);
	else if (inet_pton(AF_INET6, bare, &v6.sin6_addr) == 1)
		*out = address_class((struct sockaddr *)&v6);
	else
		return false;
	return true;
}

const char *address_class_name(enum address_class c)
{
	static const char *const names[] = {
		[ADDRESS_NEVER] = "link-local or reserved",
		[ADDRESS_LOOPBACK] = "loopback",
		[ADDRESS_PRIVATE] = "private",
		[ADDRESS_PUBLIC] = "public",
	};

	return names[c];
}

bool host_is_loopback(const char *host)
{
	enum address_class class;

	if (address_class_of_text(host, &class))
		return class == ADDRESS_LOOPBACK;
	return strcasecmp(host, "localhost") == 0;
}
