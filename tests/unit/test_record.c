/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include <arpa/inet.h>

#include "lib/record.h"

/* Every word of the interface, so that a change of a table shows here. */
struct word {
        unsigned value;
        const char *name;
};

static const struct word kinds[] = {
        { RECORD_LISTEN, "listen" }, { RECORD_UNLISTEN, "unlisten" },
        { RECORD_OPEN, "open" },     { RECORD_CLOSE, "close" },
        { RECORD_FAIL, "fail" },     { RECORD_REFUSE, "refuse" },
        { RECORD_LOST, "lost" },     { RECORD_START, "start" },
        { RECORD_STOP, "stop" },     { 0, NULL },
};
static const struct word transports[] = {
        { TRANSPORT_TCP, "tcp" },         { TRANSPORT_UDP, "udp" },
        { TRANSPORT_UDPLITE, "udplite" }, { TRANSPORT_SCTP, "sctp" },
        { TRANSPORT_RAW, "raw" },         { TRANSPORT_PACKET, "packet" },
        { TRANSPORT_VSOCK, "vsock" },     { 0, NULL },
};
static const struct word families[] = {
        { FAMILY_IPV4, "ipv4" },
        { FAMILY_IPV6, "ipv6" },
        { FAMILY_PACKET, "packet" },
        { FAMILY_VSOCK, "vsock" },
        { 0, NULL },
};
static const struct word directions[] = {
        { DIRECTION_INBOUND, "inbound" },
        { DIRECTION_OUTBOUND, "outbound" },
        { 0, NULL },
};
static const struct word exposures[] = {
        { EXPOSURE_LOOPBACK, "loopback" },
        { EXPOSURE_ADDRESS, "address" },
        { EXPOSURE_ANY, "any" },
        { 0, NULL },
};
static const struct word attributions[] = {
        { ATTRIBUTION_UNKNOWN, "unknown" },
        { ATTRIBUTION_LISTENER, "listener" },
        { ATTRIBUTION_LOOKUP, "lookup" },
        { ATTRIBUTION_EXACT, "exact" },
        { 0, NULL },
};
static const struct word outcomes[] = {
        { OUTCOME_OPEN, "open" },
        { OUTCOME_CLOSED, "closed" },
        { OUTCOME_RESET, "reset" },
        { OUTCOME_REFUSED, "refused" },
        { OUTCOME_TIMED_OUT, "timed_out" },
        { OUTCOME_FAILED, "failed" },
        { 0, NULL },
};

static const struct vocabulary {
        const struct word *words;
        const char *(*name)(unsigned);
        int (*parse)(const char *);
} vocabularies[] = {
        { kinds, record_kind_name, record_kind_parse },
        { transports, transport_name, transport_parse },
        { families, family_name, family_parse },
        { directions, direction_name, direction_parse },
        { exposures, exposure_name, exposure_parse },
        { attributions, attribution_name, attribution_parse },
        { outcomes, outcome_name, outcome_parse },
};

static const char *word_of(const struct word *words, unsigned value) {
        for (; words->name; words++)
                if (words->value == value)
                        return words->name;
        return NULL;
}

static void test_words(void **state) {
        static const char *const not_words[] = { "",     " ",        "Listen", "tcp ",
                                                 "none", "unknown2", "0",      "open\n" };

        (void) state;
        for (size_t i = 0; i < sizeof(vocabularies) / sizeof(vocabularies[0]); i++) {
                const struct vocabulary *v = &vocabularies[i];

                for (unsigned value = 0; value < 300; value++) {
                        const char *expected = word_of(v->words, value), *name = v->name(value);

                        if (expected) {
                                assert_non_null(name);
                                assert_string_equal(name, expected);
                                assert_int_equal(v->parse(name), value);
                        } else
                                assert_null(name);
                }
                assert_null(v->name(UINT32_MAX));
                for (size_t k = 0; k < sizeof(not_words) / sizeof(not_words[0]); k++)
                        assert_int_equal(v->parse(not_words[k]), -EINVAL);
        }
}

static void test_attribution_rises(void **state) {
        (void) state;
        assert_true(ATTRIBUTION_UNKNOWN < ATTRIBUTION_LISTENER);
        assert_true(ATTRIBUTION_LISTENER < ATTRIBUTION_LOOKUP);
        assert_true(ATTRIBUTION_LOOKUP < ATTRIBUTION_EXACT);
}

static void test_exposure(void **state) {
        static const struct {
                const char *address;
                enum exposure exposure;
        } cases[] = {
                { "0.0.0.0", EXPOSURE_ANY },
                { "0.0.0.1", EXPOSURE_ADDRESS },
                { "126.255.255.255", EXPOSURE_ADDRESS },
                { "127.0.0.0", EXPOSURE_LOOPBACK },
                { "127.0.0.1", EXPOSURE_LOOPBACK },
                { "127.0.0.53", EXPOSURE_LOOPBACK },
                { "127.255.255.255", EXPOSURE_LOOPBACK },
                { "128.0.0.1", EXPOSURE_ADDRESS },
                { "192.168.1.127", EXPOSURE_ADDRESS },
                { "255.255.255.255", EXPOSURE_ADDRESS },
                { "::", EXPOSURE_ANY },
                { "::1", EXPOSURE_LOOPBACK },
                { "::2", EXPOSURE_ADDRESS },
                { "100::", EXPOSURE_ADDRESS },
                { "100::1", EXPOSURE_ADDRESS },
                { "7f00::", EXPOSURE_ADDRESS },
                { "fe80::1", EXPOSURE_ADDRESS },
                { "ff02::1", EXPOSURE_ADDRESS },
                { "2001:db8::1", EXPOSURE_ADDRESS },
        };

        (void) state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                bool v6 = strchr(cases[i].address, ':');
                uint8_t address[16] = { 0 };

                assert_int_equal(inet_pton(v6 ? AF_INET6 : AF_INET, cases[i].address, address), 1);
                assert_int_equal(record_exposure(v6 ? FAMILY_IPV6 : FAMILY_IPV4, address),
                                 cases[i].exposure);
                if (v6)
                        continue;
                /* What lies behind the four bytes of an IPv4 address is not part of it. */
                memset(address + 4, 0xA5, 12);
                assert_int_equal(record_exposure(FAMILY_IPV4, address), cases[i].exposure);
        }
}

