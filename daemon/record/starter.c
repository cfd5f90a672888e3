/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>

#include "daemon/log.h"
#include "starter.h"

/* systemd that does not answer must not make us keep more and more. */
#define PENDING_MAX 64U
#define ANSWER_USEC 30000000U

struct starter {
        sd_event *event;
        sd_bus *bus;
        unsigned n_pending;
};

int starter_new(struct starter **ret, sd_event *event) {
        struct starter *s = calloc(1, sizeof(*s));

        if (!s)
                return -ENOMEM;
        s->event = sd_event_ref(event);
        *ret = s;
        return 0;
}

struct starter *starter_free(struct starter *s) {
        if (!s)
                return NULL;
        sd_bus_close_unref(s->bus);
        sd_event_unref(s->event);
        free(s);
        return NULL;
}

static int connect_bus(struct starter *s) {
        int r;

        if (s->bus && sd_bus_is_open(s->bus) > 0)
                return 0;
        /* What was asked over the old one is not answered any more. */
        s->bus = sd_bus_close_unref(s->bus);
        s->n_pending = 0;
        r = sd_bus_open_system(&s->bus);
        if (r >= 0)
                r = sd_bus_attach_event(s->bus, s->event, SD_EVENT_PRIORITY_IDLE);
        if (r < 0)
                s->bus = sd_bus_close_unref(s->bus);
        return r;
}

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        const sd_bus_error *error = sd_bus_message_get_error(m);
        struct starter *s = userdata;

        (void) ret_error;
        if (s->n_pending > 0)
                s->n_pending--;
        if (error)
                log_warning("OnUnexpected=: systemd did not start the unit: %s",
                            error->message ? error->message : error->name);
        return 0;
}

/* The characters of a unit's name, systemd.unit(5). */
static void make_name(const char *template, const char *instance, char *ret, size_t size) {
        static const char allowed[] =
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:-_.";
        const char *at = strchr(template, '@');
        size_t used = (size_t) (at - template) + 1;

        if (used + strlen(instance) + strlen(at + 1) >= size) {
                ret[0] = 0;
                return;
        }
        memcpy(ret, template, used);
        for (; *instance; instance++)
                ret[used++] = strchr(allowed, *instance) ? *instance : '_';
        strcpy(ret + used, at + 1);
}

int starter_start(struct starter *s, const char *template, const char *instance) {
        char name[256];
        int r;

        if (s->n_pending >= PENDING_MAX)
                return -EBUSY;
        if (!strchr(template, '@'))
                return -EINVAL;
        make_name(template, instance, name, sizeof(name));
        if (!name[0])
                return -ENAMETOOLONG;
        r = connect_bus(s);
        if (r >= 0) {
                sd_bus_message *m = NULL;

                r = sd_bus_message_new_method_call(s->bus, &m, "org.freedesktop.systemd1",
                                                   "/org/freedesktop/systemd1",
                                                   "org.freedesktop.systemd1.Manager", "StartUnit");
                if (r >= 0)
                        r = sd_bus_message_append(m, "ss", name, "replace");
                if (r >= 0)
                        r = sd_bus_call_async(s->bus, NULL, m, on_answer, s, ANSWER_USEC);
                sd_bus_message_unref(m);
        }
        if (r < 0) {
                log_warning("OnUnexpected=: systemd could not be asked to start %s: %s", name,
                            strerror(-r));
                return r;
        }
        s->n_pending++;
        return 0;
}
