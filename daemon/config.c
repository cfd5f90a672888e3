/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <libeconf.h>
#include <libeconf_ext.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/conffile.h"
#include "daemon/config.h"

#define KIB    UINT64_C(1024)
#define MIB    (1024 * KIB)
#define GIB    (1024 * MIB)
#define MSEC   UINT64_C(1000)
#define SEC    (1000 * MSEC)
#define MINUTE (60 * SEC)
#define HOUR   (60 * MINUTE)

enum type {
        TYPE_CHOICE, /* one of words, stored as its index */
        TYPE_COUNT,
        TYPE_SIZE,       /* bytes */
        TYPE_POWER_SIZE, /* bytes, a power of two */
        TYPE_TIME,       /* microseconds */
        TYPE_NAME,       /* of a user or group */
        TYPE_UNIT,       /* a template unit whose name begins with portwatch-, or nothing */
};

static const char *const source_words[] = { "auto", "ebpf", "netlink", NULL };
static const char *const boolean_words[] = { "no", "yes", NULL };
static const char *const storage_words[] = { "persistent", "volatile", NULL };

/* All there is to configure. Parsing, the defaults and the shipped file follow from this table. */
static const struct option {
        const char *section;
        const char *key;
        enum type type;
        size_t offset;
        uint64_t min;
        uint64_t max;
        const char *initial;
        const char *const *words;
        const char *help; /* for the shipped file */
} options[] = {
#define FIELD(name) offsetof(struct config, name)
        { "Recorder", "Source", TYPE_CHOICE, FIELD(source), 0, 0, "auto", source_words,
          "Where events come from: ebpf, netlink, or auto for the best that works." },
        { "Recorder", "Storage", TYPE_CHOICE, FIELD(storage), 0, 0, "persistent", storage_words,
          "Whether the history outlives a boot." },
        { "Recorder", "HistorySize", TYPE_SIZE, FIELD(history_size_bytes), 12 * MIB, 64 * GIB,
          "64M", NULL, "Disk taken by the history; the oldest of it makes room for the newest." },
        { "Recorder", "MaxListeners", TYPE_COUNT, FIELD(max_listeners), 16, 1 << 20, "16384", NULL,
          "Listeners that are open at a time." },
        { "Recorder", "MaxConnections", TYPE_COUNT, FIELD(max_connections), 16, 1 << 24, "262144",
          NULL, "Connections that are open at a time." },
        { "Recorder", "MaxOwners", TYPE_COUNT, FIELD(max_owners), 16, 1 << 20, "65536", NULL,
          "Processes that are behind them." },
        { "Recorder", "SyncIntervalSec", TYPE_TIME, FIELD(sync_interval_usec), 100 * MSEC, HOUR,
          "5s", NULL, "What a loss of power can take from the history, at most." },
        { "Recorder", "RingBufferSize", TYPE_POWER_SIZE, FIELD(ring_buffer_bytes), 64 * KIB, GIB,
          "16M", NULL, "Source=ebpf: events that wait to be read; a power of two." },
        { "Recorder", "UdpPeers", TYPE_CHOICE, FIELD(udp_peers), 0, 0, "no", boolean_words,
          "Source=ebpf: record who sends datagrams to unconnected UDP sockets." },
        { "Recorder", "ReceiveBufferSize", TYPE_SIZE, FIELD(receive_buffer_bytes), 64 * KIB,
          512 * MIB, "32M", NULL,
          "Source=netlink: events that wait to be read, for each network namespace." },
        { "Recorder", "PollIntervalSec", TYPE_TIME, FIELD(poll_interval_usec), 10 * MSEC, MINUTE,
          "500ms", NULL, "Source=netlink: how often new sockets are looked for." },
        { "Policy", "Learn", TYPE_TIME, FIELD(learn_usec), 0, 366 * 24 * HOUR, "0", NULL,
          "For so long after the first start new listeners are taken for expected." },
        { "Policy", "TrustSocketUnits", TYPE_CHOICE, FIELD(trust_socket_units), 0, 0, "no",
          boolean_words, "Take listeners that systemd opens for socket units for expected." },
        { "Policy", "OnUnexpected", TYPE_UNIT, FIELD(on_unexpected), 0, 0, "", NULL,
          "What to start for an unexpected listener, with the listener as its instance." },
        { "Answerer", "User", TYPE_NAME, FIELD(user), 0, 0, "portwatch-answer", NULL,
          "Who the process that answers queries runs as." },
        { "Answerer", "Group", TYPE_NAME, FIELD(group), 0, 0, "portwatch", NULL,
          "Whose members see all; others see what ss and ps would show them." },
        { "Answerer", "MaxClients", TYPE_COUNT, FIELD(max_clients), 1, 4096, "256", NULL,
          "Clients that are connected at a time." },
        { "Answerer", "MaxClientsPerUser", TYPE_COUNT, FIELD(max_clients_per_user), 1, 4096, "64",
          NULL, "Those of one user." },
        { "Answerer", "MaxFollowers", TYPE_COUNT, FIELD(max_followers), 1, 4096, "32", NULL,
          "Those that follow events." },
#undef FIELD
};
#define N_OPTIONS (sizeof(options) / sizeof(options[0]))