static void test_service_port(void **state) {
        struct record r = { .local_port = 22, .remote_port = 40000 };

        (void) state;
        assert_int_equal(record_service_port(&r), 22);
        r.direction = DIRECTION_INBOUND;
        assert_int_equal(record_service_port(&r), 22);
        r.direction = DIRECTION_OUTBOUND;
        assert_int_equal(record_service_port(&r), 40000);

        for (unsigned kind = 0; kind < RECORD_KIND_MAX; kind++) {
                r.kind = (uint8_t) kind;
                assert_int_equal(record_is_listener(&r),
                                 kind == RECORD_LISTEN || kind == RECORD_UNLISTEN);
                assert_int_equal(record_is_connection(&r),
                                 kind == RECORD_OPEN || kind == RECORD_CLOSE ||
                                         kind == RECORD_FAIL || kind == RECORD_REFUSE);
        }
}

static uint32_t sum_of(const struct record *r) {
        return record_checksum(r, offsetof(struct record, checksum));
}

static void flip_each_bit(struct record *r, uint64_t seed) {
        uint8_t *bytes = (uint8_t *) r;
        uint32_t sum = sum_of(r);

        for (size_t bit = 0; bit < offsetof(struct record, checksum) * 8; bit++) {
                bytes[bit / 8] ^= (uint8_t) (1U << bit % 8);
                if (sum_of(r) == sum)
                        fail_msg("seed %#" PRIx64 ": bit %zu does not count", seed, bit);
                bytes[bit / 8] ^= (uint8_t) (1U << bit % 8);
        }
        assert_int_equal(sum_of(r), sum);
}

static void test_checksum_bits(void **state) {
        struct record r;

        (void) state;
        memset(&r, 0, sizeof(r));
        flip_each_bit(&r, 0);
        memset(&r, 0xFF, sizeof(r));
        flip_each_bit(&r, 0);
        for (uint64_t seed = 1; seed <= 500; seed++) {
                uint64_t s = seed;

                unit_random_fill(&s, &r, sizeof(r));
                flip_each_bit(&r, seed);
        }
}

/* A torn record is old in one half and new in the other; it must not look like either. */
static void test_checksum_torn(void **state) {
        (void) state;
        for (uint64_t seed = 1; seed <= 500; seed++) {
                struct record before, after, torn;
                uint64_t s = seed;

                unit_random_fill(&s, &before, sizeof(before));
                after = before;
                after.seq++;
                after.time_usec += 1 + unit_below(&s, 1000);
                after.bytes_sent++;
                after.cookie++;
                for (size_t cut = 8; cut < 120; cut += 8) {
                        torn = before;
                        memcpy(&torn, &after, cut);
                        assert_int_not_equal(sum_of(&torn), sum_of(&before));
                        assert_int_not_equal(sum_of(&torn), sum_of(&after));
                }
        }
}

static void test_checksum_sizes(void **state) {
        uint8_t zeros[256] = { 0 };
        uint32_t sums[sizeof(zeros) + 1];

        (void) state;
        for (size_t size = 0; size <= sizeof(zeros); size++) {
                sums[size] = record_checksum(zeros, size);
                /* 0 is what an untouched record bears. */
                assert_int_not_equal(sums[size], 0);
                for (size_t other = 0; other < size; other++)
                        assert_int_not_equal(sums[size], sums[other]);
        }
        /* Bytes behind the size are not read into it. */
        zeros[13] = 1;
        assert_int_equal(record_checksum(zeros, 13), sums[13]);
        assert_int_not_equal(record_checksum(zeros, 14), sums[14]);
}

/*
 * The checksum is part of the file's format: a file written by one build is read by another. These
 * numbers come from a second implementation, in another language.
 */
static void test_checksum_is_format(void **state) {
        static const char text[] = "portwatch keeps the record of who listens and who connected";

        (void) state;
        assert_int_equal(record_checksum("", 0), 0x4EAB8E4A);
        assert_int_equal(record_checksum(text, 8), 0x2F207E60);
        assert_int_equal(record_checksum(text, 26), 0xA2541D83);
        assert_int_equal(record_checksum(text, sizeof(text) - 1), 0x1C386F0D);
}

/* Every step can be undone, so that eight bytes can be had that end in a given sum: here in 0. */
static void test_checksum_never_zero(void **state) {
        const uint64_t ends_in_zero = 0x3DAF4ED937C0E86BU;

        (void) state;
        assert_int_equal(record_checksum(&ends_in_zero, sizeof(ends_in_zero)), 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_words),
                cmocka_unit_test(test_attribution_rises),
                cmocka_unit_test(test_exposure),
                cmocka_unit_test(test_service_port),
                cmocka_unit_test(test_checksum_bits),
                cmocka_unit_test(test_checksum_torn),
                cmocka_unit_test(test_checksum_sizes),
                cmocka_unit_test(test_checksum_is_format),
                cmocka_unit_test(test_checksum_never_zero),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
