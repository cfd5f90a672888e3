/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "daemon/answer/counts.h"
#include "daemon/answer/listing.h"
#include "daemon/answer/methods.h"
#include "daemon/answer/params.h"
#include "daemon/answer/past.h"
#include "daemon/answer/status.h"
#include "wire/interface.h"

static int get_info(struct call *c, json_object *parameters, const char **ret_bad) {
        struct jsonw *w = &c->replies->w;
        uint32_t given;
        int r;

        r = params_read(parameters, NULL, 0, NULL, &given, ret_bad);
        if (r < 0)
                return r;
        reply_begin(c->replies);
        jsonw_key(w, "vendor");
        jsonw_string(w, PACKAGE_NAME);
        jsonw_key(w, "product");
        jsonw_string(w, PACKAGE_NAME);
        jsonw_key(w, "version");
        jsonw_string(w, PACKAGE_VERSION);
        jsonw_key(w, "url");
        jsonw_string(w, PACKAGE_URL);
        jsonw_key(w, "interfaces");
        jsonw_open(w, '[');
        for (size_t i = 0; i < interface_count(); i++)
                jsonw_string(w, interface_name(i));
        jsonw_close(w, ']');
        return reply_end(c->replies, false);
}

/* The string stays the parameter's. */
static int take_string(json_object *value, void *field, const char **ret_bad) {
        (void) ret_bad;
        if (!json_object_is_type(value, json_type_string))
                return -EINVAL;
        *(const char **) field = json_object_get_string(value);
        return 0;
}

static int get_interface_description(struct call *c, json_object *parameters,
                                     const char **ret_bad) {
        static const struct param table[] = {
                { "interface", PARAM_OTHER, .required = true, .take = take_string },
        };
        struct jsonw *w = &c->replies->w;
        const char *name, *text;
        uint32_t given;
        int r;

        r = params_read(parameters, table, 1, &name, &given, ret_bad);
        if (r < 0)
                return r;
        text = interface_text(name);
        if (!text)
                return reply_named_error(c->replies, ERROR_INTERFACE_NOT_FOUND, "interface", name);
        reply_begin(c->replies);
        jsonw_key(w, "description");
        jsonw_string(w, text);
        return reply_end(c->replies, false);
}

static const struct method method_get_info = {
        .name = "org.varlink.service.GetInfo",
        .start = get_info,
};

static const struct method method_get_interface_description = {
        .name = "org.varlink.service.GetInterfaceDescription",
        .start = get_interface_description,
};

static const struct method *const methods[] = {
        &method_listeners, &method_connections, &method_history,
        &method_follow,    &method_counts,      &method_port,
        &method_status,    &method_get_info,    &method_get_interface_description,
};

const struct method *methods_find(const char *name) {
        for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
                if (strcmp(methods[i]->name, name) == 0)
                        return methods[i];
        return NULL;
}
