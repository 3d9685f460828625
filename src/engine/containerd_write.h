/*
 * A blob into containerd's content store as its bytes arrive: one gRPC call that streams both ways
 * (containerd.services.content.v1.Content/Write).
 */
#ifndef BERTH_ENGINE_CONTAINERD_WRITE_H
#define BERTH_ENGINE_CONTAINERD_WRITE_H

#include "engine/containerd.h"

struct containerd_writer;

/*
 * Begins with the first bytes. total_bytes > 0. The blob comes under the current lease, as does
 * what was written of it until then. event: bytes will be taken again, or it ended. ref: names the
 * unfinished blob, one writer at a time.
 */
struct containerd_writer *containerd_write_new(struct containerd *c, const char *ref, const char *digest,
					       int64_t total_bytes, containerd_event_fn *event, void *arg);
/*
 * How many of the next bytes were taken (0: event will come), -1 when it ended badly. With the last
 * of total_bytes it commits, by itself. No more than total_bytes are to be offered.
 */
ssize_t containerd_write_feed(struct containerd_writer *w, const void *bytes, size_t len, struct err *err) MUST_CHECK;
bool containerd_write_ended(const struct containerd_writer *w);
/*
 * Once it has ended: 0: containerd has the blob, and has compared its digest. Else as
 * grpc_finish(); a blob of another digest is ERR_FAILED.
 */
int containerd_write_result(const struct containerd_writer *w, struct err *err) MUST_CHECK;
void containerd_write_free(struct containerd_writer *w); /* cuts what runs; NULL is fine */

#endif
