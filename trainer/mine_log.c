/*
 * mine_log.c - the loss log of a run: what of the run its head says, and when it is written.
 *
 * It begins with the first iteration: by then the miner is what it will be, restored or with the
 * rows of earlier nights.
 */
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "trainer/mine_i.h"

static char *key_of(void *ctx, uint32_t index, char *buf, size_t n)
{
    return ot_loader_key(ctx, index, buf, n);
}

int ot_mine_open_log(struct ot_mine *m, struct ot_err *err)
{
    struct ot_loader *loader = ot_feeds_loader(m->feeds);
    struct ot_looklog_head head = { .conf = m->conf,
                                    .passes = m->facts.passes,
                                    .batch = m->facts.batch,
                                    .roi = m->facts.roi,
                                    .fingerprint = ot_loader_fingerprint(loader),
                                    .dataset = ot_loader_source(loader) };
    struct ot_str text = { 0 };
    char path[2048];

    if (!m->param->loss_log || !*m->param->loss_log)
        return 0;
    ot_text_print(&m->param->base, &text);
    head.policy = text.buf ? text.buf : "";
    if (ot_str_ok(&text, err) == 0)
        m->log = ot_looklog_open(
            ot_path_join(path, sizeof path, m->config->run_dir, m->param->loss_log), &head, key_of,
            loader, err);
    ot_str_release(&text);
    return m->log ? 0 : ot_mine_blame(m, "loss_log", err);
}

void ot_mine_check_log(struct ot_mine *m)
{
    struct ot_err err = OT_ERR_INIT;

    if (!m->log || m->log_warned || ot_looklog_ok(m->log, &err) == 0)
        return;
    ot_log_err("loss log", &err); /* training goes on */
    m->log_warned = true;
}

int ot_mine_close_log(struct ot_mine *m, bool ended, struct ot_err *err)
{
    struct ot_looklog *log = m->log;
    struct ot_err first = OT_ERR_INIT;

    m->log = NULL;
    if (ot_looklog_close(log, ended, &first) < 0 && !m->log_warned) {
        *err = first;
        return err->code;
    }
    return 0;
}
