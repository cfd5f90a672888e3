/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include <arpa/inet.h>

#include "daemon/record/listeners.h"

#define SLOTS 256U

static void *new_table(void) {
        struct live *l = malloc(sizeof(*l));

        assert_non_null(l);
        assert_int_equal(live_create(l, -1, SLOTS, 1, 1), 0);
        return l;
}

static void set_address(struct record *r, const char *address) {
        bool v6 = strchr(address, ':');

        r->family = v6 ? FAMILY_IPV6 : FAMILY_IPV4;
        assert_int_equal(inet_pton(v6 ? AF_INET6 : AF_INET, address, r->local), 1);
        r->exposure = (uint8_t) record_exposure(r->family, r->local);
}

static struct record end_of(const char *address, uint16_t port) {
        struct record r = { .kind = RECORD_LISTEN,
                            .transport = TRANSPORT_TCP,
                            .netns = 1,
                            .owner = OWNER_NONE,
                            .local_port = port };

        set_address(&r, address);
        return r;
}

static struct record dual_stack_of(uint16_t port) {
        struct record r = end_of("::", port);

        r.flags = RECORD_DUAL_STACK;
        return r;
}

static uint32_t add(struct listeners *l, struct live *live, struct record r) {
        uint32_t slot;

        assert_int_equal(live_take(live, LIVE_LISTENERS, &slot), 0);
        live_write(live, LIVE_LISTENERS, slot, &r);
        listeners_add(l, live, slot);
        return slot;
}

static void take_away(struct listeners *l, struct live *live, uint32_t slot) {
        listeners_remove(l, live, slot);
        live_release(live, LIVE_LISTENERS, slot);
}

static uint32_t match(const struct listeners *l, const struct live *live, struct record r) {
        r.exposure = EXPOSURE_NONE; /* connections have none */
        return listeners_match(l, live, &r);
}

static void done(struct listeners *l, struct live *live) {
        listeners_done(l);
        listeners_done(l);
        live_close(live);
        free(live);
}

static void test_which(void **state) {
        struct live *live = new_table();
        uint32_t any4, one4, any6, one6, dual;
        struct listeners l;
        struct record r;

        (void) state;
        assert_int_equal(listeners_init(&l, SLOTS), 0);
        assert_int_equal(match(&l, live, end_of("10.0.0.1", 80)), LISTENERS_NONE);

        any4 = add(&l, live, end_of("0.0.0.0", 80));
        one4 = add(&l, live, end_of("10.0.0.1", 80));
        any6 = add(&l, live, end_of("::", 80));
        one6 = add(&l, live, end_of("2001:db8::1", 80));
        dual = add(&l, live, dual_stack_of(8080));

        assert_int_equal(match(&l, live, end_of("10.0.0.1", 80)), one4);
        assert_int_equal(match(&l, live, end_of("10.0.0.2", 80)), any4);
        assert_int_equal(match(&l, live, end_of("127.0.0.1", 80)), any4);
        assert_int_equal(match(&l, live, end_of("2001:db8::1", 80)), one6);
        assert_int_equal(match(&l, live, end_of("2001:db8::2", 80)), any6);
        assert_int_equal(match(&l, live, end_of("10.0.0.1", 8080)), dual);
        assert_int_equal(match(&l, live, end_of("2001:db8::1", 8080)), dual);
        assert_int_equal(match(&l, live, end_of("10.0.0.1", 81)), LISTENERS_NONE);

        /* Another namespace, another transport. */
        r = end_of("10.0.0.1", 80);
        r.netns = 2;
        assert_int_equal(match(&l, live, r), LISTENERS_NONE);
        r = end_of("10.0.0.1", 80);
        r.transport = TRANSPORT_UDP;
        assert_int_equal(match(&l, live, r), LISTENERS_NONE);

        /* Without the wildcards only the very addresses are left; v6 alone takes no IPv4. */
        take_away(&l, live, any4);
        assert_int_equal(match(&l, live, end_of("10.0.0.1", 80)), one4);
        assert_int_equal(match(&l, live, end_of("10.0.0.2", 80)), LISTENERS_NONE);
        take_away(&l, live, one6);
        assert_int_equal(match(&l, live, end_of("2001:db8::1", 80)), any6);
        take_away(&l, live, any6);
        take_away(&l, live, one4);
        assert_int_equal(match(&l, live, end_of("10.0.0.1", 80)), LISTENERS_NONE);
        take_away(&l, live, dual);
        done(&l, live);
}

