/* Where a registry may send us, for bytes and for tokens. Pure. */
#ifndef BERTH_OCI_REDIRECT_H
#define BERTH_OCI_REDIRECT_H

#include "net/http.h"

/* Who sent us: its URL, and the class of the address that answered. */
struct redirect_source {
	const struct http_url *registry; /* of the session: back to it is always allowed */
	const struct http_url *from;     /* the host that named the target */
	enum address_class from_class;
};

/*
 * A Location. ERR_REFUSED: a scheme other than http and https, userinfo, control
 * bytes, more than 16 KiB, plain http other than from loopback to loopback, a
 * literal address of a more private class than the source's. *least is for the
 * request there: the rest is judged on the socket.
 */
int redirect_target(const struct redirect_source *source, const char *location,
		    struct http_url *out, enum address_class *least, struct err *err) MUST_CHECK;

/* The same for the realm of a Bearer challenge: https, or http on loopback for a registry on loopback. */
int realm_target(const struct redirect_source *source, const char *realm, struct http_url *out,
		 enum address_class *least, struct err *err) MUST_CHECK;

#endif
