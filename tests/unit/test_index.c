/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include "daemon/record/index.h"

static void test_empty(void **state) {
        struct index ix;

        (void) state;
        assert_int_equal(index_init(&ix, 100), 0);
        assert_int_equal(index_get(&ix, 1), INDEX_NONE);
        assert_int_equal(index_get(&ix, UINT64_MAX), INDEX_NONE);
        index_remove(&ix, 1);
        assert_int_equal(ix.count, 0);
        index_done(&ix);
        index_done(&ix);
}

static void test_replace(void **state) {
        struct index ix;

        (void) state;
        assert_int_equal(index_init(&ix, 1), 0);
        assert_int_equal(index_put(&ix, 5, 50), 0);
        assert_int_equal(index_put(&ix, 6, 60), -ENOSPC);
        assert_int_equal(index_get(&ix, 6), INDEX_NONE);
        /* Full of others is not full for one that is there. */
        assert_int_equal(index_put(&ix, 5, 51), 0);
        assert_int_equal(index_get(&ix, 5), 51);
        assert_int_equal(ix.count, 1);
        index_remove(&ix, 5);
        assert_int_equal(index_get(&ix, 5), INDEX_NONE);
        assert_int_equal(index_put(&ix, 6, 60), 0);
        assert_int_equal(index_get(&ix, 6), 60);
        index_done(&ix);
}

/* Through every doubling to the last entry; the room reserved must be enough for the probing too.
 */
static void test_full(void **state) {
        static const uint64_t sizes[] = { 2, 511, 512, 513, 1024, 5000, 65536, 70001 };

        (void) state;
        for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
                struct index ix;

                assert_int_equal(index_init(&ix, sizes[k]), 0);
                /* Cookies of the kernel count up, with gaps. */
                for (uint64_t i = 1; i <= sizes[k]; i++)
                        assert_int_equal(index_put(&ix, i * 3, (uint32_t) i), 0);
                assert_int_equal(index_put(&ix, 1, 1), -ENOSPC);
                for (uint64_t i = 1; i <= sizes[k]; i++)
                        assert_int_equal(index_get(&ix, i * 3), i);
                assert_int_equal(index_get(&ix, 1), INDEX_NONE);
                assert_true((ix.mask + 1) * 16 <= ix.mapped);
                for (uint64_t i = 1; i <= sizes[k]; i++)
                        index_remove(&ix, i * 3);
                assert_int_equal(ix.count, 0);
                for (uint64_t i = 1; i <= sizes[k]; i++)
                        assert_int_equal(index_get(&ix, i * 3), INDEX_NONE);
                index_done(&ix);
        }
}

#define MODEL_KEYS 3000U

/*
 * Against a table by key. Keys come in three kinds: counting up as cookies do, at random, and such
 * that all hash to the same few places, around the end of the table too, where chains wrap.
 */
static uint64_t key_of(unsigned kind, uint64_t i) {
        const uint64_t inverse =
                0xF1DE83E19937733DU; /* of the multiplier of the hash, modulo 2^64 */
        uint64_t seed = i;

        switch (kind) {
        case 0:
                return i + 1;
        case 1:
                return unit_random(&seed) | 1;
        default:
                return (((i % 3) - 1) << 32 | (i + 1)) * inverse;
        }
}

static void run_model(unsigned kind, uint64_t max, unsigned rounds) {
        static uint32_t model[MODEL_KEYS];
        uint64_t seed = kind, count = 0;
        struct index ix;

        memset(model, 0xFF, sizeof(model));
        assert_int_equal(index_init(&ix, max), 0);
        for (unsigned round = 0; round < rounds; round++) {
                uint64_t i = unit_below(&seed, MODEL_KEYS), key = key_of(kind, i);
                bool growing = round / (rounds / 7) % 2 == 0;

                if (unit_below(&seed, 10) < (growing ? 7 : 3)) {
                        uint32_t value = (uint32_t) unit_below(&seed, INDEX_NONE);
                        int r = index_put(&ix, key, value);

                        if (model[i] == INDEX_NONE && count == max) {
                                assert_int_equal(r, -ENOSPC);
                                continue;
                        }
                        assert_int_equal(r, 0);
                        count += model[i] == INDEX_NONE;
                        model[i] = value;
                } else {
                        index_remove(&ix, key);
                        count -= model[i] != INDEX_NONE;
                        model[i] = INDEX_NONE;
                }
                assert_int_equal(ix.count, count);
                assert_int_equal(index_get(&ix, key), model[i]);
                i = unit_below(&seed, MODEL_KEYS);
                assert_int_equal(index_get(&ix, key_of(kind, i)), model[i]);
                if (round % (rounds / 20) != 0)
                        continue;
                for (i = 0; i < MODEL_KEYS; i++)
                        assert_int_equal(index_get(&ix, key_of(kind, i)), model[i]);
        }
        assert_true(count > 0);
        index_done(&ix);
}

static void test_model(void **state) {
        (void) state;
        run_model(0, MODEL_KEYS, 200000);
        run_model(1, MODEL_KEYS, 200000);
        run_model(0, 1000, 100000);
        run_model(1, 1000, 100000);
}

/* All of them collide: slow, and right. */
static void test_model_collisions(void **state) {
        (void) state;
        assert_int_equal(0xF1DE83E19937733DU * 0x9E3779B97F4A7C15U, 1);
        run_model(2, 400, 40000);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_empty),
                cmocka_unit_test(test_replace),
                cmocka_unit_test(test_full),
                cmocka_unit_test(test_model),
                cmocka_unit_test(test_model_collisions),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
