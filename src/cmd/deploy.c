#include "cmd/cmd.h"

#include "agent/rollout.h"

static void print_json(const struct deployment *d, const struct rollout_result *r)
{
	struct json *o = json_new_object();

	json_set_str(o, "container", d->name);
	json_set_str(o, "image", r->image);
	json_set_str(o, "digest", *r->digest ? r->digest : NULL);
	json_set_str(o, "previous", *r->previous ? r->previous : NULL);
	json_set_bool(o, "current", r->current);
	json_set_str(o, "strategy", *r->strategy ? r->strategy : NULL);
	if (r->gap_ms >= 0)
		json_set_int(o, "gap_ms", r->gap_ms);
	json_set_int(o, "took_ms", r->took_ms);
	CLEANUP(freep) char *text = json_print(o, false);
	json_free(o);
	puts(text);
}

static void print_text(const struct deployment *d, const struct rollout_result *r)
{
	printf("%s\n  container  %s%s\n  digest     %s\n", r->image, d->name, r->current ? ", already current" : "",
	       *r->digest ? r->digest : "-");
	if (r->current)
		return;
	printf("  before     %s\n  took       %.1f s (%s)\n", *r->previous ? r->previous : "-",
	       (double)r->took_ms / 1e3, r->strategy);
	if (r->gap_ms >= 0)
		printf("  gap        %.1f s without service%s\n", (double)r->gap_ms / 1e3,
		       streq(r->strategy, "blue-green") ? " for clients on this host and by IPv6" : "");
}

static void print_nothing(const struct deployment *d, const struct rollout_result *r)
{
	(void)d, (void)r;
}

/* One way there and one back, otherwise alike. name: NULL where the image gives it. */
static int roll_out(const struct options *o, const char *name, bool unattended,
		    int (*go)(struct deployment *, const struct rollout_request *, struct rollout_result *,
			      struct err *),
		    struct err *err)
{
	const struct rollout_request request = {
		.force = opt_flag(o, OPT_FORCE),
		.wait = !opt_flag(o, OPT_NO_WAIT),
		.keep = opt_number(o, OPT_KEEP),
		.unattended = unattended,
	};
	void (*print)(const struct deployment *, const struct rollout_result *) =
		unattended ? print_nothing : opt_flag(o, OPT_JSON) ? print_json : print_text;
	struct rollout_result result;
	struct deployment d;
	struct context c;

	if (context_open(&c, o, ROLLOUT_PATIENCE_MS, err) < 0)
		return -1;
	int done = deployment_open_visit(&d, &c, name, err);
	if (done == 0) {
		done = go(&d, &request, &result, err);
		if (done == 0)
			print(&d, &result);
		deployment_close(&d);
	}
	context_close(&c);
	return done;
}

int cmd_deploy(const struct invocation *in, struct err *err)
{
	return roll_out(&in->options, NULL, false, rollout_deploy, err);
}

int cmd_redeploy(const struct invocation *in, struct err *err)
{
	redeploy_be_child();
	return roll_out(&in->options, NULL, true, rollout_deploy, err);
}

int cmd_mend(const struct invocation *in, struct err *err)
{
	redeploy_be_child();
	return roll_out(&in->options, NULL, true, rollout_mend, err);
}

int cmd_rollback(const struct invocation *in, struct err *err)
{
	CLEANUP(freep) char *name = NULL;

	if (cmd_service_name(&in->options, &name, err) < 0)
		return -1;
	return roll_out(&in->options, name, false, rollout_back, err);
}
