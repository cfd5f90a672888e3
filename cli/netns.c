/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/netns.h"

#define NAMES_MAX 1024U
#define NAME_SIZE 64U

static struct name {
        uint64_t inode;
        char text[NAME_SIZE];
} names[NAMES_MAX];
static unsigned n_names;

static void add(uint64_t inode, const char *text) {
        if (n_names == NAMES_MAX || strlen(text) >= NAME_SIZE)
                return;
        names[n_names].inode = inode;
        strcpy(names[n_names++].text, text);
}

static void read_names(void) {
        DIR *folder = opendir(NETNS_FOLDER);
        struct stat st;

        if (folder) {
                for (struct dirent *e; (e = readdir(folder));)
                        if (e->d_name[0] != '.' && fstatat(dirfd(folder), e->d_name, &st, 0) == 0)
                                add(st.st_ino, e->d_name);
                closedir(folder);
        }
        if (stat("/proc/self/ns/net", &st) == 0)
                add(st.st_ino, "own");
}

const char *netns_name(uint64_t inode) {
        static bool read;

        if (!read)
                read_names();
        read = true;
        for (unsigned i = 0; i < n_names; i++)
                if (names[i].inode == inode)
                        return names[i].text;
        return "";
}
