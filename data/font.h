/* font.h - the letters of ot_image_text(): printable ASCII, 5x7 pixels.  Threads: constant. */
#ifndef OT_DATA_FONT_H
#define OT_DATA_FONT_H

enum { OT_FONT_FIRST = ' ', OT_FONT_LAST = '~', OT_FONT_ROWS = 7, OT_FONT_COLS = 5 };

extern const unsigned char ot_font[OT_FONT_LAST - OT_FONT_FIRST + 1][OT_FONT_ROWS];

#endif
