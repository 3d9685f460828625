/* Which hosts are Amazon's registries, which region signs, and where their API is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "aws/ecr.h"
#include "base/mem.h"

#define A "123456789012"

static void registries_and_their_api(void **state)
{
	static const struct {
		const char *host, *region, *api_host;
	} cases[] = {
		{ A ".dkr.ecr.eu-west-1.amazonaws.com", "eu-west-1",
		  "api.ecr.eu-west-1.amazonaws.com" },
		{ A ".dkr.ecr-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1",
		  "api.ecr-fips.us-gov-west-1.amazonaws.com" },
		{ A ".dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1",
		  "api.ecr.cn-north-1.amazonaws.com.cn" },
		{ A ".dkr.ecr.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1",
		  "api.ecr.eusc-de-east-1.amazonaws.eu" },
		{ A ".dkr.ecr.us-iso-east-1.c2s.ic.gov", "us-iso-east-1",
		  "api.ecr.us-iso-east-1.c2s.ic.gov" },
		{ A ".dkr.ecr.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1",
		  "api.ecr.us-isob-east-1.sc2s.sgov.gov" },
		{ A ".dkr.ecr.eu-isoe-west-1.cloud.adc-e.uk", "eu-isoe-west-1",
		  "api.ecr.eu-isoe-west-1.cloud.adc-e.uk" },
		{ A ".dkr.ecr.us-isof-south-1.csp.hci.ic.gov", "us-isof-south-1",
		  "api.ecr.us-isof-south-1.csp.hci.ic.gov" },
		{ A ".dkr-ecr.eu-west-1.on.aws", "eu-west-1", "ecr.eu-west-1.api.aws" },
		{ A ".dkr-ecr-fips.us-east-1.on.aws", "us-east-1", "ecr-fips.us-east-1.api.aws" },
		{ A ".dkr-ecr.cn-north-1.on.amazonwebservices.com.cn", "cn-north-1",
		  "ecr.cn-north-1.api.amazonwebservices.com.cn" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct ecr_host h = { 0 };

		if (!ecr_host_parse(cases[i].host, &h))
			fail_msg("%s: not taken for ECR", cases[i].host);
		assert_string_equal(h.account, A);
		assert_string_equal(h.region, cases[i].region);
		assert_string_equal(h.api_host, cases[i].api_host);
		assert_false(h.is_public);
	}
}

static void public_registry_signs_for_us_east_1(void **state)
{
	struct ecr_host h = { 0 };

	(void)state;
	assert_true(ecr_host_parse("public.ecr.aws", &h));
	assert_true(h.is_public);
	assert_string_equal(h.region, "us-east-1");
	assert_string_equal(h.api_host, "api.ecr-public.us-east-1.amazonaws.com");
}

static void look_alikes_get_no_credentials(void **state)
{
	static const char *const hosts[] = {
		"",
		"ghcr.io",
		"public.ecr.aws.evil.example",
		"xpublic.ecr.aws",
		A ".dkr.ecr.eu-west-1.amazonaws.com.evil.example",
		A ".dkr.ecr.eu-west-1.amazonaws.comx",
		A ".dkr.ecr.eu-west-1.amazonaws.com.",
		A ".dkr.ecr.eu-west-1.amazonaws.com:443",
		A ".dkr.ecr.eu-west-1.evil.example",
		A ".dkr.ecr.eu.west.1.amazonaws.com",
		A ".dkr.ecr..amazonaws.com",
		A ".dkr.ecr.-eu.amazonaws.com",
		A ".dkr.ecr.eu-.amazonaws.com",
		A ".dkr.ecr.eu_west.amazonaws.com",
		A ".dkr.ecr.EU-WEST-1.amazonaws.com",
		A ".dkr.ecr.evil/.amazonaws.com",
		A ".dkr.ecr.a-region-name-that-is-far-too-long-to-be-one.amazonaws.com",
		A ".dkr.ecr-other.eu-west-1.amazonaws.com",
		A ".dkr.ecr.eu-west-1.on.aws",
		A ".dkr-ecr.eu-west-1.amazonaws.com",
		A ".dkr.ecr.amazonaws.com",
		A ".ecr.eu-west-1.amazonaws.com",
		"12345678901.dkr.ecr.eu-west-1.amazonaws.com",
		"1234567890123.dkr.ecr.eu-west-1.amazonaws.com",
		"12345678901x.dkr.ecr.eu-west-1.amazonaws.com",
		"x" A ".dkr.ecr.eu-west-1.amazonaws.com",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		struct ecr_host h = { .region = "as before" };

		if (ecr_host_parse(hosts[i], &h))
			fail_msg("%s: taken for ECR", hosts[i]);
		assert_string_equal(h.region, "as before");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(registries_and_their_api),
		cmocka_unit_test(public_registry_signs_for_us_east_1),
		cmocka_unit_test(look_alikes_get_no_credentials),
	};

	return cmocka_run_group_tests_name("ecr_host", tests, NULL, NULL);
}
