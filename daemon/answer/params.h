/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <json-c/json_object.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a method, or an object within its parameters, takes: one row a member. */
enum param_type {
        PARAM_BOOL,   /* to bool */
        PARAM_NUMBER, /* whole, from min to max; to uint64_t */
        PARAM_TEXT,   /* to char[max], cut to it; not empty */
        PARAM_WORD,   /* a word that parse() knows; to uint8_t */
        PARAM_OTHER,  /* by take() */
};

struct param {
        const char *name;
        enum param_type type;
        bool required; /* neither absent nor null */
        size_t offset; /* in the structure that is filled */
        uint64_t min;
        uint64_t max;
        int (*parse)(const char *word); /* negative: not a word of that type */
        /*
         * value is never NULL. 0, -ENOMEM, or -EINVAL, then with the name of the member in *ret_bad
         * if it was one within value.
         */
        int (*take)(json_object *value, void *field, const char **ret_bad);
};

/*
 * Fills the structure at to from the members of o (NULL: there are none), each of which must be in
 * the table and be what its row says. Bit i of *ret_given is set when row i was given. Returns 0,
 * -ENOMEM, or -EINVAL with the name of the member that is wrong in *ret_bad, good as long as o.
 * What take() has allocated is the caller's to free, also after an error.
 */
int params_read(json_object *o, const struct param *table, size_t n, void *to, uint32_t *ret_given,
                const char **ret_bad);
