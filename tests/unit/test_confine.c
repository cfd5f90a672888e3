/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "daemon/answer/confine.h"

/* Sanitizers need more than the strict list; what is left of it then is tested all the same. */
#if defined(__SANITIZE_ADDRESS__)
#define STRICT 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define STRICT 0
#endif
#endif
#ifndef STRICT
#define STRICT 1
#endif

#define NOBODY 65534U

/* Runs use() in a confined child: its exit status, or the signal that has ended it, negative. */
static int confined(void (*use)(void)) {
        int status;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                const struct confinement c = {
                        .uid = geteuid() == 0 ? NOBODY : (uid_t) -1,
                        .gid = geteuid() == 0 ? NOBODY : (gid_t) -1,
                        .max_descriptors = 64,
                };
                const char *step = "";
                int r = confine(&c, &step);

                if (r < 0) {
                        fprintf(stderr, "# %s: %s\n", step, strerror(-r));
                        _exit(99);
                }
                use();
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

/* What an answerer does all day. */
static void answer(void) {
        struct epoll_event event;
        struct timespec now;
        void *memory = malloc(1024 * 1024);

        child_require(memory);
        free(memory);
        child_require(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
        /* No such descriptors: what matters is that one may ask. */
        child_require(epoll_wait(-1, &event, 1, 0) < 0 && errno == EBADF);
        child_require(accept4(-1, NULL, NULL, 0) < 0 && errno == EBADF);
        child_require(recv(-1, &event, 1, 0) < 0 && errno == EBADF);
        child_require(send(-1, &event, 1, 0) < 0 && errno == EBADF);
        child_require(read(-1, &event, 1) < 0 && errno == EBADF);
        child_require(close(-1) < 0 && errno == EBADF);
}

static void test_answering_is_allowed(void **state) {
        (void) state;
        assert_int_equal(confined(answer), 0);
}

static void call_socket(void) {
        (void) !syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
}

static void call_connect(void) {
        (void) !syscall(SYS_connect, -1, NULL, 0);
}

static void call_execve(void) {
        char *const none[] = { NULL };

        (void) !syscall(SYS_execve, "/bin/true", none, none);
}

static void call_setuid(void) {
        (void) !syscall(SYS_setuid, 0);
}

static void call_bpf(void) {
        (void) !syscall(SYS_bpf, 0, NULL, 0);
}

static void call_fork(void) {
        (void) !syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0);
}

static void call_ptrace(void) {
        (void) !syscall(SYS_ptrace, 0, 0, NULL, NULL);
}

static void call_kill(void) {
        (void) !syscall(SYS_kill, getppid(), 0);
}

static void make_code(void) {
        (void) !mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void test_the_rest_is_deadly(void **state) {
        static const struct {
                void (*use)(void);
                bool strict_only;
        } cases[] = {
                { call_socket, false }, { call_connect, false }, { call_execve, false },
                { call_setuid, false }, { call_bpf, false },     { call_fork, true },
                { call_ptrace, true },  { call_kill, true },     { make_code, true },
        };

        (void) state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                if (STRICT || !cases[i].strict_only)
                        assert_int_equal(confined(cases[i].use), -SIGSYS);
}

/* Libraries may try; it does not kill, and gives nothing. */
static void open_files(void) {
        child_require(open("/etc/passwd", O_RDONLY) < 0 && errno == EPERM);
        child_require(open("/tmp", O_RDWR | O_TMPFILE, 0600) < 0 && errno == EPERM);
        child_require(access("/", F_OK) < 0 && errno == EPERM);
}

static void test_no_file_can_be_opened(void **state) {
        (void) state;
        assert_int_equal(confined(open_files), 0);
}

/* As the kernel tells it of a child that waits to be looked at. */
static void test_what_the_kernel_says(void **state) {
        const char *const expected[] = { "CapInh:\t0000000000000000",
                                         "CapPrm:\t0000000000000000",
                                         "CapEff:\t0000000000000000",
                                         "CapAmb:\t0000000000000000",
                                         "NoNewPrivs:\t1",
                                         "Seccomp:\t2" };
        char path[64], text[8192];
        int status, ready[2], stay[2];
        ssize_t n;
        pid_t pid;
        FILE *f;

        (void) state;
        assert_int_equal(pipe(ready), 0);
        assert_int_equal(pipe(stay), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                const struct confinement c = { .uid = (uid_t) -1, .max_descriptors = 64 };
                const char *step;

                child_require(confine(&c, &step) == 0);
                child_require(write(ready[1], "x", 1) == 1);
                /* Until it is killed: nothing more will come. */
                (void) !read(stay[0], text, 1);
                _exit(1);
        }
        n = read(ready[0], text, 1);
        assert_int_equal(n, 1);
        snprintf(path, sizeof(path), "/proc/%d/status", pid);
        f = fopen(path, "re");
        assert_non_null(f);
        text[fread(text, 1, sizeof(text) - 1, f)] = 0;
        fclose(f);
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
                if (!strstr(text, expected[i]))
                        fail_msg("not %s in\n%s", expected[i], text);
        for (unsigned i = 0; i < 2; i++) {
                close(ready[i]);
                close(stay[i]);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_answering_is_allowed),
                cmocka_unit_test(test_the_rest_is_deadly),
                cmocka_unit_test(test_what_the_kernel_says),
                /* Last: the leak check of the sanitizers opens files, so the filter lets it. */
                cmocka_unit_test(test_no_file_can_be_opened),
        };

        return _cmocka_run_group_tests(
                "tests", tests, sizeof(tests) / sizeof(tests[0]) - (STRICT ? 0 : 1), NULL, NULL);
}
