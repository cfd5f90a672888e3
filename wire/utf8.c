/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "wire/utf8.h"

/* First bytes with what may follow as the second; RFC 3629, section 4, UTF8-octets. */
static const struct {
        uint8_t first, last;
        uint8_t length;
        uint8_t second_first, second_last;
} sequences[] = {
        { 0x00, 0x7F, 1, 0, 0 },       { 0xC2, 0xDF, 2, 0x80, 0xBF }, { 0xE0, 0xE0, 3, 0xA0, 0xBF },
        { 0xE1, 0xEC, 3, 0x80, 0xBF }, { 0xED, 0xED, 3, 0x80, 0x9F }, { 0xEE, 0xEF, 3, 0x80, 0xBF },
        { 0xF0, 0xF0, 4, 0x90, 0xBF }, { 0xF1, 0xF3, 4, 0x80, 0xBF }, { 0xF4, 0xF4, 4, 0x80, 0x8F },
};

size_t utf8_length(const char *s, size_t size) {
        const uint8_t *b = (const uint8_t *) s;

        if (size == 0)
                return 0;
        for (size_t i = 0; i < sizeof(sequences) / sizeof(sequences[0]); i++) {
                size_t length = sequences[i].length;

                if (b[0] < sequences[i].first || b[0] > sequences[i].last)
                        continue;
                if (length > size)
                        return 0;
                if (length > 1 &&
                    (b[1] < sequences[i].second_first || b[1] > sequences[i].second_last))
                        return 0;
                for (size_t j = 2; j < length; j++)
                        if ((b[j] & 0xC0) != 0x80)
                                return 0;
                return length;
        }
        return 0;
}

size_t utf8_put(char ret[static 4], uint32_t code) {
        if (code < 0x80) {
                ret[0] = (char) code;
                return 1;
        }
        if (code < 0x800) {
                ret[0] = (char) (0xC0 | code >> 6);
                ret[1] = (char) (0x80 | (code & 0x3F));
                return 2;
        }
        if (code < 0x10000) {
                ret[0] = (char) (0xE0 | code >> 12);
                ret[1] = (char) (0x80 | (code >> 6 & 0x3F));
                ret[2] = (char) (0x80 | (code & 0x3F));
                return 3;
        }
        ret[0] = (char) (0xF0 | code >> 18);
        ret[1] = (char) (0x80 | (code >> 12 & 0x3F));
        ret[2] = (char) (0x80 | (code >> 6 & 0x3F));
        ret[3] = (char) (0x80 | (code & 0x3F));
        return 4;
}
