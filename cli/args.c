/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/args.h"
#include "cli/netns.h"
#include "cli/out.h"
#include "cli/when.h"
#include "lib/record.h"

#define STREAMS (VERB_HISTORY | VERB_FOLLOW)
#define LISTS                                                                                      \
        (VERB_LISTENERS | VERB_CONNECTIONS | VERB_INBOUND | VERB_OUTBOUND | VERB_REFUSED |         \
         VERB_HISTORY)
#define SOCKETS   (LISTS | VERB_FOLLOW | VERB_COUNTS | VERB_CHECK)
#define PEERS     (SOCKETS & ~(VERB_LISTENERS | VERB_CHECK))
#define UNJUDGED  (VERB_REFUSED | VERB_CHECK) /* or judged anyway */
#define LISTENING (VERB_LISTENERS | STREAMS)
#define SHOWN     (VERB_ALL & ~VERB_EXPECT)

/* Each takes its option's argument; -EINVAL with what is wrong in why (empty: the argument itself).
 */
typedef int (*option_fn)(struct args *a, const char *value, char why[static 256]);

static int take_ports(struct args *a, const char *value, char why[static 256]) {
        return portset_parse(&a->ports, value, args_services, why);
}

/* A whole number without a sign, at most max. */
static int parse_number(const char *value, int64_t max, int64_t *ret) {
        int64_t n = 0;

        if (*value == '\0')
                return -EINVAL;
        for (; *value; value++) {
                if (*value < '0' || *value > '9')
                        return -EINVAL;
                n = n * 10 + (*value - '0');
                if (n > max)
                        return -EINVAL;
        }
        *ret = n;
        return 0;
}

/* "192.0.2.1", "192.0.2.0/24", "2001:db8::/32". */
static int take_peer(struct args *a, const char *value, char why[static 256]) {
        const char *slash = strchrnul(value, '/');
        char address[INET6_ADDRSTRLEN];
        unsigned char bytes[16];
        size_t n = (size_t) (slash - value);
        int64_t bits;

        (void) snprintf(why, 256, "%.64s is no address and no network like 192.0.2.0/24", value);
        if (n >= sizeof(address))
                return -EINVAL;
        memcpy(address, value, n);
        address[n] = '\0';
        if (inet_pton(AF_INET, address, bytes) == 1) {
                if (*slash && parse_number(slash + 1, 32, &bits) < 0)
                        return -EINVAL;
        } else if (inet_pton(AF_INET6, address, bytes) == 1) {
                if (*slash && parse_number(slash + 1, 128, &bits) < 0)
                        return -EINVAL;
        } else
                return -EINVAL;
        a->peer = value;
        return 0;
}

static int take_process(struct args *a, const char *value, char why[static 256]) {
        int64_t pid;

        (void) why;
        if (*value == '\0')
                return -EINVAL;
        if (parse_number(value, INT32_MAX, &pid) >= 0)
                a->pid = pid;
        else
                a->process = value;
        return 0;
}

static int take_user(struct args *a, const char *value, char why[static 256]) {
        const struct passwd *pw;

        if (parse_number(value, UINT32_MAX - 1, &a->uid) >= 0)
                return 0;
        pw = getpwnam(value);
        if (!pw) {
                (void) snprintf(why, 256, "there is no user %.64s", value);
                return -EINVAL;
        }
        a->uid = pw->pw_uid;
        return 0;
}

/* The number of a namespace as ls -i shows it, a file that stands for one, or a name in
 * NETNS_FOLDER. */
static int take_netns(struct args *a, const char *value, char why[static 256]) {
        char path[256];
        struct stat st;

        if (parse_number(value, UINT32_MAX, &a->netns) >= 0)
                return 0;
        if ((size_t) snprintf(path, sizeof(path), "%s%s", *value == '/' ? "" : NETNS_FOLDER "/",
                              value) >= sizeof(path))
                return -EINVAL;
        if (stat(path, &st) < 0) {
                (void) snprintf(why, 256, "%.128s: %s", path, strerror(errno));
                return -EINVAL;
        }
        a->netns = (int64_t) st.st_ino;
        return 0;
}

static int take_category(struct args *a, const char *value, char why[static 256]) {
        if (category_parse(value) < 0) {
                (void) snprintf(why, 256, "a category is system, user or dynamic");
                return -EINVAL;
        }
        a->category = value;
        return 0;
}