struct suffix {
        const char *name;
        uint64_t factor;
};

static const struct suffix size_suffixes[] = {
        { "", 1 }, { "K", KIB }, { "M", MIB }, { "G", GIB }, { NULL, 0 },
};

/* A time without a unit is in seconds, as the keys' names say. */
static const struct suffix time_suffixes[] = {
        { "us", 1 },   { "ms", MSEC },     { "s", SEC }, { "min", MINUTE },
        { "h", HOUR }, { "d", 24 * HOUR }, { "", SEC },  { NULL, 0 },
};

static const struct suffix count_suffixes[] = { { "", 1 }, { NULL, 0 } };

static const struct suffix *suffixes_of(enum type type) {
        switch (type) {
        case TYPE_SIZE:
        case TYPE_POWER_SIZE:
                return size_suffixes;
        case TYPE_TIME:
                return time_suffixes;
        default:
                return count_suffixes;
        }
}

static const struct option *option_find(const char *section, const char *key) {
        for (size_t i = 0; i < N_OPTIONS; i++)
                if (strcmp(options[i].section, section) == 0 && strcmp(options[i].key, key) == 0)
                        return &options[i];
        return NULL;
}

static int parse_choice(const char *const *words, const char *s, uint64_t *ret) {
        for (uint64_t i = 0; words[i]; i++)
                if (strcmp(words[i], s) == 0) {
                        *ret = i;
                        return 0;
                }
        return -EINVAL;
}

/* Digits and a suffix, nothing else: no sign, no blank, no fraction. */
static int parse_number(const struct suffix *suffixes, const char *s, uint64_t *ret) {
        size_t digits = strspn(s, "0123456789");
        uint64_t n = 0;

        if (digits == 0)
                return -EINVAL;
        for (size_t i = 0; i < digits; i++)
                if (__builtin_mul_overflow(n, UINT64_C(10), &n) ||
                    __builtin_add_overflow(n, (uint64_t) (s[i] - '0'), &n))
                        return -ERANGE;
        for (; suffixes->name; suffixes++)
                if (strcmp(suffixes->name, s + digits) == 0)
                        return __builtin_mul_overflow(n, suffixes->factor, ret) ? -ERANGE : 0;
        return -EINVAL;
}

