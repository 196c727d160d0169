/* test_cuda_race.c - what looks for races in cuda/'s kernels on the host finds them. */
#include <string.h>

#include "base/mem.h"
#include "tests/check.h"
#include "tests/gpu_host.h"
#include "tests/gpu_race.h"
#include "tests/some_tests.h"

static void wrong_kernels_are_told_and_right_ones_are_not(void **state)
{
    struct ot_race_self self;
    int seen = 0;

    (void)state;
    if (!ot_race_self || !ot_race_sees())
        skip_because("accesses are not seen in this build: no C++ compiler, or a sanitizer");
    ot_test_cuda_way(0);
    for (size_t i = 0; ot_race_self(i, &self); i++, seen++) {
        struct ot_err err = OT_ERR_INIT;
        char said[512] = "nothing";
        float *x = ot_alloc(OT_RACE_FLOATS, sizeof *x, &err);

        assert_ok(x ? 0 : err.code, &err);
        self.run(x);
        if (ot_test_cuda_wrong(said, sizeof said) != (self.says != NULL) ||
            (self.says && !strstr(said, self.says)))
            fail_msg("%s: wanted '%s', told '%s'", self.name, self.says ? self.says : "nothing",
                     said);
        ot_free(x);
    }
    assert_true(seen > 10);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_kernels_are_told_and_right_ones_are_not),
    };

    return OT_SOME_TESTS(argc, argv, tests, NULL, NULL);
}