static int take_kinds(struct args *a, const char *value, char why[static 256]) {
        for (;;) {
                size_t n = strcspn(value, ",");
                char word[16] = "";
                int kind;

                if (n < sizeof(word))
                        memcpy(word, value, n);
                kind = record_kind_parse(word);
                if (kind <= 0) {
                        (void) snprintf(why, 256,
                                        "a kind is listen, unlisten, open, close, fail, refuse, "
                                        "lost, start or stop");
                        return -EINVAL;
                }
                a->kinds |= 1U << kind;
                if (value[n] == '\0')
                        return 0;
                value += n + 1;
        }
}

static int take_by(struct args *a, const char *value, char why[static 256]) {
        static const char *const words[] = { "category", "service", "port", "name",
                                             "unit",     "peer",    "user" };

        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
                if (strcmp(words[i], value) == 0) {
                        a->by = words[i];
                        return 0;
                }
        (void) snprintf(why, 256, "counts go by category, service, port, name, unit, peer or user");
        return -EINVAL;
}

static int take_when(const char *value, uint64_t *ret, char why[static 256]) {
        (void) snprintf(
                why, 256,
                "%.64s is no time like 2026-11-23 02:00, 02:00, yesterday, -2h or 2 hours ago",
                value);
        return when_parse(value, when_now(), ret);
}

static int take_since(struct args *a, const char *value, char why[static 256]) {
        return take_when(value, &a->since_usec, why);
}

static int take_until(struct args *a, const char *value, char why[static 256]) {
        return take_when(value, &a->until_usec, why);
}

/* An age, as well: "7d" is seven days ago. */
static int take_new_since(struct args *a, const char *value, char why[static 256]) {
        char ago[128];

        if (take_when(value, &a->new_since_usec, why) >= 0)
                return 0;
        if ((size_t) snprintf(ago, sizeof(ago), "%s ago", value) >= sizeof(ago))
                return -EINVAL;
        return when_parse(ago, when_now(), &a->new_since_usec);
}

static int take_lines(struct args *a, const char *value, char why[static 256]) {
        (void) why;
        if (strcmp(value, "all") == 0) {
                a->lines = -1;
                return 0;
        }
        return parse_number(value, INT32_MAX, &a->lines);
}

static int take_json(struct args *a, const char *value, char why[static 256]) {
        if (!value || strcmp(value, "short") == 0)
                a->json = JSON_SHORT;
        else if (strcmp(value, "pretty") == 0)
                a->json = JSON_PRETTY;
        else if (strcmp(value, "off") == 0)
                a->json = JSON_OFF;
        else {
                (void) snprintf(why, 256, "JSON is short, pretty or off");
                return -EINVAL;
        }
        return 0;
}

static int take_host(struct args *a, const char *value, char why[static 256]) {
        /* ssh would take it for an option. */
        if (*value == '\0' || *value == '-') {
                (void) snprintf(why, 256, "%.64s is no host", value);
                return -EINVAL;
        }
        a->host = value;
        return 0;
}

