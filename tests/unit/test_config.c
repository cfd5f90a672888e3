/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/conffile.h"
#include "daemon/config.h"

/* Each test has a folder of its own, removed behind it. */
struct folder {
        char path[64];
};

static int folder_make(void **state) {
        struct folder *f = malloc(sizeof(*f));

        if (!f)
                return -1;
        strcpy(f->path, "/tmp/portwatch-test-config-XXXXXX");
        *state = f;
        return mkdtemp(f->path) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
        (void) st;
        (void) flag;
        (void) ftw;
        return remove(path);
}

static int folder_remove(void **state) {
        struct folder *f = *state;
        int r = nftw(f->path, remove_one, 8, FTW_DEPTH | FTW_PHYS);

        free(f);
        return r;
}

static void write_file(const struct folder *f, const char *name, const char *text, size_t size) {
        char path[256];
        FILE *file;

        snprintf(path, sizeof(path), "%s/%s", f->path, name);
        for (char *slash = path + strlen(f->path) + 1; (slash = strchr(slash, '/')); slash++) {
                *slash = '\0';
                assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
                *slash = '/';
        }
        file = fopen(path, "w");
        assert_non_null(file);
        assert_int_equal(fwrite(text, 1, size, file), size);
        assert_int_equal(fclose(file), 0);
}

static void write_text(const struct folder *f, const char *name, const char *text) {
        write_file(f, name, text, strlen(text));
}

/* Loads the folder and expects an error that is "FOLDER/" and then exactly this. */
static void expect_error(const struct folder *f, int error, const char *sentence) {
        struct config config, before;
        char expected[1024];
        char *message = NULL;

        memset(&before, 0x5a, sizeof(before));
        config = before;
        assert_int_equal(config_load(&config, f->path, &message), error);
        assert_non_null(message);
        snprintf(expected, sizeof(expected), "%s/%s", f->path, sentence);
        assert_string_equal(message, expected);
        assert_memory_equal(&config, &before, sizeof(config));
        free(message);
}

static void expect_loads(const struct folder *f, struct config *ret) {
        char *message = NULL;
        int r = config_load(ret, f->path, &message);

        if (r < 0)
                fail_msg("%s", message ? message : "no message");
        assert_null(message);
}

static void test_defaults(void **state) {
        struct config defaults, loaded;

        config_defaults(&defaults);
        assert_int_equal(defaults.source, CONFIG_SOURCE_AUTO);
        assert_int_equal(defaults.storage, CONFIG_STORAGE_PERSISTENT);
        assert_int_equal(defaults.history_size_bytes, 64 << 20);
        assert_int_equal(defaults.max_listeners, 16384);
        assert_int_equal(defaults.max_connections, 262144);
        assert_int_equal(defaults.max_owners, 65536);
        assert_int_equal(defaults.sync_interval_usec, 5000000);
        assert_int_equal(defaults.ring_buffer_bytes, 16 << 20);
        assert_int_equal(defaults.receive_buffer_bytes, 32 << 20);
        assert_int_equal(defaults.poll_interval_usec, 500000);
        assert_string_equal(defaults.user, "portwatch-answer");
        assert_string_equal(defaults.group, "portwatch");
        assert_int_equal(defaults.max_clients, 256);
        assert_int_equal(defaults.max_clients_per_user, 64);
        assert_int_equal(defaults.max_followers, 32);

        expect_loads(*state, &loaded);
        assert_memory_equal(&loaded, &defaults, sizeof(loaded));
}

