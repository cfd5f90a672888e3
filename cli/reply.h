/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "cli/json.h"

/*
 * What the answers of io.portwatch say, read field by field from tables. Unknown fields are checked
 * as JSON and passed over, so that a newer daemon can add some; a field that is missing or of
 * another type is an error with the field's name.
 */

#define REPLY_NULL INT64_MIN /* an integer that is null */

enum row_type {
        ROW_MARK, /* an event about no socket: lost, start, stop */
        ROW_LISTENER,
        ROW_CONNECTION,
};

enum truth {
        TRUTH_NULL = -1,
        TRUTH_FALSE,
        TRUTH_TRUE,
};

struct endpoint {
        struct json_string address;
        int64_t port;
};

struct reply_owner {
        int64_t pid;
        struct json_string name;
        struct json_string executable;
        int64_t uid;
        struct json_string unit;
        struct json_string container;
        struct json_string attribution;
};

/* A Listener or a Connection; the fields of the other one stay null. */
struct reply_socket {
        int64_t id;
        struct json_string transport;
        struct json_string family;
        struct json_string direction;
        struct endpoint local;
        struct endpoint remote;
        struct json_string exposure;
        struct json_string category;
        struct json_string service;
        int64_t netns;
        struct reply_owner owner;  /* who serves it: the holder, where there is one */
        struct reply_owner opener; /* who opened it, where that is another; else all is null */
        int64_t opened_usec;
        int64_t first_seen_usec;
        int64_t closed_usec;
        int64_t bytes_received;
        int64_t bytes_sent;
        struct json_string outcome;
        int64_t expected; /* enum truth */
        struct json_string rule;
};

/* One listener, connection or event, whichever was asked for. Points into the answer. */
struct row {
        enum row_type type;
        struct reply_socket socket;
        /* Events alone; kind.data is NULL otherwise. */
        int64_t seq;
        int64_t time_usec;
        struct json_string kind;
        int64_t lost;
        int64_t attempts;
        /* What the server wrote: the whole, and of an event its socket. */
        const char *text;
        size_t text_size;
        const char *socket_text;
        size_t socket_size;
        bool rewrite; /* the text is not fit to be printed as it stands, see json.h */
};

struct count {
        struct json_string key;
        int64_t listeners;
        int64_t unexpected;
        int64_t open;
        int64_t inbound;
        int64_t outbound;
        int64_t refused;
        int64_t bytes_received;
        int64_t bytes_sent;
        const char *text;
        size_t text_size;
        bool rewrite;
};

/* What is known of listeners that were the same. */
struct biography {
        struct json_string transport;
        int64_t port;
        struct json_string exposure;
        struct json_string program;
        struct json_string container;
        int64_t uid;
        int64_t first_seen_usec;
        int64_t last_seen_usec;
        int64_t times_opened;
};

/* Negative errno stops the reading and is returned by reply_read(). */
typedef int (*reply_row_fn)(const struct row *row, void *userdata);
typedef int (*reply_count_fn)(const struct count *count, void *userdata);
typedef int (*reply_known_fn)(const struct biography *one, void *userdata);

enum reply_shape {
        REPLY_LISTENERS,
        REPLY_CONNECTIONS,
        REPLY_EVENTS, /* of History and Follow */
        REPLY_COUNTS,
        REPLY_PORT,
        REPLY_STATUS,
        REPLY_SHAPE_MAX,
};

struct reply_port {
        int64_t port;
        struct json_string category;
        struct json_string services[16]; /* the first of them */
        size_t n_services;
        int64_t ephemeral; /* enum truth */
};

/* A hand-over that can drop, and how often it has. */
struct reply_loss {
        struct json_string where;
        int64_t count;
};

struct reply_status {
        struct json_string version;
        struct json_string source;
        struct json_string state;
        int64_t started_usec;
        struct json_string boot_id;
        struct json_string view;
        int64_t listeners;
        int64_t unexpected;
        int64_t connections;
        int64_t events;
        int64_t lost;
        int64_t oldest_seq;
        int64_t next_seq;
        int64_t oldest_usec;
        int64_t capacity_bytes;
        /* From here on null or nothing from a daemon that does not tell. */
        struct json_string source_detail;
        struct json_string degraded_reason;
        int64_t netns;
        int64_t followers;
        int64_t clients;
        struct reply_loss losses[32]; /* the first of them */
        size_t n_losses;
        int64_t pid;
        int64_t audited_usec;
        int64_t rules;
        int64_t rules_usec;
        struct json_string rules_error;
        int64_t learning_until_usec;
        int64_t judging; /* see reply_judges() */
};

/* One answer, up to its NUL. */
struct reply {
        struct json_string error;     /* the full name of an error; data is NULL if there is none */
        struct json_string parameter; /* InvalidParameter: which; MethodNotFound: method */
        int64_t limit;                /* TooManyFollowers */
        bool continues;
        const char *parameters; /* as written; NULL if absent */
        size_t parameters_size;
        bool rewrite;
        int64_t oldest_seq; /* History, HistoryTruncated */
        int64_t next_seq;   /* History */
        struct reply_port port;
        struct reply_status status;
};

struct reply_reader {
        enum reply_shape shape;
        reply_row_fn row;
        reply_count_fn count;
        reply_known_fn known; /* of REPLY_PORT; may be NULL */
        void *userdata;
};

/*
 * The bytes of an address of that family (of record.h), without its scope: the first four of IPv4,
 * none of a packet socket, the rest stays. 0, or -EPROTO when it is none.
 */
int reply_address(const struct endpoint *e, unsigned family, uint8_t ret[static 16]);

/* Does the daemon judge what listens? One that does not tell whether does if it has rules. */
bool reply_judges(const struct reply_status *s);

/*
 * Reads the answer at text, padded as json.h wants it, handing its rows to the reader as they are
 * met. Returns 0, or -EBADMSG (no JSON), -EPROTO (not what the interface says) with a sentence in
 * why, or what the reader returned.
 */
int reply_read(const char *text, const struct reply_reader *reader, struct reply *ret,
               char why[static 256]);
