/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "unit.h"

#include <arpa/inet.h>

#include "lib/rules.h"

/* Rules, and what is judged by them, for the tests of both. */

static inline struct rules *ruling_rules(const char *text) {
        struct rule_error error = {};
        struct rules *rules = NULL;
        int r;

        assert_int_equal(rules_new(&rules), 0);
        r = rules_parse(rules, text, strlen(text), "test.rules", &error);
        if (r < 0)
                fail_msg("%s: %d, %u:%u: %s", text, r, error.line, error.column, error.message);
        return rules;
}

static inline void ruling_address(const char *text, uint8_t *ret_family, uint8_t ret[static 16]) {
        memset(ret, 0, 16);
        *ret_family = FAMILY_IPV4;
        if (inet_pton(AF_INET, text, ret) == 1)
                return;
        *ret_family = FAMILY_IPV6;
        assert_int_equal(inet_pton(AF_INET6, text, ret), 1);
}

static inline struct record ruling_listener(unsigned transport, const char *address,
                                            unsigned port) {
        struct record r = { .kind = RECORD_LISTEN, .transport = (uint8_t) transport, .netns = 7 };

        ruling_address(address, &r.family, r.local);
        r.local_port = (uint16_t) port;
        r.exposure = (uint8_t) record_exposure(r.family, r.local);
        return r;
}

static const struct owner ruling_sshd = {
        .pid = 10,
        .uid = 0,
        .name = "sshd",
        .executable = "/usr/sbin/sshd",
        .unit = "ssh.service",
};
static const struct owner ruling_manager = {
        .pid = 1,
        .uid = 0,
        .name = "systemd",
        .executable = "/usr/lib/systemd/systemd",
        .unit = "ssh.socket",
};
static const struct owner ruling_boxed = {
        .pid = 20,
        .uid = 1000,
        .name = "a b",
        .executable = "/opt/a b",
        .unit = "docker-1.scope",
        .container = "docker:0123456789ab",
};
static const struct owner ruling_unknown = { .uid = UID_UNKNOWN };
