/*
 * pool_page.c - the page around a report: one file, light and dark, for screen, telephone, paper.
 */
#include "tools/pool_report.h"

static const char base_style[] =
    ":root{color-scheme:light dark;--bg:#fbfaf7;--card:#fff;--ink:#1f2328;--soft:#5c636c;"
    "--line:#dedbd4;--c1:#2160a8;--c2:#c2551a;--c3:#2b7a4b;--good:#2b7a4b;--bad:#b3261e;"
    "--bar:#d9e5f3}\n"
    "@media(prefers-color-scheme:dark){:root{--bg:#16181c;--card:#1d2025;--ink:#e8e6e1;"
    "--soft:#a2a8b0;--line:#363b42;--c1:#72aef2;--c2:#f0995c;--c3:#70c48d;--good:#70c48d;"
    "--bad:#f2857d;--bar:#26405d}}\n"
    "*{box-sizing:border-box}body{margin:0 auto;padding:1.2rem clamp(.8rem,3vw,2.5rem) 3rem;"
    "max-width:76rem;background:var(--bg);color:var(--ink);"
    "font:1rem/1.5 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif}\n"
    "h1{font-size:1.7rem;line-height:1.2;margin:.4rem 0;overflow-wrap:anywhere}"
    "h2{font-size:1.2rem;margin:2.4rem 0 .6rem;padding-top:.6rem;border-top:1px solid var(--line)}"
    "p{max-width:46rem;margin:.5rem 0}.soft,figcaption,caption{color:var(--soft)}"
    "a{color:var(--c1)}nav{font-size:.9rem;display:flex;flex-wrap:wrap;gap:.2rem 1rem}\n"
    ".cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.7rem;"
    "margin:1.2rem 0;padding:0;list-style:none}.cards li{background:var(--card);"
    "border:1px solid var(--line);border-radius:.5rem;padding:.6rem .8rem}"
    ".cards b{display:block;font-size:1.35rem;font-variant-numeric:tabular-nums}"
    ".cards span{font-size:.85rem;color:var(--soft)}\n"
    ".scroll{overflow-x:auto;margin:.8rem 0}table{border-collapse:collapse;font-size:.9rem;"
    "font-variant-numeric:tabular-nums}caption{text-align:left;padding-bottom:.3rem}"
    "th,td{padding:.25rem .7rem .25rem 0;border-bottom:1px solid var(--line);text-align:left;"
    "vertical-align:top}thead th{color:var(--soft);font-weight:600;white-space:nowrap}"
    ".t{white-space:nowrap}"
    "tbody th{font-weight:500}td.n,th.n{text-align:right;white-space:nowrap;padding-left:.6rem}"
    ".bar{background:linear-gradient(90deg,var(--bar) var(--v),transparent var(--v)) no-repeat;"
    "min-width:7rem;padding-left:.5rem}\n";

static const char chart_style[] =
    ".charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,25rem),1fr));"
    "gap:1rem}.chart{margin:.4rem 0;background:var(--card);border:1px solid var(--line);"
    "border-radius:.5rem;padding:.6rem .6rem .4rem;max-width:36rem}svg{display:block;width:100%;"
    "height:auto}svg text{font-size:12px;fill:var(--soft)}.grid{stroke:var(--line);"
    "stroke-width:1;fill:none}.zero{stroke:var(--ink);stroke-width:1.4}.line{fill:none;"
    "stroke-width:2;stroke-linejoin:round;stroke-linecap:round}"
    ".c1{stroke:var(--c1);background:var(--c1)}"
    ".c2{stroke:var(--c2);background:var(--c2)}.c3{stroke:var(--c3);background:var(--c3)}"
    ".line.c2{stroke-dasharray:6 5}.line.c3{stroke-dasharray:.1 5}"
    ".whisker{fill:none;stroke-width:2}.whisker.good{stroke:var(--good)}.whisker.bad{stroke:"
    "var(--bad)}.whisker.open{stroke:var(--soft)}circle.good{fill:var(--good)}circle.bad{fill:"
    "var(--bad)}circle.open{fill:var(--soft)}.key{display:inline-block;width:1.1em;height:.22em;"
    "margin:0 .35em 0 .8em;vertical-align:middle}"
    ".key.c2,.key.c3{background:repeating-linear-gradient(90deg,var(--c2) 0 .4em,transparent "
    ".4em .55em)}.key.c3{background:repeating-linear-gradient(90deg,var(--c3) 0 .15em,"
    "transparent .15em .3em)}figcaption{font-size:.85rem;padding:.3rem 0}"
    "figcaption b{color:var(--ink)}\n"
    ".stack{display:flex;height:1.4rem;border-radius:.3rem;overflow:hidden;max-width:44rem;"
    "background:var(--line)}.states{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;padding:0;"
    "list-style:none;font-size:.9rem}.states i{display:inline-block;width:.8em;height:.8em;"
    "margin-right:.35em;border-radius:.15em}.s0{background:#d8b54a}.s1{background:#4f9fe0}"
    ".s2{background:#4fae6c}.s3{background:#e2504a}.s4{background:#b168cf}.s5{background:#8c8c8c}"
    ".s6{background:#2fb0ad}\n"
    ".pics{display:grid;grid-template-columns:repeat(auto-fill,minmax(8.8rem,1fr));gap:.9rem .7rem}"
    ".pic{margin:0;min-width:0}.pic img,.hole{display:block;width:112px;height:112px;"
    "object-fit:contain;background:#2a2c30;image-rendering:pixelated;border-radius:.2rem;"
    "border:2px solid transparent;box-sizing:content-box}.hole{color:#ddd;font-size:.75rem;"
    "padding:.4rem;width:calc(112px - .8rem);height:calc(112px - .8rem);overflow:hidden}"
    ".b2>:first-child{border-color:#4fae6c}.b3>:first-child{border-color:#e2504a}"
    ".b4>:first-child{border-color:#b168cf}.b6>:first-child{border-color:#2fb0ad}"
    ".pic figcaption{font-size:.78rem;line-height:1.35;overflow-wrap:anywhere}"
    ".note{border-left:4px solid var(--c2);padding:.3rem .8rem;background:var(--card)}\n"
    "@media print{body{max-width:none;padding:0;font-size:9pt}nav{display:none}"
    ".chart,.pic,tr,.cards li{break-inside:avoid}h2{break-after:avoid}"
    ".bar,.stack,.states i,.key,.pic img{print-color-adjust:exact;"
    "-webkit-print-color-adjust:exact}.scroll{overflow:visible}}\n";

void ot_prep_begin(struct ot_str *s, const char *title)
{
    ot_str_puts(s, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                   "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
                   "<title>");
    ot_html_text(s, title);
    ot_str_puts(s, "</title><style>\n");
    ot_str_puts(s, base_style);
    ot_str_puts(s, chart_style);
    ot_str_puts(s, "</style></head>\n<body><header><h1>");
    ot_html_text(s, title);
    ot_str_puts(s, "</h1></header>\n<main>\n");
}

void ot_prep_end(struct ot_str *s)
{
    ot_str_puts(s, "</main></body></html>\n");
}

void ot_prep_section(struct ot_str *s, const char *id, const char *title)
{
    ot_str_printf(s, "<section id=\"%s\"><h2>", id);
    ot_html_text(s, title);
    ot_str_puts(s, "</h2>\n");
}

void ot_prep_close(struct ot_str *s)
{
    ot_str_puts(s, "</section>\n");
}

void ot_prep_says(struct ot_str *s, const char *text)
{
    ot_str_puts(s, "<p>");
    ot_html_text(s, text);
    ot_str_puts(s, "</p>\n");
}
