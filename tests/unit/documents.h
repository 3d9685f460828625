/* Pieces of manifests and indexes for the tests of both. */
#ifndef BERTH_TESTS_UNIT_DOCUMENTS_H
#define BERTH_TESTS_UNIT_DOCUMENTS_H

#define HEX_A "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define HEX_B "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define DIGEST_A "sha256:" HEX_A
#define DIGEST_B "sha256:" HEX_B

#define OCI "application/vnd.oci.image."
#define DOCKER "application/vnd.docker."
#define OCI_INDEX OCI "index.v1+json"
#define OCI_MANIFEST OCI "manifest.v1+json"
#define OCI_CONFIG OCI "config.v1+json"
#define OCI_LAYER OCI "layer.v1.tar+gzip"
#define DOCKER_LIST DOCKER "distribution.manifest.list.v2+json"
#define DOCKER_MANIFEST DOCKER "distribution.manifest.v2+json"
#define DOCKER_CONFIG DOCKER "container.image.v1+json"
#define DOCKER_LAYER DOCKER "image.rootfs.diff.tar.gzip"
#define SCHEMA1 DOCKER "distribution.manifest.v1+prettyjws"

/* A descriptor, and one with more members: MORE starts with a comma. */
#define DESC(type, digest, size) DESC_AND(type, digest, size, "")
#define DESC_AND(type, digest, size, more) \
	"{\"mediaType\":\"" type "\",\"digest\":\"" digest "\",\"size\":" #size more "}"

#define GZIP_LAYER DESC(OCI_LAYER, DIGEST_B, 32)
#define ZSTD_LAYER DESC(OCI "layer.v1.tar+zstd", DIGEST_A, 1)
#define PLAIN_LAYER DESC(OCI "layer.v1.tar", DIGEST_A, 1)

#endif