static void test_every_key(void **state) {
        struct config c;

        write_text(*state, "portwatch.conf",
                   "# a comment\n"
                   "\n"
                   "[Recorder]\n"
                   "Source=netlink\n"
                   "Storage = volatile\n"
                   "\tHistorySize=12M # an inline comment\n"
                   "MaxListeners=16\r\n"
                   "MaxConnections=\"1000\"\n"
                   "MaxOwners=1048576\n"
                   "SyncIntervalSec=100ms\n"
                   "RingBufferSize=65536\n"
                   "ReceiveBufferSize=512M\n"
                   "PollIntervalSec=1min\n"
                   "[Policy]\n"
                   "Learn=14d\n"
                   "TrustSocketUnits=yes\n"
                   "OnUnexpected=portwatch-alert@.service\n"
                   "[Answerer] # and another\n"
                   "User=nobody\n"
                   "Group=_a-9\n"
                   "MaxClients=4096\n"
                   "MaxClientsPerUser=1\n"
                   "MaxFollowers=1");
        expect_loads(*state, &c);
        assert_int_equal(c.source, CONFIG_SOURCE_NETLINK);
        assert_int_equal(c.storage, CONFIG_STORAGE_VOLATILE);
        assert_int_equal(c.history_size_bytes, 12 << 20);
        assert_int_equal(c.max_listeners, 16);
        assert_int_equal(c.max_connections, 1000);
        assert_int_equal(c.max_owners, 1 << 20);
        assert_int_equal(c.sync_interval_usec, 100000);
        assert_int_equal(c.learn_usec, UINT64_C(14) * 24 * 3600 * 1000000);
        assert_int_equal(c.trust_socket_units, 1);
        assert_string_equal(c.on_unexpected, "portwatch-alert@.service");
        assert_int_equal(c.ring_buffer_bytes, 65536);
        assert_int_equal(c.receive_buffer_bytes, 512 << 20);
        assert_int_equal(c.poll_interval_usec, 60000000);
        assert_string_equal(c.user, "nobody");
        assert_string_equal(c.group, "_a-9");
        assert_int_equal(c.max_clients, 4096);
        assert_int_equal(c.max_clients_per_user, 1);
        assert_int_equal(c.max_followers, 1);
}

static void test_units(void **state) {
        static const struct {
                const char *value;
                uint64_t usec;
        } times[] = { { "2", 2000000 },       { "2s", 2000000 },     { "1500ms", 1500000 },
                      { "250000us", 250000 }, { "3min", 180000000 }, { "1h", 3600000000 } };
        struct config c;

        for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
                char text[64];

                snprintf(text, sizeof(text), "[Recorder]\nSyncIntervalSec=%s\n", times[i].value);
                write_text(*state, "portwatch.conf", text);
                expect_loads(*state, &c);
                assert_int_equal(c.sync_interval_usec, times[i].usec);
        }
        write_text(*state, "portwatch.conf", "[Recorder]\nHistorySize=64G\nRingBufferSize=256K\n");
        expect_loads(*state, &c);
        assert_int_equal(c.history_size_bytes, UINT64_C(64) << 30);
        assert_int_equal(c.ring_buffer_bytes, 256 << 10);
}