/* Options that set a truth or keep a text need no function. */
static const struct option_info {
        char letter;
        const char *name;
        const char *argument; /* as the help shows it; NULL: none */
        uint32_t verbs;       /* enum verb_bit */
        option_fn take;
        size_t offset; /* without take(): of the bool, or with an argument of the const char * */
        const char *help;
} options[] = {
        /* clang-format off */
        { 't', "tcp", NULL, SOCKETS | VERB_PORT, NULL, offsetof(struct args, tcp), "TCP alone" },
        { 'u', "udp", NULL, SOCKETS | VERB_PORT, NULL, offsetof(struct args, udp), "UDP alone" },
        { '4', "ipv4", NULL, SOCKETS, NULL, offsetof(struct args, ipv4), "IPv4 alone" },
        { '6', "ipv6", NULL, SOCKETS, NULL, offsetof(struct args, ipv6), "IPv6 alone" },
        { 0, "port", "LIST", SOCKETS, take_ports, 0, "service ports: 22,8000-8099,https" },
        { 0, "peer", "ADDRESS", PEERS, take_peer, 0, "the other side: an address or a network" },
        { 0, "process", "NAME|PID", SOCKETS, take_process, 0, "owned by this process" },
        { 0, "unit", "UNIT", SOCKETS, NULL, offsetof(struct args, unit), "owned by this systemd unit" },
        { 0, "user", "NAME|UID", SOCKETS, take_user, 0, "owned by this user" },
        { 0, "container", "NAME", SOCKETS, NULL, offsetof(struct args, container), "owned by this container" },
        { 0, "netns", "NAME|NUMBER|FILE", SOCKETS, take_netns, 0, "in this network namespace" },
        { 0, "category", "NAME", SOCKETS, take_category, 0, "service port is system, user or dynamic" },
        { 0, "unexpected", NULL, SOCKETS & ~UNJUDGED, NULL, offsetof(struct args, unexpected), "those that the rules do not expect" },
        { 0, "new-since", "TIME", LISTENING, take_new_since, 0, "listeners never seen before: 7d, yesterday, ..." },
        { 0, "kind", "LIST", STREAMS, take_kinds, 0, "events: listen,unlisten,open,close,fail,refuse,..." },
        { 0, "by", "WHAT", VERB_COUNTS, take_by, 0, "category, service, port, name, unit, peer, user" },
        { 'S', "since", "TIME", LISTS | VERB_COUNTS, take_since, 0, "since then: 02:00, yesterday, -2h, ..." },
        { 'U', "until", "TIME", LISTS, take_until, 0, "until then" },
        { 'n', "lines", "N", LISTS | VERB_FOLLOW, take_lines, 0, "the last N" },
        { 'f', "follow", NULL, LISTS | VERB_FOLLOW, NULL, offsetof(struct args, follow), "show what happens, as it happens" },
        { 'r', "reverse", NULL, LISTS, NULL, offsetof(struct args, reverse), "newest first" },
        { 0, "columns", "LIST", SOCKETS, NULL, offsetof(struct args, columns), "columns, +COL adds some; \"help\" lists them" },
        { 0, "verify", NULL, VERB_STATUS, NULL, offsetof(struct args, verify), "compare the record with the kernel's own lists" },
        { 0, "monitoring", NULL, VERB_CHECK, NULL, offsetof(struct args, monitoring), "one line and the exit status for Nagios and the like" },
        { 0, "current", NULL, VERB_EXPECT, NULL, offsetof(struct args, current), "rules for all that listens now" },
        { 0, "dry-run", NULL, VERB_EXPECT, NULL, offsetof(struct args, dry_run), "print what would be written" },
        { 0, "remove", NULL, VERB_EXPECT, NULL, offsetof(struct args, remove), "take the rule out" },
        { 0, "list", NULL, VERB_EXPECT, NULL, offsetof(struct args, list), "show the rules" },
        { 0, "check", NULL, VERB_EXPECT, NULL, offsetof(struct args, check), "look for mistakes in files" },
        { 0, "config", "DIR", VERB_EXPECT, NULL, offsetof(struct args, config), "where expected.d is" },
        { 0, "no-legend", NULL, SHOWN, NULL, offsetof(struct args, no_legend), "no header and no footer" },
        { 0, "no-pager", NULL, SHOWN, NULL, offsetof(struct args, no_pager), "do not start a pager" },
        { 'j', NULL, NULL, SHOWN, take_json, 0, "same as --json=short" },
        { 0, "json", "MODE", SHOWN, take_json, 0, "JSON: short (an object a line), pretty, off" },
        { 'H', "host", "[USER@]HOST", VERB_ALL, take_host, 0, "ask portctl on that host, through ssh" },
        { 0, "socket", "PATH", VERB_ALL, NULL, offsetof(struct args, socket), "where portwatchd answers" },
        { 'h', "help", NULL, VERB_ALL, NULL, offsetof(struct args, help), "this text" },
        { 0, "version", NULL, VERB_ALL, NULL, offsetof(struct args, version), "the version" },
        /* clang-format on */
};
#define N_OPTIONS (sizeof(options) / sizeof(options[0]))
_Static_assert(N_OPTIONS <= 64, "a bit for each option");

/* What getopt_long() returns for the option at i of the table. */
#define CODE(i) (256 + (int) (i))

static int take_option(struct args *a, size_t i, const char *value) {
        const struct option_info *o = &options[i];
        char why[256] = "";
        int r;

        a->given |= UINT64_C(1) << i;
        if (!o->take) {
                if (o->argument)
                        *(const char **) (void *) ((char *) a + o->offset) = value;
                else
                        *(bool *) ((char *) a + o->offset) = true;
                return 0;
        }
        r = o->take(a, value, why);
        if (r >= 0)
                return 0;
        if (why[0])
                (void) fprintf(stderr, "portctl: --%s: %s\n", o->name, why);
        else
                (void) fprintf(stderr, "portctl: --%s: %s is no %s\n", o->name, value, o->argument);
        return -EINVAL;
}

