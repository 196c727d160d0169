/*
 * pool_html.h - pieces of a page: texts, tables, pictures, charts.
 *
 * Every text is escaped, every picture is inside the page, nothing is fetched.  Charts are SVG in
 * the colours that the page's style gives to .c1, .c2, ..; sizes are in units of a 480 wide view.
 *
 * Ownership: the string grows, the rest is borrowed.
 * Threads: one owner of the string at a time.
 * Errors: appending is latched in the string (base/str.h).
 */
#ifndef OT_TOOLS_POOL_HTML_H
#define OT_TOOLS_POOL_HTML_H

#include "data/image.h"
#include "tools/pool_table.h"

void ot_html_text(struct ot_str *s, const char *text);

/* The first column heads its row.  bar: a column whose numbers get bars, NULL: none. */
void ot_html_table(struct ot_str *s, const struct ot_table *t, const char *caption,
                   const char *bar);

int ot_html_picture(struct ot_str *s, const struct ot_image *im, const char *alt,
                    struct ot_err *err);

enum { OT_CHART_SERIES = 3 };

struct ot_chart_series {
    const char *name;
    const double *y; /* NaN: no point here */
};

struct ot_chart {
    const char *title, *x_name;
    const double *x; /* ascending */
    size_t n;
    struct ot_chart_series series[OT_CHART_SERIES];
    int n_series;
    bool from_zero;
};

/* Nothing when fewer than two points are there. */
void ot_html_lines(struct ot_str *s, const struct ot_chart *c);

struct ot_whisker {
    const char *name;
    double lo, at, hi;
};

/* One row each, zero marked; rows that are not finite are left out. */
void ot_html_whiskers(struct ot_str *s, const char *title, const struct ot_whisker *w, size_t n);

#endif
