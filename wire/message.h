/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <json-c/json_object.h>
#include <stdbool.h>
#include <stddef.h>

#include "wire/validate.h"

/* A call as https://varlink.org/Method-Call has it. */
struct message {
        json_object *root;       /* owns the rest */
        const char *method;      /* any string, without NUL inside */
        json_object *parameters; /* an object, or NULL when there are none */
        bool more;               /* the caller takes several replies */
        bool oneway;             /* the caller takes none */
        bool upgrade;            /* the caller wants to speak another protocol afterwards */
        /* A member of the parameters that no method can take (validate.h); empty: none. */
        char bad_member[VALIDATE_NAME_MAX];
};

/* Why a message was refused, for the person who typed it. */
struct message_problem {
        char text[128];
};

/*
 * Takes a message apart. -EBADMSG: it is no call, and there is no use in listening on; *ret_problem
 * says why. -ENOMEM. Free with message_done(), which accepts a zeroed one.
 */
int message_parse(struct message *ret, const char *text, size_t size,
                  struct message_problem *ret_problem);
void message_done(struct message *m);

/* The errors of org.varlink.service, and the one for what is no call at all. */
#define ERROR_METHOD_NOT_FOUND       "org.varlink.service.MethodNotFound"
#define ERROR_METHOD_NOT_IMPLEMENTED "org.varlink.service.MethodNotImplemented"
#define ERROR_INTERFACE_NOT_FOUND    "org.varlink.service.InterfaceNotFound"
#define ERROR_INVALID_PARAMETER      "org.varlink.service.InvalidParameter"
#define ERROR_EXPECTED_MORE          "org.varlink.service.ExpectedMore"
#define ERROR_BAD_REQUEST            "io.portwatch.BadRequest"