static void test_bad_files(void **state) {
        static const struct {
                const char *text;
                const char *sentence; /* behind "portwatch.conf:" */
        } bad[] = {
                { "Source=auto\n", "1:1: expected a section first" },
                { "[Policy]\nOnUnexpected=alert@.service\n",
                  "2:14: expected nothing, or a name as portwatch-NAME@.service" },
                { "[Policy]\nOnUnexpected=portwatch-alert.service\n",
                  "2:14: expected nothing, or a name as portwatch-NAME@.service" },
                { "[Policy]\nOnUnexpected=portwatch-a/b@.service\n",
                  "2:14: expected nothing, or a name as portwatch-NAME@.service" },
                { "[Policy]\nOnUnexpected=portwatch-@.service\n",
                  "2:14: expected nothing, or a name as portwatch-NAME@.service" },
                { "[Recorder\n", "1:10: expected \"]\" after the section's name" },
                { "[Recorder] Source=auto\n", "1:12: expected nothing after the section" },
                { "[]\n", "1:2: expected a section ([Recorder], [Policy], [Answerer]), not \"\"" },
                { "\n  [Recoder]\n",
                  "2:4: expected a section ([Recorder], [Policy], [Answerer]), not \"Recoder\"" },
                { "[Recorder\x1b[0m]\n", "1:2: expected a section ([Recorder], [Policy], "
                                         "[Answerer]), not \"Recorder?[0m\"" },
                { "[recorder]\n",
                  "1:2: expected a section ([Recorder], [Policy], [Answerer]), not \"recorder\"" },
                { "\xef\xbb\xbf[Recorder]\n", "1:1: expected a section first" },
                { "[Recorder]\nSource\n", "2:7: expected \"=\" after the key" },
                { "[Recorder]\n=auto\n", "2:1: expected a key before \"=\"" },
                { "[Recorder]\n  Source=ebpf\n  netlink\n", "3:10: expected \"=\" after the key" },
                { "[Answerer]\nUsers=x\n",
                  "2:1: expected a key of [Answerer] (User, Group, MaxClients, MaxClientsPerUser, "
                  "MaxFollowers), not \"Users\"" },
                { "[Answerer]\nSource=auto\n",
                  "2:1: expected a key of [Answerer] (User, Group, MaxClients, MaxClientsPerUser, "
                  "MaxFollowers), not \"Source\"" },
                { "[Answerer]\n;User=x\n",
                  "2:1: expected a key of [Answerer] (User, Group, MaxClients, MaxClientsPerUser, "
                  "MaxFollowers), not \";User\"" },
                { "[Recorder]\nSource=ebpf\n[Answerer]\n[Recorder]\nSource=auto\n",
                  "5:1: expected Source once in a file, it is in line 2 too" },
                { "[Recorder]\nSource = eBPF\n", "2:10: expected auto, ebpf or netlink" },
                { "[Recorder]\nStorage=auto\n", "2:9: expected persistent or volatile" },
                { "[Recorder]\nHistorySize=11M\n",
                  "2:13: expected a size in bytes, or with K, M or G, from 12M to 64G" },
                { "[Recorder]\nHistorySize=65G\n",
                  "2:13: expected a size in bytes, or with K, M or G, from 12M to 64G" },
                { "[Recorder]\nHistorySize=18446744073709551616\n",
                  "2:13: expected a size in bytes, or with K, M or G, from 12M to 64G" },
                { "[Recorder]\nHistorySize=17179869185G\n",
                  "2:13: expected a size in bytes, or with K, M or G, from 12M to 64G" },
                { "[Recorder]\nHistorySize=64MB\n",
                  "2:13: expected a size in bytes, or with K, M or G, from 12M to 64G" },
                { "[Recorder]\nHistorySize=-1\n",
                  "2:13: expected a size in bytes, or with K, M or G, from 12M to 64G" },
                { "[Recorder]\nHistorySize=64 M\n",
                  "2:13: expected a size in bytes, or with K, M or G, from 12M to 64G" },
                { "[Recorder]\nHistorySize=1.5G\n",
                  "2:13: expected a size in bytes, or with K, M or G, from 12M to 64G" },
                { "[Recorder]\nHistorySize=64=M\n",
                  "2:13: expected a size in bytes, or with K, M or G, from 12M to 64G" },
                { "[Recorder]\nRingBufferSize=3M\n",
                  "2:16: expected a power of two in bytes, or with K, M or G, from 64K to 1G" },
                { "[Recorder]\nMaxListeners=many\n", "2:14: expected a number from 16 to 1048576" },
                { "[Recorder]\nMaxListeners=0x40\n", "2:14: expected a number from 16 to 1048576" },
                { "[Recorder]\nMaxListeners=1K\n", "2:14: expected a number from 16 to 1048576" },
                { "[Recorder]\nMaxListeners=15\n", "2:14: expected a number from 16 to 1048576" },
                { "[Recorder]\nSyncIntervalSec=0\n",
                  "2:17: expected a time in seconds, or with us, ms, s, min, h or d, "
                  "from 100ms to 1h" },
                { "[Recorder]\nPollIntervalSec=61\n",
                  "2:17: expected a time in seconds, or with us, ms, s, min, h or d, "
                  "from 10ms to 1min" },
                { "[Answerer]\nUser=0\n",
                  "2:6: expected the name of a user or group of at most 31 characters" },
                { "[Answerer]\nUser=a b\n",
                  "2:6: expected the name of a user or group of at most 31 characters" },
                { "[Answerer]\nGroup=abcdefghijklmnopqrstuvwxyzabcdef\n",
                  "2:7: expected the name of a user or group of at most 31 characters" },
        };

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                char sentence[512];

                snprintf(sentence, sizeof(sentence), "portwatch.conf:%s", bad[i].sentence);
                write_text(*state, "portwatch.conf", bad[i].text);
                expect_error(*state, -EINVAL, sentence);
        }
}

