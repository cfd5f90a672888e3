/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/frame.h"

/*
 * A stream of bytes in odd-sized pieces. The first byte sets the size of the pieces. Whatever the
 * pieces, the messages cover the stream: nothing is given out twice, and nothing is left out but
 * what ends a message.
 */

#define REQUIRE(condition)                                                                         \
        do {                                                                                       \
                if (!(condition))                                                                  \
                        abort();                                                                   \
        } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_next(const uint8_t *data, size_t size, const char *text, size_t length, char end) {
        return size > length && memcmp(data, text, length) == 0 && (char) data[length] == end;
}

/* White space and the NUL that comes after the newline that has ended a message: in no message. */
static size_t late_nul(const uint8_t *data, size_t size) {
        size_t n = 0;

        while (n < size && strchr(" \t\r\n", data[n]) && data[n] != 0)
                n++;
        REQUIRE(n < size && data[n] == 0);
        return n + 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct frame f = {};
        size_t piece, at = 0, taken = 0;
        int r = 0;

        if (size == 0)
                return 0;
        piece = 1 + data[0];
        data++;
        size--;
        while (at < size && r == 0) {
                size_t room, n = size - at < piece ? size - at : piece, length;
                const char *text;
                char *to, end;

                REQUIRE(frame_space(&f, &to, &room) == 0);
                REQUIRE(room > 0);
                n = n < room ? n : room;
                memcpy(to, data + at, n);
                frame_received(&f, n);
                at += n;
                while ((r = frame_next(&f, at == size, &text, &length, &end)) > 0) {
                        REQUIRE(length <= FRAME_MAX_BYTES);
                        REQUIRE(end == '\0' || end == '\n');
                        REQUIRE(!memchr(text, 0, length));
                        if (!is_next(data + taken, at - taken, text, length, end))
                                taken += late_nul(data + taken, at - taken);
                        REQUIRE(is_next(data + taken, at - taken, text, length, end));
                        taken += length + 1;
                }
        }
        frame_done(&f);
        return 0;
}
