#include "oci/redirect.h"

#include "base/mem.h"

/* Plain HTTP shows bytes and tokens to the network: only where there is no network in between. */
static int check_plain(const struct redirect_source *source, const struct http_url *to,
		       struct err *err)
{
	if (to->tls || (host_is_loopback(to->host) && source->from_class == ADDRESS_LOOPBACK))
		return 0;
	return err_set(err, ERR_REFUSED, "plain http to %s", to->host);
}

static int check_literal(const struct http_url *to, enum address_class least, struct err *err)
{
	enum address_class class;

	/* Names are judged when they are resolved; an address can be named in the message now. */
	if (host_is_loopback(to->host))
		class = ADDRESS_LOOPBACK;
	else if (!address_class_of_text(to->host, &class))
		return 0;
	if (class >= least)
		return 0;
	return err_set(err, ERR_REFUSED,
		       "%s is a %s address, more private than the host that sent us there",
		       to->host, address_class_name(class));
}

static int judge(const struct redirect_source *source, const struct http_url *to, bool own,
		 enum address_class *least, struct err *err)
{
	enum address_class class = source->from_class;

	/* Nobody sends us to link-local addresses, not even one that lives there. */
	if (own || class < ADDRESS_LOOPBACK)
		class = ADDRESS_LOOPBACK;
	if (check_plain(source, to, err) < 0 || check_literal(to, class, err) < 0)
		return -1;
	*least = class;
	return 0;
}

int redirect_target(const struct redirect_source *source, const char *location,
		    struct http_url *out, enum address_class *least, struct err *err)
{
	CLEANUP(http_url_free) struct http_url to = { 0 };

	if (http_url_resolve(source->from, location, &to, err) < 0 ||
	    judge(source, &to, http_url_same_origin(&to, source->registry), least, err) < 0)
		return err_wrap(err, "redirect");
	*out = to;
	to = (struct http_url){ 0 };
	return 0;
}

int realm_target(const struct redirect_source *source, const char *realm, struct http_url *out,
		 enum address_class *least, struct err *err)
{
	CLEANUP(http_url_free) struct http_url to = { 0 };

	/* The registry's own host may be its realm on any port. */
	if (http_url_parse(realm, &to, err) < 0 ||
	    judge(source, &to, streq(to.host, source->registry->host), least, err) < 0)
		return err_wrap(err, "token realm");
	*out = to;
	to = (struct http_url){ 0 };
	return 0;
}
