#include "oci/platform.h"

#include <sys/utsname.h>

#include "base/mem.h"

/* The longest order of preference is arm64/v9.7's, 22; amd64 versions end at 4 today. */
#define VECTOR_MAX 64

/* The names of containerd/platforms normalizeArch(); variant NULL: as it was. */
static const struct {
	const char *arch, *to_arch, *to_variant;
} arch_aliases[] = {
	{ "i386", "386", "" },        { "x86_64", "amd64", NULL }, { "x86-64", "amd64", NULL },
	{ "aarch64", "arm64", NULL }, { "armhf", "arm", "v7" },    { "armel", "arm", "v6" },
};

static const struct {
	const char *arch, *variant, *to_variant;
} variant_aliases[] = {
	{ "amd64", "v1", "" },     { "arm64", "8", "" },   { "arm64", "v8", "" },
	{ "arm64", "v8.0", "" },   { "arm64", "9", "v9" }, { "arm64", "9.0", "v9" },
	{ "arm64", "v9.0", "v9" }, { "arm", "", "v7" },    { "arm", "7", "v7" },
	{ "arm", "5", "v5" },      { "arm", "6", "v6" },   { "arm", "8", "v8" },
};

/* What uname(2) calls the machines that Linux images exist for. */
static const struct {
	const char *machine, *arch, *variant;
} machines[] = {
	{ "x86_64", "amd64", "" }, { "aarch64", "arm64", "" },       { "armv8l", "arm", "v8" },
	{ "armv7l", "arm", "v7" }, { "armv6l", "arm", "v6" },        { "i686", "386", "" },
	{ "i386", "386", "" },     { "riscv64", "riscv64", "" },     { "ppc64le", "ppc64le", "" },
	{ "s390x", "s390x", "" },  { "loongarch64", "loong64", "" },
};

static void lower_case(char *s)
{
	for (; *s; s++)
		if (*s >= 'A' && *s <= 'Z')
			*s = (char)(*s | 0x20);
}

static void set(char *to, size_t size, const char *from)
{
	(void)snprintf(to, size, "%s", from); /* callers' texts fit */
}

static void normalize(struct platform *p)
{
	lower_case(p->os);
	lower_case(p->arch);
	lower_case(p->variant);
	if (!p->os[0])
		set(p->os, sizeof p->os, "linux");
	if (streq(p->os, "macos"))
		set(p->os, sizeof p->os, "darwin");
	for (size_t i = 0; i < ARRAY_LEN(arch_aliases); i++) {
		if (!streq(arch_aliases[i].arch, p->arch))
			continue;
		set(p->arch, sizeof p->arch, arch_aliases[i].to_arch);
		if (arch_aliases[i].to_variant)
			set(p->variant, sizeof p->variant, arch_aliases[i].to_variant);
		break;
	}
	for (size_t i = 0; i < ARRAY_LEN(variant_aliases); i++) {
		if (!streq(variant_aliases[i].arch, p->arch) ||
		    !streq(variant_aliases[i].variant, p->variant))
			continue;
		set(p->variant, sizeof p->variant, variant_aliases[i].to_variant);
		break;
	}
}

/* Copies the text up to the next slash; returns what is behind it, NULL at the end or when it does
 * not fit. */
static const char *take(const char *text, char *out, size_t size, bool *ok)
{
	size_t len = strcspn(text, "/");

	*ok = len > 0 && len < size;
	for (size_t i = 0; i < len; i++) {
		char c = (char)(text[i] | 0x20);
		if (!(c >= 'a' && c <= 'z') && !(text[i] >= '0' && text[i] <= '9') &&
		    !strchr("_.-", text[i]))
			*ok = false;
	}
	if (!*ok)
		return NULL;
	memcpy(out, text, len);
	out[len] = '\0';
	return text[len] ? text + len + 1 : NULL;
}

int platform_parse(const char *text, struct platform *out, struct err *err)
{
	struct platform p = { 0 };
	bool ok;
	const char *rest = take(text, p.os, sizeof p.os, &ok);

	if (!rest || !ok)
		goto bad;
	rest = take(rest, p.arch, sizeof p.arch, &ok);
	if (ok && rest)
		rest = take(rest, p.variant, sizeof p.variant, &ok);
	if (rest || !ok)
		goto bad;
	normalize(&p);
	*out = p;
	return 0;
bad:
	err_set(err, ERR_USAGE, "platform \"%.80s\" is not os/arch or os/arch/variant", text);
	return err_hint(err, "for example linux/amd64 or linux/arm64");
}

