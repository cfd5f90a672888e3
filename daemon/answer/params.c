/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <json-c/json_object_iterator.h>
#include <string.h>

#include "daemon/answer/params.h"

static int take_bool(json_object *value, bool *to) {
        if (!json_object_is_type(value, json_type_boolean))
                return -EINVAL;
        *to = json_object_get_boolean(value);
        return 0;
}

static int take_number(json_object *value, uint64_t min, uint64_t max, uint64_t *to) {
        int64_t number;

        if (!json_object_is_type(value, json_type_int))
                return -EINVAL;
        number = json_object_get_int64(value);
        if (number < 0 || (uint64_t) number < min || (uint64_t) number > max)
                return -EINVAL;
        *to = (uint64_t) number;
        return 0;
}

static int take_text(json_object *value, size_t size, char *to) {
        size_t length;

        if (!json_object_is_type(value, json_type_string))
                return -EINVAL;
        length = (size_t) json_object_get_string_len(value);
        if (length == 0)
                return -EINVAL;
        if (length >= size)
                length = size - 1;
        memcpy(to, json_object_get_string(value), length);
        to[length] = 0;
        return 0;
}

static int take_word(json_object *value, int (*parse)(const char *word), uint8_t *to) {
        int word;

        if (!json_object_is_type(value, json_type_string))
                return -EINVAL;
        word = parse(json_object_get_string(value));
        if (word < 0)
                return -EINVAL;
        *to = (uint8_t) word;
        return 0;
}

static int take_param(const struct param *p, json_object *value, void *field,
                      const char **ret_bad) {
        switch (p->type) {
        case PARAM_BOOL:
                return take_bool(value, field);
        case PARAM_NUMBER:
                return take_number(value, p->min, p->max, field);
        case PARAM_TEXT:
                return take_text(value, p->max, field);
        case PARAM_WORD:
                return take_word(value, p->parse, field);
        case PARAM_OTHER:
                return p->take(value, field, ret_bad);
        }
        return -EINVAL;
}

static const struct param *find_param(const struct param *table, size_t n, const char *name) {
        for (size_t i = 0; i < n; i++)
                if (strcmp(table[i].name, name) == 0)
                        return &table[i];
        return NULL;
}

static int read_member(const struct param *table, size_t n, const char *name, json_object *value,
                       void *to, uint32_t *given, const char **ret_bad) {
        const struct param *p = find_param(table, n, name);
        const char *bad = name;
        int r;

        if (!p) {
                *ret_bad = name;
                return -EINVAL;
        }
        if (!value) /* null: as if it were absent */
                return 0;
        r = take_param(p, value, (uint8_t *) to + p->offset, &bad);
        if (r == -EINVAL)
                *ret_bad = bad;
        if (r == 0)
                *given |= 1U << (p - table);
        return r;
}

int params_read(json_object *o, const struct param *table, size_t n, void *to, uint32_t *ret_given,
                const char **ret_bad) {
        uint32_t given = 0;

        if (o) {
                struct json_object_iterator it = json_object_iter_begin(o);
                struct json_object_iterator end = json_object_iter_end(o);

                for (; !json_object_iter_equal(&it, &end); json_object_iter_next(&it)) {
                        int r = read_member(table, n, json_object_iter_peek_name(&it),
                                            json_object_iter_peek_value(&it), to, &given, ret_bad);

                        if (r < 0)
                                return r;
                }
        }
        for (size_t i = 0; i < n; i++)
                if (table[i].required && !(given & 1U << i)) {
                        *ret_bad = table[i].name;
                        return -EINVAL;
                }
        *ret_given = given;
        return 0;
}
