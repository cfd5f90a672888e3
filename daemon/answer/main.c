/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "daemon/answer/clients.h"
#include "daemon/answer/confine.h"
#include "daemon/answer/store.h"
#include "daemon/answer/view.h"

/* What the recorder hands over at exec. */
enum {
        FD_LISTEN = 3,
        FD_LIVE,
        FD_HISTORY,
        FD_DOORBELL,
        FD_READY, /* write end of a pipe: takes one byte when we are ready to accept */
        FD_KNOWN,
        FD_FIRST_FREE,
};

/* Beside those of clients: the above, standard ones, the loop's own. */
#define OWN_DESCRIPTORS 32U
#define CLIENTS_MAX     65536U

static const char *arg_user;
static const char *arg_group;
static const char *arg_services = PKGDATADIR "/service-names.tsv";
static struct clients_limits arg_limits = {
        .connections = 256,
        .connections_of_user = 64,
        .followers = 64,
        .group = VIEW_NO_GROUP,
};

static void usage(FILE *to) {
        fputs("portwatch-answer [OPTION]...\n"
              "\n"
              "Answers queries about what portwatchd records. It is started by portwatchd, with\n"
              "the listening socket, the live table, the history, the doorbell, a pipe to say "
              "that\n"
              "it is ready and the known listeners as descriptors 3 to 8, and is of no use alone.\n"
              "\n"
              "  --user=NAME                    become this user\n"
              "  --group=NAME                   whose members see all\n"
              "  --services=PATH                names of ports\n"
              "  --max-connections=N            in all (256)\n"
              "  --max-connections-per-user=N   of one user (64)\n"
              "  --max-followers=N              calls of Follow (64)\n"
              "  -h --help                      this text\n"
              "     --version                   the version\n",
              to);
}

static int parse_count(const char *option, const char *text, unsigned *ret) {
        unsigned long value;
        char *end;

        errno = 0;
        value = strtoul(text, &end, 10);
        if (errno != 0 || end == text || *end != 0 || text[0] == '-' || value == 0 ||
            value > CLIENTS_MAX) {
                fprintf(stderr, "portwatch-answer: %s: a number from 1 to %u was expected\n",
                        option, CLIENTS_MAX);
                return -EINVAL;
        }
        *ret = (unsigned) value;
        return 0;
}

/* 1: go on; 0: all is done; negative: usage. */
static int parse_arguments(int argc, char **argv) {
        enum {
                ARG_USER = 256,
                ARG_GROUP,
                ARG_SERVICES,
                ARG_ALL,
                ARG_USER_MAX,
                ARG_FOLLOW,
                ARG_VERSION
        };
        static const struct option options[] = {
                { "user", required_argument, NULL, ARG_USER },
                { "group", required_argument, NULL, ARG_GROUP },
                { "services", required_argument, NULL, ARG_SERVICES },
                { "max-connections", required_argument, NULL, ARG_ALL },
                { "max-connections-per-user", required_argument, NULL, ARG_USER_MAX },
                { "max-followers", required_argument, NULL, ARG_FOLLOW },
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, ARG_VERSION },
                {},
        };
        int option, index = 0, r = 0;

        while ((option = getopt_long(argc, argv, "h", options, &index)) >= 0) {
                switch (option) {
                case ARG_USER:
                        arg_user = optarg;
                        break;
                case ARG_GROUP:
                        arg_group = optarg;
                        break;
                case ARG_SERVICES:
                        arg_services = optarg;
                        break;
                case ARG_ALL:
                        r = parse_count(options[index].name, optarg, &arg_limits.connections);
                        break;
                case ARG_USER_MAX:
                        r = parse_count(options[index].name, optarg,
                                        &arg_limits.connections_of_user);
                        break;
                case ARG_FOLLOW:
                        r = parse_count(options[index].name, optarg, &arg_limits.followers);
                        break;
                case 'h':
                        usage(stdout);
                        return 0;
                case ARG_VERSION:
                        puts(PACKAGE_NAME " " PACKAGE_VERSION);
                        return 0;
                default:
                        r = -EINVAL;
                }
                if (r < 0)
                        return r;
        }
        if (optind < argc) {
                usage(stderr);
                return -EINVAL;
        }
        return 1;
}

