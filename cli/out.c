/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/out.h"

#define OUT_WIDTH_DEFAULT 80

/* Not larger than it need be: every page of it that is touched for the first time costs a
 * microsecond. */
static char out_data[16 * 1024];
static size_t out_size;
static bool out_is_terminal, out_has_colour, out_is_ascii;
static size_t out_columns = SIZE_MAX;
static int out_error;
static pid_t out_pager_pid;

bool out_terminal(void) {
        return out_is_terminal;
}

bool out_colour(void) {
        return out_has_colour;
}

bool out_ascii(void) {
        return out_is_ascii;
}

size_t out_width(void) {
        return out_columns;
}

bool out_gone(void) {
        return out_error != 0;
}

bool out_flush(void) {
        size_t written = 0;

        while (out_error == 0 && written < out_size) {
                ssize_t n = write(STDOUT_FILENO, out_data + written, out_size - written);

                if (n >= 0)
                        written += (size_t) n;
                else if (errno != EINTR)
                        out_error = -errno;
        }
        out_size = 0;
        return out_error == 0;
}

void out_write(const char *data, size_t n) {
        while (n > 0 && out_error == 0) {
                size_t part = sizeof(out_data) - out_size;

                if (part > n)
                        part = n;
                memcpy(out_data + out_size, data, part);
                out_size += part;
                data += part;
                n -= part;
                if (out_size == sizeof(out_data))
                        (void) out_flush();
        }
}

void out_text(const char *s) {
        out_write(s, strlen(s));
}

void out_format(const char *format, ...) {
        char text[1024];
        va_list ap;
        int n;

        va_start(ap, format);
        n = vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        if (n > 0)
                out_write(text, (size_t) n < sizeof(text) ? (size_t) n : sizeof(text) - 1);
}

/* The columns that $COLUMNS or the terminal has. */
static size_t terminal_width(void) {
        const char *columns = getenv("COLUMNS");
        struct winsize size;

        if (columns && *columns) {
                long n = strtol(columns, NULL, 10);

                if (n > 0 && n < 10000)
                        return (size_t) n;
        }
        if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
                return size.ws_col;
        return OUT_WIDTH_DEFAULT;
}

/* In the child: becomes the pager. */
static void exec_pager(const char *command, int input) {
        if (dup2(input, STDIN_FILENO) < 0)
                _exit(127);
        (void) signal(SIGPIPE, SIG_DFL);
        (void) setenv("LESS", "FRSXMK", 1);
        (void) setenv("LESSSECURE", "1", 1);
        if (!out_is_ascii)
                (void) setenv("LESSCHARSET", "utf-8", 1);
        if (command)
                (void) execl("/bin/sh", "sh", "-c", command, (char *) NULL);
        else {
                (void) execlp("less", "less", (char *) NULL);
                (void) execlp("more", "more", (char *) NULL);
                (void) execlp("cat", "cat", (char *) NULL);
        }
        _exit(127);
}

/* Without a pager, output goes straight to the terminal: that is no failure. */
static void start_pager(void) {
        const char *command = getenv("PORTWATCH_PAGER");
        int fds[2];
        pid_t pid;

        if (!command)
                command = getenv("PAGER");
        if (command && (*command == '\0' || strcmp(command, "cat") == 0))
                return;
        if (pipe2(fds, O_CLOEXEC) < 0)
                return;
        pid = fork();
        if (pid == 0)
                exec_pager(command, fds[0]);
        (void) close(fds[0]);
        if (pid > 0 && dup2(fds[1], STDOUT_FILENO) >= 0) {
                out_pager_pid = pid;
                /* The pager may be left at any time: that shows as EPIPE. */
                (void) signal(SIGPIPE, SIG_IGN);
        }
        (void) close(fds[1]);
}

void out_setup(bool pager) {
        const char *term, *no_color;

        if (!isatty(STDOUT_FILENO))
                return;
        out_is_terminal = true;
        (void) setlocale(LC_CTYPE, "");
        out_is_ascii = strcmp(nl_langinfo(CODESET), "UTF-8") != 0;
        out_columns = terminal_width();
        term = getenv("TERM");
        if (!term || strcmp(term, "dumb") == 0)
                return;
        no_color = getenv("NO_COLOR");
        out_has_colour = !no_color || *no_color == '\0';
        if (pager)
                start_pager();
}

int out_finish(void) {
        (void) out_flush();
        if (out_pager_pid > 0) {
                int status;

                /* The pager ends when its input does. */
                (void) close(STDOUT_FILENO);
                while (waitpid(out_pager_pid, &status, 0) < 0 && errno == EINTR)
                        ;
                out_pager_pid = 0;
        }
        return out_error == -EPIPE ? 0 : out_error;
}
