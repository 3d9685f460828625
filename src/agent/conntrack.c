#include "agent/conntrack.h"

#include <errno.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/mem.h"

/* What the kernel puts into one datagram of a dump is smaller: NLMSG_GOODSIZE, at most 32 KiB. */
#define DATAGRAM_BYTES (64 * KIB)
#define PATIENCE_S 2

struct attribute {
	const uint8_t *data;
	size_t len;
};

/* The first attribute of that type; false when there is none. */
static bool find(struct attribute in, unsigned int type, struct attribute *out)
{
	while (in.len >= sizeof(struct nlattr)) {
		struct nlattr head;
		memcpy(&head, in.data, sizeof head);
		if (head.nla_len < sizeof head || head.nla_len > in.len)
			return false;
		if ((head.nla_type & NLA_TYPE_MASK) == type) {
			*out = (struct attribute){ in.data + sizeof head, head.nla_len - sizeof head };
			return true;
		}
		size_t step = (size_t)NLA_ALIGN(head.nla_len);
		if (step >= in.len)
			return false;
		in = (struct attribute){ in.data + step, in.len - step };
	}
	return false;
}

static bool value(struct attribute in, unsigned int type, void *out, size_t size)
{
	struct attribute a;

	if (!find(in, type, &a) || a.len != size)
		return false;
	memcpy(out, a.data, size);
	return true;
}

static bool parse_reply(struct attribute tuple, struct conntrack_flow *f)
{
	struct attribute ip, proto;

	if (!find(tuple, CTA_TUPLE_IP, &ip) || !find(tuple, CTA_TUPLE_PROTO, &proto) ||
	    !value(ip, CTA_IP_V4_SRC, &f->server, sizeof f->server) ||
	    !value(ip, CTA_IP_V4_DST, &f->client, sizeof f->client) ||
	    !value(proto, CTA_PROTO_NUM, &f->proto, sizeof f->proto) ||
	    !value(proto, CTA_PROTO_SRC_PORT, &f->server_port, sizeof f->server_port) ||
	    !value(proto, CTA_PROTO_DST_PORT, &f->client_port, sizeof f->client_port))
		return false;
	f->server_port = ntohs(f->server_port);
	f->client_port = ntohs(f->client_port);
	return true;
}

bool conntrack_parse(const void *attributes, size_t len, struct conntrack_flow *out)
{
	struct attribute all = { attributes, len }, reply, original, info, tcp;
	struct conntrack_flow f = { 0 };

	if (!find(all, CTA_TUPLE_REPLY, &reply) || !find(all, CTA_TUPLE_ORIG, &original) ||
	    original.len > sizeof f.original || !parse_reply(reply, &f))
		return false;
	memcpy(f.original, original.data, original.len);
	f.original_len = original.len;
	if (find(all, CTA_PROTOINFO, &info) && find(info, CTA_PROTOINFO_TCP, &tcp) &&
	    !value(tcp, CTA_PROTOINFO_TCP_STATE, &f.tcp_state, sizeof f.tcp_state))
		return false;
	*out = f;
	return true;
}

bool conntrack_alive(const struct conntrack_flow *f)
{
	return f->proto == IPPROTO_TCP && f->tcp_state >= TCP_CONNTRACK_SYN_SENT &&
	       f->tcp_state <= TCP_CONNTRACK_CLOSE_WAIT;
}

static int open_netlink(struct err *err)
{
	const struct timeval patience = { .tv_sec = PATIENCE_S };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);

	if (fd < 0 && (errno == EPROTONOSUPPORT || errno == EAFNOSUPPORT))
		return err_set(err, ERR_NOT_FOUND, "this kernel has no netfilter over netlink");
	if (fd < 0)
		return err_sys(err, errno, "netlink socket");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0) {
		int saved = errno;
		closep(&fd);
		return err_sys(err, saved, "netlink socket");
	}
	return fd;
}

struct request {
	struct nlmsghdr head;
	struct nfgenmsg netfilter;
	struct nlattr attribute;
	uint8_t tuple[CONNTRACK_TUPLE_MAX];
};

