/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include <arpa/inet.h>

#include "lib/address.h"

static void check_ip(unsigned family, const char *text) {
        uint8_t address[16] = {};
        char got[ADDRESS_TEXT_MAX];

        assert_int_equal(inet_pton(family == FAMILY_IPV6 ? AF_INET6 : AF_INET, text, address), 1);
        assert_int_equal(address_write(got, family, address), strlen(text));
        assert_string_equal(got, text);
}

/* The examples of RFC 5952 and the ends. */
static void test_addresses(void **state) {
        static const char *const ipv6[] = {
                "::",
                "::1",
                "1::",
                "2001:db8::1",
                "2001:db8::2:1",
                "2001:db8:0:1:1:1:1:1",
                "2001:0:0:1::1",
                "2001:db8::1:0:0:1",
                "1:0:2:0:3:0:4:0",
                "0:1:2:3:4:5:6:7",
                "::2:3:4:5:6:7",
                "1:2:3:4:5:6::",
                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                "fe80::1234:5678:9abc:def0",
                "a:b0:c00:d000::",
        };
        static const char *const ipv4[] = { "0.0.0.0", "127.0.0.1", "10.20.100.99",
                                            "255.255.255.255", "1.9.10.109" };

        (void) state;
        for (size_t i = 0; i < sizeof(ipv6) / sizeof(ipv6[0]); i++)
                check_ip(FAMILY_IPV6, ipv6[i]);
        for (size_t i = 0; i < sizeof(ipv4) / sizeof(ipv4[0]); i++)
                check_ip(FAMILY_IPV4, ipv4[i]);
}

static void check_of(const struct record *r, const char *address, uint32_t port) {
        char got[ADDRESS_TEXT_MAX];

        assert_int_equal(address_write_of(got, r, r->local), strlen(address));
        assert_string_equal(got, address);
        assert_int_equal(address_port_of(r, r->local, r->local_port), port);
}

static void test_of_records(void **state) {
        struct record r = { .family = FAMILY_IPV4, .local = { 127, 0, 0, 1 }, .local_port = 80 };

        (void) state;
        check_of(&r, "127.0.0.1", 80);
        r = (struct record){ .family = FAMILY_IPV6, .ifindex = 3, .local_port = 65535 };
        check_of(&r, "::", 65535);
        r = (struct record){ .family = FAMILY_PACKET, .local_port = 3 };
        check_of(&r, "*", 3);
        r.ifindex = 4294967295U;
        check_of(&r, "%4294967295", 3);
}

/* Both numbers have 32 bits; the record's own port stands for the larger ones. */
static void test_of_vsock(void **state) {
        static const struct {
                uint32_t cid, port;
                uint16_t local_port;
                const char *address;
        } cases[] = {
                { VSOCK_CID_ANY, 5000, 5000, "*" },
                { VSOCK_CID_ANY, 70000, UINT16_MAX, "*" },
                { 1, UINT32_MAX, UINT16_MAX, "1" },
                { UINT32_MAX - 1, 1, 1, "4294967294" },
                { 0, 0, 0, "0" },
        };

        (void) state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct record r = { .family = FAMILY_VSOCK, .local_port = cases[i].local_port };

                memcpy(r.local, &cases[i].cid, 4);
                memcpy(r.local + 4, &cases[i].port, 4);
                check_of(&r, cases[i].address, cases[i].port);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_addresses),
                cmocka_unit_test(test_of_records),
                cmocka_unit_test(test_of_vsock),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
