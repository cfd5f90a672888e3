/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>

#include "daemon/answer/batch.h"

/* A reply of several is given out when it is so large, also before it has all its entries. */
#define BATCH_BYTES (256U * 1024)

static void begin(struct call *c, struct batch *b) {
        struct jsonw *w = &c->replies->w;

        reply_begin(c->replies);
        if (b->shape->head)
                b->shape->head(c);
        jsonw_separate(w);
        jsonw_literal(w, "\"");
        jsonw_raw(w, b->shape->name, strlen(b->shape->name));
        jsonw_literal(w, "\":[");
        b->n = 0;
}

static int end(struct call *c, struct batch *b, bool continues) {
        if (!replies_open(c->replies))
                begin(c, b);
        jsonw_close(&c->replies->w, ']');
        if (b->shape->tail)
                b->shape->tail(c);
        return reply_end(c->replies, continues);
}

static unsigned max_entries(const struct batch *b) {
        return b->replies < REPLY_SMALL_REPLIES ? REPLY_SMALL_ENTRIES : REPLY_MAX_ENTRIES;
}

int batch_flush(struct call *c, struct batch *b) {
        b->replies++;
        return end(c, b, true);
}

int batch_end(struct call *c, struct batch *b) {
        int r = end(c, b, false);

        if (r == -EMSGSIZE && !c->more)
                r = reply_plain_error(c->replies, ERROR_EXPECTED_MORE);
        return r < 0 ? r : (int) CALL_DONE;
}

int batch_add(struct call *c, struct batch *b) {
        struct replies *out = c->replies;
        int r;

        if (!c->more && reply_is_too_large(out)) {
                r = reply_plain_error(out, ERROR_EXPECTED_MORE);
                return r < 0 ? r : (int) CALL_DONE;
        }
        if (c->more && replies_open(out) &&
            (b->n >= max_entries(b) || out->w.size - out->ready >= BATCH_BYTES)) {
                r = batch_flush(c, b);
                if (r < 0)
                        return r;
        }
        if (!replies_open(out))
                begin(c, b);
        b->n++;
        return 1;
}