/* An address that looks like the other family's: the first four bytes of an IPv6 one. */
static void test_families_apart(void **state) {
        struct live *live = new_table();
        struct listeners l;
        uint32_t slot;

        (void) state;
        assert_int_equal(listeners_init(&l, SLOTS), 0);
        slot = add(&l, live, end_of("a00:1::", 80)); /* 0a00 0001: 10.0.0.1 and zeros */
        assert_int_equal(match(&l, live, end_of("10.0.0.1", 80)), LISTENERS_NONE);
        assert_int_equal(match(&l, live, end_of("a00:1::", 80)), slot);
        done(&l, live);
}

/*
 * With SO_REUSEPORT both 0.0.0.0 and a dual-stack :: can be there: the kernel gives an IPv4
 * connection to the IPv4 one (compute_score() in net/ipv4/inet_hashtables.c), whoever came first.
 */
static void test_own_family_first(void **state) {
        (void) state;
        for (unsigned order = 0; order < 2; order++) {
                struct live *live = new_table();
                struct listeners l;
                uint32_t any4, dual;

                assert_int_equal(listeners_init(&l, SLOTS), 0);
                if (order == 0) {
                        any4 = add(&l, live, end_of("0.0.0.0", 80));
                        dual = add(&l, live, dual_stack_of(80));
                } else {
                        dual = add(&l, live, dual_stack_of(80));
                        any4 = add(&l, live, end_of("0.0.0.0", 80));
                }
                assert_int_equal(match(&l, live, end_of("10.0.0.1", 80)), any4);
                assert_int_equal(match(&l, live, end_of("2001:db8::1", 80)), dual);
                take_away(&l, live, any4);
                assert_int_equal(match(&l, live, end_of("10.0.0.1", 80)), dual);
                done(&l, live);
        }
}

/* One server for each interface on one port (SO_BINDTODEVICE): accepted sockets bear the device. */
static void test_devices(void **state) {
        struct record inside = end_of("0.0.0.0", 67), outside = inside, c = end_of("10.0.0.1", 67);
        struct live *live = new_table();
        uint32_t in, out;
        struct listeners l;

        (void) state;
        assert_int_equal(listeners_init(&l, SLOTS), 0);
        inside.ifindex = 2;
        outside.ifindex = 3;
        in = add(&l, live, inside);
        out = add(&l, live, outside);
        c.ifindex = 2;
        assert_int_equal(match(&l, live, c), in);
        c.ifindex = 3;
        assert_int_equal(match(&l, live, c), out);
        done(&l, live);
}

/* ---- Those that have closed ---- */

static struct record closed_at(const char *address, uint16_t port, uint64_t usec, uint32_t owner) {
        struct record r = end_of(address, port);

        r.kind = RECORD_UNLISTEN;
        r.time_usec = usec;
        r.owner = owner;
        return r;
}

static uint32_t owner_behind(const struct listeners *l, const char *address, uint16_t port,
                             uint64_t usec) {
        struct record c = end_of(address, port);
        const struct record *r;

        c.exposure = EXPOSURE_NONE;
        r = listeners_closed(l, &c, usec);
        return r ? r->owner : OWNER_NONE;
}