/* The names that systemd-sysusers takes, sysusers.d(5). */
static bool name_valid(const char *s) {
        static const char first[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
        static const char others[] =
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789-";
        size_t n = strlen(s);

        return n > 0 && n < CONFIG_NAME_SIZE && strspn(s, first) > 0 && strspn(s, others) == n;
}

/*
 * Empty, or a template (systemd.unit(5)). Only names of a fixed beginning: who may start units is
 * ruled by name (polkit(8)), and the recorder is to start those alone.
 */
static bool unit_valid(const char *s) {
        static const char beginning[] = "portwatch-", end[] = "@.service";
        static const char others[] =
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:-_.\\";
        size_t n = strlen(s), name = n - (sizeof(end) - 1);

        if (n == 0)
                return true;
        return n < CONFIG_UNIT_SIZE && n >= sizeof(beginning) - 1 + sizeof(end) &&
               strncmp(s, beginning, sizeof(beginning) - 1) == 0 && strcmp(s + name, end) == 0 &&
               strspn(s, others) == name;
}

/* Sets what o stands for. Returns 0, -EINVAL or -ERANGE. */
static int option_set(const struct option *o, struct config *config, const char *value) {
        void *field = (char *) config + o->offset;
        uint64_t n = 0;
        int r;

        if (o->type == TYPE_NAME || o->type == TYPE_UNIT) {
                if (!(o->type == TYPE_NAME ? name_valid(value) : unit_valid(value)))
                        return -EINVAL;
                strcpy(field, value);
                return 0;
        }
        if (o->type == TYPE_CHOICE) {
                r = parse_choice(o->words, value, &n);
        } else {
                r = parse_number(suffixes_of(o->type), value, &n);
                if (r == 0 && (n < o->min || n > o->max))
                        r = -ERANGE;
                if (r == 0 && o->type == TYPE_POWER_SIZE && (n & (n - 1)) != 0)
                        r = -EINVAL;
        }
        if (r == 0)
                *(uint64_t *) field = n;
        return r;
}

/* Writes n with the largest suffix that leaves it whole: 67108864 is 64M. */
static void format_number(enum type type, uint64_t n, char ret[static 32]) {
        const struct suffix *best = suffixes_of(type); /* the first one leaves everything whole */

        for (const struct suffix *s = best; s->name; s++)
                if (s->name[0] && n % s->factor == 0 && s->factor > best->factor)
                        best = s;
        snprintf(ret, 32, "%" PRIu64 "%s", n / best->factor, best->name);
}

/* What o takes, as it follows "expected ". */
static void option_describe(const struct option *o, char *ret, size_t size) {
        static const char *const nouns[] = {
                [TYPE_COUNT] = "a number",
                [TYPE_SIZE] = "a size in bytes, or with K, M or G,",
                [TYPE_POWER_SIZE] = "a power of two in bytes, or with K, M or G,",
                [TYPE_TIME] = "a time in seconds, or with us, ms, s, min, h or d,",
        };
        char min[32], max[32];
        size_t used = 0;

        if (o->type == TYPE_NAME) {
                snprintf(ret, size, "the name of a user or group of at most %d characters",
                         CONFIG_NAME_SIZE - 1);
        } else if (o->type == TYPE_UNIT) {
                snprintf(ret, size, "nothing, or a name as portwatch-NAME@.service");
        } else if (o->type == TYPE_CHOICE) {
                for (size_t i = 0; o->words[i] && used < size; i++)
                        used += (size_t) snprintf(ret + used, size - used, "%s%s",
                                                  i == 0            ? ""
                                                  : o->words[i + 1] ? ", "
                                                                    : " or ",
                                                  o->words[i]);
        } else {
                format_number(o->type, o->min, min);
                format_number(o->type, o->max, max);
                snprintf(ret, size, "%s from %s to %s", nouns[o->type], min, max);
        }
}

/* Lists the sections, or the keys of a section, that there are. */
static void list_names(const char *section, char *ret, size_t size) {
        const char *previous = "";
        size_t used = 0;

        ret[0] = '\0';
        for (size_t i = 0; i < N_OPTIONS && used < size; i++) {
                if (section ? strcmp(options[i].section, section) != 0
                            : strcmp(options[i].section, previous) == 0)
                        continue;
                previous = options[i].section;
                used += (size_t) snprintf(ret + used, size - used, section ? "%s%s" : "%s[%s]",
                                          used > 0 ? ", " : "",
                                          section ? options[i].key : options[i].section);
        }
}

static bool is_known(const char *section, const char *key,
                     char ret_expected[static CONFFILE_EXPECTED_SIZE]) {
        char names[CONFFILE_EXPECTED_SIZE - 64];

        if (key && option_find(section, key))
                return true;
        if (!key)
                for (size_t i = 0; i < N_OPTIONS; i++)
                        if (strcmp(options[i].section, section) == 0)
                                return true;
        list_names(key ? section : NULL, names, sizeof(names));
        if (key)
                snprintf(ret_expected, CONFFILE_EXPECTED_SIZE, "a key of [%s] (%s)", section,
                         names);
        else
                snprintf(ret_expected, CONFFILE_EXPECTED_SIZE, "a section (%s)", names);
        return false;
}

/* Takes the value of one key out of a parsed file; an empty one stands for the default. */
static int apply_key(struct config *config, econf_file *file, const char *path,
                     const struct conffile_key *key, char **ret_error) {
        const struct option *o = option_find(key->section, key->key);
        char expected[CONFFILE_EXPECTED_SIZE];
        char *value = NULL;
        econf_err e;
        int r;

        e = econf_getStringValue(file, key->section, key->key, &value);
        if (e == ECONF_NOMEM)
                return -ENOMEM;
        if (e == ECONF_SUCCESS || e == ECONF_KEY_HAS_NULL_VALUE)
                r = option_set(o, config, value && *value ? value : o->initial);
        else
                r = -EINVAL;
        free(value);
        if (r == 0)
                return 0;
        option_describe(o, expected, sizeof(expected));
        if (asprintf(ret_error, "%s:%u:%u: expected %s", path, key->line, key->value_column,
                     expected) < 0)
                *ret_error = NULL;
        return -EINVAL;
}

static int load_file(struct config *config, const char *path, char **ret_error) {
        struct conffile_keys *keys = NULL;
        econf_file *file = NULL;
        econf_err e;
        int r;

        keys = malloc(sizeof(*keys));
        if (!keys)
                return -ENOMEM;
        r = conffile_scan(keys, path, is_known, ret_error);
        if (r < 0)
                goto finish;
        e = econf_readFile(&file, path, "=", "#");
        if (e != ECONF_SUCCESS) {
                char *where = NULL;
                uint64_t line = 0;

                econf_errLocation(&where, &line);
                free(where);
                if (asprintf(ret_error, "%s:%" PRIu64 ":1: %s", path, line, econf_errString(e)) < 0)
                        *ret_error = NULL;
                r = e == ECONF_NOMEM ? -ENOMEM : -EINVAL;
                goto finish;
        }
        for (size_t i = 0; i < keys->n_keys && r == 0; i++)
                r = apply_key(config, file, path, &keys->keys[i], ret_error);

finish:
        econf_freeFile(file);
        free(keys);
        return r;
}

void config_defaults(struct config *ret) {
        memset(ret, 0, sizeof(*ret));
        for (size_t i = 0; i < N_OPTIONS; i++)
                (void) option_set(&options[i], ret, options[i].initial);
}

const char *const *config_dirs(void) {
        static const char *const installed[] = { SYSCONFDIR "/portwatch", RUNSTATEDIR "/portwatch",
                                                 VENDORCONFDIR, NULL };

        return installed;
}

int config_load(struct config *ret, const char *dir, char **ret_error) {
        const char *const given[] = { dir, NULL };
        struct conffile_list files;
        struct config config;
        struct stat st;
        int r;

        *ret_error = NULL;
        if (dir) {
                r = stat(dir, &st) < 0 ? -errno : S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
                if (r < 0) {
                        if (asprintf(ret_error, "%s: expected a folder: %s", dir, strerror(-r)) < 0)
                                *ret_error = NULL;
                        return r;
                }
        }
        r = conffile_find(&files, dir ? given : config_dirs(), "portwatch.conf", ret_error);
        if (r < 0)
                return r;
        config_defaults(&config);
        for (size_t i = 0; i < files.n_paths && r == 0; i++)
                r = load_file(&config, files.paths[i], ret_error);
        conffile_list_done(&files);
        if (r == 0)
                *ret = config;
        return r;
}

int config_source_parse(const char *word) {
        uint64_t n;
        int r = parse_choice(source_words, word, &n);

        return r < 0 ? r : (int) n;
}

const char *config_source_name(uint64_t source) {
        return source < CONFIG_SOURCE_MAX ? source_words[source] : NULL;
}

void config_print_defaults(FILE *f) {
        const char *section = "";

        fputs("# Configuration of portwatchd, see portwatch.conf(5).\n"
              "#\n"
              "# Each line shows a default. Change it here, or rather in a file of your own in\n"
              "# portwatch.conf.d/ beside this one, and tell the daemon: systemctl reload "
              "portwatchd\n",
              f);
        for (size_t i = 0; i < N_OPTIONS; i++) {
                char range[CONFFILE_EXPECTED_SIZE];

                if (strcmp(options[i].section, section) != 0)
                        fprintf(f, "\n[%s]\n", options[i].section);
                section = options[i].section;
                option_describe(&options[i], range, sizeof(range));
                fprintf(f, "\n# %s\n# Takes %s.\n#%s=%s\n", options[i].help, range, options[i].key,
                        options[i].initial);
        }
}
