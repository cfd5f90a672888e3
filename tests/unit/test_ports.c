/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/ports.h"
#include "lib/record.h"

static int file_with(const char *text, size_t size) {
        int fd = memfd_create("services", MFD_CLOEXEC);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, size), (ssize_t) size);
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        return fd;
}

static struct services *load(const char *text, unsigned *ret_skipped) {
        struct services *s = NULL;
        int fd = file_with(text, strlen(text));

        assert_int_equal(services_load(&s, fd, ret_skipped), 0);
        close(fd);
        return s;
}

static void test_category(void **state) {
        (void) state;
        assert_int_equal(category_of(0), CATEGORY_SYSTEM);
        assert_int_equal(category_of(1023), CATEGORY_SYSTEM);
        assert_int_equal(category_of(1024), CATEGORY_USER);
        assert_int_equal(category_of(49151), CATEGORY_USER);
        assert_int_equal(category_of(49152), CATEGORY_DYNAMIC);
        assert_int_equal(category_of(65535), CATEGORY_DYNAMIC);
        for (unsigned i = 0; i < CATEGORY_MAX; i++)
                assert_int_equal(category_parse(category_name(i)), i);
        assert_null(category_name(CATEGORY_MAX));
        assert_int_equal(category_parse("registered"), -EINVAL);
}

static void test_lookup(void **state) {
        struct services *s = load("# comment\n"
                                  "80\ttcp,udp,sctp\thttp\n"
                                  "7\tudp\techo-udp\n"
                                  "80\ttcp\twww\n"
                                  "9\tsctp,dccp\tdiscard\n"
                                  "7\ttcp\techo-tcp\n"
                                  "65535\ttcp\tlast",
                                  NULL);
        const char *names[4];

        (void) state;
        assert_string_equal(services_lookup(s, 80, TRANSPORT_TCP), "http");
        assert_string_equal(services_lookup(s, 80, 0), "http");
        assert_string_equal(services_lookup(s, 7, TRANSPORT_TCP), "echo-tcp");
        assert_string_equal(services_lookup(s, 7, TRANSPORT_UDP), "echo-udp");
        assert_string_equal(services_lookup(s, 65535, TRANSPORT_TCP), "last");
        assert_null(services_lookup(s, 65535, TRANSPORT_UDP));
        assert_null(services_lookup(s, 9, 0));
        assert_null(services_lookup(s, 81, 0));
        assert_null(services_lookup(s, 80, TRANSPORT_MAX));
        assert_null(services_lookup(NULL, 80, 0));

        assert_int_equal(services_list(s, 80, 0, names, 4), 2);
        assert_string_equal(names[0], "http");
        assert_string_equal(names[1], "www");
        assert_int_equal(services_list(s, 80, TRANSPORT_UDP, names, 4), 1);
        assert_int_equal(services_list(s, 80, 0, names, 1), 1);
        assert_int_equal(services_list(s, 7, 0, names, 4), 2);
        services_free(s);
        assert_null(services_free(NULL));
}

static void test_malformed_lines_are_counted(void **state) {
        static const char *const bad[] = {
                "80 tcp http",      "x\ttcp\thttp",
                "65536\ttcp\thttp", "-1\ttcp\thttp",
                "\ttcp\thttp",      "80\t\thttp",
                "80\ttcp\t",        "80\ttcp\thttp\tmore",
                "80\ttcp",          "99999999999999999999\ttcp\thttp",
        };
        char text[256];

        (void) state;
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                unsigned skipped = 0;
                struct services *s;

                snprintf(text, sizeof(text), "%s\n22\ttcp\tssh\n\n", bad[i]);
                s = load(text, &skipped);
                assert_int_equal(skipped, 1);
                assert_null(services_lookup(s, 80, 0));
                assert_string_equal(services_lookup(s, 22, 0), "ssh");
                services_free(s);
        }
}

static void test_refused_files(void **state) {
        const size_t size = 4U * 1024 * 1024 + 1;
        struct services *s = NULL;
        char *big = malloc(size);
        int fd;

        (void) state;
        assert_non_null(big);
        memset(big, '\n', size);
        fd = file_with(big, size);
        assert_int_equal(services_load(&s, fd, NULL), -EFBIG);
        assert_null(s);
        close(fd);
        fd = file_with(big, size - 1);
        assert_int_equal(services_load(&s, fd, NULL), 0);
        s = services_free(s);
        close(fd);
        free(big);

        fd = file_with("22\ttcp\tssh\n\0", 12);
        assert_int_equal(services_load(&s, fd, NULL), -EBADMSG);
        close(fd);
        fd = file_with("", 0);
        assert_int_equal(services_load(&s, fd, NULL), 0);
        assert_null(services_lookup(s, 22, 0));
        services_free(s);
        close(fd);
        assert_int_equal(services_load(&s, -1, NULL), -EBADF);
}

static void test_shipped_registry(void **state) {
        const char *top = getenv("TOP_SRCDIR");
        struct services *s = NULL;
        unsigned skipped = 1;
        char path[4096];
        int fd;

        (void) state;
        snprintf(path, sizeof(path), "%s/data/service-names.tsv", top ? top : ".");
        fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(services_load(&s, fd, &skipped), 0);
        close(fd);
        assert_int_equal(skipped, 0);
        assert_string_equal(services_lookup(s, 1102, TRANSPORT_TCP), "adobeserver-1");
        assert_string_equal(services_lookup(s, 22, TRANSPORT_TCP), "ssh");
        assert_string_equal(services_lookup(s, 53, TRANSPORT_UDP), "domain");
        services_free(s);
}

static void test_ephemeral_range(void **state) {
        uint16_t first = 0, last = 0;

        (void) state;
        assert_int_equal(ports_ephemeral_range(&first, &last), 0);
        assert_true(first > 0 && first <= last);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_category),
                cmocka_unit_test(test_lookup),
                cmocka_unit_test(test_malformed_lines_are_counted),
                cmocka_unit_test(test_refused_files),
                cmocka_unit_test(test_shipped_registry),
                cmocka_unit_test(test_ephemeral_range),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
