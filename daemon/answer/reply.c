/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>

#include "daemon/answer/reply.h"

/* Room for names that are given back in errors and for what JSON needs around them. */
#define ERROR_MAX_BYTES (512U * 1024)

void replies_init(struct replies *r) {
        *r = (struct replies){
                .w.max = REPLY_PAUSE_BYTES + REPLY_MAX_BYTES + ERROR_MAX_BYTES,
                .limit = REPLY_MAX_BYTES,
        };
}

void replies_done(struct replies *r) {
        jsonw_done(&r->w);
        r->sent = r->ready = 0;
}

void replies_sent(struct replies *r, size_t size) {
        r->sent += size;
        if (r->sent == r->w.size)
                r->sent = r->ready = r->w.size = 0;
}

static void take_back(struct replies *r) {
        r->w.size = r->ready;
        r->w.failed = false;
}

/* What was sent makes room. */
static void move_down(struct replies *r) {
        if (r->sent == 0)
                return;
        memmove(r->w.data, r->w.data + r->sent, r->w.size - r->sent);
        r->w.size -= r->sent;
        r->ready -= r->sent;
        r->sent = 0;
}

void reply_begin(struct replies *r) {
        move_down(r);
        jsonw_literal(&r->w, "{\"parameters\":{");
}

void reply_error(struct replies *r, const char *error) {
        take_back(r);
        move_down(r);
        jsonw_literal(&r->w, "{\"error\":");
        jsonw_string(&r->w, error);
        jsonw_literal(&r->w, ",\"parameters\":{");
}

bool reply_is_too_large(const struct replies *r) {
        return r->w.failed || r->w.size - r->ready > r->limit;
}

int reply_end(struct replies *r, bool continues) {
        if (continues)
                jsonw_literal(&r->w, "},\"continues\":true}");
        else
                jsonw_literal(&r->w, "}}");
        jsonw_raw(&r->w, &r->end, 1);
        if (reply_is_too_large(r)) {
                take_back(r);
                return -EMSGSIZE;
        }
        r->ready = r->w.size;
        if (continues && r->send)
                r->send(r->userdata);
        return 0;
}

int reply_plain_error(struct replies *r, const char *error) {
        reply_error(r, error);
        return reply_end(r, false);
}

int reply_named_error(struct replies *r, const char *error, const char *parameter,
                      const char *value) {
        reply_error(r, error);
        jsonw_literal(&r->w, "\"");
        jsonw_raw(&r->w, parameter, strlen(parameter));
        jsonw_literal(&r->w, "\":");
        jsonw_string(&r->w, value);
        return reply_end(r, false);
}