static void test_nul_byte(void **state) {
        static const char text[] = "[Recorder]\nSource=auto\0netlink\n";

        write_file(*state, "portwatch.conf", text, sizeof(text) - 1);
        expect_error(*state, -EINVAL, "portwatch.conf:2:12: expected text, not a NUL byte");
}

static void test_too_large(void **state) {
        char *text = malloc(CONFFILE_SIZE_MAX + 1);
        struct config c;

        assert_non_null(text);
        memset(text, '#', CONFFILE_SIZE_MAX + 1);
        write_file(*state, "portwatch.conf", text, CONFFILE_SIZE_MAX);
        expect_loads(*state, &c);
        write_file(*state, "portwatch.conf", text, CONFFILE_SIZE_MAX + 1);
        expect_error(*state, -EINVAL, "portwatch.conf: expected at most 262144 bytes");
        free(text);
}

static void test_no_regular_file(void **state) {
        const struct folder *f = *state;
        char path[128];

        snprintf(path, sizeof(path), "%s/portwatch.conf", f->path);
        assert_int_equal(mkfifo(path, 0600), 0);
        expect_error(f, -EINVAL, "portwatch.conf: expected a regular file");
        assert_int_equal(unlink(path), 0);
        assert_int_equal(mkdir(path, 0700), 0);
        expect_error(f, -EINVAL, "portwatch.conf: expected a regular file");
        assert_int_equal(rmdir(path), 0);
        assert_int_equal(symlink("/nonexistent/file", path), 0);
        expect_error(f, -ENOENT, "portwatch.conf: No such file or directory");
}

static void test_no_folder(void **state) {
        struct folder missing = *(struct folder *) *state;
        struct config c;
        char expected[256];
        char *message = NULL;

        strcat(missing.path, "/no");
        assert_int_equal(config_load(&c, missing.path, &message), -ENOENT);
        snprintf(expected, sizeof(expected), "%s: expected a folder: No such file or directory",
                 missing.path);
        assert_string_equal(message, expected);
        free(message);
        assert_int_equal(config_load(&c, "/dev/null", &message), -ENOTDIR);
        free(message);
}

static void test_drop_ins(void **state) {
        struct config c;

        write_text(*state, "portwatch.conf", "[Recorder]\nMaxListeners=100\nMaxOwners=100\n");
        write_text(*state, "portwatch.conf.d/20-b.conf", "[Recorder]\nMaxListeners=300\n");
        write_text(*state, "portwatch.conf.d/10-a.conf",
                   "[Recorder]\nMaxListeners=200\nMaxConnections=200\n");
        write_text(*state, "portwatch.conf.d/README", "not a drop-in");
        write_text(*state, "portwatch.conf.d/.hidden.conf", "not one either");
        expect_loads(*state, &c);
        assert_int_equal(c.max_listeners, 300);
        assert_int_equal(c.max_connections, 200);
        assert_int_equal(c.max_owners, 100);

        /* An empty value goes back to the default. */
        write_text(*state, "portwatch.conf.d/30-c.conf", "[Recorder]\nMaxListeners=\n");
        expect_loads(*state, &c);
        assert_int_equal(c.max_listeners, 16384);

        write_text(*state, "portwatch.conf.d/40-d.conf", "[Recorder]\n\nMaxOwners=1\n");
        expect_error(*state, -EINVAL,
                     "portwatch.conf.d/40-d.conf:3:11: expected a number from 16 to 1048576");
}

