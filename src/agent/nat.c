#include "agent/nat.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <unistd.h>

#include "agent/program.h"
#include "base/fs.h"

_Static_assert(NAT_INTERFACE_SIZE == IFNAMSIZ, "the kernel's interface names");

/* All tables of a host with thousands of containers take some MiB. */
#define RULES_MAX_BYTES (16 * MIB)
#define PROGRAM_TIMEOUT_MS 10000
/* For the lock that iptables and dockerd share; below PROGRAM_TIMEOUT_MS. */
#define LOCK_WAIT_S "5"
/* Between our look and our write somebody may change what we looked at: then iptables-restore refuses it whole. */
#define APPLY_ATTEMPTS 3
#define LEGACY_TABLES "/proc/net/ip_tables_names"

/*
 * In the order of looking. The plain name is what dockerd runs. The legacy one is asked only when the kernel has
 * legacy tables: asking would make it load them, and every later call by iptables-nft warns about that.
 */
static const struct {
	const char *name;
	bool legacy;
} flavours[] = {
	{ "iptables", false },
	{ "iptables-nft", false },
	{ "iptables-legacy", true },
};

static bool kernel_has_legacy_nat(void)
{
	CLEANUP(buf_free) struct buf names = BUF_INIT(4 * KIB);
	struct err ignored;

	return fs_read(LEGACY_TABLES, &names, &ignored) == 0 && strstr(buf_str(&names), "nat\n");
}

static int save(struct loop *loop, const char *flavour, const char *chain, struct nat_seen *out, struct err *err)
{
	CLEANUP(buf_free) struct buf text = BUF_INIT(RULES_MAX_BYTES);
	CLEANUP(freep) char *program = xasprintf("%s-save", flavour);

	if (program_run(loop, (const char *[]){ program, NULL }, NULL, PROGRAM_TIMEOUT_MS, &text, err) < 0)
		return -1;
	nat_parse(buf_str(&text), chain, out);
	return 0;
}

int nat_read(struct loop *loop, char flavour[32], const char *chain, struct nat_seen *out, struct err *err)
{
	struct err ignored;

	if (*flavour)
		return save(loop, flavour, chain, out, err);
	for (size_t i = 0; i < ARRAY_LEN(flavours); i++) {
		if (flavours[i].legacy && !kernel_has_legacy_nat())
			continue;
		if (save(loop, flavours[i].name, chain, out, &ignored) < 0) {
			if (ignored.kind != ERR_CANCELLED)
				continue; /* not installed, or its half of the kernel is not there */
			*err = ignored;
			return -1;
		}
		if (out->docker) {
			(void)snprintf(flavour, 32, "%s", flavours[i].name);
			return 0;
		}
	}
	nat_seen_clear(out);
	return 0;
}

static int restore(struct loop *loop, const char *flavour, const struct buf *text, struct err *err)
{
	CLEANUP(buf_free) struct buf output = BUF_INIT(64 * KIB);
	CLEANUP(freep) char *program = xasprintf("%s-restore", flavour);

	return program_run(loop, (const char *[]){ program, "-w", LOCK_WAIT_S, "--noflush", NULL }, buf_str(text),
			   PROGRAM_TIMEOUT_MS, &output, err);
}

static int attempt(struct loop *loop, const char *flavour, const struct nat_plan *plan, const struct nat_seen *seen,
		   struct err *err)
{
	CLEANUP(buf_free) struct buf text = BUF_INIT(MIB);

	return nat_render(plan, seen, &text, err) < 0 ? -1 : restore(loop, flavour, &text, err);
}

int nat_apply(struct loop *loop, char flavour[32], const struct nat_plan *plan, bool *changed, struct err *err)
{
	CLEANUP(nat_seen_clear) struct nat_seen seen = { 0 };
	struct err last = { 0 };

	*changed = false;
	for (int i = 0;; i++) {
		if (nat_read(loop, flavour, plan->chain, &seen, err) < 0)
			return -1;
		if (!*flavour || nat_right(plan, &seen))
			return 0;
		if (i == APPLY_ATTEMPTS)
			break;
		if (attempt(loop, flavour, plan, &seen, &last) < 0 && last.kind == ERR_CANCELLED)
			break;
		*changed = true;
	}
	if (last.kind) {
		*err = last;
		return -1;
	}
	return err_set(err, ERR_FAILED, "%s-save shows other rules than were written", flavour);
}

/* The mask in host order, 0 when the address is not in this interface's subnet. */
static uint32_t subnet_mask(const struct ifaddrs *i, struct in_addr address)
{
	if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET || !i->ifa_netmask || (i->ifa_flags & IFF_LOOPBACK))
		return 0;
	in_addr_t own = ((const struct sockaddr_in *)i->ifa_addr)->sin_addr.s_addr;
	in_addr_t mask = ((const struct sockaddr_in *)i->ifa_netmask)->sin_addr.s_addr;
	return (own & mask) == (address.s_addr & mask) ? ntohl(mask) : 0;
}

int nat_bridge(const char *address, char out[NAT_INTERFACE_SIZE], struct err *err)
{
	struct ifaddrs *all;
	struct in_addr wanted;
	uint32_t best = 0;

	if (inet_pton(AF_INET, address, &wanted) != 1)
		return err_set(err, ERR_NOT_FOUND, "\"%s\" is no IPv4 address", address);
	if (getifaddrs(&all) < 0)
		return err_sys(err, errno, "getifaddrs");
	for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
		uint32_t mask = subnet_mask(i, wanted);
		if (mask <= best)
			continue;
		best = mask;
		(void)snprintf(out, NAT_INTERFACE_SIZE, "%s", i->ifa_name);
	}
	freeifaddrs(all);
	return best ? 0 : err_set(err, ERR_NOT_FOUND, "no interface of this host is in the network of %s", address);
}