static int complain(const char *what, int error) {
        fprintf(stderr, "portwatch-answer: %s: %s\n", what, strerror(-error));
        return error;
}

/* A group that is not there has no members. */
static void find_group(void) {
        struct group *group;

        if (!arg_group)
                return;
        group = getgrnam(arg_group);
        if (group)
                arg_limits.group = group->gr_gid;
        else
                fprintf(stderr, "portwatch-answer: no group %s: only root will see all\n",
                        arg_group);
}

static int find_user(struct confinement *c) {
        struct passwd *user;

        if (!arg_user)
                return 0;
        errno = 0;
        user = getpwnam(arg_user);
        if (!user)
                return complain(arg_user, errno ? -errno : -ESRCH);
        c->uid = user->pw_uid;
        c->gid = user->pw_gid;
        return 0;
}

static int open_store(struct store *ret) {
        int r, services_error;

        if (sd_is_socket_unix(FD_LISTEN, SOCK_STREAM, 1, NULL, 0) <= 0)
                return complain("descriptor 3 is no listening Unix socket", -EBADF);
        if (sd_is_fifo(FD_DOORBELL, NULL) <= 0)
                return complain("descriptor 6 is no pipe", -EBADF);
        /* Not there, its number would be given to something else and closed with that. */
        if (sd_is_fifo(FD_READY, NULL) <= 0)
                return complain("descriptor 7 is no pipe", -EBADF);
        r = store_open(ret, FD_LIVE, FD_HISTORY, FD_KNOWN, arg_services, &services_error);
        if (r < 0)
                return complain("the recorder's tables", r);
        if (services_error < 0)
                complain(arg_services, services_error);
        close(FD_LIVE);
        close(FD_HISTORY);
        close(FD_KNOWN);
        return 0;
}

/* With everything open and the event loop made: gives up the rights to do so, then answers. */
static int serve(const struct store *store, const struct confinement *confinement) {
        struct clients *clients = NULL;
        sd_event *event = NULL;
        const char *step;
        int r;

        r = sd_event_new(&event);
        if (r >= 0)
                r = sd_event_set_signal_exit(event, true);
        if (r >= 0)
                r = clients_new(&clients, event, FD_LISTEN, FD_DOORBELL, store, &arg_limits);
        if (r < 0) {
                complain("the event loop", r);
                goto finish;
        }
        r = confine(confinement, &step);
        if (r < 0) {
                complain(step, r);
                goto finish;
        }
        /* The one thing that is ever said to the recorder, before the first client is heard. */
        (void) !write(FD_READY, "", 1);
        close(FD_READY);
        r = sd_event_loop(event);
        if (r < 0)
                complain("the event loop", r);
        clients_ring(clients);
finish:
        clients_free(clients);
        sd_event_unref(event);
        return r;
}

static int run(void) {
        struct confinement confinement = { .uid = (uid_t) -1, .gid = (gid_t) -1 };
        struct store store;
        int r;

        /* Nothing that the recorder may have left open is ours. */
        if (close_range(FD_FIRST_FREE, ~0U, 0) < 0 && errno != ENOSYS)
                return complain("close_range", -errno);
        if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
                return complain("signal", -errno);
        confinement.max_descriptors = arg_limits.connections + OWN_DESCRIPTORS;
        r = find_user(&confinement);
        if (r < 0)
                return r;
        find_group();
        r = open_store(&store);
        if (r < 0)
                return r;
        return serve(&store, &confinement);
}

int main(int argc, char **argv) {
        int r = parse_arguments(argc, argv);

        if (r <= 0)
                return r < 0 ? 2 : EXIT_SUCCESS;
        return run() < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
