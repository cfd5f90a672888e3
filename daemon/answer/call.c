/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>

#include "daemon/answer/methods.h"

int call_start(struct call *c, const struct message *m) {
        const struct method *method = methods_find(m->method);
        const char *bad = NULL;
        int r;

        /* Nothing that can be called changes anything: without a reply there is nothing to do. */
        if (m->oneway)
                return 0;
        if (!method)
                return reply_named_error(c->replies, ERROR_METHOD_NOT_FOUND, "method", m->method);
        if (m->upgrade)
                return reply_named_error(c->replies, ERROR_METHOD_NOT_IMPLEMENTED, "method",
                                         m->method);
        if (method->needs_more && !m->more)
                return reply_plain_error(c->replies, ERROR_EXPECTED_MORE);
        if (m->bad_member[0])
                return reply_named_error(c->replies, ERROR_INVALID_PARAMETER, "parameter",
                                         m->bad_member);

        c->method = method;
        c->more = m->more;
        r = method->start(c, m->parameters, &bad);
        if (r > 0)
                return r;
        /* What bad points to is the message's or static, never the call's. */
        call_done(c);
        return r == -EINVAL
                       ? reply_named_error(c->replies, ERROR_INVALID_PARAMETER, "parameter", bad)
                       : r;
}

int call_step(struct call *c, uint64_t *budget) {
        return c->method->step(c, budget);
}

void call_done(struct call *c) {
        if (c->method && c->method->done)
                c->method->done(c);
        c->method = NULL;
}