static void test_closed(void **state) {
        struct live *live = new_table();
        struct listeners l;
        struct record r;

        (void) state;
        assert_int_equal(listeners_init(&l, SLOTS), 0);
        assert_int_equal(owner_behind(&l, "10.0.0.1", 80, 100), OWNER_NONE);

        r = closed_at("0.0.0.0", 80, 100, 1);
        assert_int_equal(listeners_bury(&l, &r), OWNER_NONE);
        assert_int_equal(owner_behind(&l, "10.0.0.1", 80, 50), 1);
        assert_int_equal(owner_behind(&l, "10.0.0.1", 80, 100 + LISTENERS_CLOSED_USEC), 1);
        assert_int_equal(owner_behind(&l, "10.0.0.1", 80, 101 + LISTENERS_CLOSED_USEC), OWNER_NONE);
        assert_int_equal(owner_behind(&l, "10.0.0.1", 81, 100), OWNER_NONE);

        /* The port went on to another, which has closed as well: that one, whatever the order. */
        r = closed_at("0.0.0.0", 80, 200, 2);
        listeners_bury(&l, &r);
        r = closed_at("0.0.0.0", 80, 150, 3);
        listeners_bury(&l, &r);
        assert_int_equal(owner_behind(&l, "10.0.0.1", 80, 210), 2);
        /* The very address goes before a later one on any address. */
        r = closed_at("10.0.0.1", 80, 120, 4);
        listeners_bury(&l, &r);
        assert_int_equal(owner_behind(&l, "10.0.0.1", 80, 210), 4);
        assert_int_equal(owner_behind(&l, "10.0.0.2", 80, 210), 2);

        /* So many are kept; the owner of the one that has to go is given back, oldest first. */
        for (uint32_t i = 4; i < LISTENERS_CLOSED; i++) {
                r = closed_at("127.0.0.1", (uint16_t) i, 300, 100 + i);
                assert_int_equal(listeners_bury(&l, &r), OWNER_NONE);
        }
        for (uint32_t i = 1; i <= 4; i++) {
                r = closed_at("127.0.0.1", 9, 300, OWNER_NONE);
                assert_int_equal(listeners_bury(&l, &r), i);
        }
        assert_int_equal(owner_behind(&l, "10.0.0.1", 80, 210), OWNER_NONE);
        done(&l, live);
}

/* ---- Against a plain search ---- */

static const char *const addresses[] = { "0.0.0.0", "127.0.0.1", "10.0.0.1", "10.0.0.2",
                                         "::",      "::1",       "fe80::1",  "2001:db8::1" };

static struct record random_end(uint64_t *seed) {
        struct record r = end_of(addresses[unit_below(seed, 8)], (uint16_t) unit_below(seed, 4));

        r.netns = 1 + (uint32_t) unit_below(seed, 2);
        r.transport = (uint8_t) (1 + unit_below(seed, 2));
        if (r.family == FAMILY_IPV6 && r.exposure == EXPOSURE_ANY && unit_below(seed, 2))
                r.flags = RECORD_DUAL_STACK;
        return r;
}

/* How well a listener fits, 0 not at all: by rank, so that any of the best will do. */
static int rank(const struct record *listener, const struct record *c) {
        bool same_family = listener->family == c->family;

        if (listener->kind != RECORD_LISTEN || listener->netns != c->netns ||
            listener->transport != c->transport || listener->local_port != c->local_port)
                return 0;
        if (same_family && memcmp(listener->local, c->local, 16) == 0)
                return 3;
        if (listener->exposure != EXPOSURE_ANY)
                return 0;
        return same_family ? 2 : listener->flags & RECORD_DUAL_STACK ? 1 : 0;
}

static void test_model(void **state) {
        uint64_t seed = 7, n = 0, matched = 0;
        struct live *live = new_table();
        bool there[SLOTS] = { false };
        struct listeners l;

        (void) state;
        assert_int_equal(listeners_init(&l, SLOTS), 0);
        for (unsigned round = 0; round < 60000; round++) {
                const struct record *slots = live->slots[LIVE_LISTENERS];
                struct record c = random_end(&seed);
                uint32_t slot = (uint32_t) unit_below(&seed, SLOTS), got;
                int best = 0;

                if (there[slot]) {
                        take_away(&l, live, slot);
                        there[slot] = false;
                        n--;
                } else if (n < SLOTS / 4) {
                        there[add(&l, live, random_end(&seed))] = true;
                        n++;
                }
                for (uint32_t i = 0; i < live_used(live, LIVE_LISTENERS); i++)
                        if (rank(&slots[i], &c) > best)
                                best = rank(&slots[i], &c);
                got = match(&l, live, c);
                if (best == 0)
                        assert_int_equal(got, LISTENERS_NONE);
                else {
                        assert_true(got < SLOTS && there[got]);
                        assert_int_equal(rank(&slots[got], &c), best);
                        matched++;
                }
        }
        assert_true(matched > 10000);
        done(&l, live);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_which),
                cmocka_unit_test(test_families_apart),
                cmocka_unit_test(test_own_family_first),
                cmocka_unit_test(test_devices),
                cmocka_unit_test(test_closed),
                cmocka_unit_test(test_model),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
