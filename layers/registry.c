/* registry.c - names to layer types: a constant table, no constructors, no start-up order. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "layers/layer.h"

#define L(stem) extern const struct ot_layer_ops ot_layer_##stem;
#include "layers/layers.def"
#undef L

static const struct ot_layer_ops *const types[] = {
#define L(stem) &ot_layer_##stem,
#include "layers/layers.def"
#undef L
};

enum { N_TYPES = sizeof types / sizeof types[0] };

const struct ot_layer_ops *ot_layer_at(int i)
{
    return i >= 0 && i < N_TYPES ? types[i] : NULL;
}

const struct ot_layer_ops *ot_layer_find(const char *type)
{
    for (int i = 0; i < N_TYPES; i++)
        if (!strcmp(types[i]->type, type))
            return types[i];
    return NULL;
}

char *ot_layer_near(const char *type, char *buf, size_t n)
{
    int best = 1 << 20, slip = 1 + (int)strlen(type) / 4; /* further is another word */
    size_t len = 0;

    buf[0] = '\0';
    for (int i = 0; i < N_TYPES; i++) {
        int d = ot_edit_distance(type, types[i]->type);

        best = d < best ? d : best;
    }
    for (int i = 0; i < N_TYPES && best <= slip && len < n; i++)
        if (ot_edit_distance(type, types[i]->type) == best)
            len += (size_t)snprintf(buf + len, n - len, "%s\"%s\"", len ? ", " : "",
                                    types[i]->type);
    return buf;
}