static int send_request(int fd, unsigned int type, unsigned int flags, const struct conntrack_flow *flow,
			struct err *err)
{
	struct request r = {
		.head = { .nlmsg_len = NLMSG_LENGTH(sizeof r.netfilter),
			  .nlmsg_type = (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type),
			  .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags) },
		.netfilter = { .nfgen_family = AF_INET, .version = NFNETLINK_V0 },
	};
	const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

	if (flow) {
		r.attribute.nla_type = CTA_TUPLE_ORIG | NLA_F_NESTED;
		r.attribute.nla_len = (uint16_t)(sizeof r.attribute + flow->original_len);
		memcpy(r.tuple, flow->original, flow->original_len);
		r.head.nlmsg_len += (uint32_t)NLA_ALIGN(r.attribute.nla_len);
	}
	if (sendto(fd, &r, r.head.nlmsg_len, 0, (const struct sockaddr *)&kernel, sizeof kernel) < 0)
		return err_sys(err, errno, "ask for tracked connections");
	return 0;
}

static int kernel_error(int code, struct err *err)
{
	if (code == EPERM || code == EACCES)
		return err_set(err, ERR_DENIED, "tracked connections are for root");
	if (code == EOPNOTSUPP || code == ENOENT || code == EINVAL)
		return err_set(err, ERR_NOT_FOUND, "this kernel lists no tracked connections");
	return err_sys(err, code, "tracked connections");
}

struct dump {
	conntrack_fn *fn;
	void *arg;
	size_t n;
	bool done;
};

static int take_message(struct dump *d, const struct nlmsghdr *head, const uint8_t *body, size_t len, struct err *err)
{
	struct conntrack_flow flow;

	if (head->nlmsg_type == NLMSG_DONE) {
		d->done = true;
	} else if (head->nlmsg_type == NLMSG_ERROR) {
		struct nlmsgerr e;
		d->done = true;
		if (len < sizeof e)
			return err_set(err, ERR_PROTOCOL, "tracked connections: a cut answer");
		memcpy(&e, body, sizeof e);
		return e.error ? kernel_error(-e.error, err) : 0;
	} else if (d->fn && len > sizeof(struct nfgenmsg) &&
		   conntrack_parse(body + NLMSG_ALIGN(sizeof(struct nfgenmsg)),
				   len - NLMSG_ALIGN(sizeof(struct nfgenmsg)), &flow)) {
		d->fn(d->arg, &flow);
		d->done = ++d->n >= CONNTRACK_FLOWS_MAX;
	}
	return 0;
}

/* One datagram: several messages. */
static int take_datagram(struct dump *d, const uint8_t *data, size_t len, struct err *err)
{
	while (len >= sizeof(struct nlmsghdr) && !d->done) {
		struct nlmsghdr head;
		memcpy(&head, data, sizeof head);
		if (head.nlmsg_len < sizeof head || head.nlmsg_len > len)
			return err_set(err, ERR_PROTOCOL, "tracked connections: a message with a wrong length");
		if (take_message(d, &head, data + sizeof head, head.nlmsg_len - sizeof head, err) < 0)
			return -1;
		size_t step = NLMSG_ALIGN(head.nlmsg_len);
		if (step >= len)
			break;
		data += step;
		len -= step;
	}
	return 0;
}

static int receive(int fd, struct dump *d, struct err *err)
{
	CLEANUP(freep) uint8_t *datagram = xmalloc(DATAGRAM_BYTES);

	while (!d->done) {
		ssize_t n = recv(fd, datagram, DATAGRAM_BYTES, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return err_set(err, ERR_TIMEOUT, "tracked connections: the kernel does not answer");
		if (n <= 0)
			return err_sys(err, n < 0 ? errno : EPROTO, "tracked connections");
		if (take_datagram(d, datagram, (size_t)n, err) < 0)
			return -1;
	}
	return 0;
}

int conntrack_each(conntrack_fn *fn, void *arg, struct err *err)
{
	CLEANUP(closep) int fd = open_netlink(err);
	struct dump d = { .fn = fn, .arg = arg };

	if (fd < 0 || send_request(fd, IPCTNL_MSG_CT_GET, NLM_F_DUMP, NULL, err) < 0)
		return -1;
	return receive(fd, &d, err);
}

int conntrack_delete(const struct conntrack_flow *flow, struct err *err)
{
	CLEANUP(closep) int fd = open_netlink(err);
	struct dump d = { 0 };

	if (fd < 0 || send_request(fd, IPCTNL_MSG_CT_DELETE, NLM_F_ACK, flow, err) < 0)
		return -1;
	/* ENOENT: it ended by itself. */
	return receive(fd, &d, err) < 0 && err->kind != ERR_NOT_FOUND ? -1 : 0;
}
