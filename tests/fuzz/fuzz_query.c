/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/answer/call.h"
#include "wire/validate.h"

/*
 * Any call, answered from a small record: whatever is asked, each reply is strict JSON, the last
 * one says that it is the last, and all comes to an end.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define REQUIRE(condition)                                                                         \
        do {                                                                                       \
                if (!(condition))                                                                  \
                        abort();                                                                   \
        } while (0)

static struct service service = { .max_followers = 1 };

static struct record make_record(unsigned i) {
        struct record r = {
                .kind = (uint8_t) (1 + i % (RECORD_KIND_MAX - 1)),
                .time_usec = 1000 + i,
                .opened_usec = 1000 + i / 2,
                .transport = (uint8_t) (1 + i % 2),
                .family = (uint8_t) (1 + i / 2 % 2),
                .direction = (uint8_t) (i % DIRECTION_MAX),
                .outcome = (uint8_t) (i % OUTCOME_MAX),
                .flags = (uint8_t) (i & ~(unsigned) RECORD_PENDING),
                .local_port = (uint16_t) (i * 400),
                .remote_port = (uint16_t) (i * 700),
                .netns = i % 2,
                .owner = OWNER_NONE,
        };

        memset(r.local, (int) i, 4);
        memset(r.remote, (int) i * 3, 16);
        return r;
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
        char path[] = "/tmp/fuzz-query-XXXXXX";
        struct history *history;
        struct live live;
        int dir, live_fd, error;
        bool aside;

        (void) argc;
        (void) argv;
        REQUIRE(mkdtemp(path));
        dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        live_fd = openat(dir, "live", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        REQUIRE(live_create(&live, live_fd, 256, 256, 256) == 0);
        REQUIRE(history_open(&history, dir, "history", HISTORY_SEGMENTS_MIN * HISTORY_SEGMENT_SIZE,
                             &aside) == 0);
        for (unsigned i = 0; i < 200; i++) {
                const struct owner o = { .pid = i, .uid = i % 3, .name = "a\xff", .unit = "x" };
                struct record r = make_record(i);
                uint32_t slot;

                history_append(history, &r, &o, 0, i % 2 ? "rule" : NULL, NULL);
                r.kind = i % 2 ? RECORD_LISTEN : RECORD_OPEN;
                REQUIRE(live_take(&live, i % 2 ? LIVE_LISTENERS : LIVE_CONNECTIONS, &slot) == 0);
                live_write(&live, i % 2 ? LIVE_LISTENERS : LIVE_CONNECTIONS, slot, &r);
        }
        REQUIRE(store_open(&service.store, live_fd, history_reader_fd(history), -1, "/dev/null",
                           &error) == 0);
        live_close(&live);
        history_close(history);
        unlinkat(dir, "live", 0);
        unlinkat(dir, "history", 0);
        close(dir);
        rmdir(path);
        return 0;
}

#define CONTINUES ",\"continues\":true}"

/* The shortest reply is longer than what is looked for. */
static bool ends_with(const char *end, const char *text) {
        size_t n = strlen(text);

        return memcmp(end - n, text, n) == 0;
}

static void check_replies(struct replies *out, bool all) {
        const char *at, *end;

        if (replies_unsent(out) == 0)
                return;
        at = out->w.data + out->sent;
        end = out->w.data + out->ready;
        while (at < end) {
                const char *stop = memchr(at, 0, (size_t) (end - at));
                struct validation v;

                REQUIRE(stop);
                REQUIRE(validate(at, (size_t) (stop - at), &v) == 0 && v.name[0] == 0);
                at = stop + 1;
                if (all && at == end)
                        REQUIRE(!ends_with(at - 1, CONTINUES));
        }
        replies_sent(out, replies_unsent(out));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const struct view view = { .full = size % 2, .uid = 1 };
        struct message_problem problem;
        struct replies replies;
        struct message m;
        struct call c;
        int r;

        if (message_parse(&m, (const char *) data, size, &problem) < 0)
                return 0;
        replies_init(&replies);
        c = (struct call){ .service = &service, .view = &view, .replies = &replies };
        r = call_start(&c, &m);
        REQUIRE(r >= 0);
        REQUIRE(m.oneway == (r == 0 && replies_unsent(&replies) == 0));
        message_done(&m);
        for (unsigned steps = 0; r > 0; steps++) {
                uint64_t budget = 1 + size % 64;

                r = call_step(&c, &budget);
                REQUIRE(r >= 0 && steps < 10000);
                check_replies(&replies, r == CALL_DONE);
                if (r == CALL_WAIT)
                        break;
                r = r != CALL_DONE;
        }
        check_replies(&replies, r == 0);
        call_done(&c);
        REQUIRE(service.followers == 0);
        replies_done(&replies);
        return 0;
}