static void test_layers(void **state) {
        const struct folder *f = *state;
        static const char *const expected[] = { "b/p.conf", "c/p.conf.d/1.conf",
                                                "a/p.conf.d/2.conf", "b/p.conf.d/4.conf" };
        struct conffile_list list;
        char dirs[4][128], path[128];
        const char *found[5] = { dirs[0], dirs[1], dirs[2], dirs[3], NULL };
        char *message = NULL;

        for (size_t i = 0; i < 4; i++)
                snprintf(dirs[i], sizeof(dirs[i]), "%s/%c", f->path, (char) ('a' + i));
        write_text(f, "b/p.conf", "");
        write_text(f, "c/p.conf", "");
        write_text(f, "c/p.conf.d/1.conf", "");
        write_text(f, "c/p.conf.d/2.conf", "");
        write_text(f, "a/p.conf.d/2.conf", "");
        write_text(f, "b/p.conf.d/4.conf", "");
        write_text(f, "b/p.conf.d/3.conf", "");
        snprintf(path, sizeof(path), "%s/a/p.conf.d/3.conf", f->path);
        assert_int_equal(symlink("/dev/null", path), 0);

        assert_int_equal(conffile_find(&list, found, "p.conf", &message), 0);
        assert_int_equal(list.n_paths, 4);
        for (size_t i = 0; i < 4; i++)
                assert_string_equal(list.paths[i] + strlen(f->path) + 1, expected[i]);
        conffile_list_done(&list);
}

static void test_too_many_files(void **state) {
        char name[64];
        struct config c;
        char *message = NULL;

        for (unsigned i = 0; i < CONFFILE_FILES_MAX; i++) {
                snprintf(name, sizeof(name), "portwatch.conf.d/%03u.conf", i);
                write_text(*state, name, "");
        }
        expect_loads(*state, &c);
        write_text(*state, "portwatch.conf", "");
        assert_int_equal(config_load(&c, ((struct folder *) *state)->path, &message), -E2BIG);
        assert_non_null(message);
        free(message);
}

static void test_source_words(void **state) {
        (void) state;
        for (int i = 0; i < CONFIG_SOURCE_MAX; i++)
                assert_int_equal(config_source_parse(config_source_name((uint64_t) i)), i);
        assert_int_equal(config_source_parse("proc"), -EINVAL);
        assert_int_equal(config_source_parse(""), -EINVAL);
        assert_null(config_source_name(CONFIG_SOURCE_MAX));
}

/* The file that is installed says what the table says, and sets nothing. */
static void test_shipped_file(void **state) {
        const char *top = getenv("TOP_SRCDIR");
        char path[4096], shipped[16384];
        struct config c, defaults;
        char *text = NULL;
        size_t size = 0, n;
        FILE *f;

        snprintf(path, sizeof(path), "%s/etc/portwatch.conf", top ? top : ".");
        f = fopen(path, "r");
        assert_non_null(f);
        n = fread(shipped, 1, sizeof(shipped) - 1, f);
        shipped[n] = '\0';
        fclose(f);
        f = open_memstream(&text, &size);
        assert_non_null(f);
        config_print_defaults(f);
        fclose(f);
        assert_string_equal(shipped, text);
        free(text);

        write_text(*state, "portwatch.conf", shipped);
        expect_loads(*state, &c);
        config_defaults(&defaults);
        assert_memory_equal(&c, &defaults, sizeof(c));

        /* And with each "#Key=" taken at its word. */
        for (char *hash = shipped; (hash = strchr(hash, '#')); hash++)
                if (hash[1] >= 'A' && hash[1] <= 'Z')
                        *hash = ' ';
        write_text(*state, "portwatch.conf", shipped);
        expect_loads(*state, &c);
        assert_memory_equal(&c, &defaults, sizeof(c));
}

int main(int argc, char **argv) {
        const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)
                TEST(test_defaults),        TEST(test_every_key),      TEST(test_units),
                TEST(test_bad_files),       TEST(test_nul_byte),       TEST(test_too_large),
                TEST(test_no_regular_file), TEST(test_no_folder),      TEST(test_drop_ins),
                TEST(test_layers),          TEST(test_too_many_files), TEST(test_source_words),
                TEST(test_shipped_file),
#undef TEST
        };

        /* With --print: etc/portwatch.conf as it has to be after a change of the table. */
        if (argc == 2 && strcmp(argv[1], "--print") == 0) {
                config_print_defaults(stdout);
                return 0;
        }
        return cmocka_run_group_tests(tests, NULL, NULL);
}
