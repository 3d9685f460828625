/*
 * What the switch reads: iptables-save, its own record, the kernel's tables of sockets and connections. The first byte
 * chooses.
 */
#include "fuzz.h"

#include "agent/conntrack.h"
#include "agent/nat.h"
#include "agent/sockets.h"
#include "agent/switch_internal.h"

/* What is written after a look must be what a second look finds nothing wrong with. */
static void nat(const char *text)
{
	CLEANUP(nat_seen_clear) struct nat_seen seen = { 0 };
	CLEANUP(buf_free) struct buf out = BUF_INIT(MIB);
	struct nat_rule rule = { .port = 80, .to_port = 3000 };
	const struct nat_plan plan = { "BERTH-web", "docker0", "172.17.0.2", &rule, 1 };
	struct err err = { 0 };

	nat_parse(text, plan.chain, &seen);
	if (nat_render(&plan, &seen, &out, &err) < 0)
		MUST(err.kind == ERR_LIMIT);
	else
		MUST(nat_right(&plan, &seen) == (out.len == 0));
}

static void record(const char *text, size_t len)
{
	CLEANUP(switch_record_clear) struct switch_record r = { 0 }, again = { 0 };
	struct err err = { 0 };

	if (switch_record_parse(text, len, &r, &err) < 0) {
		MUST(err.kind == ERR_PROTOCOL || err.kind == ERR_LIMIT);
		return;
	}
	CLEANUP(freep) char *first = switch_record_print(&r);
	MUST(switch_record_parse(first, strlen(first), &again, &err) == 0);
	CLEANUP(freep) char *second = switch_record_print(&again);
	MUST(streq(first, second));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conntrack_flow flow;
	struct socket_line line;

	if (!size)
		return 0;
	CLEANUP(freep) char *text = xstrndup((const char *)data + 1, size - 1);
	switch (data[0]) {
	case 'n':
		nat(text);
		break;
	case 'r':
		record((const char *)data + 1, size - 1);
		break;
	case 's':
		(void)socket_line_parse(text, &line);
		break;
	case 'c':
		if (conntrack_parse(data + 1, size - 1, &flow))
			MUST(flow.original_len <= sizeof flow.original);
		break;
	default:
		break;
	}
	return 0;
}
