/* Entries of the kernel's connection table, as netlink attributes. */
#include <arpa/inet.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>

#include "agent/conntrack.h"
#include "table.h"

/* Attributes being written; nest() starts one that end() closes. */
struct writer {
	uint8_t bytes[512];
	size_t len;
};

static void put(struct writer *w, unsigned int type, const void *data, size_t len)
{
	struct nlattr head = { .nla_type = (uint16_t)type, .nla_len = (uint16_t)(sizeof head + len) };

	memcpy(w->bytes + w->len, &head, sizeof head);
	memcpy(w->bytes + w->len + sizeof head, data, len);
	w->len += NLA_ALIGN(sizeof head + len);
}

static size_t nest(struct writer *w, unsigned int type)
{
	size_t at = w->len;

	put(w, type | NLA_F_NESTED, "", 0);
	return at;
}

static void end(struct writer *w, size_t at)
{
	uint16_t len = (uint16_t)(w->len - at);

	memcpy(w->bytes + at, &len, sizeof len);
}

static void put_tuple(struct writer *w, unsigned int type, const char *src, const char *dst, uint8_t proto,
		      uint16_t src_port, uint16_t dst_port)
{
	in_addr_t from = inet_addr(src), to = inet_addr(dst);
	size_t tuple = nest(w, type), part = nest(w, CTA_TUPLE_IP);

	put(w, CTA_IP_V4_SRC, &from, sizeof from);
	put(w, CTA_IP_V4_DST, &to, sizeof to);
	end(w, part);
	part = nest(w, CTA_TUPLE_PROTO);
	src_port = htons(src_port);
	dst_port = htons(dst_port);
	put(w, CTA_PROTO_NUM, &proto, sizeof proto);
	put(w, CTA_PROTO_SRC_PORT, &src_port, sizeof src_port);
	put(w, CTA_PROTO_DST_PORT, &dst_port, sizeof dst_port);
	end(w, part);
	end(w, tuple);
}

static void put_entry(struct writer *w, uint8_t proto, uint8_t tcp_state)
{
	put_tuple(w, CTA_TUPLE_ORIG, "10.0.0.9", "10.0.0.5", proto, 40000, 80);
	put_tuple(w, CTA_TUPLE_REPLY, "172.17.0.2", "10.0.0.9", proto, 3000, 40000);
	put(w, CTA_STATUS, &(uint32_t){ 0 }, sizeof(uint32_t));
	if (proto != IPPROTO_TCP)
		return;
	size_t info = nest(w, CTA_PROTOINFO), tcp = nest(w, CTA_PROTOINFO_TCP);
	put(w, CTA_PROTOINFO_TCP_STATE, &tcp_state, sizeof tcp_state);
	end(w, tcp);
	end(w, info);
}

static void test_entry(void **state)
{
	struct writer w = { .len = 0 };
	struct conntrack_flow f;

	(void)state;
	put_entry(&w, IPPROTO_TCP, TCP_CONNTRACK_ESTABLISHED);
	assert_true(conntrack_parse(w.bytes, w.len, &f));
	row_int("tcp", "proto", IPPROTO_TCP, f.proto);
	row_int("tcp", "server", inet_addr("172.17.0.2"), f.server.s_addr);
	row_int("tcp", "server port", 3000, f.server_port);
	row_int("tcp", "client", inet_addr("10.0.0.9"), f.client.s_addr);
	row_int("tcp", "client port", 40000, f.client_port);
	row_int("tcp", "state", TCP_CONNTRACK_ESTABLISHED, f.tcp_state);
	row_int("tcp", "original", 48, (int64_t)f.original_len);
	table_end();
}

static void test_alive(void **state)
{
	static const struct {
		const char *row;
		uint8_t proto, tcp_state;
		bool alive;
	} cases[] = {
		{ "no state yet", IPPROTO_TCP, TCP_CONNTRACK_NONE, false },
		{ "SYN unanswered", IPPROTO_TCP, TCP_CONNTRACK_SYN_SENT, true },
		{ "SYN answered", IPPROTO_TCP, TCP_CONNTRACK_SYN_RECV, true },
		{ "established", IPPROTO_TCP, TCP_CONNTRACK_ESTABLISHED, true },
		{ "first FIN", IPPROTO_TCP, TCP_CONNTRACK_FIN_WAIT, true },
		{ "first FIN acknowledged", IPPROTO_TCP, TCP_CONNTRACK_CLOSE_WAIT, true },
		{ "second FIN", IPPROTO_TCP, TCP_CONNTRACK_LAST_ACK, false },
		{ "over", IPPROTO_TCP, TCP_CONNTRACK_TIME_WAIT, false },
		{ "reset", IPPROTO_TCP, TCP_CONNTRACK_CLOSE, false },
		{ "udp", IPPROTO_UDP, 0, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct writer w = { .len = 0 };
		struct conntrack_flow f;

		put_entry(&w, cases[i].proto, cases[i].tcp_state);
		if (!conntrack_parse(w.bytes, w.len, &f))
			fail_msg("%s: not parsed", cases[i].row);
		row_int(cases[i].row, "alive", cases[i].alive, conntrack_alive(&f));
	}
	table_end();
}

/* Cut anywhere before the reply's end it is no entry; no byte beyond is read (valgrind and ASan look). */
static void test_cut(void **state)
{
	struct writer w = { .len = 0 };
	struct conntrack_flow f;

	(void)state;
	put_tuple(&w, CTA_TUPLE_ORIG, "10.0.0.9", "10.0.0.5", IPPROTO_UDP, 40000, 53);
	put_tuple(&w, CTA_TUPLE_REPLY, "172.17.0.2", "10.0.0.9", IPPROTO_UDP, 5353, 40000);
	for (size_t len = 0; len < w.len; len++) {
		CLEANUP(freep) uint8_t *exact = xmalloc(len ? len : 1);
		memcpy(exact, w.bytes, len);
		assert_false(conntrack_parse(exact, len, &f));
	}
	assert_true(conntrack_parse(w.bytes, w.len, &f));
	for (size_t at = 0; at < w.len; at++) {
		struct writer broken = w;
		broken.bytes[at] ^= 0xff;
		(void)conntrack_parse(broken.bytes, broken.len, &f); /* must only not crash */
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_entry),
		cmocka_unit_test(test_alive),
		cmocka_unit_test(test_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
