/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cells.h"
#include "cli/columns.h"
#include "cli/glyph.h"
#include "cli/json_print.h"
#include "cli/reply.h"
#include "lib/ports.h"
#include "wire/validate.h"

/*
 * Any answer to portctl, read in each of the shapes that it may be expected in: what the other
 * reader in the tree takes for strict JSON passes here too, what is printed of it is the same JSON,
 * and nothing reaches the terminal that could be taken for a command.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
        do {                                                                                       \
                if (!(condition))                                                                  \
                        abort();                                                                   \
        } while (0)

static struct style style = { .now_usec = 1795437296789000 };

/* New lines and blanks are of our own making in JSON that is printed nicely. */
static void require_safe(const struct buf *b, bool lines) {
        size_t at = 0;

        REQUIRE(!b->failed);
        while (at < b->size) {
                uint32_t code;
                size_t n = glyph_read(b->data + at, b->size - at, &code);

                REQUIRE(n > 0);
                REQUIRE(!glyph_unsafe(code) || (lines && code == '\n'));
                REQUIRE(!style.ascii || lines || code < 0x80);
                at += n;
        }
}

/* The value without white space, which printing it once more must not change. */
static void print_again(const char *text, size_t size, struct buf *ret) {
        struct buf copy = { 0 };
        char padding[JSON_PADDING] = { 0 };
        struct json j;

        json_print(ret, text, size, false);
        require_safe(ret, false);
        buf_put(&copy, ret->data, ret->size);
        buf_put(&copy, padding, sizeof(padding));
        json_start(&j, copy.data);
        REQUIRE(json_skip(&j) >= 0 && json_finish(&j) >= 0 && !j.rewrite);
        buf_done(&copy);
}

static void print(const char *text, size_t size, bool rewrite) {
        struct buf once = { 0 }, pretty = { 0 }, twice = { 0 };

        style.ascii = false;
        print_again(text, size, &once);
        /* What need not be changed is not. */
        REQUIRE(rewrite || (once.size == size && memcmp(once.data, text, size) == 0));
        json_print(&pretty, text, size, true);
        require_safe(&pretty, true);
        print_again(pretty.data, pretty.size, &twice);
        REQUIRE(once.size == twice.size && memcmp(once.data, twice.data, once.size) == 0);
        buf_done(&once);
        buf_done(&pretty);
        buf_done(&twice);
}

static void show(const void *item, unsigned set) {
        struct buf b = { 0 };

        for (unsigned mode = 0; mode < 4; mode++)
                for (size_t i = 0; i < columns_n; i++) {
                        const struct column *c = &columns_all[i];

                        /* Names of users are looked up outside, and are not the server's words. */
                        if (!(c->sets & set) || strcmp(c->name, "USER") == 0)
                                continue;
                        style.ascii = mode & 1;
                        style.machine = mode & 2;
                        b.size = 0;
                        column_put(c, &b, &style, item);
                        REQUIRE(b.size > 0);
                        require_safe(&b, false);
                        if (column_is_plain(c, item))
                                REQUIRE(glyph_width(b.data, b.size) == b.size);
                        REQUIRE(glyph_fit(b.data, b.size, b.size) == b.size);
                }
        buf_done(&b);
}

static int take_row(const struct row *row, void *userdata) {
        static const unsigned sets[] = {
                [ROW_MARK] = SET_EVENTS,
                [ROW_LISTENER] = SET_LISTENERS | SET_EVENTS,
                [ROW_CONNECTION] = SET_CONNECTIONS | SET_EVENTS,
        };

        (void) userdata;
        REQUIRE(row->text_size > 0 && row->text[0] == '{' && row->text[row->text_size - 1] == '}');
        print(row->text, row->text_size, row->rewrite);
        if (row->type != ROW_MARK) {
                REQUIRE(row->socket_text[0] == '{' &&
                        row->socket_text[row->socket_size - 1] == '}');
                print(row->socket_text, row->socket_size, row->rewrite);
        }
        (void) columns_row_tint(row);
        show(row, sets[row->type]);
        return 0;
}

static int take_count(const struct count *count, void *userdata) {
        (void) userdata;
        print(count->text, count->text_size, count->rewrite);
        show(count, SET_COUNTS);
        return 0;
}

static void compare(const char *text, size_t size) {
        struct validation validation;
        struct json j;

        json_start(&j, text);
        if (validate(text, size, &validation) == 0)
                REQUIRE(json_skip(&j) == 0 && json_finish(&j) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct reply_reader reader = { .row = take_row, .count = take_count };
        char *text, why[256];

        if (size > 64 * 1024 || memchr(data, '\0', size))
                return 0;
        text = calloc(1, size + JSON_PADDING);
        REQUIRE(text);
        memcpy(text, data, size);
        compare(text, size);
        for (unsigned shape = 0; shape < REPLY_SHAPE_MAX; shape++) {
                struct reply reply;
                int r;

                reader.shape = (enum reply_shape) shape;
                why[0] = '\0';
                r = reply_read(text, &reader, &reply, why);
                REQUIRE(r == 0 || why[0]);
                if (r < 0 || reply.error.data || !reply.parameters)
                        continue;
                print(reply.parameters, reply.parameters_size, true);
        }
        free(text);
        return 0;
}
