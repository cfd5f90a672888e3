/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/remote.h"

/* What ssh itself ends with when it cannot do its part, ssh(1). */
#define SSH_FAILED 255

void remote_quote(struct buf *b, const char *word) {
        static const char harmless[] =
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                "_./:=@%+,-";

        if (*word && word[strspn(word, harmless)] == '\0') {
                buf_text(b, word);
                return;
        }
        buf_char(b, '\'');
        for (; *word; word++)
                if (*word == '\'')
                        buf_text(b, "'\\''");
                else
                        buf_char(b, *word);
        buf_char(b, '\'');
}

static void add_word(const char *word, void *userdata) {
        struct buf *b = userdata;

        buf_char(b, ' ');
        remote_quote(b, word);
}

static int wait_for(pid_t pid) {
        int status;

        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return STATUS_FAILURE;
        if (WIFSIGNALED(status))
                return 128 + WTERMSIG(status);
        if (WEXITSTATUS(status) == SSH_FAILED)
                return STATUS_UNREACHABLE;
        if (WEXITSTATUS(status) == 127)
                (void) fprintf(stderr, "portctl: there is no portctl on that host\n");
        return WEXITSTATUS(status);
}

int remote_run(const struct args *args, int argc, char **argv) {
        char ssh[] = "ssh", terminal[] = "-t", end[] = "--";
        char *words[6], *host;
        struct buf command = { 0 };
        size_t n = 0;
        pid_t pid;
        int r;

        buf_text(&command, "portctl");
        args_walk(argc, argv, add_word, &command);
        buf_char(&command, '\0');
        host = strdup(args->host);
        if (command.failed || !host) {
                buf_done(&command);
                free(host);
                (void) fprintf(stderr, "portctl: %s\n", strerror(ENOMEM));
                return STATUS_FAILURE;
        }
        words[n++] = ssh;
        /* Gives the other side a terminal of its own, and with it colour and pager. */
        if (args->json == JSON_OFF && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
                words[n++] = terminal;
        words[n++] = host;
        words[n++] = end;
        words[n++] = command.data;
        words[n] = NULL;
        r = posix_spawnp(&pid, ssh, NULL, NULL, words, environ);
        buf_done(&command);
        free(host);
        if (r != 0) {
                (void) fprintf(stderr, "portctl: cannot run ssh: %s\n", strerror(r));
                return STATUS_UNREACHABLE;
        }
        return wait_for(pid);
}
