#include "tests/cpu.h"

#include "tests/check.h"

struct ot_dev *ot_cpu;

int ot_cpu_set_up(void **state)
{
    struct ot_err err = OT_ERR_INIT;

    (void)state;
    ot_cpu = ot_dev_open("cpu", 2, &err);
    return ot_cpu ? 0 : -1;
}

int ot_cpu_tear_down(void **state)
{
    (void)state;
    ot_dev_close(ot_cpu);
    return 0;
}
