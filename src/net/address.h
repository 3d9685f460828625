/*
 * Classes of address: a server may send us to its own class or a more public
 * one, never to a more private one (a registry on the internet has no business
 * with 10.0.0.1), and nobody sends us to link-local addresses (IMDS lives there).
 */
#ifndef BERTH_NET_ADDRESS_H
#define BERTH_NET_ADDRESS_H

#include <sys/socket.h>

#include "base/base.h"

/* Ordered from the most private to the most public. */
enum address_class {
	ADDRESS_NEVER,    /* link-local (RFC 3927, RFC 4291), unspecified, multicast, fd00:ec2::/32 */
	ADDRESS_LOOPBACK, /* 127/8, ::1 */
	ADDRESS_PRIVATE,  /* RFC 1918, RFC 6598 (100.64/10), RFC 4193 (fc00::/7) */
	ADDRESS_PUBLIC
};

/* IPv4-mapped and NAT64 (64:ff9b::/96) IPv6 addresses are judged by the IPv4 address inside. */
enum address_class address_class(const struct sockaddr *sa);
/* The class of a literal address ("10.0.0.1", "::1", "[::1]", "fe80::1%eth0"); false when it is a name. */
bool address_class_of_text(const char *ip, enum address_class *out);
const char *address_class_name(enum address_class c);

/* True for "127.0.0.1", "::1", "[::1]", "localhost": the hosts that speak plain HTTP. */
bool host_is_loopback(const char *host);

#endif
