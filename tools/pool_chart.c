/*
 * pool_chart.c - charts as SVG: lines over iterations, and intervals around a zero line.
 *
 * Lines differ in dashes as well as in colour.  The scale ends at round numbers, so that the
 * marks can be read without interpolation.
 */
#include <math.h>
#include <stdio.h>

#include "tools/pool_html.h"

enum { WIDTH = 480, HEIGHT = 230, LEFT = 52, RIGHT = 22, TOP = 12, BOTTOM = 38, ROW = 24 };

struct scale {
    double from, to, step;
    double at0, at1; /* where they are in the view */
};

/* 1, 2, 2.5 or 5 times a power of ten, so that there are about `marks` of them. */
static struct scale make_scale(double from, double to, int marks, double at0, double at1)
{
    double raw, ten, f;
    struct scale s = { .at0 = at0, .at1 = at1 };

    if (!(to > from))
        to = from + fmax(fabs(from), 1);
    raw = (to - from) / marks;
    ten = pow(10, floor(log10(raw)));
    f = raw / ten;
    s.step = ten * (f <= 1 ? 1 : f <= 2 ? 2 : f <= 2.5 ? 2.5 : f <= 5 ? 5 : 10);
    s.from = floor(from / s.step + 1e-9) * s.step;
    s.to = ceil(to / s.step - 1e-9) * s.step;
    return s;
}

static double place(const struct scale *s, double v)
{
    return s->at0 + (s->at1 - s->at0) * (v - s->from) / (s->to - s->from);
}

static double mark(const struct scale *s, int i)
{
    double v = s->from + i * s->step;

    return fabs(v) < s->step * 1e-6 ? 0 : v;
}

static int marks(const struct scale *s)
{
    return (int)floor((s->to - s->from) / s->step + 1.5);
}

static void begin(struct ot_str *s, const char *title, int height)
{
    ot_str_printf(s, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", WIDTH, height);
    ot_html_text(s, title);
    ot_str_puts(s, "\">");
}

/* ---- lines -------------------------------------------------------------------------------------
 */

static void put_axes(struct ot_str *s, const struct scale *x, const struct scale *y,
                     const char *x_name)
{
    for (int i = 0; i < marks(y); i++) {
        double at = place(y, mark(y, i));

        ot_str_printf(s, "<path class=\"grid\" d=\"M%d %.1fH%d\"/>", LEFT, at, WIDTH - RIGHT);
        ot_str_printf(s, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.6g</text>\n", LEFT - 6,
                      at + 4, mark(y, i));
    }
    for (int i = 0; i < marks(x); i++)
        ot_str_printf(s, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.8g</text>\n",
                      place(x, mark(x, i)), HEIGHT - BOTTOM + 17, mark(x, i));
    ot_str_printf(s, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">", WIDTH - RIGHT, HEIGHT - 4);
    ot_html_text(s, x_name);
    ot_str_puts(s, "</text>\n");
}

/* A line breaks where more than a twelfth of the points are missing; what is left alone is a dot.
 */
static void put_line(struct ot_str *s, const struct ot_chart *c, int k, const struct scale *x,
                     const struct scale *y)
{
    size_t last = 0;
    bool begun = false;

    ot_str_printf(s, "<path class=\"line c%d\" d=\"", k + 1);
    for (size_t i = 0; i < c->n; i++) {
        bool on = begun && i - last <= c->n / 12 + 1;

        if (!isfinite(c->series[k].y[i]))
            continue;
        ot_str_printf(s, "%c%.1f %.1f%s", on ? 'L' : 'M', place(x, c->x[i]),
                      place(y, c->series[k].y[i]), on ? "" : "h.1");
        last = i;
        begun = true;
    }
    ot_str_puts(s, "\"/>\n");
}

void ot_html_lines(struct ot_str *s, const struct ot_chart *c)
{
    double least = INFINITY, most = -INFINITY;
    struct scale x, y;

    for (int k = 0; k < c->n_series; k++)
        for (size_t i = 0; i < c->n; i++)
            if (isfinite(c->series[k].y[i])) {
                least = fmin(least, c->series[k].y[i]);
                most = fmax(most, c->series[k].y[i]);
            }
    if (c->n < 2 || !(least <= most))
        return;
    x = make_scale(c->x[0], c->x[c->n - 1], 6, LEFT, WIDTH - RIGHT);
    y = make_scale(c->from_zero ? fmin(least, 0) : least, most, 5, HEIGHT - BOTTOM, TOP);
    ot_str_puts(s, "<figure class=\"chart\">");
    begin(s, c->title, HEIGHT);
    put_axes(s, &x, &y, c->x_name);
    for (int k = 0; k < c->n_series; k++)
        put_line(s, c, k, &x, &y);
    ot_str_puts(s, "</svg><figcaption><b>");
    ot_html_text(s, c->title);
    ot_str_puts(s, "</b>");
    for (int k = 0; k < c->n_series; k++) {
        ot_str_printf(s, " <span class=\"key c%d\"></span>", k + 1);
        ot_html_text(s, c->series[k].name);
    }
    ot_str_puts(s, "</figcaption></figure>\n");
}

/* ---- intervals ---------------------------------------------------------------------------------
 */

static bool drawable(const struct ot_whisker *w)
{
    return isfinite(w->lo) && isfinite(w->at) && isfinite(w->hi);
}

static void put_whisker(struct ot_str *s, const struct ot_whisker *w, const struct scale *x, int at)
{
    char name[20];
    const char *sense = w->lo > 0 ? "good" : w->hi < 0 ? "bad" : "open";

    ot_str_printf(s, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">", 2 * LEFT + 16, at + 4);
    (void)snprintf(name, sizeof name, "%s", w->name); /* as much as has room */
    ot_html_text(s, name);
    ot_str_printf(s, "</text><path class=\"whisker %s\" d=\"M%.1f %dH%.1fM%.1f %dv8M%.1f %dv8\"/>",
                  sense, place(x, w->lo), at, place(x, w->hi), place(x, w->lo), at - 4,
                  place(x, w->hi), at - 4);
    ot_str_printf(s, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%d\" r=\"4.5\"/>\n", sense,
                  place(x, w->at), at);
}

void ot_html_whiskers(struct ot_str *s, const char *title, const struct ot_whisker *w, size_t n)
{
    double least = 0, most = 0;
    struct scale x;
    int rows = 0, height;

    for (size_t i = 0; i < n; i++)
        if (drawable(&w[i])) {
            rows++;
            least = fmin(least, w[i].lo);
            most = fmax(most, w[i].hi);
        }
    if (!rows)
        return;
    height = TOP + rows * ROW + 26;
    x = make_scale(least, most, 5, 2 * LEFT + 26, WIDTH - RIGHT);
    ot_str_puts(s, "<figure class=\"chart\">");
    begin(s, title, height);
    for (int i = 0; i < marks(&x); i++) {
        double at = place(&x, mark(&x, i));

        ot_str_printf(s, "<path class=\"%s\" d=\"M%.1f %dV%d\"/>",
                      mark(&x, i) == 0 ? "zero" : "grid", at, TOP - 4, height - 24);
        ot_str_printf(s, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.6g</text>\n", at,
                      height - 8, mark(&x, i));
    }
    rows = 0;
    for (size_t i = 0; i < n; i++)
        if (drawable(&w[i]))
            put_whisker(s, &w[i], &x, TOP + ROW / 2 + ROW * rows++);
    ot_str_puts(s, "</svg><figcaption><b>");
    ot_html_text(s, title);
    ot_str_puts(s, "</b></figcaption></figure>\n");
}
