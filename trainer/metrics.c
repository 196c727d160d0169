/* metrics.c - a line is built in memory and written whole. */
#include "trainer/metrics.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

struct ot_metrics {
    FILE *file;
    struct ot_str line;
    bool broken;
};

/* A killed process may have left half a line: what follows must not be glued to it. */
static void end_half_line(FILE *f)
{
    if (fseek(f, -1, SEEK_END) == 0 && getc(f) != '\n') {
        (void)fseek(f, 0, SEEK_END);
        (void)fputc('\n', f);
    }
    (void)fseek(f, 0, SEEK_END);
}

struct ot_metrics *ot_metrics_open(const char *path, struct ot_err *err)
{
    struct ot_metrics *m = ot_alloc(1, sizeof *m, err);

    if (!m)
        return NULL;
    m->file = fopen(path, "a+");
    if (!m->file) {
        (void)ot_fail_sys(err, OT_ECREATE, errno, "cannot create '%s'", path);
        ot_free(m);
        return NULL;
    }
    end_half_line(m->file);
    return m;
}

void ot_metrics_close(struct ot_metrics *m)
{
    if (!m)
        return;
    (void)fclose(m->file);
    ot_str_release(&m->line);
    ot_free(m);
}

void ot_metrics_begin(struct ot_metrics *m, const char *kind, int64_t iter)
{
    char now[32];

    if (!m)
        return;
    ot_str_clear(&m->line);
    ot_str_printf(&m->line, "{\"t\":%.3f,\"time\":\"%s\",\"kind\":\"%s\",\"iter\":%lld", ot_now_s(),
                  ot_time_utc(now), kind, (long long)iter);
}

static void name_it(struct ot_metrics *m, const char *name)
{
    ot_str_puts(&m->line, ",\"");
    ot_str_json(&m->line, name);
    ot_str_puts(&m->line, "\":");
}

void ot_metrics_num(struct ot_metrics *m, const char *name, double v)
{
    if (!m)
        return;
    name_it(m, name);
    ot_str_json_num(&m->line, v);
}

void ot_metrics_str(struct ot_metrics *m, const char *name, const char *v)
{
    if (!m)
        return;
    name_it(m, name);
    ot_str_puts(&m->line, "\"");
    ot_str_json(&m->line, v);
    ot_str_puts(&m->line, "\"");
}

void ot_metrics_end(struct ot_metrics *m)
{
    if (!m || m->broken)
        return;
    ot_str_puts(&m->line, "}\n");
    if (m->line.failed || fwrite(m->line.buf, 1, m->line.len, m->file) != m->line.len ||
        fflush(m->file) != 0) {
        m->broken = true;
        ot_log(OT_LOG_WARN, "metrics", "metrics.jsonl cannot be written any more: %s",
               strerror(errno));
    }
}