/* The table as getopt_long(3) wants it. */
struct getopt_tables {
        struct option longs[N_OPTIONS + 1];
        char letters[2 * N_OPTIONS + 1];
};

static void make_tables(struct getopt_tables *t) {
        struct option *o = t->longs;
        char *p = t->letters;

        *t = (struct getopt_tables){ 0 };
        for (size_t i = 0; i < N_OPTIONS; i++) {
                int argument = options[i].argument ? required_argument : no_argument;

                if (options[i].name)
                        *o++ = (struct option){ options[i].name, argument, NULL, CODE(i) };
                if (options[i].letter)
                        *p++ = options[i].letter;
                if (options[i].letter && options[i].argument)
                        *p++ = ':';
        }
}

/* The place in the table of what getopt_long() returned; N_OPTIONS for an error. */
static size_t option_place(int code) {
        size_t i = 0;

        if (code >= CODE(0))
                return (size_t) (code - CODE(0));
        while (i < N_OPTIONS && options[i].letter != code)
                i++;
        return i;
}

int args_parse(struct args *ret, int argc, char **argv) {
        struct getopt_tables tables;
        int code, r;

        *ret = (struct args){
                .pid = -1,
                .uid = -1,
                .netns = -1,
                .lines = -1,
                .until_usec = UINT64_MAX,
        };
        make_tables(&tables);
        while ((code = getopt_long(argc, argv, tables.letters, tables.longs, NULL)) != -1) {
                size_t i = option_place(code);

                r = i < N_OPTIONS ? take_option(ret, i, optarg) : -EINVAL;
                if (r < 0)
                        return r;
        }
        ret->operands = argv + optind;
        ret->n_operands = argc - optind;
        if (ret->follow && ret->reverse) {
                (void) fprintf(stderr, "portctl: --follow and --reverse do not go together\n");
                return -EINVAL;
        }
        return 0;
}

void args_walk(int argc, char **argv, void (*word)(const char *word, void *userdata),
               void *userdata) {
        struct getopt_tables tables;
        int code;

        make_tables(&tables);
        /* GNU's way to begin again. */
        optind = 0;
        while ((code = getopt_long(argc, argv, tables.letters, tables.longs, NULL)) != -1) {
                size_t i = option_place(code);
                char text[64];

                if (i >= N_OPTIONS || options[i].take == take_host)
                        continue;
                if (options[i].name)
                        (void) snprintf(text, sizeof(text), "--%s", options[i].name);
                else
                        (void) snprintf(text, sizeof(text), "-%c", options[i].letter);
                word(text, userdata);
                if (options[i].argument)
                        word(optarg, userdata);
        }
        word("--", userdata);
        for (int i = optind; i < argc; i++)
                word(argv[i], userdata);
}

int args_check(const struct args *args, enum verb_bit verb, const char *name) {
        for (size_t i = 0; i < N_OPTIONS; i++)
                if ((args->given >> i & 1) && !(options[i].verbs & verb)) {
                        const char letter[] = { options[i].letter, '\0' };

                        (void) fprintf(stderr, "portctl: %s does not take %s%s\n", name,
                                       options[i].name ? "--" : "-",
                                       options[i].name ? options[i].name : letter);
                        return -EINVAL;
                }
        return 0;
}

void args_help(void) {
        for (size_t i = 0; i < N_OPTIONS; i++) {
                const struct option_info *o = &options[i];
                char left[48];

                (void) snprintf(left, sizeof(left), "  %c%c%s%s%s%s%s", o->letter ? '-' : ' ',
                                o->letter ? o->letter : ' ', o->letter && o->name ? ", " : "  ",
                                o->name ? "--" : "", o->name ? o->name : "", o->argument ? "=" : "",
                                o->argument ? o->argument : "");
                out_format("%-26s %s\n", left, o->help);
        }
}

const struct services *args_services(void) {
        static struct services *services;
        static bool tried;
        int fd;

        if (tried)
                return services;
        tried = true;
        fd = open(PKGDATADIR "/service-names.tsv", O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return NULL;
        (void) services_load(&services, fd, NULL);
        (void) close(fd);
        return services;
}
