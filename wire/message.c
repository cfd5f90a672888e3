/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <json-c/json_object_iterator.h>
#include <json-c/json_tokener.h>
#include <stdio.h>
#include <string.h>

#include "wire/message.h"

/* json-c counts depth differently; what is too deep was refused before. */
#define PARSER_DEPTH ((int) VALIDATE_DEPTH_MAX + 2)

static int refuse(struct message_problem *ret, const char *what, const char *name) {
        snprintf(ret->text, sizeof(ret->text), "%s%s", what, name);
        return -EBADMSG;
}

static int take_flag(json_object *value, const char *name, bool *ret,
                     struct message_problem *ret_problem) {
        if (!json_object_is_type(value, json_type_boolean))
                return refuse(ret_problem, "true or false was expected for ", name);
        *ret = json_object_get_boolean(value);
        return 0;
}

static int take_member(struct message *m, const char *name, json_object *value,
                       struct message_problem *ret_problem) {
        const struct {
                const char *name;
                bool *flag;
        } flags[] = {
                { "more", &m->more },
                { "oneway", &m->oneway },
                { "upgrade", &m->upgrade },
        };

        if (strcmp(name, "method") == 0) {
                if (!json_object_is_type(value, json_type_string))
                        return refuse(ret_problem, "a string was expected for ", name);
                m->method = json_object_get_string(value);
                return 0;
        }
        if (strcmp(name, "parameters") == 0) {
                if (value && !json_object_is_type(value, json_type_object))
                        return refuse(ret_problem, "an object was expected for ", name);
                m->parameters = value;
                return 0;
        }
        for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
                if (strcmp(name, flags[i].name) == 0)
                        return take_flag(value, name, flags[i].flag, ret_problem);
        return refuse(ret_problem, "a call has no member ", name);
}

static int take_call(struct message *m, struct message_problem *ret_problem) {
        struct json_object_iterator it, end;

        if (!json_object_is_type(m->root, json_type_object))
                return refuse(ret_problem, "an object was expected", "");
        it = json_object_iter_begin(m->root);
        end = json_object_iter_end(m->root);
        for (; !json_object_iter_equal(&it, &end); json_object_iter_next(&it)) {
                int r = take_member(m, json_object_iter_peek_name(&it),
                                    json_object_iter_peek_value(&it), ret_problem);

                if (r < 0)
                        return r;
        }
        if (!m->method)
                return refuse(ret_problem, "a call needs a method", "");
        if (m->more + m->oneway + m->upgrade > 1)
                return refuse(ret_problem, "only one of more, oneway and upgrade can be true", "");
        return 0;
}

int message_parse(struct message *ret, const char *text, size_t size,
                  struct message_problem *ret_problem) {
        struct message m = {};
        struct validation v;
        enum json_tokener_error error;
        json_tokener *parser;
        int r;

        r = validate(text, size, &v);
        if (r < 0) {
                snprintf(ret_problem->text, sizeof(ret_problem->text), "%s at byte %zu", v.problem,
                         v.offset + 1);
                return r;
        }
        parser = json_tokener_new_ex(PARSER_DEPTH);
        if (!parser)
                return -ENOMEM;
        json_tokener_set_flags(parser, JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS);
        m.root = json_tokener_parse_ex(parser, text, (int) size);
        error = json_tokener_get_error(parser);
        json_tokener_free(parser);
        if (!m.root)
                return error == json_tokener_success || error == json_tokener_continue
                               ? refuse(ret_problem, "an object was expected", "")
                               : refuse(ret_problem, json_tokener_error_desc(error), "");
        memcpy(m.bad_member, v.name, sizeof(m.bad_member));

        r = take_call(&m, ret_problem);
        if (r < 0) {
                message_done(&m);
                return r;
        }
        *ret = m;
        return 0;
}

void message_done(struct message *m) {
        json_object_put(m->root);
        *m = (struct message){};
}
