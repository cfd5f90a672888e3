/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <linux/types.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/record.h"
#include "tests/unit/desk.h"

/*
 * Bytes as a sequence of source events. After each of them everything that must hold for the
 * tracker, its table and its owners is looked at (tests/unit/desk.h). The first byte chooses: whole
 * struct events, of any content; or a few bytes for each, drawn from so few sockets, ends and
 * states that they meet each other.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BRIEF_SIZE 10U

static const uint8_t ends[8][16] = {
        { 0 },
        { 127, 0, 0, 1 },
        { 10, 0, 0, 1 },
        { [10] = 0xFF, [11] = 0xFF, [12] = 10, [15] = 1 },
        { [10] = 0xFF, [11] = 0xFF },
        { [15] = 1 },
        { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 },
        { 0xfe, 0x80, [15] = 1 },
};

static const uint16_t ports[8] = { 0, 22, 80, 443, 32768, 40000, 60999, 65535 };
static const uint16_t errors[8] = { 0, 0, 111, 110, 104, 32, 103, 113 };

static void brief_event(const uint8_t b[static BRIEF_SIZE], uint64_t *time, struct event *ret) {
        *time += b[9] & 15;
        *ret = (struct event){
                .type = b[0] % EVENT_TYPE_MAX,
                .cookie = b[1] & 15,
                /* Now and then an event comes late, or from a long time ago. */
                .time_ns = (*time - (b[9] & 16 ? 40 : 0)) * 1000,
                .transport = b[0] & 128 ? IPPROTO_UDP : IPPROTO_TCP,
                .family = b[1] & 128 ? AF_INET6 : AF_INET,
                .netns = 1 + (b[1] >> 4 & 1),
                .old_state = b[2] & 15,
                .new_state = b[2] >> 4,
                .local_port = ports[b[3] & 7],
                .remote_port = ports[b[3] >> 4 & 7],
                .flags = b[5],
                .error = errors[b[6] & 7],
                .pid = b[7] & 15,
                .uid = b[7] & 128 ? UID_UNKNOWN : b[7] >> 4 & 7,
                .bytes_received = b[8],
                .bytes_sent = b[8],
                .ifindex = b[6] >> 6,
        };
        memcpy(ret->local, ends[b[4] & 7], 16);
        memcpy(ret->remote, ends[b[4] >> 4 & 7], 16);
        if (ret->type == EVENT_SNAPSHOT_BEGIN || ret->type == EVENT_SNAPSHOT_END)
                ret->netns = b[1] >> 4 & 3;
}

static void require_none(const char *wrong) {
        if (wrong) {
                fprintf(stderr, "%s\n", wrong);
                abort();
        }
}

/* What the recorder does besides handing events in. */
static void other_call(struct desk *d, const uint8_t *b) {
        const struct event who = { .pid = b[7] & 15, .uid = UID_UNKNOWN };
        enum live_extent extent = b[2] & 1 ? LIVE_LISTENERS : LIVE_CONNECTIONS;
        uint32_t netns, owner;
        struct record r = { .kind = extent == LIVE_LISTENERS ? RECORD_LISTEN : RECORD_OPEN,
                            .id = 1,
                            .cookie = b[1] & 15,
                            .netns = 1,
                            .transport = TRANSPORT_TCP,
                            .family = FAMILY_IPV4,
                            .local_port = 80,
                            .flags = b[5] & RECORD_FOUND,
                            .first_seen_usec = 4711 };

        if (b[2] & 2) {
                tracker_set_offset(d->tracker, (int64_t) (int8_t) b[8] * 1000000);
                (void) tracker_wants_listeners(d->tracker, &netns);
                return;
        }
        if (extent == LIVE_LISTENERS)
                r.exposure = EXPOSURE_ANY;
        else
                r.direction = DIRECTION_INBOUND;
        owner = desk_owner(d, &who);
        r.attribution = owner == OWNER_NONE ? ATTRIBUTION_UNKNOWN : ATTRIBUTION_EXACT;
        d->n_forgotten = d->n_forgotten ? d->n_forgotten : 1;
        tracker_restore(d->tracker, extent, &r, owner);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct desk d;
        uint64_t time = 100;
        size_t each;
        bool raw;

        if (size == 0)
                return 0;
        raw = data[0] & 1;
        each = raw ? sizeof(struct event) : BRIEF_SIZE;
        if (desk_init(&d, 1, 1) < 0)
                abort();
        d.n_forgotten = 1;
        for (data++, size--; size >= each; data += each, size -= each) {
                struct event ev;

                if (raw)
                        memcpy(&ev, data, sizeof(ev));
                else
                        brief_event(data, &time, &ev);
                d.no_owners = !raw && data[9] & 32;
                if (ev.type == EVENT_NONE && !raw)
                        other_call(&d, data);
                else
                        tracker_handle(d.tracker, &ev);
                require_none(desk_check(&d));
        }
        require_none(desk_done(&d));
        return 0;
}