void platform_host(struct platform *out)
{
	struct platform p = { .os = "linux" };
	struct utsname u;

	if (uname(&u) < 0)
		abort(); /* only a bad pointer makes it fail */
	(void)snprintf(p.arch, sizeof p.arch, "%.31s", u.machine); /* unknown: its own name */
	for (size_t i = 0; i < ARRAY_LEN(machines); i++) {
		if (!streq(machines[i].machine, u.machine))
			continue;
		set(p.arch, sizeof p.arch, machines[i].arch);
		set(p.variant, sizeof p.variant, machines[i].variant);
	}
	normalize(&p);
	*out = p;
}

struct vector {
	struct platform v[VECTOR_MAX];
	size_t n;
};

static void prefer(struct vector *to, const char *os, const char *arch, const char *variant)
{
	struct platform p;

	if (to->n == VECTOR_MAX)
		return;
	set(p.os, sizeof p.os, os);
	set(p.arch, sizeof p.arch, arch);
	set(p.variant, sizeof p.variant, variant);
	normalize(&p);
	to->v[to->n++] = p;
}

/* The number of "v3" or "3", 0 when it is none or too large to be meant. */
static int version_of(const char *variant)
{
	const char *p = *variant == 'v' ? variant + 1 : variant;
	int n = 0;

	for (; *p >= '0' && *p <= '9' && n < VECTOR_MAX; p++)
		n = n * 10 + *p - '0';
	return *p || n >= VECTOR_MAX ? 0 : n;
}

/* The variant itself, then the lower versions down to lowest. */
static void prefer_versions(struct vector *to, const char *os, const char *arch,
			    const char *variant, int lowest)
{
	char text[32];

	prefer(to, os, arch, variant);
	for (int n = version_of(variant) - 1; n >= lowest; n--) {
		(void)snprintf(text, sizeof text, "v%d", n);
		prefer(to, os, arch, text);
	}
}

/* arm64 v8.minor and v9.minor: v9.x runs what v8.(x+5) runs, up to v8.9. Nothing for other
 * variants. */
static void prefer_arm64(struct vector *to, const char *os, const char *variant)
{
	char text[32];
	int major = 8, minor = 0;
	bool plain = !*variant || streq(variant, "v8") || streq(variant, "v9");

	if (*variant)
		major = variant[1] - '0';
	if (!plain) {
		bool dotted = strlen(variant) == 4 && variant[0] == 'v' && variant[2] == '.';
		minor = dotted ? variant[3] - '0' : -1;
		if (minor < 0 || !((major == 8 && minor <= 9) || (major == 9 && minor <= 7)))
			return;
	}
	for (; major >= 8; major--) {
		for (int m = minor; m >= 0; m--) {
			(void)snprintf(text, sizeof text, m ? "v%d.%d" : "v%d", major, m);
			prefer(to, os, "arm64", text);
		}
		minor = minor + 5 > 9 ? 9 : minor + 5;
	}
}

/* containerd/platforms platformVector(): what a machine runs, best first. */
static void preferences(const struct platform *host, struct vector *out)
{
	out->n = 0;
	if (streq(host->arch, "amd64")) {
		prefer_versions(out, host->os, "amd64", host->variant, 1);
		prefer(out, host->os, "386", "");
	} else if (streq(host->arch, "arm")) {
		prefer_versions(out, host->os, "arm", host->variant, 5);
	} else if (streq(host->arch, "arm64")) {
		prefer_arm64(out, host->os, host->variant);
		/* Every v8 and v9 counts as a machine for 32-bit arm/v8 programs too. */
		bool v8 = streq(host->variant, "") || skip_prefix(host->variant, "v8") ||
			  skip_prefix(host->variant, "v9");
		prefer_versions(out, host->os, "arm", v8 ? "v8" : host->variant, 5);
	} else {
		prefer(out, host->os, host->arch, host->variant);
	}
}

int platform_match(const struct platform *host, const struct platform *p)
{
	struct platform want = *host, have = *p;
	struct vector order;

	normalize(&want);
	normalize(&have);
	preferences(&want, &order);
	for (size_t i = 0; i < order.n; i++)
		if (streq(order.v[i].os, have.os) && streq(order.v[i].arch, have.arch) &&
		    streq(order.v[i].variant, have.variant))
			return (int)(VECTOR_MAX - i);
	return 0;
}

const char *platform_str(const struct platform *p, char out[PLATFORM_STR_SIZE])
{
	(void)snprintf(out, PLATFORM_STR_SIZE, "%s/%s%s%s", p->os, p->arch,
		       p->variant[0] ? "/" : "", p->variant);
	return out;
}
