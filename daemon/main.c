/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/config.h"
#include "log.h"
#include "record/recorder.h"

#define EXIT_USAGE 2

static void help(void) {
        printf("portwatchd [OPTION]...\n\n"
               "Records every listener and connection of this host.\n\n"
               "  --state=DIR      folder of the history [%s/lib/portwatch]\n"
               "  --runtime=DIR    folder of the socket and the table of open sockets "
               "[%s/portwatch]\n"
               "  --config=DIR     folder of portwatch.conf and its drop-ins [%s/portwatch]\n"
               "  --source=SOURCE  auto, ebpf or netlink [as configured: auto]\n"
               "  --answerer=PATH  the program that answers queries [%s/portwatch-answer]\n"
               "  --services=PATH  registered service names [%s/service-names.tsv]\n"
               "  -h, --help       show this\n"
               "      --version    show the version\n\n"
               "Stays in the foreground. SIGHUP reads the configuration again, SIGTERM ends it.\n"
               "See portwatchd(8).\n",
               LOCALSTATEDIR, RUNSTATEDIR, SYSCONFDIR, PKGLIBEXECDIR, PKGDATADIR);
}

/* 0 to go on, 1 when all is done, negative errno for a usage error that was reported. */
static int parse_arguments(int argc, char *argv[], struct recorder_options *ret) {
        enum {
                ARG_STATE = 256,
                ARG_RUNTIME,
                ARG_CONFIG,
                ARG_SOURCE,
                ARG_ANSWERER,
                ARG_SERVICES,
                ARG_VERSION
        };
        static const struct option options[] = {
                { "state", required_argument, NULL, ARG_STATE },
                { "runtime", required_argument, NULL, ARG_RUNTIME },
                { "config", required_argument, NULL, ARG_CONFIG },
                { "source", required_argument, NULL, ARG_SOURCE },
                { "answerer", required_argument, NULL, ARG_ANSWERER },
                { "services", required_argument, NULL, ARG_SERVICES },
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, ARG_VERSION },
                {},
        };
        int c;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case ARG_STATE:
                        ret->state = optarg;
                        break;
                case ARG_RUNTIME:
                        ret->runtime = optarg;
                        break;
                case ARG_CONFIG:
                        ret->config_dir = optarg;
                        break;
                case ARG_SOURCE:
                        ret->source = config_source_parse(optarg);
                        if (ret->source < 0) {
                                fprintf(stderr,
                                        "portwatchd: --source=%s: expected auto, ebpf or netlink\n",
                                        optarg);
                                return -EINVAL;
                        }
                        break;
                case ARG_ANSWERER:
                        ret->answerer = optarg;
                        break;
                case ARG_SERVICES:
                        ret->services = optarg;
                        break;
                case 'h':
                        help();
                        return 1;
                case ARG_VERSION:
                        printf("portwatchd %s\n", PACKAGE_VERSION);
                        return 1;
                default:
                        fprintf(stderr, "Try 'portwatchd --help'.\n");
                        return -EINVAL;
                }
        if (optind < argc) {
                fprintf(stderr,
                        "portwatchd: %s: takes no arguments, only options. Try 'portwatchd "
                        "--help'.\n",
                        argv[optind]);
                return -EINVAL;
        }
        return 0;
}

int main(int argc, char *argv[]) {
        struct recorder_options options = {
                .state = LOCALSTATEDIR "/lib/portwatch",
                .runtime = RUNSTATEDIR "/portwatch",
                .answerer = PKGLIBEXECDIR "/portwatch-answer",
                .services = PKGDATADIR "/service-names.tsv",
                .source = -1,
        };
        struct config config;
        char *error = NULL;
        int r;

        log_open("portwatchd");
        r = parse_arguments(argc, argv, &options);
        if (r != 0)
                return r < 0 ? EXIT_USAGE : EXIT_SUCCESS;
        r = config_load(&config, options.config_dir, &error);
        if (r < 0) {
                log_error("%s", error ? error : strerror(-r));
                free(error);
                return EXIT_FAILURE;
        }
        r = recorder_run(&options, &config);
        log_close();
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
